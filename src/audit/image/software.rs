//! Programs that what runs rarely needs: package managers (IMG-007), tools of building and debugging (IMG-008), shells and
//! network tools (IMG-009). Of each family one finding, at the first of its paths.

use std::collections::BTreeMap;

use super::found::{Found, Gathered, counted};
use super::walk::{Content, Object};
use crate::error::quote;

/// Programs of one family.
#[derive(Debug)]
struct Family {
    check: &'static str,
    name: &'static str,
    programs: &'static [&'static str],
}

const fn family(
    check: &'static str,
    name: &'static str,
    programs: &'static [&'static str],
) -> Family {
    Family {
        check,
        name,
        programs,
    }
}

const MANAGER: &str = "IMG-007";
const BUILD: &str = "IMG-008";
const SHELL: &str = "IMG-009";

const FAMILIES: &[Family] = &[
    family(MANAGER, "apt", &["apt", "apt-get", "apt-cache", "aptitude"]),
    family(MANAGER, "dpkg", &["dpkg"]),
    family(MANAGER, "apk", &["apk"]),
    family(MANAGER, "dnf", &["dnf", "dnf5", "microdnf", "tdnf", "yum"]),
    family(MANAGER, "rpm", &["rpm"]),
    family(MANAGER, "zypper", &["zypper"]),
    family(MANAGER, "pacman", &["pacman"]),
    family(MANAGER, "opkg", &["opkg"]),
    family(MANAGER, "pip", &["pip", "pipx", "uv"]),
    family(
        MANAGER,
        "npm",
        &[
            "npm",
            "npm-cli.js",
            "npx-cli.js",
            "yarn",
            "yarn.js",
            "pnpm",
            "corepack",
        ],
    ),
    family(MANAGER, "gem", &["gem", "bundle"]),
    family(MANAGER, "composer", &["composer", "composer.phar"]),
    family(MANAGER, "conda", &["conda", "mamba", "micromamba"]),
    family(
        BUILD,
        "gcc",
        &[
            "gcc", "g++", "cc", "c++", "cc1", "cc1plus", "lto1", "gfortran",
        ],
    ),
    family(BUILD, "clang", &["clang", "clang++"]),
    family(BUILD, "tcc", &["tcc"]),
    family(
        BUILD,
        "binutils",
        &["ld", "ld.bfd", "ld.gold", "ld.lld", "mold", "as"],
    ),
    family(BUILD, "go", &["go"]),
    family(BUILD, "rust", &["rustc", "cargo"]),
    family(BUILD, "the Java compiler", &["javac"]),
    family(BUILD, "make", &["make", "gmake", "cmake", "ninja"]),
    family(BUILD, "gdb", &["gdb", "gdbserver"]),
    family(BUILD, "lldb", &["lldb", "lldb-server"]),
    family(BUILD, "strace", &["strace", "ltrace"]),
    family(BUILD, "perf", &["perf"]),
    family(BUILD, "valgrind", &["valgrind"]),
    family(
        SHELL,
        "a shell",
        &[
            "sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "zsh",
        ],
    ),
    family(SHELL, "busybox", &["busybox", "busybox.static", "toybox"]),
    family(
        SHELL,
        "netcat",
        &["nc", "ncat", "netcat", "nc.openbsd", "nc.traditional"],
    ),
    family(SHELL, "curl", &["curl"]),
    family(SHELL, "wget", &["wget"]),
    family(SHELL, "ssh", &["ssh", "dropbear"]),
    family(SHELL, "socat", &["socat"]),
    family(
        SHELL,
        "telnet",
        &["telnet", "inetutils-telnet", "telnet.netkit"],
    ),
    family(SHELL, "ftp", &["ftp", "tnftp", "lftp"]),
    family(SHELL, "nmap", &["nmap"]),
];

/// The directories of programs, and of the halves of compilers.
const PLACES: &[&[u8]] = &[b"bin", b"sbin", b"libexec", b"gcc"];

/// What the program that is run needs of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Entry {
    /// Nothing, as far as it is known.
    #[default]
    Program,
    /// A shell: it is a script, or given to one.
    Script,
}

/// A program by device and inode number, and its path.
type Program = ((u64, u64), Vec<u8>);

/// What was found until the walk is over.
#[derive(Debug, Default)]
pub(super) struct Software {
    /// By the place in `FAMILIES`.
    found: BTreeMap<usize, Vec<Program>>,
    headers: Option<Tally>,
    archives: Option<Tally>,
    /// The busybox programs: a link to one is an applet, whatever its name.
    boxes: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Tally {
    count: u64,
    first: Vec<u8>,
}

/// The most programs of one family that are told from applets.
const MOST: usize = 64;

impl Tally {
    fn add(slot: &mut Option<Self>, path: &[u8]) {
        let tally = slot.get_or_insert_with(|| Self {
            count: 0,
            first: path.to_vec(),
        });
        tally.count += 1;
        if path < &tally.first[..] {
            path.clone_into(&mut tally.first);
        }
    }
}

impl Software {
    pub(super) fn look(&mut self, object: &Object<'_>, content: &mut Content<'_>) {
        if !object.is_file() {
            return;
        }
        self.development(object, content);
        if !object.is_program() || !is_in_place(object.path) {
            return;
        }
        let name = plain_name(object.name());
        let named = |family: &Family| family.programs.contains(&name);
        let Some(index) = FAMILIES.iter().position(named) else {
            return;
        };
        let family = &FAMILIES[index];
        // `as`, `go` and `make` are words that scripts are called too.
        if family.check == BUILD && content.head(4) != b"\x7fELF" {
            return;
        }
        if family.name == "busybox" && self.boxes.len() < MOST {
            self.boxes.push(object.id());
        }
        let programs = self.found.entry(index).or_default();
        if programs.len() < MOST {
            programs.push((object.id(), object.path.to_vec()));
        }
    }

    /// Headers and archives of libraries.
    fn development(&mut self, object: &Object<'_>, content: &mut Content<'_>) {
        let path = object.path;
        let is_include =
            path.starts_with(b"usr/include/") || path.starts_with(b"usr/local/include/");
        if is_include
            && [&b".h"[..], b".hpp", b".hh"]
                .iter()
                .any(|end| path.ends_with(end))
        {
            Tally::add(&mut self.headers, path);
        } else if path.ends_with(b".a") && content.head(8) == b"!<arch>\n" {
            Tally::add(&mut self.archives, path);
        }
    }

    pub(super) fn finish(self, entry: Entry, gathered: &mut Gathered) {
        for (index, programs) in self.found {
            let family = &FAMILIES[index];
            if entry == Entry::Script && matches!(family.name, "a shell" | "busybox") {
                continue;
            }
            let is_own = |id: &(u64, u64)| family.name == "busybox" || !self.boxes.contains(id);
            let own = programs.into_iter().filter(|(id, _)| is_own(id));
            let mut own: Vec<Vec<u8>> = own.map(|(_, path)| path).collect();
            own.sort();
            let Some(first) = own.first() else {
                continue;
            };
            let message = match family.name {
                "busybox" => "busybox: a shell and network tools".to_owned(),
                name => format!("{name}: {}", listed(&own)),
            };
            gathered.add(family.check, Found::at(first, message).about(family.name));
        }
        if let Some(tally) = self.headers {
            let message = counted(tally.count, "header", "headers");
            gathered.add(BUILD, Found::at(&tally.first, message).about("headers"));
        }
        if let Some(tally) = self.archives {
            let message = counted(tally.count, "archive of a library", "archives of libraries");
            gathered.add(
                BUILD,
                Found::at(&tally.first, message).about("static libraries"),
            );
        }
    }
}

/// `"usr/bin/gcc" and 2 more`.
fn listed(paths: &[Vec<u8>]) -> String {
    let first = quote([b"/", &paths[0][..]].concat());
    match paths.len() - 1 {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn is_in_place(path: &[u8]) -> bool {
    let mut above = path.split(|byte| *byte == b'/').rev().skip(1);
    above.any(|component| PLACES.contains(&component))
}

/// `x86_64-linux-gnu-gcc-12` is gcc: without the triplet before it and the version behind it.
fn plain_name(name: &[u8]) -> &str {
    let Ok(name) = std::str::from_utf8(name) else {
        return "";
    };
    let name = [
        "-linux-gnu-",
        "-linux-musl-",
        "-redhat-linux-",
        "-linux-gnueabihf-",
    ]
    .into_iter()
    .find_map(|triplet| name.split_once(triplet).map(|(_, rest)| rest))
    .unwrap_or(name);
    let version = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match version.strip_suffix('-') {
        Some(name) if !name.is_empty() => name,
        // pip3.11
        _ if version == "pip" => "pip",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_without_triplet_and_version() {
        for (name, plain) in [
            ("x86_64-linux-gnu-gcc-12", "gcc"),
            ("g++-12", "g++"),
            ("aarch64-linux-gnu-ld.bfd", "ld.bfd"),
            ("pip3.11", "pip"),
            ("dnf5", "dnf5"),
            ("python3.11", "python3.11"),
            ("-12", "-12"),
            ("gcc-ar", "gcc-ar"),
        ] {
            assert_eq!(plain_name(name.as_bytes()), plain);
        }
    }

    #[test]
    fn programs_are_where_programs_are() {
        assert!(is_in_place(b"usr/bin/make"));
        assert!(is_in_place(b"usr/lib/gcc/x86_64-linux-gnu/12/cc1"));
        assert!(!is_in_place(b"usr/share/bash-completion/completions/make"));
        assert!(!is_in_place(b"make"));
    }
}
