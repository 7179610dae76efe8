//! `linux.netDevices`: devices of the host go into the container's network namespace, and back where the container is not
//! made after all (config-linux.md, "Network Devices"). The messages that do it are in `sys::netlink`.
//! Once the program runs, devices belong to their namespace: at its end the kernel gives hardware back to the host and
//! removes the rest, and a namespace that was joined keeps them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

use crate::error::{Doing, Error, Result};
use crate::plan::NetDevice;
use crate::sys::netlink::{Address, Link, Socket};
use crate::sys::{Errno, SysResult, clone};

/// Devices that were moved. Dropped, it moves them back; `leave` lets them be.
#[derive(Debug)]
pub(super) struct NetDevices {
    host: Side,
    container: Side,
    moved: Vec<Moved>,
}

/// A network namespace and a way to talk to it, whichever one the process is in.
#[derive(Debug)]
struct Side {
    namespace: OwnedFd,
    socket: Socket,
}

/// One device, and what it takes to undo its move.
#[derive(Debug)]
struct Moved {
    device: NetDevice,
    was: Link,
    addresses: Vec<Address>,
    /// Its number in the container.
    index: u32,
}

impl NetDevices {
    /// Moves the devices into `namespace`, with their permanent addresses of global scope, and brings them up.
    ///
    /// # Errors
    /// The field of the device that cannot be moved, and why. None is moved then.
    pub(super) fn enter(devices: &[NetDevice], namespace: OwnedFd) -> Result<Self> {
        let (host, container) = sides(namespace)?;
        let mut all = Self {
            host,
            container,
            moved: Vec::new(),
        };
        let mut links = Vec::new();
        for device in devices {
            links.push(all.check(device)?);
        }
        for (device, was) in devices.iter().zip(links) {
            all.enter_one(device, was)?;
        }
        Ok(all)
    }

    /// From here on they are the container's.
    pub(super) fn leave(mut self) {
        self.moved.clear();
    }

    /// Before anything is moved: that the device is there, and its name free where it goes.
    fn check(&self, device: &NetDevice) -> Result<Link> {
        let field = || device.field();
        let found = self.host.socket.link(&device.name).doing(field)?;
        let link = found.ok_or_else(|| Error::new(field(), "there is no such network device"))?;
        // A pattern is free by definition.
        let taken = self.container.socket.link(&device.new_name);
        if taken.doing(field)?.is_some() {
            let name = crate::error::quote(&device.new_name);
            return Err(Error::new(
                field(),
                format!("the container's network namespace has a device {name} already"),
            ));
        }
        Ok(link)
    }

    fn enter_one(&mut self, device: &NetDevice, was: Link) -> Result<()> {
        let fault = |act: &str, errno| fault(&device.field(), act, errno);
        // The move takes the addresses away.
        let addresses = self.host.socket.addresses(was.index);
        let addresses = addresses.map_err(|errno| fault("read its addresses", errno))?;
        let index = self
            .host
            .send(was.index, &self.container, &device.new_name)
            .map_err(|errno| fault("move it into the container", errno))?;
        self.moved.push(Moved {
            device: device.clone(),
            was,
            addresses: addresses.clone(),
            index,
        });
        let socket = &self.container.socket;
        give(socket, index, &addresses).map_err(|errno| fault("keep its addresses", errno))?;
        socket
            .set_up(index)
            .map_err(|errno| fault("bring it up", errno))
    }

    fn take_back(&self, moved: &Moved) -> Result<()> {
        let fault = |act: &str, errno| fault(&moved.device.field(), act, errno);
        let index = self
            .container
            .send(moved.index, &self.host, &moved.device.name)
            .map_err(|errno| fault("move it back to the host", errno))?;
        let socket = &self.host.socket;
        give(socket, index, &moved.addresses)
            .and_then(|()| {
                if moved.was.is_up {
                    socket.set_up(index)
                } else {
                    Ok(())
                }
            })
            .map_err(|errno| fault("restore it on the host", errno))
    }
}

impl Drop for NetDevices {
    fn drop(&mut self) {
        for moved in self.moved.iter().rev() {
            if let Err(error) = self.take_back(moved) {
                log::warn!("{error}");
            }
        }
    }
}

impl Side {
    /// Moves a device to the other side; its number there, the same one where that is free.
    fn send(&self, index: u32, to: &Self, name: &str) -> SysResult<u32> {
        let mut new_index = index;
        while to.socket.has_index(new_index)? {
            new_index += 1;
        }
        let namespace = to.namespace.as_fd();
        self.socket.move_link(index, namespace, name, new_index)?;
        Ok(new_index)
    }
}

fn give(socket: &Socket, index: u32, addresses: &[Address]) -> SysResult<()> {
    addresses
        .iter()
        .try_for_each(|address| socket.add_address(index, address))
}

/// The runtime's side and that of `namespace`.
fn sides(namespace: OwnedFd) -> Result<(Side, Side)> {
    let field = || "linux.netDevices";
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = openat(CWD, c"/proc/self/ns/net", flags, Mode::empty())
        .doing(|| "open \"/proc/self/ns/net\"")?;
    if identity(own.as_fd())? == identity(namespace.as_fd())? {
        return Err(Error::new(
            field(),
            "the container is in the runtime's own network namespace",
        )
        .hint("give it a \"network\" namespace of its own in linux.namespaces"));
    }
    let host = Socket::open().doing(field)?;
    let container = open_in(namespace.as_fd(), own.as_fd())?;
    let side = |namespace, socket| Side { namespace, socket };
    Ok((side(own, host), side(namespace, container)))
}

fn identity(namespace: BorrowedFd<'_>) -> Result<(u64, u64)> {
    let found = fstat(namespace).doing(|| "look at a network namespace")?;
    Ok((found.st_dev, found.st_ino))
}

/// A socket belongs to the namespace in which it was opened, so that this process need not stay there.
fn open_in(namespace: BorrowedFd<'_>, own: BorrowedFd<'_>) -> Result<Socket> {
    let enter = |namespace| clone::join(namespace, libc::CLONE_NEWNET);
    enter(namespace).map_err(|errno| {
        fault(
            "linux.netDevices",
            "enter the container's network namespace",
            errno,
        )
    })?;
    let socket = Socket::open();
    enter(own).doing(|| "return to the runtime's network namespace")?;
    socket.doing(|| "linux.netDevices")
}

fn fault(field: &str, act: &str, errno: Errno) -> Error {
    let error = Error::new(format!("{field}: {act}"), errno);
    match errno {
        Errno::PERM => error.hint(
            "moving a network device takes CAP_SYS_ADMIN and CAP_NET_ADMIN over both network namespaces",
        ),
        Errno::INVAL => error.hint("some devices cannot leave their network namespace, the loopback among them"),
        _ => error,
    }
}
