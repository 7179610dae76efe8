//! The device rules of a container: `linux.resources.devices` and the defaults, as a v1 list or a v2 eBPF program.
//! The last rule that matches a device decides, separately for reading, writing and making its node; without one, no.

mod allowed;

pub(super) use allowed::allowed;

use crate::error::{Error, Result, quote};
use crate::spec::{Device, DeviceRule};
use crate::sys::bpf::Instruction;

const READ: u8 = 1;
const WRITE: u8 = 2;
const MKNOD: u8 = 4;
const ALL: u8 = READ | WRITE | MKNOD;

/// A rule that every container gets: type, major, minor (none is all), access, and the node's path in the container.
pub type Default = (
    char,
    Option<i64>,
    Option<i64>,
    &'static str,
    Option<&'static str>,
);

/// The devices that config-linux.md "Default Devices" asks for, and making (not opening) any node.
pub const DEFAULT: [Default; 10] = [
    ('c', None, None, "m", None),
    ('b', None, None, "m", None),
    ('c', Some(1), Some(3), "rwm", Some("/dev/null")),
    ('c', Some(1), Some(8), "rwm", Some("/dev/random")),
    ('c', Some(1), Some(7), "rwm", Some("/dev/full")),
    ('c', Some(5), Some(0), "rwm", Some("/dev/tty")),
    ('c', Some(1), Some(5), "rwm", Some("/dev/zero")),
    ('c', Some(1), Some(9), "rwm", Some("/dev/urandom")),
    // Pseudo-terminals: the other end, of any devpts, and the multiplexer. /dev/console is one of the first.
    ('c', Some(136), None, "rwm", None),
    ('c', Some(5), Some(2), "rwm", None),
];

/// The config's rules, then the defaults without those whose node `linux.devices` replaces by another. Never empty.
pub fn device_rules(config: &[DeviceRule], linux_devices: &[Device]) -> Vec<DeviceRule> {
    let replaced = |path: &str| linux_devices.iter().any(|device| device.path == path);
    let defaults = DEFAULT
        .iter()
        .filter(|(.., path)| !path.is_some_and(replaced))
        .map(|&(kind, major, minor, access, _)| DeviceRule {
            allow: true,
            kind: Some(kind.to_string()),
            major,
            minor,
            access: Some(access.to_owned()),
        });
    config.iter().cloned().chain(defaults).collect()
}

/// A set of devices: block, character or both; all majors or minors where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Devices {
    block: bool,
    char: bool,
    major: Option<u32>,
    minor: Option<u32>,
}

impl Devices {
    const EVERY: Self = Self {
        block: true,
        char: true,
        major: None,
        minor: None,
    };

    fn contains(&self, other: &Self) -> bool {
        let number = |own: Option<u32>, other| own.is_none() || own == other;
        (self.block || !other.block)
            && (self.char || !other.char)
            && number(self.major, other.major)
            && number(self.minor, other.minor)
    }

    fn meets(&self, other: &Self) -> bool {
        let number = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        (self.block && other.block || self.char && other.char)
            && number(self.major, other.major)
            && number(self.minor, other.minor)
    }
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    allow: bool,
    devices: Devices,
    access: u8,
}

fn parse(rules: &[DeviceRule]) -> Result<Vec<Rule>> {
    let one = |(index, rule): (usize, &DeviceRule)| {
        let refuse = |name: &str, text: &str| {
            let field = format!("linux.resources.devices[{index}].{name}");
            Error::new(field, format!("{} is no such thing", quote(text)))
        };
        let (block, char) = match rule.kind.as_deref().unwrap_or("a") {
            "a" | "" => (true, true),
            "b" => (true, false),
            "c" | "u" => (false, true),
            other => return Err(refuse("type", other)),
        };
        let number = |name: &str, value: Option<i64>, bits: u32| match value.unwrap_or(-1) {
            -1 => Ok(None),
            value if (0..1 << bits).contains(&value) => Ok(u32::try_from(value).ok()),
            value => Err(refuse(name, &value.to_string())),
        };
        let devices = Devices {
            block,
            char,
            major: number("major", rule.major, 12)?,
            minor: number("minor", rule.minor, 20)?,
        };
        let access = access(rule.access.as_deref()).map_err(|text| refuse("access", text))?;
        Ok(Rule {
            allow: rule.allow,
            devices,
            access,
        })
    };
    rules.iter().enumerate().map(one).collect()
}

/// Absent or empty is all of it: a rule that denies must not turn into one that does nothing.
fn access(text: Option<&str>) -> std::result::Result<u8, &str> {
    let text = text.unwrap_or_default();
    let mut bits = 0;
    for letter in text.chars() {
        bits |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            // Loading refuses it in a rule that allows.
            'a' => ALL,
            _ => return Err(text),
        };
    }
    Ok(if bits == 0 { ALL } else { bits })
}

/// The writes that make a v1 devices cgroup obey `rules`: file (`devices.deny` or `devices.allow`) and line.
///
/// # Errors
/// For a malformed rule, and for one that takes back part of what an earlier rule says of more devices: a v1 list
/// has no order.
pub(super) fn device_list(rules: &[DeviceRule]) -> Result<Vec<(&'static str, String)>> {
    let mut list = List {
        allow: false,
        exceptions: Vec::new(),
    };
    for (index, rule) in parse(rules)?.into_iter().enumerate() {
        list.add(rule).map_err(|cause| {
            Error::new(format!("linux.resources.devices[{index}]"), cause)
                .hint("put the rule for more devices first and allow or deny single ones after it")
        })?;
    }
    let (default, exception) = if list.allow {
        ("devices.allow", "devices.deny")
    } else {
        ("devices.deny", "devices.allow")
    };
    let mut writes = vec![(default, "a".to_owned())];
    writes.extend(
        list.exceptions
            .iter()
            .map(line)
            .map(|line| (exception, line)),
    );
    Ok(writes)
}

/// What v1 can say: everything or nothing, with exceptions.
struct List {
    allow: bool,
    exceptions: Vec<(Devices, u8)>,
}

impl List {
    fn add(&mut self, rule: Rule) -> std::result::Result<(), &'static str> {
        if rule.devices == Devices::EVERY && rule.access == ALL {
            self.allow = rule.allow;
            self.exceptions.clear();
            return Ok(());
        }
        if rule.devices.block && rule.devices.char {
            self.add(Rule {
                devices: Devices {
                    char: false,
                    ..rule.devices
                },
                ..rule
            })?;
            return self.add(Rule {
                devices: Devices {
                    block: false,
                    ..rule.devices
                },
                ..rule
            });
        }
        if rule.allow != self.allow {
            match self
                .exceptions
                .iter_mut()
                .find(|(devices, _)| *devices == rule.devices)
            {
                Some((_, access)) => *access |= rule.access,
                None => self.exceptions.push((rule.devices, rule.access)),
            }
            return Ok(());
        }
        for (devices, access) in &mut self.exceptions {
            if rule.devices.contains(devices) {
                *access &= !rule.access;
            } else if rule.devices.meets(devices) && *access & rule.access != 0 {
                return Err(
                    "cgroup v1 cannot make an exception of an earlier rule for more devices",
                );
            }
        }
        self.exceptions.retain(|(_, access)| *access != 0);
        Ok(())
    }
}

/// `c 1:3 rwm`, as devices.list prints it.
fn line((devices, access): &(Devices, u8)) -> String {
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter(|(bit, _)| access & bit != 0)
        .map(|(_, letter)| *letter)
        .collect();
    let kind = if devices.block { 'b' } else { 'c' };
    format!(
        "{kind} {}:{} {letters}",
        number(devices.major),
        number(devices.minor)
    )
}

/// Whether devices.list reads as the writes of [`device_list`] want it.
pub(super) fn is_listed(writes: &[(&str, String)], text: &str) -> bool {
    let mut read: Vec<&str> = text.lines().collect();
    let mut wanted: Vec<&str> = match writes.first() {
        // Exceptions of "everything" are not shown.
        Some(("devices.allow", _)) => vec!["a *:* rwm"],
        _ => writes
            .iter()
            .skip(1)
            .map(|(_, line)| line.as_str())
            .collect(),
    };
    read.sort_unstable();
    wanted.sort_unstable();
    read == wanted
}

// linux/bpf.h: instruction classes with operation and source, and the numbers of struct bpf_cgroup_dev_ctx.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;
const BLOCK_DEVICE: i32 = 1;
const CHAR_DEVICE: i32 = 2;

const RESULT: u8 = 0;
const ARGUMENT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: to | from << 4,
        offset,
        immediate,
    }
}

/// The eBPF program (BPF_PROG_TYPE_CGROUP_DEVICE) that obeys `rules`. From the last rule to the first: an allowing one
/// takes its access out of what is asked, and nothing left means yes; a denying one that meets what is left means no.
///
/// # Errors
/// For a malformed rule.
pub fn device_program(rules: &[DeviceRule]) -> Result<Vec<Instruction>> {
    let mut program = vec![
        instruction(LOAD_WORD, KIND, ARGUMENT, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, ARGUMENT, 4, 0),
        instruction(LOAD_WORD, MINOR, ARGUMENT, 8, 0),
    ];
    for rule in parse(rules)?.iter().rev() {
        program.extend(block(rule));
        // The verifier refuses instructions that are never reached.
        if rule.devices == Devices::EVERY && rule.access == ALL {
            return Ok(program);
        }
    }
    program.extend(verdict(false));
    Ok(program)
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        instruction(MOVE, RESULT, 0, 0, i32::from(allow)),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// One rule; every jump that finds it does not apply goes to the end of its block.
fn block(rule: &Rule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    let mut unless = |register: u8, value: i32| {
        tests.push(instruction(JUMP_NOT_EQUAL, register, 0, 0, value));
    };
    match (rule.devices.block, rule.devices.char) {
        (true, false) => unless(KIND, BLOCK_DEVICE),
        (false, true) => unless(KIND, CHAR_DEVICE),
        _ => {}
    }
    for (register, number) in [(MAJOR, rule.devices.major), (MINOR, rule.devices.minor)] {
        if let Some(number) = number {
            // At most 20 bits, which `parse` has seen to.
            unless(register, number.cast_signed());
        }
    }
    let bits = kernel_access(rule.access);
    if rule.access != ALL && rule.allow {
        tests.push(instruction(AND, ACCESS, 0, 0, !bits));
        tests.push(instruction(JUMP_NOT_EQUAL, ACCESS, 0, 0, 0));
    } else if rule.access != ALL {
        tests.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
        tests.push(instruction(AND, SCRATCH, 0, 0, bits));
        tests.push(instruction(JUMP_EQUAL, SCRATCH, 0, 0, 0));
    }
    tests.extend(verdict(rule.allow));
    let end = tests.len();
    for (at, test) in tests.iter_mut().enumerate() {
        if matches!(test.code, JUMP_EQUAL | JUMP_NOT_EQUAL) {
            test.offset =
                i16::try_from(end - at - 1).expect("a block has at most nine instructions");
        }
    }
    tests
}

/// BPF_DEVCG_ACC_MKNOD, _READ and _WRITE are 1, 2 and 4.
fn kernel_access(access: u8) -> i32 {
    [(MKNOD, 1), (READ, 2), (WRITE, 4)]
        .iter()
        .filter(|(bit, _)| access & bit != 0)
        .map(|(_, value)| value)
        .sum()
}

#[cfg(test)]
mod tests;
