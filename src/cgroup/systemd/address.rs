//! Addresses of D-Bus servers (D-Bus specification, "Server Addresses"): of the forms that a local systemd is found by.
//! Nothing is connected here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::net::SocketAddrUnix;

use crate::sys::SysResult;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket in the file system.
    Path(PathBuf),
    /// A name of Linux's abstract socket addresses.
    Abstract(Vec<u8>),
}

impl Address {
    /// For connect(2).
    pub(super) fn socket(&self) -> SysResult<SocketAddrUnix> {
        match self {
            Self::Path(path) => SocketAddrUnix::new(path),
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        }
    }

    /// As error messages name it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Path(path) => crate::error::quote_path(path),
            Self::Abstract(name) => crate::error::quote([b"@", name.as_slice()].concat()),
        }
    }
}

/// The addresses of a list such as `unix:path=/run/user/1000/bus,guid=12;unix:abstract=x`, in its order, without those of
/// other forms.
pub(super) fn parse(list: &str) -> Vec<Address> {
    list.split(';').filter_map(one).collect()
}

fn one(address: &str) -> Option<Address> {
    let pairs = address.strip_prefix("unix:")?;
    pairs
        .split(',')
        .find_map(|pair| match pair.split_once('=')? {
            ("path", text) => {
                let path = PathBuf::from(OsString::from_vec(unescape(text)?));
                path.is_absolute().then_some(Address::Path(path))
            }
            ("abstract", text) => unescape(text).map(Address::Abstract),
            _ => None,
        })
}

/// Undoes `%20`; `None` for a broken escape or a NUL.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    (!bytes.is_empty() && !bytes.contains(&0)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_of_a_list_are_found() {
        let path = |path: &str| Address::Path(path.into());
        assert_eq!(
            parse(
                "tcp:host=x,port=1;unix:path=/run/user/1000/bus,guid=12;unix:abstract=/tmp/a%2cb"
            ),
            [
                path("/run/user/1000/bus"),
                Address::Abstract(b"/tmp/a,b".to_vec())
            ]
        );
        assert_eq!(parse("unix:guid=1,path=/a%20b"), [path("/a b")]);
    }

    #[test]
    fn what_is_no_such_address_is_none() {
        for text in [
            "",
            "unix:",
            "unix:path=",
            "unix:path=a",
            "unix:path=/a%0",
            "unix:path=/a%00b",
            "unix:path=/%€",
        ] {
            assert_eq!(parse(text), [], "{text}");
        }
    }
}
