//! A connection to a D-Bus server: authentication, calls and their answers, the ends of jobs.
//! It blocks, waits at most half a minute for anything, and has no thread: one could not survive a clone.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::address::Address;
use super::message::{self, Call, Kind, Message};
use super::wire::Writer;
use crate::cgroup::life::wait;
use crate::error::{Doing, Error, Result, quote};
use crate::sys::Errno;

/// How long an answer, or the end of a job, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest line of the authentication, and how many of them there may be.
const LONGEST_LINE: usize = 1024;
const MOST_LINES: usize = 4;
/// The most ends of jobs that are kept until somebody asks for them.
const MOST_ENDS: usize = 64;

const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The path of systemd's manager object.
pub(super) const MANAGER: &str = "/org/freedesktop/systemd1";
const BUS: &str = "org.freedesktop.DBus";
const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// What is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// systemd itself.
    Systemd,
    /// A bus that systemd is on.
    Bus,
}

/// An error that the other side answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `org.freedesktop.systemd1.NoSuchUnit`
    pub(super) name: String,
    /// For people, as the other side put it.
    pub(super) text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = crate::error::escape(&self.name);
        match self.text.trim() {
            "" => write!(f, "{name}"),
            text => write!(f, "{} ({name})", crate::error::escape(text)),
        }
    }
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    job: String,
    /// `done`, `failed` and so on.
    pub(super) result: String,
}

/// A connection to systemd.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    serial: u32,
    /// What was read and not looked at yet.
    read: Vec<u8>,
    pub(super) deadline: Instant,
    /// systemd's name on the bus; none where the connection leads to it directly.
    peer: Option<String>,
    ends: Vec<End>,
}

impl Connection {
    /// Connects and authenticates by what the kernel says of this process. No user id is sent: in a user namespace ours is
    /// not the one that the other side sees.
    ///
    /// # Errors
    /// Nobody listens there, or who does refuses us.
    pub(super) fn open(address: &Address, server: Server) -> Result<Self> {
        let doing = || format!("connect to {}", address.shown());
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .doing(doing)?;
        // A listener that accepts nobody would hold us up here.
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).doing(doing)?;
        rustix::net::connect(&socket, &address.socket().doing(doing)?).doing(doing)?;
        let mut connection = Self {
            socket,
            serial: 0,
            read: Vec::new(),
            deadline: Instant::now() + PATIENCE,
            peer: None,
            ends: Vec::new(),
        };
        connection
            .authenticate()
            .map_err(|cause| Error::new(doing(), cause))?;
        if server == Server::Bus {
            connection.join_bus()?;
        }
        Ok(connection)
    }

    fn authenticate(&mut self) -> std::result::Result<(), String> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for _ in 0..MOST_LINES {
            let line = self.line()?;
            if line.starts_with(b"OK ") {
                return Ok(());
            }
            if line.starts_with(b"REJECTED") || line.starts_with(b"ERROR") {
                return Err(format!("authentication failed: {}", quote(&line)));
            }
        }
        Err("authentication does not end".into())
    }

    /// On a bus, signals come to those who ask for them.
    fn join_bus(&mut self) -> Result<()> {
        let failed = |doing: &str| {
            let doing = format!("{doing} the bus");
            move |cause: String| Error::new(doing, cause)
        };
        self.call_bus("Hello", "", Writer::default())
            .map_err(failed("join"))?;
        // A bus that has just been started has systemd on it only a moment later.
        let mut service = Writer::default();
        service.string(SYSTEMD);
        service.u32(0);
        let owner = self
            .call_bus("StartServiceByName", "su", service)
            .and_then(|_| {
                let mut name = Writer::default();
                name.string(SYSTEMD);
                self.call_bus("GetNameOwner", "s", name)
            })
            .and_then(|reply| Ok(reply.body_of("s")?.string()?.to_owned()))
            .map_err(failed("look for systemd on"))?;
        self.peer = Some(owner);
        let mut rule = Writer::default();
        rule.string(JOBS);
        self.call_bus("AddMatch", "s", rule)
            .map_err(failed("listen to"))?;
        let subscribed = self.call("Subscribe", "", Writer::default())?;
        subscribed.map(drop).doing(|| "ask systemd for its signals")
    }

    pub(super) fn call_bus(
        &mut self,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> std::result::Result<Message, String> {
        let call = Call {
            destination: Some(BUS),
            path: "/org/freedesktop/DBus",
            interface: BUS,
            member,
            signature,
            body: &body.into_bytes(),
        };
        self.exchange(&call)?.map_err(|refusal| refusal.to_string())
    }

    /// Calls a method of systemd's manager object. What it answers may be a refusal, which is for the caller to judge.
    ///
    /// # Errors
    /// No answer came, or none that could be read.
    pub(super) fn call(
        &mut self,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<std::result::Result<Message, Refusal>> {
        let interface = "org.freedesktop.systemd1.Manager";
        self.call_object((MANAGER, interface), member, signature, body)
    }

    /// The same of another object or interface.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) fn call_object(
        &mut self,
        (path, interface): (&str, &str),
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<std::result::Result<Message, Refusal>> {
        let peer = self.peer.clone();
        let call = Call {
            destination: peer.as_deref(),
            path,
            interface,
            member,
            signature,
            body: &body.into_bytes(),
        };
        self.exchange(&call)
            .map_err(|cause| Error::new(format!("ask systemd to {member}"), cause))
    }

    fn exchange(
        &mut self,
        call: &Call<'_>,
    ) -> std::result::Result<std::result::Result<Message, Refusal>, String> {
        self.deadline = Instant::now() + PATIENCE;
        self.serial += 1;
        let serial = self.serial;
        self.send(&call.encode(serial))?;
        loop {
            let message = self.next()?;
            // Serial numbers can be guessed; the sender is what the bus itself says.
            let is_asked = call.destination.is_none_or(|asked| asked == message.sender);
            if message.answers != serial || !is_asked {
                continue;
            }
            match message.kind {
                Kind::Reply => return Ok(Ok(message)),
                Kind::Error => {
                    let text = message.body_of("s").and_then(|mut body| body.string());
                    return Ok(Err(Refusal {
                        text: text.unwrap_or_default().to_owned(),
                        name: message.error,
                    }));
                }
                Kind::Signal | Kind::Other => {}
            }
        }
    }

    /// Waits for the end of a job of systemd's. It may have come before the reply that named the job.
    ///
    /// # Errors
    /// It does not end in time.
    pub(super) fn end_of(&mut self, job: &str) -> Result<End> {
        self.deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.ends.iter().find(|end| end.job == job) {
                return Ok(end.clone());
            }
            self.next().doing(|| "wait for systemd's job to end")?;
        }
    }

    /// The next message; ends of jobs are noted on the way.
    ///
    /// # Errors
    /// None comes before the deadline, or one that cannot be read.
    pub(super) fn next(&mut self) -> std::result::Result<Message, String> {
        // Who sends without a pause never lets a wait for more come to its end.
        if Instant::now() > self.deadline {
            return Err(late());
        }
        let head: [u8; message::HEAD] = self
            .receive(message::HEAD)?
            .try_into()
            .expect("as many as asked for");
        let (fields, body) = message::rest(&head).map_err(malformed)?;
        let fields = self.receive(fields)?;
        let body = self.receive(body)?;
        let message = Message::decode(&head, &fields, &body).map_err(malformed)?;
        let is_systemds = self
            .peer
            .as_ref()
            .is_none_or(|peer| *peer == message.sender);
        if message.kind == Kind::Signal && message.member == "JobRemoved" && is_systemds {
            self.note_end(&message).map_err(malformed)?;
        }
        Ok(message)
    }

    /// `JobRemoved(u id, o job, s unit, s result)`
    fn note_end(&mut self, message: &Message) -> std::result::Result<(), super::wire::Malformed> {
        let mut body = message.body_of("uoss")?;
        body.u32()?;
        let job = body.string()?.to_owned();
        body.string()?;
        let result = body.string()?.to_owned();
        if self.ends.len() == MOST_ENDS {
            self.ends.remove(0);
        }
        self.ends.push(End { job, result });
        Ok(())
    }

    fn line(&mut self) -> std::result::Result<Vec<u8>, String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LONGEST_LINE {
                return Err("a line that is too long".into());
            }
            line.extend(self.receive(1)?);
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn receive(&mut self, length: usize) -> std::result::Result<Vec<u8>, String> {
        while self.read.len() < length {
            if !wait(&self.socket, PollFlags::IN, self.deadline)
                .map_err(|errno| errno.to_string())?
            {
                return Err(late());
            }
            let mut bytes = [0u8; 4096];
            match rustix::net::recv(&self.socket, bytes.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err("the connection was closed".into()),
                Ok((_, count)) => self.read.extend(&bytes[..count]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.to_string()),
            }
        }
        Ok(self.read.drain(..length).collect())
    }

    fn send(&mut self, mut bytes: &[u8]) -> std::result::Result<(), String> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, flags) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let ready = wait(&self.socket, PollFlags::OUT, self.deadline);
                    if !ready.map_err(|errno| errno.to_string())? {
                        return Err(late());
                    }
                }
                Err(errno) => return Err(errno.to_string()),
            }
        }
        Ok(())
    }
}

fn late() -> String {
    format!("no answer in {} s", PATIENCE.as_secs())
}

fn malformed(cause: super::wire::Malformed) -> String {
    format!("the answer cannot be read: {cause}")
}
