//! What is asked of systemd, by its manager object (org.freedesktop.systemd1(5)): facts, scopes, their properties.
//! How messages come and go is in `connection`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::address::{self, Address};
use super::connection::{Connection, MANAGER, Refusal, Server};
use super::message::Message;
use super::property::Property;
use super::unit::{Unit, Whose};
use super::wire::{Simple, Value, Writer};
use crate::error::{Error, Result, quote};
use crate::host::Facts as Host;

/// systemd's own socket, which takes root alone and needs no bus.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// What systemd makes before anything else (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// systemd's errors that are expected at times.
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
/// There is no such unit; the latter ones where it was asked for by its invocation or its process.
const GONE: [&str; 4] = [
    "org.freedesktop.systemd1.NoSuchUnit",
    "org.freedesktop.systemd1.NoUnitForInvocationID",
    "org.freedesktop.systemd1.NoUnitForPID",
    "org.freedesktop.DBus.Error.UnknownObject",
];
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// Whether systemd is what runs this host.
pub fn is_running() -> bool {
    Path::new(BOOTED).is_dir()
}

impl Whose {
    /// Which systemd serves this process: the host's for root, a user's own for everybody else. Root of a user namespace is
    /// a user, unless systemd runs in there, too, and lets it in.
    pub(crate) fn of(host: &Host) -> Self {
        // Whose socket it is, too: that of a systemd around the namespace may be writable to all and lets nobody in.
        let is_ours = || std::fs::metadata(PRIVATE).is_ok_and(|found| found.uid() == 0);
        let is_let_in = || is_ours() && access(PRIVATE, Access::WRITE_OK).is_ok();
        if host.uid == 0 && (!host.user_namespace || is_let_in()) {
            Self::System
        } else {
            Self::User
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::System => "systemd",
            Self::User => "the user's systemd",
        }
    }

    /// Where to connect to, in the order of trying. systemd's own socket comes first: there is no other program in between,
    /// and no other one whose signals could be taken for systemd's.
    fn addresses(self) -> Vec<(Address, Server)> {
        let path = |path: PathBuf| Address::Path(path);
        if self == Self::System {
            return vec![
                (path(PRIVATE.into()), Server::Systemd),
                (path(SYSTEM_BUS.into()), Server::Bus),
            ];
        }
        let runtime = runtime_directory();
        let own = (path(runtime.join("systemd/private")), Server::Systemd);
        let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
        let named = address::parse(&named).into_iter();
        let named = named.map(|address| (address, Server::Bus));
        let usual = (path(runtime.join("bus")), Server::Bus);
        std::iter::once(own).chain(named).chain([usual]).collect()
    }
}

/// `$XDG_RUNTIME_DIR`, or where it usually is.
fn runtime_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|path| path.as_bytes().starts_with(b"/"))
        .map_or_else(
            || PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw())),
            PathBuf::from,
        )
}

/// systemd, connected.
#[derive(Debug)]
pub(crate) struct Systemd {
    connection: Connection,
    whose: Whose,
}

impl Systemd {
    /// Connects to the first of its sockets that answers.
    ///
    /// # Errors
    /// systemd does not run, or cannot be reached; why the first of the sockets cannot is the cause.
    pub(crate) fn connect(whose: Whose) -> Result<Self> {
        if !is_running() {
            return Err(
                Error::new("use --systemd-cgroup", "systemd does not run on this host")
                    .hint("leave the flag out, and let the client use the driver \"cgroupfs\""),
            );
        }
        let mut first = None;
        for (address, server) in whose.addresses() {
            match Connection::open(&address, server) {
                Ok(connection) => return Ok(Self { connection, whose }),
                Err(error) => {
                    log::debug!("{error}");
                    first.get_or_insert(error);
                }
            }
        }
        let cause = first.expect("there is an address to try");
        let error = Error::new(format!("reach {}", whose.words()), cause);
        Err(match whose {
            Whose::System => error,
            Whose::User => error.hint(
                "log in, or: loginctl enable-linger USER; XDG_RUNTIME_DIR must be that of the user's session",
            ),
        })
    }

    /// Its version, such as 252.
    ///
    /// # Errors
    /// It does not say.
    pub(crate) fn version(&mut self) -> Result<u32> {
        let text = self.property("Version")?;
        version(&text).ok_or_else(|| Error::new("ask systemd for its version", quote(&text)))
    }

    /// The cgroup that all its units are below, without slashes at its ends.
    ///
    /// # Errors
    /// It does not say.
    pub(crate) fn control_group(&mut self) -> Result<String> {
        Ok(self.property("ControlGroup")?.trim_matches('/').to_owned())
    }

    /// A property of the manager.
    fn property(&mut self, name: &str) -> Result<String> {
        self.text_of((MANAGER, "org.freedesktop.systemd1.Manager"), name)
    }

    fn text_of(&mut self, of: (&str, &str), name: &str) -> Result<String> {
        self.ask(of, name, |value| match value {
            Simple::Text(text) => Some(text.to_owned()),
            _ => None,
        })
    }

    /// A property of an interface of an object; `read` is none for a type that was not expected.
    fn ask<T>(
        &mut self,
        (path, interface): (&str, &str),
        name: &str,
        read: impl FnOnce(Simple<'_>) -> Option<T>,
    ) -> Result<T> {
        let mut body = Writer::default();
        body.string(interface);
        body.string(name);
        let of = (path, "org.freedesktop.DBus.Properties");
        let reply = self.connection.call_object(of, "Get", "ss", body)?;
        let failed = |cause: &dyn std::fmt::Display| {
            Error::new(format!("ask systemd for its {name}"), cause)
        };
        let reply = reply.map_err(|refusal| failed(&refusal))?;
        let value = reply.body_of("v").and_then(|mut body| body.variant());
        let value = value.map_err(|cause| failed(&cause))?;
        read(value).ok_or_else(|| failed(&"another type"))
    }

    /// Makes a scope with a process in it and waits until it is there; its invocation then. One of the same name that has
    /// failed and was a container's is cleared away for it.
    ///
    /// # Errors
    /// A scope of this name is there already, or systemd refuses. What there is of it then goes with the process, whose end
    /// is the caller's: until the scope is known to be ours, none of this name is stopped.
    pub(crate) fn start(
        &mut self,
        unit: &Unit,
        properties: &[Property],
        pid: i32,
    ) -> Result<String> {
        let doing = || format!("start unit {}", quote(&unit.name));
        let started = match self.start_job(&unit.name, properties)? {
            Err(refusal) if refusal.name == UNIT_EXISTS && self.forget_failed(unit)? => {
                self.start_job(&unit.name, properties)?
            }
            other => other,
        };
        let reply = started.map_err(|refusal| {
            let error = self.refused(doing(), &refusal);
            match refusal.name.as_str() {
                UNIT_EXISTS => error.hint(
                    "choose another linux.cgroupsPath, or delete the container that has this one",
                ),
                _ => error,
            }
        })?;
        self.wait(&reply, &doing())?;
        let path = self.path_by_name(&unit.name)?;
        let path = path.ok_or_else(|| Error::new(doing(), "its process has ended"))?;
        let invocation = self.invocation(&path)?;
        // A scope does not become another one while a process is in it.
        if self.path_by_process(pid)?.as_ref() == Some(&path) {
            return Ok(invocation);
        }
        Err(Error::new(doing(), "the process is not in it"))
    }

    /// The path of a unit's object; none where there is no such unit.
    fn path_by_name(&mut self, name: &str) -> Result<Option<String>> {
        let mut body = Writer::default();
        body.string(name);
        let reply = self.connection.call("GetUnit", "s", body)?;
        read_path(reply, &format!("find unit {}", quote(name)))
    }

    fn path_by_process(&mut self, pid: i32) -> Result<Option<String>> {
        let mut body = Writer::default();
        body.u32(pid.cast_unsigned());
        let reply = self.connection.call("GetUnitByPID", "u", body)?;
        read_path(reply, &format!("find the unit of process {pid}"))
    }

    /// The path of this very unit's object: by its invocation, where one is known, so that nothing that is asked there
    /// reaches another unit of the same name.
    fn path(&mut self, unit: &Unit) -> Result<Option<String>> {
        match &unit.invocation {
            Some(invocation) => Ok(Some(path_by_invocation(invocation))),
            None => self.path_by_name(&unit.name),
        }
    }

    fn invocation(&mut self, path: &str) -> Result<String> {
        self.ask((path, UNIT), "InvocationID", |value| match value {
            Simple::Bytes(bytes) if bytes.len() == 16 => {
                Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            _ => None,
        })
    }

    /// Forgets a unit of this name that has failed, if it was a container's; whether it was.
    fn forget_failed(&mut self, unit: &Unit) -> Result<bool> {
        let Some(path) = self.path_by_name(&unit.name)? else {
            return Ok(true);
        };
        let is_ours = self.text_of((&path, UNIT), "Description")? == unit.description();
        if !is_ours || self.text_of((&path, UNIT), "ActiveState")? != "failed" {
            return Ok(false);
        }
        let path = path_by_invocation(&self.invocation(&path)?);
        self.forget_failure(&path, unit).map(|()| true)
    }

    fn start_job(
        &mut self,
        name: &str,
        properties: &[Property],
    ) -> Result<std::result::Result<Message, Refusal>> {
        let mut body = Writer::default();
        body.string(name);
        // Two containers want the same unit: the second one fails.
        body.string("fail");
        put(&mut body, properties);
        // No auxiliary units.
        body.array(8, |_| {});
        self.connection
            .call("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
    }

    /// Sets properties of a unit, until it ends.
    ///
    /// # Errors
    /// systemd refuses one of them; none is set then.
    pub(crate) fn set(&mut self, unit: &Unit, properties: &[Property]) -> Result<()> {
        let mut body = Writer::default();
        // At run time, not on disk.
        body.u32(1);
        put(&mut body, properties);
        let doing = format!("change unit {}", quote(&unit.name));
        let path = self.path(unit)?;
        let path = path.ok_or_else(|| Error::new(&doing, "there is no such unit"))?;
        let of = (path.as_str(), UNIT);
        let set = self
            .connection
            .call_object(of, "SetProperties", "ba(sv)", body)?;
        set.map(drop)
            .map_err(|refusal| self.refused(doing, &refusal))
    }

    /// Moves a process into a scope's cgroup, or into the one at an absolute path below that.
    ///
    /// # Errors
    /// systemd refuses.
    pub(crate) fn attach(&mut self, unit: &Unit, below: &str, pid: i32) -> Result<()> {
        let mut body = Writer::default();
        body.string(below);
        body.array(4, |all| all.u32(pid.cast_unsigned()));
        let doing = format!("move a process into unit {}", quote(&unit.name));
        let path = self.path(unit)?;
        let path = path.ok_or_else(|| Error::new(&doing, "there is no such unit"))?;
        let of = (path.as_str(), "org.freedesktop.systemd1.Scope");
        let attached = self
            .connection
            .call_object(of, "AttachProcesses", "sau", body)?;
        attached
            .map(drop)
            .map_err(|refusal| self.refused(doing, &refusal))
    }

    fn refused(&self, doing: String, refusal: &Refusal) -> Error {
        Error::new(doing, format!("{} refuses: {refusal}", self.whose.words()))
    }

    /// Stops a unit, waits until it has, and forgets that it may have failed. One that is gone already is fine.
    ///
    /// # Errors
    /// systemd refuses, or does not come to an end.
    pub(crate) fn stop(&mut self, unit: &Unit) -> Result<()> {
        let doing = format!("stop unit {}", quote(&unit.name));
        let Some(path) = self.path(unit)? else {
            return Ok(());
        };
        let mut body = Writer::default();
        body.string("replace");
        let of = (path.as_str(), UNIT);
        match self.connection.call_object(of, "Stop", "s", body)? {
            Ok(reply) => self.wait(&reply, &doing)?,
            Err(refusal) if is_gone(&refusal) => return Ok(()),
            Err(refusal) => return Err(self.refused(doing, &refusal)),
        }
        self.forget_failure(&path, unit)
    }

    /// Forgets that a unit has failed. One that has not is left as it is.
    fn forget_failure(&mut self, path: &str, unit: &Unit) -> Result<()> {
        let body = Writer::default();
        let of = (path, UNIT);
        match self.connection.call_object(of, "ResetFailed", "", body)? {
            Err(refusal) if !is_gone(&refusal) => {
                let doing = format!("forget the failure of unit {}", quote(&unit.name));
                Err(Error::new(doing, refusal))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the job that a reply names.
    fn wait(&mut self, reply: &Message, doing: &str) -> Result<()> {
        let job = reply.body_of("o").and_then(|mut body| body.string());
        let job = job.map_err(|cause| Error::new(doing, cause))?;
        match self.connection.end_of(job)?.result.as_str() {
            "done" => Ok(()),
            other => Err(Error::new(
                doing,
                format!("systemd's job ended as {}", quote(other)),
            )),
        }
    }
}

/// Whether it was refused for want of the unit.
fn is_gone(refusal: &Refusal) -> bool {
    GONE.contains(&refusal.name.as_str())
}

/// The path that a reply holds; none where the unit is gone.
fn read_path(reply: std::result::Result<Message, Refusal>, doing: &str) -> Result<Option<String>> {
    let reply = match reply {
        Err(refusal) if is_gone(&refusal) => return Ok(None),
        Err(refusal) => return Err(Error::new(doing, refusal)),
        Ok(reply) => reply,
    };
    let path = reply.body_of("o").and_then(|mut body| body.string());
    path.map(|path| Some(path.to_owned()))
        .map_err(|cause| Error::new(doing, cause))
}

/// systemd knows a unit's object by its invocation, too. In a path's element, a digit in front is written by its code.
fn path_by_invocation(invocation: &str) -> String {
    let (first, rest) = invocation.split_at_checked(1).unwrap_or_default();
    let escaped = match first.as_bytes() {
        [digit] if digit.is_ascii_digit() => format!("_{digit:02x}"),
        _ => first.to_owned(),
    };
    format!("{MANAGER}/unit/{escaped}{rest}")
}

fn put(body: &mut Writer, properties: &[Property]) {
    body.array(8, |all| {
        for property in properties {
            all.align(8);
            all.string(property.name());
            all.variant(property.value());
        }
    });
}

/// The number at the beginning of `252.39-1~deb12u2`, with or without a `v`.
fn version(text: &str) -> Option<u32> {
    let text = text.trim_start_matches('v');
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// A property of the type that a scope's process ids have.
pub(super) fn processes(pid: i32) -> Property {
    Property::new("PIDs", Value::Processes(vec![pid.cast_unsigned()]))
}
