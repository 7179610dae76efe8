//! The settings of systemd.exec(5) that filter system calls, as rules: groups, address families, kinds of namespaces and
//! what goes by arguments. Which setting a unit has is `systemd_unit`'s.

use crate::profile::format::{Action, ErrnoName};

use super::calls::{ALLOW, Answer, Calls, ENOSYS, EPERM, Limit, Test, none_of, one_of};

/// The named groups of systemd 252, one a line; a group may have others.
const GROUPS: &str = include_str!("groups.txt");

/// The calls of a group, those of groups in it included; `None` if there is no such group.
pub(super) fn group(name: &str) -> Option<Vec<&'static str>> {
    let mut lines = GROUPS.lines().filter_map(|line| line.split_once(' '));
    let (_, members) = lines.find(|(known, _)| *known == name)?;
    let mut calls = Vec::new();
    for member in members.split(' ') {
        match member.starts_with('@') {
            true => calls.extend(group(member)?),
            false => calls.push(member),
        }
    }
    Some(calls)
}

/// Names of architectures there and in `linux.seccomp`.
pub(super) const ARCHITECTURES: [(&str, &str); 9] = [
    ("native", "native"),
    ("x86-64", "SCMP_ARCH_X86_64"),
    ("x86", "SCMP_ARCH_X86"),
    ("x32", "SCMP_ARCH_X32"),
    ("arm64", "SCMP_ARCH_AARCH64"),
    ("arm", "SCMP_ARCH_ARM"),
    ("ppc64-le", "SCMP_ARCH_PPC64LE"),
    ("riscv64", "SCMP_ARCH_RISCV64"),
    ("s390x", "SCMP_ARCH_S390X"),
];

/// Address families (socket(2)) by number.
pub(super) const FAMILIES: [(&str, u64); 41] = [
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_AX25", 3),
    ("AF_IPX", 4),
    ("AF_APPLETALK", 5),
    ("AF_NETROM", 6),
    ("AF_BRIDGE", 7),
    ("AF_ATMPVC", 8),
    ("AF_X25", 9),
    ("AF_INET6", 10),
    ("AF_ROSE", 11),
    ("AF_NETBEUI", 13),
    ("AF_SECURITY", 14),
    ("AF_KEY", 15),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_ECONET", 19),
    ("AF_ATMSVC", 20),
    ("AF_RDS", 21),
    ("AF_IRDA", 23),
    ("AF_PPPOX", 24),
    ("AF_WANPIPE", 25),
    ("AF_LLC", 26),
    ("AF_IB", 27),
    ("AF_MPLS", 28),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_BLUETOOTH", 31),
    ("AF_IUCV", 32),
    ("AF_RXRPC", 33),
    ("AF_ISDN", 34),
    ("AF_PHONET", 35),
    ("AF_IEEE802154", 36),
    ("AF_CAIF", 37),
    ("AF_ALG", 38),
    ("AF_NFC", 39),
    ("AF_VSOCK", 40),
    ("AF_KCM", 41),
    ("AF_QIPCRTR", 42),
    ("AF_SMC", 43),
    ("AF_XDP", 44),
];

/// Kinds of namespaces (clone(2)) by their flag.
pub(super) const NAMESPACES: [(&str, u64); 7] = [
    ("mnt", 0x2_0000),
    ("cgroup", 0x200_0000),
    ("uts", 0x400_0000),
    ("ipc", 0x800_0000),
    ("user", 0x1000_0000),
    ("pid", 0x2000_0000),
    ("net", 0x4000_0000),
];

const fn test(index: u32, mask: u64, values: &'static [u64]) -> Test {
    Test {
        index,
        mask,
        values,
    }
}

/// `MemoryDenyWriteExecute`: memory that is written and executed, or becomes executable.
pub(super) const NO_WRITE_EXECUTE: &[Limit] = &[
    Limit {
        calls: &["mmap", "mmap2"],
        allowed: &[&[test(2, 6, &[0, 2, 4])]],
        refused: &[&[test(2, 6, &[6])]],
    },
    Limit {
        calls: &["mprotect", "pkey_mprotect"],
        allowed: &[&[test(2, 4, &[0])]],
        refused: &[&[test(2, 4, &[4])]],
    },
    Limit {
        calls: &["shmat"],
        allowed: &[&[test(2, 0o100_000, &[0])]],
        refused: &[&[test(2, 0o100_000, &[0o100_000])]],
    },
];

/// `RestrictRealtime`: schedulers other than SCHED_OTHER, SCHED_BATCH and SCHED_IDLE.
pub(super) const NO_REALTIME: (&str, u32, &[u64]) = ("sched_setscheduler", 1, &[0, 3, 5]);

/// `LockPersonality`: the domain of Linux, and asking.
pub(super) const NO_PERSONALITY: (&str, u32, &[u64]) = ("personality", 0, &[0, 0xffff_ffff]);

/// Bits of set-user-id and set-group-id.
const SET_ID: u64 = 0o6000;
const CREATE: u64 = 0o100;
const TEMPORARY: u64 = 0o20_000_000;

/// The mode is one argument.
const fn set_id(calls: &'static [&'static str], mode: usize) -> Limit {
    const ALLOWED: [&[&[Test]]; 4] = [
        &[],
        &[&[test(1, SET_ID, &[0])]],
        &[&[test(2, SET_ID, &[0])]],
        &[&[test(3, SET_ID, &[0])]],
    ];
    const REFUSED: [&[&[Test]]; 4] = [
        &[],
        &[&[test(1, 0o2000, &[0o2000])], &[test(1, 0o4000, &[0o4000])]],
        &[&[test(2, 0o2000, &[0o2000])], &[test(2, 0o4000, &[0o4000])]],
        &[&[test(3, 0o2000, &[0o2000])], &[test(3, 0o4000, &[0o4000])]],
    ];
    Limit {
        calls,
        allowed: ALLOWED[mode],
        refused: REFUSED[mode],
    }
}

/// `RestrictSUIDSGID`: making files with these bits. A mode is read only where a file is made.
pub(super) const NO_SET_ID: &[Limit] = &[
    set_id(&["chmod", "fchmod", "creat", "mkdir", "mknod"], 1),
    set_id(&["fchmodat", "fchmodat2", "mkdirat", "mknodat"], 2),
    Limit {
        calls: &["open"],
        allowed: &[
            &[test(2, SET_ID, &[0])],
            &[test(1, CREATE | TEMPORARY, &[0])],
        ],
        refused: &[
            &[test(1, CREATE, &[CREATE]), test(2, 0o2000, &[0o2000])],
            &[test(1, CREATE, &[CREATE]), test(2, 0o4000, &[0o4000])],
            &[test(1, TEMPORARY, &[TEMPORARY]), test(2, 0o2000, &[0o2000])],
            &[test(1, TEMPORARY, &[TEMPORARY]), test(2, 0o4000, &[0o4000])],
        ],
    },
    Limit {
        calls: &["openat"],
        allowed: &[
            &[test(3, SET_ID, &[0])],
            &[test(2, CREATE | TEMPORARY, &[0])],
        ],
        refused: &[
            &[test(2, CREATE, &[CREATE]), test(3, 0o2000, &[0o2000])],
            &[test(2, CREATE, &[CREATE]), test(3, 0o4000, &[0o4000])],
            &[test(2, TEMPORARY, &[TEMPORARY]), test(3, 0o2000, &[0o2000])],
            &[test(2, TEMPORARY, &[TEMPORARY]), test(3, 0o4000, &[0o4000])],
        ],
    },
];

impl Calls {
    /// Only these values of one argument.
    pub(super) fn only(&mut self, (call, index, values): (&str, u32, &[u64])) {
        let allowed = [one_of(index, None, values)];
        self.restrict(&[call], &allowed, &[none_of(index, values)]);
    }

    pub(super) fn restrict_set_id(&mut self) {
        self.limit(NO_SET_ID);
        // Its mode is behind a pointer.
        self.refuse("openat2", ENOSYS);
    }

    /// New namespaces of these kinds are refused; a clone with none stays.
    pub(super) fn restrict_namespaces(&mut self, refused: u64) {
        if refused == 0 {
            return;
        }
        let allowed = [one_of(0, Some(refused), &[0])];
        let bits = NAMESPACES.iter().map(|(_, bit)| bit & refused);
        let each: Vec<_> = bits
            .filter(|bit| *bit != 0)
            .map(|bit| one_of(0, Some(bit), &[bit]))
            .collect();
        self.restrict(&["clone", "unshare"], &allowed, &each);
        // 0 stands for any kind.
        let kept: Vec<u64> = NAMESPACES.iter().map(|(_, bit)| *bit).collect();
        let kept: Vec<u64> = kept.into_iter().filter(|bit| bit & refused == 0).collect();
        match kept.is_empty() {
            true => self.refuse("setns", EPERM),
            false => self.only(("setns", 1, &kept)),
        }
        // Its flags are behind a pointer.
        self.refuse("clone3", ENOSYS);
    }

    pub(super) fn allow_families(&mut self, families: &[u64]) {
        match families.is_empty() {
            true => self.refuse("socket", EPERM),
            false => self.only(("socket", 0, families)),
        }
    }

    pub(super) fn refuse_families(&mut self, families: &[u64]) {
        if !families.is_empty() {
            let allowed = [none_of(0, families)];
            self.restrict(&["socket"], &allowed, &[one_of(0, None, families)]);
        }
    }

    pub(super) fn refuse_group(&mut self, name: &str) {
        for call in group(name).unwrap_or_default() {
            self.refuse(call, EPERM);
        }
    }
}

/// An error that a profile has; another becomes EPERM, and is named.
pub(super) fn errno(word: &str) -> Result<Answer, Answer> {
    match word {
        "kill" => Ok((Action::KillProcess, None)),
        "EPERM" | "1" => Ok(EPERM),
        "ENOSYS" | "38" => Ok(ENOSYS),
        "EACCES" | "13" => Ok((Action::Errno, Some(ErrnoName::Eacces))),
        _ => Err(EPERM),
    }
}

/// `SystemCallFilter` as it builds up, assignment by assignment.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Whether what is listed is allowed; the first assignment says.
    mode: Option<Mode>,
    entries: std::collections::BTreeMap<String, Option<Answer>>,
    /// What was not understood, or has another error in a profile.
    pub(super) unknown: Vec<String>,
    pub(super) errors: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Allow,
    Refuse,
}

impl Listed {
    pub(super) fn assign(&mut self, value: &str) {
        if value.is_empty() {
            *self = Self::default();
            return;
        }
        let (sign, names) = match value.strip_prefix('~') {
            Some(names) => (Mode::Refuse, names),
            None => (Mode::Allow, value),
        };
        if self.mode.is_none() {
            self.mode = Some(sign);
            if sign == Mode::Allow {
                self.set("@default", None, sign);
            }
        }
        for word in names.split_whitespace() {
            let (name, error) = match word.split_once(':') {
                Some((name, error)) => (name, Some(error)),
                None => (word, None),
            };
            let answer = error.map(|error| {
                errno(error).unwrap_or_else(|answer| {
                    self.errors.push(error.to_owned());
                    answer
                })
            });
            self.set(name, answer, sign);
        }
    }

    fn set(&mut self, name: &str, answer: Option<Answer>, sign: Mode) {
        let names = match name.starts_with('@') {
            true => group(name),
            false => Some(vec![name]),
        };
        let Some(names) = names else {
            self.unknown.push(name.to_owned());
            return;
        };
        for name in names {
            // An error beside a name is a refusal even in a list of what is allowed.
            let is_listed = Some(sign) == self.mode || sign == Mode::Refuse && answer.is_some();
            match is_listed {
                true => self.entries.insert(name.to_owned(), answer),
                false => self.entries.remove(name),
            };
        }
    }

    /// Puts it first: other settings take away from what it leaves. `error` is `SystemCallErrorNumber`.
    pub(super) fn apply(self, calls: &mut Calls, error: Option<Answer>) {
        let refused = error.unwrap_or((Action::KillProcess, None));
        let Some(mode) = self.mode else { return };
        let unsaid = match mode {
            Mode::Allow => ALLOW,
            Mode::Refuse => refused,
        };
        calls.set_default(match mode {
            Mode::Allow => refused,
            Mode::Refuse => ALLOW,
        });
        for (name, answer) in &self.entries {
            calls.answer(name, answer.unwrap_or(unsaid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::syscalls::named;

    #[test]
    fn groups_lead_to_known_calls() {
        let mut unknown = Vec::new();
        for line in GROUPS.lines() {
            let name = line.split(' ').next().unwrap();
            let calls = group(name).unwrap();
            assert!(!calls.is_empty(), "{name}");
            unknown.extend(calls.into_iter().filter(|call| named(call).is_none()));
        }
        unknown.sort_unstable();
        unknown.dedup();
        // Of architectures that stockade does not run on.
        assert!(unknown.len() < 60, "{unknown:?}");
        assert_eq!(group("@nothing"), None);
        assert!(group("@system-service").unwrap().contains(&"read"));
    }
}
