//! A profile that begins with another one: `extends = "restricted"`, or a file beside it. What its file gives replaces what
//! the base has, key by key; nothing holds it to be stricter (`compare` tells). What comes of it is a whole profile.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::groups::{calls, is_unseen, literal};
use super::place::Lines;
use super::{Profile, from_toml, is_path, near};
use crate::error::{Doing, Error, Result, quote};

/// More files than this one after the other are taken for a mistake.
const DEEPEST: usize = 8;

/// Reads a profile; `files` are those that extend it, the first to be read first.
///
/// # Errors
/// A file that is no profile, a base that does not exist or extends this one, an edit of what the base does not have.
pub(super) fn read(origin: &str, text: &str, files: &[PathBuf]) -> Result<Profile> {
    match merged(origin, text, files)? {
        None => from_toml("load profile", origin, text),
        Some(tree) => from_tree(origin, text, tree),
    }
}

/// The keys of a file that extends another, and of what it extends; none for a file that extends nothing.
pub(super) fn merged(origin: &str, text: &str, files: &[PathBuf]) -> Result<Option<Value>> {
    // Most files do not have the word, and then they are read once.
    if !text.contains("extends") {
        return Ok(None);
    }
    let mut own: Map<String, Value> = from_toml("load profile", origin, text)?;
    let Some(base) = own.remove("extends") else {
        return Ok(None);
    };
    let doing = format!("load profile {}", quote(origin));
    let wrong = |key: &str, cause: String| {
        let line = Lines::of(text).line(key).unwrap_or(1);
        Error::new(&doing, format!("line {line}: {key}: {cause}"))
    };
    let Some(name) = base.as_str() else {
        return Err(wrong("extends", "not a name or a path".to_owned()));
    };
    let base = base_of(origin, name, files).map_err(|error| {
        let outer = wrong("extends", error.to_string());
        match error.try_this() {
            Some(hint) => outer.hint(hint),
            None => outer,
        }
    })?;
    let mut tree = serde_json::to_value(&base).doing(|| &*doing)?;
    // Its name would be taken for the base's own in every report.
    if let Value::Object(members) = &mut tree {
        members.remove("name");
    }
    if let Some(without) = own.remove("without") {
        leave_out(&mut tree, &without).map_err(|cause| wrong("without", cause))?;
    }
    merge(&mut tree, Value::Object(own), "").map_err(|(key, cause)| wrong(&key, cause))?;
    Ok(Some(tree))
}

fn base_of(origin: &str, name: &str, files: &[PathBuf]) -> Result<Profile> {
    let doing = || format!("load profile {}", quote(name));
    if let Some(profile) = Profile::builtin(name) {
        return Ok(profile);
    }
    if !is_path(name) {
        return Err(super::unknown(doing(), name));
    }
    let beside = Path::new(origin)
        .parent()
        .unwrap_or(Path::new(""))
        .join(name);
    let mut files = files.to_vec();
    // The first of the chain is known by its name only.
    let own = std::fs::canonicalize(origin).unwrap_or_else(|_| origin.into());
    files.push(own);
    let file = std::fs::canonicalize(&beside).doing(doing)?;
    if files.contains(&file) {
        return Err(Error::new(
            doing(),
            "it extends itself, by way of what it extends",
        ));
    }
    if files.len() >= DEEPEST {
        let cause = format!("more than {DEEPEST} files extend one another");
        return Err(Error::new(doing(), cause));
    }
    let text = std::fs::read_to_string(&file).doing(doing)?;
    let path = beside.to_string_lossy();
    let profile = read(&path, &text, &files)?;
    profile
        .check()
        .map_err(|cause| Error::new(format!("load profile {}", quote(&*path)), cause))?;
    Ok(profile)
}

/// The same as [`from_toml`] does, of keys that come from more than one file.
fn from_tree(origin: &str, text: &str, tree: Value) -> Result<Profile> {
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let key = error.path().to_string();
        let line = Lines::of(text).line(&key);
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        let key = if key == "." {
            String::new()
        } else {
            format!("{key}: ")
        };
        let message = error.inner().to_string();
        let doing = format!("load profile {}", quote(origin));
        let whole = Error::new(doing, format!("{line}{key}{message}"));
        match near::hint(&message) {
            Some(hint) => whole.hint(hint),
            None => whole,
        }
    })
}

type Merged = std::result::Result<(), (String, String)>;

/// Tables are merged key by key, a list takes `add` and `remove`, and everything else is replaced.
fn merge(base: &mut Value, own: Value, path: &str) -> Merged {
    match (base, own) {
        (Value::Object(base), Value::Object(own)) => {
            for (key, value) in own {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                merge(base.entry(key).or_insert(Value::Null), value, &path)?;
            }
            Ok(())
        }
        (Value::Array(items), Value::Object(edit)) => {
            let at = |cause| (path.to_owned(), cause);
            let known = ["add", "remove"];
            if let Some(key) = edit.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(at(format!(
                    "a list, \"add\" or \"remove\", not {}",
                    quote(key)
                )));
            }
            let list = |key: &str| match edit.get(key) {
                None => Ok(&[][..]),
                Some(Value::Array(items)) => Ok(&items[..]),
                Some(_) => Err(at(format!("{key}: not a list"))),
            };
            let (removed, added) = (list("remove")?, list("add")?);
            let edited = match path {
                "seccomp.rules" => edit_rules(items, removed, added),
                _ => edit_list(items, removed, added),
            };
            edited.map_err(at)
        }
        (base, own) => {
            *base = own;
            Ok(())
        }
    }
}

fn edit_list(
    items: &mut Vec<Value>,
    removed: &[Value],
    added: &[Value],
) -> std::result::Result<(), String> {
    if let Some(item) = removed.iter().find(|item| !items.contains(item)) {
        return Err(format!(
            "remove: {} is not in the base",
            super::change::short(Some(item))
        ));
    }
    items.retain(|item| !removed.contains(item));
    for item in added {
        if !items.contains(item) {
            items.push(item.clone());
        }
    }
    Ok(())
}

/// A call that is named here is not ruled by the base any more: two rules for one call would depend on each other. A group
/// that is allowed leaves alone what the base tests the arguments of, as in `allow`: nobody who adds `@network-io` means
/// AF_ALG.
fn edit_rules(
    rules: &mut Vec<Value>,
    removed: &[Value],
    added: &[Value],
) -> std::result::Result<(), String> {
    let words = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        let texts = items.filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let has = |list: &[String], call: &Value| {
        call.as_str()
            .is_some_and(|call| list.iter().any(|other| other == call))
    };
    let (mut ruled, mut allowed) = (Vec::new(), Vec::new());
    ruled.extend(owned(calls(&words(&removed.into()), "remove")?));
    for (at, rule) in added.iter().enumerate() {
        let names = words(&rule["names"]);
        let key = format!("add[{at}].names");
        if matches!(rule["action"].as_str(), Some("allow" | "log")) {
            ruled.extend(owned(literal(&names).collect()));
            allowed.extend(owned(calls(&names, &key)?));
        } else {
            ruled.extend(owned(calls(&names, &key)?));
        }
    }
    let tests = |rule: &&Value| rule["args"].as_array().is_some_and(|args| !args.is_empty());
    let tested: Vec<String> = rules
        .iter()
        .filter(tests)
        .flat_map(|rule| words(&rule["names"]))
        .collect();
    let is_tested = |name: &str| {
        let is = |call: &String| call == name;
        tested.iter().any(is) && !ruled.iter().any(is)
    };
    allowed.retain(|name| !tested.contains(name) && !is_unseen(name, is_tested));
    for rule in rules.iter_mut() {
        if let Some(names) = rule["names"].as_array_mut() {
            names.retain(|name| !has(&ruled, name) && !has(&allowed, name));
        }
    }
    rules.retain(|rule| rule["names"] != Value::Array(Vec::new()));
    rules.extend(added.iter().cloned());
    Ok(())
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Takes keys of the base away, as if its file did not have them.
fn leave_out(tree: &mut Value, keys: &Value) -> std::result::Result<(), String> {
    let Some(keys) = keys.as_array() else {
        return Err("not a list of keys".to_owned());
    };
    for key in keys {
        let key = key.as_str().ok_or("not a list of keys")?;
        let (above, last) = match key.rsplit_once('.') {
            Some((above, last)) => (format!("/{}", above.replace('.', "/")), last),
            None => (String::new(), key),
        };
        let above = tree.pointer_mut(&above).and_then(Value::as_object_mut);
        let removed = above.and_then(|members| members.remove(last));
        if removed.is_none_or(|value| value.is_null()) {
            return Err(format!("{} is not in the base", quote(key)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::profile::{Quantity, compare, to_toml};

    /// Loads the first of these files.
    fn load(files: &[(&str, &str)]) -> Result<Profile> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Profile::load(directory.path().join(files[0].0).to_str().unwrap())
    }

    fn refused(files: &[(&str, &str)]) -> String {
        let text = load(files).unwrap_err().to_string();
        // The path of the first file is a temporary one.
        let (_, rest) = text.split_once("\": ").unwrap();
        rest.to_owned()
    }

    const HEAD: &str = "name = \"own\"\nextends = \"restricted\"\n";

    fn own(rest: &str) -> String {
        format!("{HEAD}{rest}")
    }

    #[test]
    fn what_a_file_gives_replaces_what_the_base_has_and_the_rest_stays() {
        let text = own(
            "limits.pids.default = 9\nmounts.bind.add = [\"nosuid\"]\n[paths]\nmask = { add = [\"/proc/x\"], remove = [\"/proc/acpi\"] }\n\
             [rlimits]\nRLIMIT_NPROC = { maximum = 3 }\n",
        );
        let profile = load(&[("own.toml", &text)]).unwrap();
        let base = Profile::builtin("restricted").unwrap();
        let changes = compare(&base, &profile).unwrap();
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "limits.pids.default: stricter: 256 -> 9",
                "mounts.bind.add: looser: -nodev -noexec",
                "mounts.bind.device-nodes: looser: false -> true",
                "paths.mask: different: -/proc/acpi +/proc/x",
                "rlimits.RLIMIT_NPROC.maximum: stricter: anything -> 3",
            ]
        );
        assert_eq!(
            (&*profile.name, profile.description),
            ("own", base.description)
        );
    }

    #[test]
    fn an_extending_profile_is_shown_whole() {
        let profile = load(&[("own.toml", &own("root.readonly = false\n"))]).unwrap();
        let text = to_toml(&profile).unwrap();
        assert!(!text.contains("extends"));
        assert_eq!(crate::profile::parse("x", &text).unwrap(), profile);
    }

    #[test]
    fn rules_that_are_added_take_their_calls_from_the_base() {
        let text = own(
            "[[seccomp.rules.add]]\nnames = [\"mount\", \"socket\"]\naction = \"allow\"\nreason = \"\"\n[seccomp.rules]\nremove = [\"@swap\"]\n",
        );
        let profile = load(&[("own.toml", &text)]).unwrap();
        let base = Profile::builtin("restricted").unwrap();
        let changes = compare(&base, &profile).unwrap();
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "seccomp.rules: looser: EPERM -> allow: mount",
                "seccomp.rules: looser: by arguments -> allow: socket",
                "seccomp.rules: different: EPERM -> ENOSYS: swapoff swapon",
            ]
        );
    }

    #[test]
    fn a_group_that_is_added_leaves_tested_arguments_alone_unless_it_denies() {
        let changes = |rule: &str| -> Vec<String> {
            let text = own(&format!("[[seccomp.rules.add]]\n{rule}\nreason = \"\"\n"));
            let profile = load(&[("own.toml", &text)]).unwrap();
            let base = Profile::builtin("restricted").unwrap();
            let changes = compare(&base, &profile).unwrap();
            changes.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            changes("names = [\"@network-io\"]\naction = \"allow\""),
            [""; 0]
        );
        let named = changes("names = [\"@network-io\", \"socket\"]\naction = \"allow\"");
        assert_eq!(
            named,
            ["seccomp.rules: looser: by arguments -> allow: socket"]
        );
        let denied = changes("names = [\"@network-io\"]\naction = \"errno\"");
        let socket = "seccomp.rules: stricter: by arguments -> ENOSYS: socket socketpair";
        assert!(denied.contains(&socket.to_owned()), "{denied:?}");
    }

    #[test]
    fn a_group_does_not_bring_clone3_to_a_base_that_tests_clone() {
        let add = |names: &str| {
            format!("[[seccomp.rules.add]]\nnames = [{names}]\naction = \"allow\"\nreason = \"\"\n")
        };
        for base in ["baseline", "restricted", "paranoid"] {
            let brings = |rest: &str| {
                let text = format!("name = \"own\"\nextends = \"{base}\"\n{rest}");
                let profile = load(&[("own.toml", &text)]).unwrap();
                let changes = compare(&Profile::builtin(base).unwrap(), &profile).unwrap();
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                changes.iter().any(|change| change.contains("clone3"))
            };
            assert!(!brings(&add("\"@process\"")), "{base}");
            assert!(!brings("[seccomp]\nallow = [\"@process\"]\n"), "{base}");
            assert!(brings(&add("\"@process\", \"clone3\"")), "{base}");
            assert!(
                brings("[seccomp]\nallow = [\"@process\", \"clone3\"]\n"),
                "{base}"
            );
        }
    }

    #[test]
    fn allow_and_deny_are_on_top_of_the_base_and_the_later_file_decides() {
        let first = own("[seccomp]\ndeny = [\"read\", \"write\"]\nallow = [\"mount\"]\n");
        let second = "name = \"two\"\nextends = \"one.toml\"\n[seccomp]\nallow = [\"read\"]\n";
        let profile = load(&[("two.toml", second), ("one.toml", &first)]).unwrap();
        let base = Profile::builtin("restricted").unwrap();
        let changes = compare(&base, &profile).unwrap();
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "seccomp.rules: stricter: allow -> EPERM: write",
                "seccomp.rules: looser: EPERM -> allow: mount",
            ]
        );
    }

    #[test]
    fn keys_of_the_base_can_be_left_out() {
        let text =
            own("without = [\"seccomp\", \"limits.memory.default\", \"rlimits.RLIMIT_CORE\"]\n");
        let profile = load(&[("own.toml", &text)]).unwrap();
        assert!(profile.seccomp.is_none() && profile.limits.memory.default.is_none());
        assert_eq!(profile.limits.swap.default, Some(Quantity::Number(0)));
        assert_eq!(profile.rlimits.len(), 1);
    }

    #[test]
    fn what_cannot_be_merged_is_refused_with_its_line() {
        let refused = |rest: &str| refused(&[("own.toml", &own(rest))]);
        assert_eq!(
            refused("paths.mask.remove = [\"/y\"]\n"),
            "line 3: paths.mask: remove: \"/y\" is not in the base"
        );
        assert_eq!(
            refused("paths.mask.remvoe = []\n"),
            "line 3: paths.mask: a list, \"add\" or \"remove\", not \"remvoe\""
        );
        assert_eq!(
            refused("without = [\"landlock\"]\n"),
            "line 3: without: \"landlock\" is not in the base"
        );
        assert!(
            refused("[root]\nreadnoly = 1\n").starts_with("line 4: root.readnoly: unknown field")
        );
        assert!(
            refused("limits.pids.default = \"x\"\n")
                .starts_with("line 3: limits.pids.default: \"x\" is not a size")
        );
        assert_eq!(
            refused_name("extends = \"restricted\"\ndescription = \"\"\n"),
            "missing field `name`"
        );
    }

    fn refused_name(text: &str) -> String {
        refused(&[("own.toml", text)])
    }

    #[test]
    fn circles_depth_and_bases_that_do_not_exist_are_refused_by_name() {
        let circle = [
            ("a.toml", "name = \"a\"\nextends = \"./b.toml\"\n"),
            ("b.toml", "name = \"b\"\nextends = \"a.toml\"\n"),
        ];
        let text = load(&circle).unwrap_err().to_string();
        assert!(
            text.ends_with("line 2: extends: load profile \"a.toml\": it extends itself, by way of what it extends"),
            "{text}"
        );
        let names: Vec<(String, String)> = (0..12)
            .map(|n| {
                (
                    format!("{n}.toml"),
                    format!("name = \"x\"\nextends = \"{}.toml\"\n", n + 1),
                )
            })
            .collect();
        let files: Vec<(&str, &str)> = names
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        let text = load(&files).unwrap_err().to_string();
        assert!(
            text.ends_with("load profile \"8.toml\": more than 8 files extend one another"),
            "{text}"
        );
        let error = load(&[("own.toml", "name = \"x\"\nextends = \"restrictd\"\n")]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("line 2: extends: load profile \"restrictd\": no such profile")
        );
        assert!(
            error
                .try_this()
                .unwrap()
                .starts_with("use one of none, baseline, restricted, paranoid")
        );
    }
}
