//! IMG-020: whether the program that an image runs can be loaded, and how it and its libraries are hardened.
//! What only runs later, by the program itself, is not looked at.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use super::Elf;
use super::search;
use crate::audit::image::found::{Found, Gathered};
use crate::audit::image::software::Entry;
use crate::audit::image::walk::name;
use crate::error::quote;
use crate::report::Severity;

const CHECK: &str = "IMG-020";

/// Libraries of one program that are looked at.
const MOST_FILES: usize = 256;
/// How many files are opened in search of them: a search path may be long, and lead to the same file over and over.
const MOST_TRIES: u32 = 8192;

/// Interpreters of interpreters (execve(2)).
const MOST_SCRIPTS: usize = 4;

/// What is run, and where.
#[derive(Debug, Clone, Default)]
pub(in crate::audit::image) struct Run {
    pub(in crate::audit::image) args: Vec<String>,
    pub(in crate::audit::image) env: Vec<String>,
    /// The working directory.
    pub(in crate::audit::image) directory: String,
    /// Go's word for the processor; any where it is empty.
    pub(in crate::audit::image) architecture: String,
}

/// Looks at the program, if one is named, and says what it needs.
pub(in crate::audit::image) fn look(
    root: BorrowedFd<'_>,
    run: &Run,
    gathered: &mut Gathered,
) -> Entry {
    let Some(word) = run.args.first() else {
        return Entry::Program;
    };
    let Some((mut path, mut file)) = search::program(root, word, &run.env, &run.directory) else {
        let message = "the program to run is in no place where it would be found";
        let path = if word.starts_with('/') {
            word.trim_start_matches('/')
        } else {
            ""
        };
        missing(path.as_bytes(), message.to_owned(), word, gathered);
        return Entry::Program;
    };
    let is_script = is_shell(word.as_bytes()) || is_shell(&path);
    let mut entry = if is_script {
        Entry::Script
    } else {
        Entry::Program
    };
    for _ in 0..MOST_SCRIPTS {
        let Some(interpreter) = interpreter(&file) else {
            break;
        };
        if is_shell(&interpreter) {
            entry = Entry::Script;
        }
        let Some(next) = search::open(root, &interpreter) else {
            let message = format!("its interpreter {} is missing", quote(&interpreter));
            let about = String::from_utf8_lossy(&interpreter);
            missing(&path, message, &about, gathered);
            return entry;
        };
        path = interpreter
            .strip_prefix(b"/")
            .unwrap_or(&interpreter)
            .to_vec();
        file = next;
    }
    match Elf::read(&file) {
        Some(elf) => loaded(root, run, path, elf, gathered),
        None => missing(
            &path,
            "neither a script nor a program of Linux".to_owned(),
            "format",
            gathered,
        ),
    }
    entry
}

fn is_shell(path: &[u8]) -> bool {
    matches!(
        name(path),
        b"sh" | b"ash" | b"bash" | b"dash" | b"ksh" | b"zsh"
    )
}

fn missing(path: &[u8], message: String, about: &str, gathered: &mut Gathered) {
    let about: String = about.chars().take(255).collect();
    gathered.add(
        CHECK,
        Found::at(path, message)
            .about(about)
            .severity(Severity::High),
    );
}

/// The interpreter of a script: the first word after `#!`.
fn interpreter(file: &File) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    file.take(256).read_to_end(&mut start).ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = line.trim_ascii();
    let word = line.split(u8::is_ascii_whitespace).next()?;
    word.starts_with(b"/").then(|| word.to_vec())
}

/// The program, its loader, and what it loads.
fn loaded(root: BorrowedFd<'_>, run: &Run, path: Vec<u8>, elf: Elf, gathered: &mut Gathered) {
    let wanted = machines(&run.architecture);
    if !wanted.is_empty() && !wanted.contains(&elf.machine) {
        let message = format!(
            "is for another processor: ELF machine {}, not {}",
            elf.machine,
            quote(&run.architecture)
        );
        missing(&path, message, "processor", gathered);
        return;
    }
    let interpreter = elf.interpreter.clone();
    if let Some(interpreter) = &interpreter
        && search::open(root, interpreter).is_none()
    {
        let message = format!("its loader {} is missing", quote(interpreter));
        missing(
            &path,
            message,
            &String::from_utf8_lossy(interpreter),
            gathered,
        );
        return;
    }
    let mut known = search::directories(root, &run.env, interpreter.as_deref());
    if let Some(places) = &elf.run_path {
        known.extend(search::run_path(places, &path));
    }
    let mut seen: BTreeSet<Vec<u8>> = interpreter.iter().map(|path| name(path).to_vec()).collect();
    let mut waiting = vec![(path, elf)];
    let (mut looked, mut tries) = (0, MOST_TRIES);
    while let Some((path, elf)) = waiting.pop() {
        hardened(root, &path, &elf, gathered);
        looked += 1;
        if looked == MOST_FILES {
            let reason =
                format!("more than {MOST_FILES} libraries, of which the others were not looked at");
            return gathered.unanswered(CHECK, reason);
        }
        for needed in &elf.needed {
            if !seen.insert(name(needed).to_vec()) {
                continue;
            }
            match search::library(root, needed, (&path, &elf), &known, &mut tries) {
                Some(found) => waiting.push(found),
                None if tries == 0 => {
                    let reason = format!("its libraries are not found in {MOST_TRIES} tries");
                    return gathered.unanswered(CHECK, reason);
                }
                None => {
                    let message =
                        format!("the library {}, which it needs, is missing", quote(needed));
                    missing(&path, message, &String::from_utf8_lossy(needed), gathered);
                }
            }
        }
    }
}

/// What is not as a compiler of today makes it. A program without a loader is of one piece: neither has it libraries to
/// relocate, nor do its makers (musl, Go) put it elsewhere.
fn hardened(root: BorrowedFd<'_>, path: &[u8], elf: &Elf, gathered: &mut Gathered) {
    let mut add =
        |about: &str, message: String| gathered.add(CHECK, Found::at(path, message).about(about));
    // What says nothing gets a stack that can be executed on these (x86 and arm, 32 bits).
    let by_default = matches!(elf.machine, 3 | 40 | 62);
    if elf.has_plain_stack == Some(false) || elf.has_plain_stack.is_none() && by_default {
        add("stack", "its stack can be executed".to_owned());
    }
    if elf.interpreter.is_some() && !elf.is_shared && !elf.is_go {
        add(
            "pie",
            "is always loaded at the same address (no PIE)".to_owned(),
        );
    }
    if elf.is_dynamic
        && !elf.has_relro
        && !elf.is_go
        && (elf.interpreter.is_some() || elf.is_shared)
    {
        add(
            "relro",
            "its table of functions stays writable (no RELRO)".to_owned(),
        );
    }
    for place in elf
        .run_path
        .iter()
        .flat_map(|places| places.split(|byte| *byte == b':'))
    {
        let is_relative = !place.starts_with(b"/") && !place.starts_with(b"$");
        if is_relative {
            let message = format!(
                "looks for libraries in {}, which is relative to where it runs",
                quote(place)
            );
            add("run path", message);
        }
    }
    for place in elf
        .run_path
        .iter()
        .flat_map(|places| search::run_path(places, path))
    {
        if search::is_writable(root, &place) {
            add(
                "run path",
                format!(
                    "looks for libraries in {}, which everybody may write",
                    quote(&place)
                ),
            );
        }
    }
}

/// `EM_…` of what runs on a processor.
fn machines(architecture: &str) -> &'static [u16] {
    match architecture {
        "amd64" => &[62, 3],
        "386" => &[3],
        "arm64" => &[183, 40],
        "arm" => &[40],
        "riscv64" => &[243],
        "ppc64" | "ppc64le" => &[21],
        "s390x" => &[22],
        "loong64" => &[258],
        "mips64" | "mips64le" => &[8],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn program(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn looked(root: &Path, args: &[&str]) -> (Entry, Vec<String>) {
        let run = Run {
            args: args.iter().map(ToString::to_string).collect(),
            env: vec!["PATH=/opt:/bin".to_owned()],
            directory: "/srv".to_owned(),
            architecture: String::new(),
        };
        let mut gathered = Gathered::default();
        let entry = look(File::open(root).unwrap().as_fd(), &run, &mut gathered);
        let found = gathered.into_found().map(|(_, found)| found.message);
        (entry, found.collect())
    }

    #[test]
    fn programs_are_found_as_execvp_finds_them_and_through_links_of_the_root() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        program(root, "lib/app/run", b"#!/bin/none -e\n");
        fs::create_dir(root.join("opt")).unwrap();
        fs::create_dir(root.join("srv")).unwrap();
        symlink("/lib/app/run", root.join("opt/run")).unwrap();
        let missing = vec!["its interpreter \"/bin/none\" is missing".to_owned()];
        for word in ["run", "/opt/run", "../opt/run"] {
            assert_eq!(
                looked(root, &[word]),
                (Entry::Program, missing.clone()),
                "{word}"
            );
        }
        let nowhere = vec!["the program to run is in no place where it would be found".to_owned()];
        assert_eq!(looked(root, &["other"]), (Entry::Program, nowhere));
        program(root, "bin/sh", b"x");
        let (entry, found) = looked(root, &["sh"]);
        assert_eq!(
            (entry, &found[0][..]),
            (Entry::Script, "neither a script nor a program of Linux")
        );
        assert_eq!(looked(root, &[]), (Entry::Program, Vec::new()));
    }

    #[test]
    fn a_program_of_this_host_finds_its_libraries_or_says_which_is_missing() {
        let (_, found) = looked(Path::new("/"), &["/bin/true"]);
        assert_eq!(found, [] as [&str; 0]);
        let place = tempfile::tempdir().unwrap();
        let own = fs::read("/bin/true").unwrap();
        program(place.path(), "bin/true", &own);
        let elf = Elf::read(&File::open("/bin/true").unwrap()).unwrap();
        let loader = elf.interpreter.unwrap();
        let (_, found) = looked(place.path(), &["true"]);
        assert_eq!(found, [format!("its loader {} is missing", quote(&loader))]);
        let path = std::str::from_utf8(&loader[1..]).unwrap();
        program(place.path(), path, &fs::read(format!("/{path}")).unwrap());
        let (_, found) = looked(place.path(), &["true"]);
        let needed = quote(&elf.needed[0]);
        assert_eq!(
            found,
            [format!("the library {needed}, which it needs, is missing")]
        );
    }
}
