//! The section `seccomp` of random profiles, with groups, `allow` and `deny`, compiled for both machines, against a reading
//! of the file as docs/profiles.md tells it, call by call.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::names::group;
use crate::names::syscalls::{Abi, X32_BIT, name, named};
use crate::profile::{Facts, Profile, tighten};
use crate::seccomp::bpf::{Data, run, validate};
use crate::seccomp::{Host, compile_for};
use crate::spec::hardened_default;

const CALLS: [&str; 9] = [
    "ioctl", "clone", "unshare", "socket", "openat2", "prctl", "mount", "chmod", "clone3",
];
const GROUPS: [&str; 3] = ["@network-io", "@namespace", "@mount"];

#[derive(Debug, Clone)]
struct Arg {
    index: usize,
    mask: Option<u64>,
    none_of: bool,
    values: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Rule {
    names: Vec<&'static str>,
    answer: &'static str,
    args: Vec<Arg>,
}

#[derive(Debug, Clone)]
struct Section {
    default: &'static str,
    x32: bool,
    rules: Vec<Rule>,
    allow: Vec<&'static str>,
    deny: Vec<&'static str>,
}

/// What a file says and what the kernel takes it for, the strictest first.
const ANSWERS: [(&str, &str, u32); 6] = [
    (
        "kill",
        "action = \"kill-process\"",
        libc::SECCOMP_RET_KILL_PROCESS,
    ),
    (
        "EPERM",
        "action = \"errno\"\nerrno = \"EPERM\"",
        libc::SECCOMP_RET_ERRNO | 1,
    ),
    (
        "EACCES",
        "action = \"errno\"\nerrno = \"EACCES\"",
        libc::SECCOMP_RET_ERRNO | 13,
    ),
    (
        "ENOSYS",
        "action = \"errno\"\nerrno = \"ENOSYS\"",
        libc::SECCOMP_RET_ERRNO | 38,
    ),
    ("log", "action = \"log\"", libc::SECCOMP_RET_LOG),
    ("allow", "action = \"allow\"", libc::SECCOMP_RET_ALLOW),
];

fn row(answer: &str) -> (&'static str, u32) {
    let found = ANSWERS.iter().find(|row| row.0 == answer).unwrap();
    (found.1, found.2)
}

/// How strict it is; all errors are alike.
fn rank(answer: &str) -> usize {
    let place = ANSWERS.iter().position(|row| row.0 == answer).unwrap();
    [0, 1, 1, 1, 2, 3][place]
}

impl Section {
    fn text(&self) -> String {
        let Self {
            default,
            x32,
            rules,
            allow,
            deny,
        } = self;
        let default = row(default)
            .0
            .replace("action", "default-action")
            .replace("errno = ", "default-errno = ");
        let architectures = if *x32 {
            "\"native\", \"SCMP_ARCH_X32\""
        } else {
            "\"native\""
        };
        let mut text = format!(
            "name = \"x\"\ndescription = \"\"\n[seccomp]\n{default}\narchitectures = [{architectures}]\nallow = {allow:?}\ndeny = {deny:?}\n"
        );
        for Rule {
            names,
            answer,
            args,
        } in rules
        {
            let arg = |arg: &Arg| {
                let mask = arg
                    .mask
                    .map_or(String::new(), |mask| format!("mask = {mask:#x}, "));
                let list = if arg.none_of { "none-of" } else { "one-of" };
                let values = arg.values.iter().map(|value| format!("{value:#x}"));
                let values = values.collect::<Vec<_>>().join(", ");
                format!("{{ index = {}, {mask}{list} = [{values}] }}", arg.index)
            };
            let args: Vec<String> = args.iter().map(arg).collect();
            text += &format!(
                "[[seccomp.rules]]\nnames = {names:?}\nreason = \"\"\nargs = [{}]\n{}\n",
                args.join(", "),
                row(answer).0
            );
        }
        text
    }

    fn all_names(&self) -> impl Iterator<Item = &'static str> {
        let rules = self.rules.iter().flat_map(|rule| rule.names.clone());
        rules.chain(self.allow.clone()).chain(self.deny.clone())
    }

    /// The rules about a call: by its name, or by a group if no other rule has the name.
    fn about(&self, call: &str) -> Vec<&Rule> {
        let by_name = |rule: &&Rule| rule.names.contains(&call);
        match self.rules.iter().filter(by_name).count() {
            0 => self
                .rules
                .iter()
                .filter(|rule| has(&rule.names, call))
                .collect(),
            _ => self.rules.iter().filter(by_name).collect(),
        }
    }

    fn answer(&self, call: &Data) -> u32 {
        let is_x32 = call.nr & X32_BIT != 0 && call.nr != u32::MAX;
        let abi = match (call.arch == Abi::X8664.audit_arch(), is_x32) {
            (true, true) => Abi::X32,
            (true, false) => Abi::X8664,
            _ => Abi::Aarch64,
        };
        if abi == Abi::X32 && !self.x32 {
            return libc::SECCOMP_RET_KILL_PROCESS;
        }
        let Some(own) = name(abi, call.nr) else {
            return self.unnamed(abi, call.nr);
        };
        let rules = self.about(own);
        let is_tested = rules.iter().any(|rule| !rule.args.is_empty());
        if has(&self.deny, own) {
            return row("EPERM").1;
        }
        if self.allow.contains(&own) || has(&self.allow, own) && !is_tested {
            return row("allow").1;
        }
        let rules = rules.into_iter().filter(|rule| rule.answer != self.default);
        let rules: Vec<&Rule> = rules.collect();
        if rules.is_empty() {
            return self.unnamed(abi, call.nr);
        }
        if let Some(always) = rules.iter().find(|rule| rule.args.is_empty()) {
            return row(always.answer).1;
        }
        let matching = rules
            .iter()
            .filter(|rule| rule.args.iter().all(|arg| arg.holds(own, call)));
        let strictest = matching.min_by_key(|rule| rank(rule.answer));
        row(strictest.map_or(self.default, |rule| rule.answer)).1
    }

    /// Of a call without a rule: it is as if it did not exist, if it is newer than all that are named.
    fn unnamed(&self, abi: Abi, number: u32) -> u32 {
        let calls = self.all_names().flat_map(|name| match group(name) {
            Some(group) => group.calls().collect(),
            None => vec![name],
        });
        let numbers = calls
            .filter_map(|call| named(call)?.number(abi))
            .filter(|number| abi.is_dated(*number));
        let is_newer = numbers.max().is_some_and(|newest| number > newest);
        match rank(self.default) <= 1 && is_newer && abi.is_dated(number) {
            true => row("ENOSYS").1,
            false => row(self.default).1,
        }
    }
}

fn has(names: &[&str], call: &str) -> bool {
    names.iter().any(|name| {
        *name == call || group(name).is_some_and(|group| group.calls().any(|other| other == call))
    })
}

impl Arg {
    /// The low 32 bits, or those of the mask; never more than the kernel reads.
    fn holds(&self, name: &str, call: &Data) -> bool {
        let bits =
            named(name).unwrap().argument_bits(self.index) & self.mask.unwrap_or(0xffff_ffff);
        let value = call.args[self.index] & bits;
        let is_listed = self.values.iter().any(|listed| listed & bits == value);
        is_listed != self.none_of
    }
}

fn arg() -> impl Strategy<Value = Arg> {
    let masks = select(vec![
        None,
        None,
        Some(0xff),
        Some(0x7e02_0000),
        Some(u64::MAX),
    ]);
    let value = select(vec![
        0u64,
        1,
        0x10,
        0x2_0000,
        0x1000_0000,
        0xffff_ffff,
        1 << 32 | 1,
    ]);
    (
        0..3usize,
        masks,
        any::<bool>(),
        prop::collection::vec(value, 1..3),
    )
        .prop_map(|(index, mask, none_of, values)| {
            let none_of = none_of && mask.is_none();
            let values = values
                .into_iter()
                .map(|value| value & mask.unwrap_or(0xffff_ffff))
                .collect();
            Arg {
                index,
                mask,
                none_of,
                values,
            }
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    let names = (
        subsequence(&CALLS[..], 1..3),
        subsequence(&GROUPS[..], 0..2),
    );
    let answer = select(ANSWERS.map(|row| row.0).to_vec());
    (names, answer, prop::collection::vec(arg(), 0..3)).prop_map(
        |((mut names, groups), answer, mut args)| {
            names.extend(groups);
            args.sort_by_key(|arg| arg.index);
            args.dedup_by_key(|arg| arg.index);
            // Of a mode the kernel reads 16 bits, which none-of does not know.
            if args.iter().any(|arg| arg.none_of) {
                names.retain(|name| *name != "chmod" && !name.starts_with('@'));
                names.push("ioctl");
                names.dedup();
            }
            Rule {
                names,
                answer,
                args,
            }
        },
    )
}

fn section() -> impl Strategy<Value = Section> {
    let list = || {
        (
            subsequence(&CALLS[..], 0..2),
            subsequence(&GROUPS[..], 0..2),
        )
            .prop_map(|(names, groups)| [names, groups].concat())
    };
    let default = select(ANSWERS.map(|row| row.0).to_vec());
    (
        default,
        any::<bool>(),
        prop::collection::vec(rule(), 0..6),
        list(),
        list(),
    )
        .prop_map(|(default, x32, rules, allow, deny)| Section {
            default,
            x32,
            rules,
            allow,
            deny,
        })
}

/// Every call of the rules, with values at the edges of what they compare, and numbers beyond.
fn calls(section: &Section, abi: Abi) -> Vec<Data> {
    let mut values = vec![0, 1, 0xffff_ffff, u64::MAX];
    for value in section
        .rules
        .iter()
        .flat_map(|rule| &rule.args)
        .flat_map(|arg| &arg.values)
    {
        let halves = value.rotate_left(32);
        values.extend([
            *value,
            value.wrapping_add(1),
            value.wrapping_sub(1),
            value ^ 1 << 32,
            value | 7 << 40,
            halves,
        ]);
    }
    values.sort_unstable();
    values.dedup();
    let known = CALLS
        .iter()
        .chain(&["setns", "connect", "umount2", "read"])
        .filter_map(|call| named(call)?.number(abi));
    let numbers = known.chain([335, 440, 470, 4000]).chain([u32::MAX]);
    let x32 = |number: u32| {
        if number == 440 && abi == Abi::X8664 {
            number | X32_BIT
        } else {
            number
        }
    };
    numbers
        .flat_map(|number| {
            values
                .iter()
                .enumerate()
                .map(move |(at, value)| (number, at, *value))
        })
        .map(|(number, at, value)| {
            let mut args = [value; 6];
            args[at % 3] = values[(at * 7 + number as usize) % values.len()];
            Data {
                nr: x32(number),
                arch: abi.audit_arch(),
                args,
                ..Data::default()
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn program_of_a_profile_decides_as_its_file_reads(section in section()) {
        let text = section.text();
        let profile: Profile = toml::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let filter = tighten(&hardened_default(None), &profile, &Facts::default()).unwrap().filter.unwrap();
        for (host, abi) in [(Host::X8664, Abi::X8664), (Host::Aarch64, Abi::Aarch64)] {
            // The same tests with two answers are an error.
            let Ok(compiled) = compile_for(&filter, host) else { continue };
            validate(&compiled.program).unwrap();
            for call in calls(&section, abi) {
                prop_assert_eq!(run(&compiled.program, &call), section.answer(&call), "{:?} {:x?}\n{}", host, call, text);
            }
        }
    }
}
