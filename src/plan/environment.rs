//! The environment of the program, and where its name is looked for.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::create::c_string;
use crate::spec::Process;
use crate::sys::program::Vector;

/// Where programs are looked for without `PATH`, as a shell does.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is executed, and with what.
pub(super) struct Program {
    pub(super) candidates: Vec<CString>,
    pub(super) arguments: Vector,
    pub(super) environment: Vector,
}

/// The program of a process that has arguments.
pub(super) fn program(process: &Process, home: Option<&str>) -> Program {
    let strings = |texts: &[String]| Vector::new(texts.iter().map(|text| c_string(text)).collect());
    let variables = complete(&process.env, home);
    Program {
        candidates: candidates(&process.args[0], &variables),
        arguments: strings(&process.args),
        environment: strings(&variables),
    }
}

/// The variables, each once (the last one wins), with HOME added where it is missing or empty.
pub(super) fn complete(variables: &[String], home: Option<&str>) -> Vec<String> {
    let name = |variable: &str| {
        variable
            .split_once('=')
            .map_or_else(String::new, |(name, _)| name.to_owned())
    };
    let last: BTreeMap<String, usize> = variables
        .iter()
        .enumerate()
        .map(|(index, variable)| (name(variable), index))
        .collect();
    let mut complete: Vec<String> = variables
        .iter()
        .enumerate()
        .filter(|(index, variable)| last[&name(variable)] == *index && variable.as_str() != "HOME=")
        .map(|(_, variable)| variable.clone())
        .collect();
    if !complete
        .iter()
        .any(|variable| variable.starts_with("HOME="))
    {
        complete.push(format!("HOME={}", home.unwrap_or("/")));
    }
    complete
}

/// Whether the variables give a HOME: the last of that name counts, and an empty one is none.
pub fn has_home(variables: &[String]) -> bool {
    let mut values = variables.iter().rev();
    let last = values.find_map(|variable| variable.strip_prefix("HOME="));
    last.is_some_and(|home| !home.is_empty())
}

/// The home directory of a user by the text of a passwd(5) file. The image wrote it: what is no plain path is none.
pub fn home_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let id: u32 = fields.nth(2)?.parse().ok()?;
        let home = fields.nth(2)?;
        let is_path = home.starts_with('/') && !home.contains(char::is_control);
        (id == uid && is_path).then(|| home.to_owned())
    })
}

/// The paths to try for a program, in order: itself with a slash in it, else one below each absolute directory of PATH.
/// A relative directory is left out: what it means depends on where the program starts.
pub(super) fn candidates(program: &str, variables: &[String]) -> Vec<CString> {
    if program.contains('/') {
        return vec![c_string(program)];
    }
    let path = variables
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| c_string(&format!("{}/{program}", directory.trim_end_matches('/'))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn last_variable_of_a_name_wins_and_home_is_added() {
        let complete = complete(&strings(&["A=1", "HOME=", "A=2"]), Some("/root"));
        assert_eq!(complete, ["A=2", "HOME=/root"]);
    }

    #[test]
    fn empty_home_after_another_is_none() {
        assert!(has_home(&strings(&["HOME=", "HOME=/x"])));
        assert!(!has_home(&strings(&["HOME=/x", "HOME="])));
        assert!(!has_home(&strings(&["HOMER=/x"])));
    }

    #[test]
    fn configured_home_stays() {
        assert_eq!(complete(&strings(&["HOME=/x"]), Some("/root")), ["HOME=/x"]);
    }

    #[test]
    fn home_comes_from_the_line_of_the_user_id() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/evil:/bin/sh\napp:x:1000:1000::/home/app:\n";
        assert_eq!(home_of(1000, passwd).as_deref(), Some("/home/app"));
        assert_eq!(home_of(7, passwd), None);
        for home in ["/a\0b", "/a\tb", "a"] {
            assert_eq!(home_of(7, &format!("x:x:7:7::{home}:/bin/sh")), None);
        }
    }

    #[test]
    fn program_is_looked_for_in_absolute_directories_of_path() {
        let found = candidates("sh", &strings(&["PATH=/bin:.::/usr/bin/"]));
        assert_eq!(found, [c"/bin/sh".to_owned(), c"/usr/bin/sh".to_owned()]);
        assert_eq!(candidates("./sh", &[]), [c"./sh".to_owned()]);
    }
}
