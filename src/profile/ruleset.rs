//! Landlock rules as the kernel takes them: masks of rights, by what a version of Landlock knows (landlock(7)).
//! What a profile demands is in `landlock`; making the ruleset is the child's business (`init`).

use std::ffi::CString;
use std::fmt;

use super::landlock::Landlock;
use crate::error::quote;
use crate::sys::landlock::{
    ABSTRACT_UNIX_SOCKET, BIND_TCP, CONNECT_TCP, EXECUTE, IOCTL_DEV, MAKE_BLOCK, MAKE_CHAR,
    MAKE_DIR, MAKE_FIFO, MAKE_REG, MAKE_SOCK, MAKE_SYM, READ_DIR, READ_FILE, REFER, REMOVE_DIR,
    REMOVE_FILE, SIGNAL, TRUNCATE, WRITE_FILE,
};

/// A ruleset as the kernel takes it: masks of rights, as `sys::landlock` has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// Rights to files that are refused where no tree allows them.
    pub files: u64,
    /// Rights to TCP ports that are refused where none is listed.
    pub ports: u64,
    /// Scopes.
    pub scopes: u64,
    /// What is allowed with files, each path once.
    pub trees: Vec<Hierarchy>,
    /// What is allowed with ports, each once.
    pub allowed_ports: Vec<(u16, u64)>,
}

/// A file or directory, and what is allowed with it and everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Absolute inside the root; no part of it may be a symbolic link.
    pub path: CString,
    /// The rights.
    pub rights: u64,
}

/// What is read; of a directory, what it lists.
const READ: u64 = READ_FILE | READ_DIR;
/// Everything that changes files. Devices are made only with CAP_MKNOD.
const WRITE: u64 = WRITE_FILE
    | TRUNCATE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_CHAR
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_BLOCK
    | MAKE_SYM
    | REFER;

/// The rights to files, the rights to ports and the scopes that a version of Landlock knows.
fn known(abi: u32) -> (u64, u64, u64) {
    let files = match abi {
        0 => 0,
        1 => REFER - 1,
        2 => TRUNCATE - 1,
        3 | 4 => IOCTL_DEV - 1,
        _ => IOCTL_DEV | (IOCTL_DEV - 1),
    };
    let ports = if abi < 4 { 0 } else { BIND_TCP | CONNECT_TCP };
    let scopes = if abi < 6 {
        0
    } else {
        SIGNAL | ABSTRACT_UNIX_SOCKET
    };
    (files, ports, scopes)
}

impl Landlock {
    /// What a kernel with this version of Landlock can do of it.
    pub fn ruleset(&self, abi: u32) -> Ruleset {
        // What is refused, what a path of the list is allowed, and the list.
        let groups = [
            (READ, READ, &self.read),
            (WRITE, WRITE, &self.write),
            (EXECUTE, EXECUTE | READ_FILE, &self.execute),
            (IOCTL_DEV, IOCTL_DEV, &self.ioctl),
        ];
        let ports = [(BIND_TCP, &self.bind_tcp), (CONNECT_TCP, &self.connect_tcp)];
        let (of_files, of_ports, of_scopes) = known(abi);
        let mut ruleset = Ruleset::default();
        for (refused, allowed, list) in groups {
            let Some(list) = list else { continue };
            ruleset.files |= refused & of_files;
            list.iter().for_each(|path| ruleset.allow(path, allowed));
        }
        if ruleset.files != 0 && self.write.is_none() {
            // Every ruleset about files refuses this, and nothing of this profile does.
            ruleset.files |= REFER & of_files;
            ruleset.allow("/", REFER);
        }
        for (right, list) in ports {
            let Some(list) = list.as_ref().filter(|_| right & of_ports != 0) else {
                continue;
            };
            ruleset.ports |= right;
            list.iter().for_each(|port| ruleset.open(*port, right));
        }
        let scopes = self.scope.iter().map(|scope| scope.bit());
        ruleset.scopes = scopes.fold(0, |all, one| all | one) & of_scopes;
        let files = ruleset.files;
        ruleset
            .trees
            .iter_mut()
            .for_each(|tree| tree.rights &= files);
        ruleset.trees.retain(|tree| tree.rights != 0);
        ruleset
    }
}

impl Ruleset {
    fn allow(&mut self, path: &str, rights: u64) {
        let path = CString::new(path).expect("checking refuses NUL in paths");
        match self.trees.iter_mut().find(|tree| tree.path == path) {
            Some(tree) => tree.rights |= rights,
            None => self.trees.push(Hierarchy { path, rights }),
        }
    }

    fn open(&mut self, port: u16, right: u64) {
        match self
            .allowed_ports
            .iter_mut()
            .find(|(other, _)| *other == port)
        {
            Some((_, rights)) => *rights |= right,
            None => self.allowed_ports.push((port, right)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files | self.ports | self.scopes == 0
    }
}

impl fmt::Display for Ruleset {
    /// `read "/", write "/tmp", no execute; bind TCP 80; scope signal`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        // One right that only the list of that name gives.
        let keys = [
            ("read", READ_DIR),
            ("write", WRITE_FILE),
            ("execute", EXECUTE),
            ("ioctl", IOCTL_DEV),
        ];
        for (key, right) in keys {
            let trees = self.trees.iter().filter(|tree| tree.rights & right != 0);
            let paths = trees.map(|tree| quote(tree.path.to_bytes()));
            parts.extend(allowed(key, self.files & right, paths));
        }
        for (key, right) in [("bind-tcp", BIND_TCP), ("connect-tcp", CONNECT_TCP)] {
            let ports = self.allowed_ports.iter();
            let ports = ports.filter(|(_, rights)| rights & right != 0);
            let ports = ports.map(|(port, _)| port.to_string());
            parts.extend(allowed(key, self.ports & right, ports));
        }
        let scopes = [
            ("signal", SIGNAL),
            ("abstract-unix-socket", ABSTRACT_UNIX_SOCKET),
        ];
        let scopes = scopes.iter().filter(|(_, bit)| self.scopes & bit != 0);
        let scopes = scopes.map(|(word, _)| (*word).to_owned());
        if self.scopes != 0 {
            parts.extend(allowed("scope", self.scopes, scopes));
        }
        f.write_str(&parts.join(", "))
    }
}

/// A list by its key, where it restricts anything.
fn allowed(key: &str, is_refused: u64, words: impl Iterator<Item = String>) -> Option<String> {
    let words: Vec<String> = words.collect();
    match (is_refused, words.is_empty()) {
        (0, _) => None,
        (_, true) => Some(format!("{key} nothing")),
        (_, false) => Some(format!("{key} {}", words.join(" "))),
    }
}
