//! The scope that holds a container: its name, its slice, and the cgroup that systemd gives it (systemd.scope(5),
//! systemd.slice(5)). What is asked of systemd is in `calls`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quote};

const FIELD: &str = "linux.cgroupsPath";
/// The longest name of a unit (`UNIT_NAME_MAX`), which is a file name, too.
const LONGEST: usize = 255;

/// Which systemd a unit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// The host's.
    System,
    /// The user's own.
    User,
}

/// The scope of a container, for the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Such as `cri-containerd-1234.scope`.
    pub name: String,
    /// The slice that it is in, such as `kubepods-burstable.slice`.
    pub slice: String,
    /// Whose it is.
    pub whose: Whose,
    /// systemd's version when the unit was planned.
    pub version: u32,
    /// What tells this scope from a later one of the same name (`InvocationID` of org.freedesktop.systemd1(5)), in
    /// hexadecimal digits; none before its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
}

impl Unit {
    /// From a `linux.cgroupsPath` of the form `slice:prefix:name`, or for the container `id` where there is none.
    ///
    /// # Errors
    /// For another form, and for names that systemd does not take.
    pub(super) fn parse(
        path: Option<&str>,
        id: &str,
        (whose, version): (Whose, u32),
    ) -> Result<Self> {
        let default = match whose {
            Whose::System => "system.slice",
            Whose::User => "user.slice",
        };
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            let name = format!("stockade-{}.scope", escaped(id));
            check_name(&name).map_err(|cause| {
                Error::new(
                    FIELD,
                    format!("{} is no name of a unit: {cause}", quote(&name)),
                )
            })?;
            return Ok(Self {
                name,
                slice: default.into(),
                whose,
                version,
                invocation: None,
            });
        };
        let refuse = |cause: &str| Error::new(FIELD, format!("{} {cause}", quote(path)));
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(refuse("is not of the form slice:prefix:name")
                .hint("give such a path, as in \"system.slice:stockade:name\", or leave --systemd-cgroup out"));
        };
        if name.is_empty() {
            return Err(refuse("has no name of a unit"));
        }
        if name.ends_with(".slice") {
            return Err(refuse("names a slice, which holds no processes itself")
                .hint("put the slice in front, as in \"a.slice:prefix:name\""));
        }
        let slice = match slice {
            "" => default,
            "-" => "-.slice",
            slice => slice,
        };
        slice_path(slice).map_err(|cause| refuse(&format!("names no slice: {cause}")))?;
        let name = format!("{prefix}-{name}.scope");
        check_name(&name).map_err(|cause| refuse(&format!("names no unit: {cause}")))?;
        Ok(Self {
            name,
            slice: slice.into(),
            whose,
            version,
            invocation: None,
        })
    }

    /// What it says of itself; no annotation can change that.
    pub(super) fn description(&self) -> String {
        format!("stockade container {}", self.name)
    }

    /// Its cgroup, relative to that of its systemd.
    pub(super) fn path(&self) -> String {
        let slice = slice_path(&self.slice).unwrap_or_default();
        if slice.is_empty() {
            self.name.clone()
        } else {
            format!("{slice}/{}", self.name)
        }
    }
}

/// `a-b.slice` is `a.slice/a-b.slice`; the root slice is nothing.
fn slice_path(slice: &str) -> std::result::Result<String, &'static str> {
    check_name(slice)?;
    let stem = slice
        .strip_suffix(".slice")
        .ok_or("its name does not end in \".slice\"")?;
    if stem == "-" {
        return Ok(String::new());
    }
    let parts: Vec<&str> = stem.split('-').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("there is nothing before or after a \"-\"");
    }
    let names = (1..=parts.len()).map(|count| format!("{}.slice", parts[..count].join("-")));
    Ok(names.collect::<Vec<_>>().join("/"))
}

/// The characters of unit names (systemd.unit(5)), without `@`, which is for templates.
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":-_.\\".contains(c)
}

fn check_name(name: &str) -> std::result::Result<(), &'static str> {
    if name.len() > LONGEST {
        return Err("it is longer than 255 bytes");
    }
    if !name.chars().all(is_allowed) {
        return Err("only ASCII letters, digits, \"-\", \"_\", \".\" and \"\\\" are allowed");
    }
    Ok(())
}

/// An id may hold a `+`, the name of a unit only its code (systemd.unit(5), "String Escaping for Inclusion in Unit Names").
fn escaped(id: &str) -> String {
    id.replace('+', "\\x2b")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<Unit> {
        Unit::parse(Some(path), "c1", (Whose::System, 252))
    }

    fn refusal(path: &str) -> String {
        let error = parse(path).unwrap_err().to_string();
        error
            .strip_prefix("linux.cgroupsPath: ")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn slices_are_paths_of_all_their_parents() {
        for (slice, path) in [
            ("-.slice", ""),
            ("system.slice", "system.slice"),
            ("a-b.slice", "a.slice/a-b.slice"),
            (
                "kubepods-burstable-pod1_2.slice",
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
            ),
        ] {
            assert_eq!(slice_path(slice), Ok(path.to_owned()));
        }
        for slice in [
            "a",
            ".slice",
            "-a.slice",
            "a-.slice",
            "a--b.slice",
            "a/b.slice",
            "../a.slice",
            "--.slice",
        ] {
            assert!(slice_path(slice).is_err(), "{slice}");
        }
    }

    #[test]
    fn paths_name_a_slice_and_a_scope() {
        for (path, slice, name, group) in [
            (
                ":runc:a",
                "system.slice",
                "runc-a.scope",
                "system.slice/runc-a.scope",
            ),
            (
                "a-b.slice:cri-containerd:1",
                "a-b.slice",
                "cri-containerd-1.scope",
                "a.slice/a-b.slice/cri-containerd-1.scope",
            ),
            ("-:p:n", "-.slice", "p-n.scope", "p-n.scope"),
            (
                "system.slice::n",
                "system.slice",
                "-n.scope",
                "system.slice/-n.scope",
            ),
        ] {
            let unit = parse(path).unwrap();
            assert_eq!(
                (unit.slice.as_str(), unit.name.as_str()),
                (slice, name),
                "{path}"
            );
            assert_eq!(unit.path(), group);
        }
    }

    #[test]
    fn a_container_without_a_path_gets_a_scope_by_its_id() {
        let unit = Unit::parse(None, "a+b", (Whose::User, 252)).unwrap();
        assert_eq!(unit.path(), "user.slice/stockade-a\\x2bb.scope");
        let long = "x".repeat(250);
        let error = Unit::parse(Some(""), &long, (Whose::System, 252)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "linux.cgroupsPath: \"stockade-{long}.scope\" is no name of a unit: it is longer than 255 bytes"
            )
        );
    }

    #[test]
    fn other_paths_are_refused() {
        for (path, cause) in [
            ("/a/b", "is not of the form slice:prefix:name"),
            ("a.slice:b", "is not of the form slice:prefix:name"),
            ("a.slice:b:c:d", "is not of the form slice:prefix:name"),
            ("a.slice:b:", "has no name of a unit"),
            (
                "a.slice::b.slice",
                "names a slice, which holds no processes itself",
            ),
            (
                "a:b:c",
                "names no slice: its name does not end in \".slice\"",
            ),
            (
                "a/../b.slice:c:d",
                "names no slice: only ASCII letters, digits, \"-\", \"_\", \".\" and \"\\\" are allowed",
            ),
            (
                "a--b.slice:c:d",
                "names no slice: there is nothing before or after a \"-\"",
            ),
            (
                ":p:a/b",
                "names no unit: only ASCII letters, digits, \"-\", \"_\", \".\" and \"\\\" are allowed",
            ),
        ] {
            assert_eq!(refusal(path), format!("\"{path}\" {cause}"));
        }
        assert!(refusal(":p:a\nb").starts_with("\":p:a\\nb\" names no unit"));
    }
}
