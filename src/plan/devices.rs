//! Device nodes: the six that the specification wants in every container, and `linux.devices`.

use super::create::{Inputs, c_string, field};
use super::mounts::destination;
use super::namespaces::Namespaces;
use super::{Kind, Node, Step};
use crate::error::{Error, Result, quote};
use crate::spec::{Device, Linux};

/// Default devices (config-linux.md, "Default Devices"): path, major, minor.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links that a Linux program expects in /dev (config-linux.md, "Default File Systems" and symbolic links).
const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Nodes and links. A bind mount on /dev brings its own.
pub(super) fn steps(inputs: &Inputs<'_>, linux: &Linux, spaces: &Namespaces) -> Result<Vec<Step>> {
    let config = inputs.config;
    let brings_devices = config.mounts.iter().any(|mount| {
        destination(inputs, &mount.destination) == "/dev" && super::mounts::is_bind(mount)
    });
    let mut steps = Vec::new();
    if !brings_devices {
        let is_configured = |path: &str| linux.devices.iter().any(|device| device.path == path);
        for (path, major, minor) in DEFAULT
            .into_iter()
            .filter(|(path, ..)| !is_configured(path))
        {
            steps.push(character(path, major, minor, source(inputs, spaces)));
        }
    }
    for (index, device) in linux.devices.iter().enumerate() {
        steps.push(configured(inputs, index, device, source(inputs, spaces))?);
    }
    if !brings_devices {
        steps.extend(LINKS.map(|(path, target)| Step::Link {
            path: c_string(path),
            target: c_string(target),
        }));
    }
    Ok(steps)
}

/// How a device comes into the container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Made.
    Made,
    /// The host's node, bound: mknod(2) takes the initial user namespace, be the other one the container's or, as below
    /// Podman without root, our own.
    Bound,
}

fn source(inputs: &Inputs<'_>, spaces: &Namespaces) -> Source {
    if spaces.has_user || inputs.host.user_namespace {
        Source::Bound
    } else {
        Source::Made
    }
}

fn character(path: &str, major: u32, minor: u32, source: Source) -> Step {
    let (path, number) = (c_string(path), rustix::fs::makedev(major, minor));
    if source == Source::Bound {
        return Step::BindNode { path, number };
    }
    Step::Node(Node {
        path,
        kind: Kind::Character,
        number,
        mode: 0o666,
        uid: 0,
        gid: 0,
    })
}

fn configured(inputs: &Inputs<'_>, index: usize, device: &Device, source: Source) -> Result<Step> {
    let name = |part: &str| field(inputs, &format!("linux.devices[{index}].{part}"));
    let number = |value: i64, part: &str| {
        u32::try_from(value)
            .map_err(|_| Error::new(name(part), format!("{value} is not a device number")))
    };
    let (major, minor) = (
        number(device.major, "major")?,
        number(device.minor, "minor")?,
    );
    let kind = match device.kind.as_str() {
        "c" | "u" => Kind::Character,
        "b" => Kind::Block,
        "p" => Kind::Fifo,
        other => {
            return Err(Error::new(
                name("type"),
                format!("unknown type {}", quote(other)),
            ));
        }
    };
    let path = c_string(super::mounts::clean(&device.path).as_str());
    let device_number = if kind == Kind::Fifo {
        0
    } else {
        rustix::fs::makedev(major, minor)
    };
    if source == Source::Bound && kind == Kind::Character {
        return Ok(Step::BindNode {
            path,
            number: device_number,
        });
    }
    if source == Source::Bound && kind == Kind::Block {
        return Err(Error::new(
            name("type"),
            "a user namespace cannot have block devices",
        ));
    }
    Ok(Step::Node(Node {
        path,
        kind,
        number: device_number,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    }))
}
