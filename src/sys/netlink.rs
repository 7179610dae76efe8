//! rtnetlink(7), as much as moving a network device takes: links by name and number, their addresses, the move itself.
//! Nothing here knows of containers. Messages are built and read as bytes, whose layout netlink(7) and
//! linux/rtnetlink.h give; what the kernel sends is held against its bounds all the same.

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::{Errno, SysResult};

/// `NLMSG_ERROR`, an acknowledgement where its number is 0.
const ERROR: u16 = 2;
/// `NLMSG_DONE`, the end of a dump.
const DONE: u16 = 3;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
/// The kernel fills at most this for one call of recv(2) (`NLMSG_GOODSIZE`, `max_recvmsg_len`).
const LONGEST: usize = 32 << 10;
/// Dumps that a change of the host's network interrupts are begun anew this often.
const ATTEMPTS: usize = 16;
/// `IFA_F_NODAD`, `IFA_F_MANAGETEMPADDR`, `IFA_F_NOPREFIXROUTE`: what was chosen for an address, and is not its state.
const CHOSEN_FLAGS: u32 = 0x02 | 0x100 | 0x200;

/// A network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number in its network namespace.
    pub index: u32,
    /// Whether it is up (`IFF_UP`).
    pub is_up: bool,
}

/// An IP address of a device, as one that can be given to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    /// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST`: the attribute and its bytes.
    parts: Vec<(u16, Vec<u8>)>,
}

/// A conversation with one network namespace, that in which it was opened; it keeps the namespace in being.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: Cell<u32>,
}

impl Socket {
    /// Opens one to the network namespace of the calling process.
    ///
    /// # Errors
    /// The errno of socket(2) or connect(2).
    pub fn open() -> SysResult<Self> {
        // No protocol is NETLINK_ROUTE.
        let family = AddressFamily::NETLINK;
        let fd = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        // A connected one hears nobody but the kernel.
        connect(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self {
            fd,
            sequence: Cell::new(0),
        })
    }

    /// The device of this name, if there is one.
    ///
    /// # Errors
    /// The errno of the kernel; `EBADMSG` for an answer that is none.
    pub fn link(&self, name: &str) -> SysResult<Option<Link>> {
        let request = Request::of_link(libc::RTM_GETLINK, 0, 0).text(libc::IFLA_IFNAME, name);
        self.ask_for_link(request)
    }

    /// Whether a device has this number.
    ///
    /// # Errors
    /// As of [`Socket::link`].
    pub fn has_index(&self, index: u32) -> SysResult<bool> {
        let link = self.ask_for_link(Request::of_link(libc::RTM_GETLINK, index, 0))?;
        Ok(link.is_some())
    }

    /// The permanent addresses of global scope that a device has.
    ///
    /// # Errors
    /// As of [`Socket::link`].
    pub fn addresses(&self, index: u32) -> SysResult<Vec<Address>> {
        for _ in 0..ATTEMPTS {
            let dump = libc::NLM_F_DUMP as u16;
            let request = Request::new(libc::RTM_GETADDR, dump, &[0; ADDRESS_HEADER]);
            match self.ask(request) {
                Err(Errno::INTR) => {}
                answers => {
                    let answers = answers?;
                    let read = answers.iter().map(|body| read_address(body, index));
                    return read.filter_map(Result::transpose).collect();
                }
            }
        }
        Err(Errno::AGAIN)
    }

    /// Moves a device into another network namespace, by a name and a number that are free there; a `%d` in the name
    /// stands for the first free number. It arrives down and without addresses.
    ///
    /// # Errors
    /// As of [`Socket::link`].
    pub fn move_link(
        &self,
        index: u32,
        namespace: BorrowedFd<'_>,
        name: &str,
        new_index: u32,
    ) -> SysResult<()> {
        let request = Request::of_link(libc::RTM_SETLINK, index, 0)
            .attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
            .text(libc::IFLA_IFNAME, name)
            .attribute(libc::IFLA_NEW_IFINDEX, &new_index.to_ne_bytes()); // Linux 5.13
        self.ask(request).map(drop)
    }

    /// Gives a device an address.
    ///
    /// # Errors
    /// As of [`Socket::link`].
    pub fn add_address(&self, index: u32, address: &Address) -> SysResult<()> {
        self.ask(new_address(index, address)).map(drop)
    }

    /// Brings a device up.
    ///
    /// # Errors
    /// As of [`Socket::link`].
    pub fn set_up(&self, index: u32) -> SysResult<()> {
        let up = libc::IFF_UP as u32;
        self.ask(Request::of_link(libc::RTM_SETLINK, index, up))
            .map(drop)
    }

    fn ask_for_link(&self, request: Request) -> SysResult<Option<Link>> {
        let answers = match self.ask(request) {
            Err(Errno::NODEV) => return Ok(None),
            answers => answers?,
        };
        let body = answers.first().ok_or(Errno::BADMSG)?;
        Ok(Some(Link {
            index: word(body, 4)?,
            is_up: word(body, 8)? & libc::IFF_UP as u32 != 0,
        }))
    }

    /// Sends a request, and collects the bodies of the answers up to the last.
    fn ask(&self, request: Request) -> SysResult<Vec<Vec<u8>>> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let message = request.numbered(sequence);
        retry_on_intr(|| send(&self.fd, &message, SendFlags::empty()))?;
        let mut answers = Vec::new();
        let mut is_interrupted = false;
        let mut buffer = vec![0; LONGEST];
        loop {
            let (filled, length) =
                retry_on_intr(|| recv(&self.fd, buffer.as_mut_slice(), RecvFlags::TRUNC))?;
            if length > buffer.len() {
                return Err(Errno::MSGSIZE);
            }
            for message in messages(&buffer[..filled])? {
                // Of a dump that was given up.
                if message.sequence != sequence {
                    continue;
                }
                is_interrupted |= message.flags & libc::NLM_F_DUMP_INTR as u16 != 0;
                match message.kind {
                    ERROR | DONE => {
                        return match result(message.body)? {
                            () if is_interrupted => Err(Errno::INTR),
                            () => Ok(answers),
                        };
                    }
                    _ => answers.push(message.body.to_vec()),
                }
            }
        }
    }
}

/// A message to the kernel, without its length and number.
struct Request(Vec<u8>);

impl Request {
    /// `fixed` is the structure that a message of this kind begins with.
    fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let flags = flags | libc::NLM_F_REQUEST as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(fixed);
        Self(bytes)
    }

    /// With `struct ifinfomsg`: these flags are set.
    fn of_link(kind: u16, index: u32, flags: u32) -> Self {
        let mut fixed = [0; 16];
        for (at, value) in [(4, index), (8, flags), (12, flags)] {
            fixed[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        Self::new(kind, libc::NLM_F_ACK as u16, &fixed)
    }

    /// Adds an attribute (`struct rtattr`).
    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("a name or an address is short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(aligned(self.0.len()), 0);
        self
    }

    /// Adds an attribute whose value is text with its final NUL.
    fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    fn numbered(self, sequence: u32) -> Vec<u8> {
        let mut bytes = self.0;
        let length = u32::try_from(bytes.len()).expect("a few attributes are short");
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes
    }
}

fn new_address(index: u32, address: &Address) -> Request {
    let mut fixed = [address.family, address.prefix, 0, 0, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&index.to_ne_bytes());
    let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let request = Request::new(libc::RTM_NEWADDR, flags as u16, &fixed);
    let request = request.attribute(libc::IFA_FLAGS, &address.flags.to_ne_bytes());
    let parts = address.parts.iter();
    parts.fold(request, |request, (kind, value)| {
        request.attribute(*kind, value)
    })
}

/// The address in the body of an answer; none where it is another device's, or does not move with its own.
fn read_address(body: &[u8], index: u32) -> SysResult<Option<Address>> {
    let [family, prefix, flags, scope] = *body.first_chunk().ok_or(Errno::BADMSG)?;
    if word(body, 4)? != index || scope != libc::RT_SCOPE_UNIVERSE {
        return Ok(None);
    }
    let mut flags = u32::from(flags);
    let mut parts = Vec::new();
    for (kind, value) in attributes(&body[ADDRESS_HEADER..])? {
        match kind {
            libc::IFA_FLAGS => flags = word(value, 0)?,
            libc::IFA_ADDRESS | libc::IFA_LOCAL | libc::IFA_BROADCAST => {
                parts.push((kind, value.to_vec()));
            }
            _ => {}
        }
    }
    let is_permanent = flags & libc::IFA_F_PERMANENT != 0;
    Ok(is_permanent.then_some(Address {
        family,
        prefix,
        flags: flags & CHOSEN_FLAGS,
        parts,
    }))
}

/// A message of the kernel.
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> SysResult<Vec<Message<'_>>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let length = word(bytes, 0)? as usize;
        let message = bytes.get(..length).ok_or(Errno::BADMSG)?;
        messages.push(Message {
            kind: half_word(message, 4)?,
            flags: half_word(message, 6)?,
            sequence: word(message, 8)?,
            body: message.get(HEADER..).ok_or(Errno::BADMSG)?,
        });
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(messages)
}

fn attributes(mut bytes: &[u8]) -> SysResult<Vec<(u16, &[u8])>> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(half_word(bytes, 0)?);
        let kind = half_word(bytes, 2)?;
        let value = bytes.get(4..length).ok_or(Errno::BADMSG)?;
        attributes.push((kind, value));
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(attributes)
}

/// The number that ends an exchange: 0, or an errno below 0.
fn result(body: &[u8]) -> SysResult<()> {
    match word(body, 0)?.cast_signed() {
        0 => Ok(()),
        number @ -4095..=-1 => Err(Errno::from_raw_os_error(-number)),
        _ => Err(Errno::BADMSG),
    }
}

fn word(bytes: &[u8], at: usize) -> SysResult<u32> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes
        .map(|bytes| u32::from_ne_bytes(*bytes))
        .ok_or(Errno::BADMSG)
}

fn half_word(bytes: &[u8], at: usize) -> SysResult<u16> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes
        .map(|bytes| u16::from_ne_bytes(*bytes))
        .ok_or(Errno::BADMSG)
}

/// `NLMSG_ALIGN`, `RTA_ALIGN`.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests;
