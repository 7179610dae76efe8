//! The Landlock rules of a profile: their format, and what happens on a kernel that cannot do them all. A config has nothing
//! like them, so that they only ever add. The ruleset that they become is in `ruleset`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OnConflict;
use super::change::{Rules, value};
use super::ruleset::Ruleset;
use crate::error::{Error, Result, quote};
use crate::sys::landlock::{ABSTRACT_UNIX_SOCKET, NEWEST, SIGNAL};

/// What the process may do with files and ports, and whom it reaches (landlock(7)). A list that is absent restricts
/// nothing, an empty one allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Landlock {
    /// Files and directories, with what is below, that may be read and listed.
    #[serde(default)]
    pub read: Option<Vec<String>>,
    /// Where files may be written, made, removed and renamed.
    #[serde(default)]
    pub write: Option<Vec<String>>,
    /// Where programs may be, which includes reading them.
    #[serde(default)]
    pub execute: Option<Vec<String>>,
    /// Devices that ioctl(2) may be used on.
    #[serde(default)]
    pub ioctl: Option<Vec<String>>,
    /// Local TCP ports.
    #[serde(default)]
    pub bind_tcp: Option<Vec<u16>>,
    /// Remote TCP ports.
    #[serde(default)]
    pub connect_tcp: Option<Vec<u16>>,
    /// What stays among the processes under these rules.
    #[serde(default)]
    pub scope: Vec<Scope>,
    /// What happens where the kernel cannot do all of it.
    #[serde(default)]
    pub on_old_kernel: OnOldKernel,
}

/// What stays among the processes under the same rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Signals.
    Signal,
    /// Connections to abstract UNIX sockets (unix(7)).
    AbstractUnixSocket,
}

impl Scope {
    pub(super) fn bit(self) -> u64 {
        match self {
            Self::Signal => SIGNAL,
            Self::AbstractUnixSocket => ABSTRACT_UNIX_SOCKET,
        }
    }
}

/// What happens where the kernel cannot do all that a section demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OnOldKernel {
    /// The container is not created.
    #[default]
    Refuse,
    /// What it cannot do is left out, with a warning.
    BestEffort,
}

/// The first release of Linux with a version of Landlock.
fn release(abi: u32) -> &'static str {
    ["5.13", "5.19", "6.2", "6.7", "6.10", "6.12"][(abi.clamp(1, NEWEST) - 1) as usize]
}

/// A key of the section: its name, its value where it restricts something, and the version that does all of it.
struct Demand {
    key: &'static str,
    value: Option<Value>,
    needs: u32,
}

impl Landlock {
    /// The keys, in the order of the format.
    fn demands(&self) -> [Demand; 7] {
        fn json<T: Serialize>(list: Option<&Vec<T>>) -> Option<Value> {
            list.map(value)
        }
        let scope = Some(&self.scope).filter(|scope| !scope.is_empty());
        let demand = |key, value, needs| Demand { key, value, needs };
        [
            demand("read", json(self.read.as_ref()), 1),
            // 3 refuses truncate(2); 2 allows renaming to another directory.
            demand("write", json(self.write.as_ref()), 3),
            demand("execute", json(self.execute.as_ref()), 1),
            demand("ioctl", json(self.ioctl.as_ref()), 5),
            demand("bind-tcp", json(self.bind_tcp.as_ref()), 4),
            demand("connect-tcp", json(self.connect_tcp.as_ref()), 4),
            demand("scope", json(scope), 6),
        ]
    }

    /// The version of Landlock that does all of it; 0 where nothing is demanded.
    pub fn minimum_abi(&self) -> u32 {
        let demanded = self.demands().into_iter();
        let demanded = demanded.filter(|demand| demand.value.is_some());
        demanded.map(|demand| demand.needs).max().unwrap_or(0)
    }

    /// What types cannot say.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let lists = [
            ("read", &self.read),
            ("write", &self.write),
            ("execute", &self.execute),
            ("ioctl", &self.ioctl),
        ];
        let paths = lists
            .iter()
            .flat_map(|(key, list)| list.iter().flatten().map(move |path| (key, path)));
        match paths.into_iter().find(|(_, path)| !is_plain(path)) {
            None => Ok(()),
            Some((key, path)) => Err(format!(
                "landlock.{key}: {} is not an absolute path without wildcards, . and ..",
                quote(path)
            )),
        }
    }
}

/// `/`, or a path of names only.
fn is_plain(path: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['*', '\0']);
    path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_name))
}

impl Rules<'_> {
    /// The ruleset for this kernel, and the record of what it is made of.
    pub(super) fn landlock(&mut self) -> Result<Option<Ruleset>> {
        let Some(wanted) = &self.profile.landlock else {
            return Ok(None);
        };
        let abi = self.host.kernel.landlock_abi;
        let is_unmet = |demand: &&Demand| demand.value.is_some() && demand.needs > abi;
        let demands = wanted.demands();
        let name = quote(&self.profile.name);
        let unmet = demands.iter().filter(is_unmet);
        match (
            unmet.clone().max_by_key(|demand| demand.needs),
            wanted.on_old_kernel,
        ) {
            (None, _) => {}
            (Some(demand), OnOldKernel::Refuse) => return Err(too_old(demand, &name, abi)),
            (Some(_), OnOldKernel::BestEffort) => {
                self.warnings
                    .extend(unmet.map(|demand| demand.left_out(&name, abi)));
            }
        }
        let ruleset = wanted.ruleset(abi);
        if ruleset.files != 0 && abi == 1 {
            self.warnings.push(format!(
                "landlock: nothing can be renamed to another directory under profile {name}: that needs Linux {}",
                release(2)
            ));
        }
        for demand in demands.iter().filter(|demand| demand.is_applied(abi)) {
            let rule = format!("landlock.{}", demand.key);
            let after = demand.value.as_ref();
            self.conflict(&rule, OnConflict::Tighten, "", None, after)?;
        }
        Ok(Some(ruleset).filter(|ruleset| !ruleset.is_empty()))
    }
}

impl Demand {
    /// Whether the kernel does at least a part of it: of `write` the first version does most.
    fn is_applied(&self, abi: u32) -> bool {
        let first = if self.key == "write" { 1 } else { self.needs };
        self.value.is_some() && abi >= first
    }

    fn needs_in_words(&self, abi: u32) -> String {
        let (needs, since) = (self.needs, release(self.needs));
        let has = match abi {
            0 => "no Landlock".to_owned(),
            abi => format!("ABI {abi}"),
        };
        format!("needs Landlock ABI {needs} (Linux {since}), this kernel has {has}")
    }

    fn left_out(&self, profile: &str, abi: u32) -> String {
        let needs = self.needs_in_words(abi);
        let rest = if self.is_applied(abi) {
            "files can be truncated everywhere"
        } else {
            "it is left out"
        };
        format!("landlock.{} of profile {profile} {needs}: {rest}", self.key)
    }
}

fn too_old(demand: &Demand, profile: &str, abi: u32) -> Error {
    let doing = format!("landlock.{} of profile {profile}", demand.key);
    let error = Error::new(doing, demand.needs_in_words(abi));
    let without = "landlock.on-old-kernel = \"best-effort\" in the profile leaves out what the kernel cannot do";
    if abi == 0 {
        error.hint(format!(
            "start the kernel with landlock among its security modules (lsm=); {without}"
        ))
    } else {
        error.hint(without)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::facts::Kernel;
    use crate::profile::order::landlock_at_most;
    use crate::profile::{Facts, Profile, Tightened, parse, tighten};
    use crate::spec::hardened_default;
    use crate::sys::landlock::{EXECUTE, IOCTL_DEV, READ_DIR, READ_FILE, REFER, TRUNCATE};

    fn profile(section: &str) -> Result<Profile> {
        let text = format!("name = \"p\"\ndescription = \"d\"\n[landlock]\n{section}");
        parse("p.toml", &text)
    }

    fn landlock(section: &str) -> Landlock {
        profile(section).unwrap().landlock.unwrap()
    }

    fn on_kernel(section: &str, landlock_abi: u32) -> Result<Tightened> {
        let kernel = Kernel {
            landlock_abi,
            ..Kernel::default()
        };
        let host = Facts {
            kernel,
            ..Facts::default()
        };
        tighten(&hardened_default(None), &profile(section).unwrap(), &host)
    }

    #[test]
    fn a_section_is_strict_and_a_refusal_says_key_and_value() {
        let refused = |section: &str| profile(section).unwrap_err().to_string();
        let path = |path: &str| {
            format!(
                "load profile \"p.toml\": landlock.write: {path} is not an absolute path without wildcards, . and .."
            )
        };
        for bad in ["tmp", "/tmp/", "//", "/a/../b", "/a/./b", "/a*", ""] {
            let section = format!("write = [\"/ok\", \"{bad}\"]");
            assert_eq!(refused(&section), path(&format!("\"{bad}\"")));
        }
        assert_eq!(
            refused("wirte = []").split(", expected").next().unwrap(),
            "load profile \"p.toml\": line 4: landlock.wirte: unknown field `wirte`"
        );
        assert!(refused("bind-tcp = [65536]").contains("line 4: landlock.bind-tcp"));
        assert!(refused("scope = [\"all\"]").contains("line 4: landlock.scope"));
    }

    #[test]
    fn the_minimum_abi_is_that_of_the_newest_demand() {
        for (section, abi) in [
            ("", 0),
            ("scope = []", 0),
            ("read = []", 1),
            ("read = [\"/\"]\nexecute = [\"/usr\"]", 1),
            ("write = []", 3),
            ("connect-tcp = []\nread = []", 4),
            ("bind-tcp = [80]", 4),
            ("ioctl = []", 5),
            ("scope = [\"signal\"]", 6),
        ] {
            assert_eq!(landlock(section).minimum_abi(), abi, "{section}");
        }
    }

    #[test]
    fn a_kernel_too_old_is_refused_by_field_and_versions() {
        let error = on_kernel("write = []\nscope = [\"signal\"]", 5).unwrap_err();
        assert_eq!(
            error.to_string(),
            "landlock.scope of profile \"p\": needs Landlock ABI 6 (Linux 6.12), this kernel has ABI 5"
        );
        let error = on_kernel("write = []", 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "landlock.write of profile \"p\": needs Landlock ABI 3 (Linux 6.2), this kernel has no Landlock"
        );
        assert!(
            error
                .try_this()
                .unwrap()
                .starts_with("start the kernel with landlock")
        );
        assert!(on_kernel("write = []\nscope = [\"signal\"]", 6).is_ok());
    }

    #[test]
    fn best_effort_leaves_out_what_the_kernel_cannot_do_and_says_so() {
        let section = "write = [\"/tmp\"]\nbind-tcp = []\non-old-kernel = \"best-effort\"";
        let rules = |tightened: &Tightened| -> Vec<String> {
            let changes = tightened
                .changes
                .iter()
                .filter(|change| !change.is_of_config());
            changes.map(|change| change.rule.clone()).collect()
        };
        let none = on_kernel(section, 0).unwrap();
        assert_eq!((none.landlock.clone(), rules(&none)), (None, vec![]));
        assert_eq!(none.warnings.len(), 2);
        let some = on_kernel(section, 1).unwrap();
        assert_eq!(some.landlock.clone().unwrap().to_string(), "write \"/tmp\"");
        assert_eq!(rules(&some), ["landlock.write"]);
        assert_eq!(
            some.warnings,
            [
                "landlock.write of profile \"p\" needs Landlock ABI 3 (Linux 6.2), this kernel has ABI 1: files can be truncated everywhere",
                "landlock.bind-tcp of profile \"p\" needs Landlock ABI 4 (Linux 6.7), this kernel has ABI 1: it is left out",
                "landlock: nothing can be renamed to another directory under profile \"p\": that needs Linux 5.19",
            ]
        );
        let all = on_kernel(section, 4).unwrap();
        let words = all.landlock.clone().unwrap().to_string();
        assert_eq!(words, "write \"/tmp\", bind-tcp nothing");
        assert_eq!((rules(&all).len(), all.warnings.len()), (2, 0));
    }

    #[test]
    fn what_is_added_beside_the_config_is_recorded_as_that() {
        let tightened = on_kernel("write = [\"/tmp\"]", 7).unwrap();
        let change = tightened.changes.last().unwrap();
        assert_eq!(
            change.to_string(),
            "beside the config: with [\"/tmp\"]: landlock.write of profile \"p\""
        );
        assert_eq!(
            serde_json::to_string(change).unwrap(),
            r#"{"pointer":"","after":["/tmp"],"rule":"landlock.write","profile":"p"}"#
        );
    }

    #[test]
    fn a_ruleset_never_has_a_right_that_its_kernel_does_not_know() {
        let all = landlock(
            "read = [\"/\"]\nwrite = [\"/\"]\nexecute = []\nioctl = []\nbind-tcp = []\nscope = [\"signal\"]",
        );
        for (abi, first_unknown) in [(1, REFER), (2, TRUNCATE), (3, IOCTL_DEV), (4, IOCTL_DEV)] {
            let files = all.ruleset(abi).files;
            assert_eq!(files, first_unknown - 1, "ABI {abi}");
        }
        assert_eq!(all.ruleset(0), Ruleset::default());
        assert_eq!((all.ruleset(3).ports, all.ruleset(5).scopes), (0, 0));
        assert_eq!(all.ruleset(7), all.ruleset(6));
    }

    #[test]
    fn what_may_be_executed_may_be_read_and_renaming_stays_where_writing_is_not_restricted() {
        let rules = landlock("read = [\"/etc\"]\nexecute = [\"/bin\", \"/etc\"]").ruleset(7);
        assert_eq!(rules.files, READ_FILE | READ_DIR | EXECUTE | REFER);
        let trees: Vec<(&str, u64)> = rules
            .trees
            .iter()
            .map(|tree| (tree.path.to_str().unwrap(), tree.rights))
            .collect();
        let both = READ_FILE | READ_DIR | EXECUTE;
        assert_eq!(
            trees,
            [("/etc", both), ("/bin", READ_FILE | EXECUTE), ("/", REFER)]
        );
        let rules = landlock("execute = [\"/bin\"]").ruleset(7);
        assert_eq!(rules.trees[0].rights, EXECUTE, "reading is not restricted");
    }

    #[test]
    fn the_order_sees_what_is_allowed_more() {
        let order = |a: &str, b: &str| landlock_at_most(&landlock(a), &landlock(b));
        for (a, b, refused) in [
            (
                "",
                "read = [\"/\"]",
                "landlock: a restriction of files is gone",
            ),
            (
                "write = [\"/tmp\", \"/tmpx\"]",
                "write = [\"/tmp\"]",
                "landlock: allows more in \"/tmpx\"",
            ),
            (
                "read = []\nexecute = [\"/b\"]",
                "read = []\nexecute = [\"/b/c\"]",
                "landlock: allows more in \"/b\"",
            ),
            (
                "read = []",
                "read = []\nbind-tcp = [1]",
                "landlock: a restriction of ports is gone",
            ),
            (
                "bind-tcp = [1, 2]",
                "bind-tcp = [1]",
                "landlock: allows more with port 2",
            ),
            (
                "scope = []",
                "scope = [\"signal\"]",
                "landlock.scope: has less",
            ),
            (
                "read = []\non-old-kernel = \"best-effort\"",
                "read = []",
                "landlock.on-old-kernel: was refuse",
            ),
        ] {
            assert_eq!(order(a, b), Err(refused.into()));
        }
        let stricter = "read = [\"/a/b\"]\nwrite = []\nbind-tcp = []\nscope = [\"signal\"]";
        assert_eq!(order(stricter, "read = [\"/a\"]\nbind-tcp = [1]"), Ok(()));
    }

    #[test]
    fn a_stricter_profile_of_the_binary_has_at_least_the_rules_of_a_looser_one() {
        let all = Profile::names().map(|name| Profile::builtin(name).unwrap());
        let all = all.map(|profile| profile.landlock.unwrap_or_default());
        for pair in all.windows(2) {
            assert_eq!(landlock_at_most(&pair[1], &pair[0]), Ok(()));
        }
    }

    const PATHS: [&str; 4] = ["/", "/a", "/a/b", "/c"];

    fn list<T: Clone + std::fmt::Debug + 'static, U: From<T> + std::fmt::Debug>(
        all: &'static [T],
    ) -> impl Strategy<Value = Option<Vec<U>>> {
        let some = proptest::sample::subsequence(all, 0..=all.len());
        proptest::option::of(some.prop_map(|list| list.into_iter().map(U::from).collect()))
    }

    prop_compose! {
        fn any_landlock()(
            read in list(&PATHS),
            write in list(&PATHS),
            execute in list(&PATHS),
            bind_tcp in list(&[0u16, 80]),
            scope in proptest::sample::subsequence(vec![Scope::Signal, Scope::AbstractUnixSocket], 0..=2),
        ) -> Landlock {
            Landlock { read, write, execute, bind_tcp, scope, ..Landlock::default() }
        }
    }

    /// What is allowed, as the format's reference says it.
    fn allowed(rules: &Landlock) -> Vec<bool> {
        let below = |list: &Option<Vec<String>>, path: &str| {
            list.iter()
                .flatten()
                .any(|tree| tree == "/" || path == tree || path.starts_with(&format!("{tree}/")))
        };
        let in_list = |list: &Option<Vec<String>>, path| list.is_none() || below(list, path);
        let mut all = Vec::new();
        for path in PATHS {
            all.push(in_list(&rules.read, path));
            all.push(in_list(&rules.read, path) || below(&rules.execute, path));
            all.push(in_list(&rules.write, path));
            all.push(in_list(&rules.execute, path));
        }
        let port = |port| {
            rules
                .bind_tcp
                .as_ref()
                .is_none_or(|list| list.contains(&port))
        };
        all.extend([port(0), port(80)]);
        let scope = |scope| !rules.scope.contains(&scope);
        all.extend([scope(Scope::Signal), scope(Scope::AbstractUnixSocket)]);
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_the_order_calls_stricter_allows_nothing_more(a in any_landlock(), b in any_landlock()) {
            prop_assert_eq!(landlock_at_most(&a, &a), Ok(()));
            if landlock_at_most(&a, &b).is_ok() {
                for (a, b) in allowed(&a).into_iter().zip(allowed(&b)) {
                    prop_assert!(!a || b);
                }
            }
        }
    }
}
