//! What the filter answers to every number on every architecture: the rules, settled.
//! How rules are read is in `rules`, how the policy becomes BPF in `assemble`.
//!
//! - A rule that repeats the default action is left out.
//! - The first rule without conditions wins for its call and beats every conditional one (libseccomp).
//! - Of several conditional rules that match, the strictest action wins, in the kernel's order between filters
//!   (seccomp(2)); equally strict ones in the order of the document. The same conditions with another action are an error.
//! - Calls newer than the newest that the profile names get ENOSYS, so that programs fall back, if the default denies.
//! - Other architectures are answered with SCMP_ACT_KILL_PROCESS: no program falls back to them by chance.

use std::collections::{BTreeMap, BTreeSet};

use super::Warning;
use super::action::strictness;
use super::multiplex::multiplexed;
use super::rules::Rule as Read;
use crate::error::{Error, Result, quote};
use crate::names::syscalls::{Abi, Syscall, X32_BIT, named};
use crate::spec::{SeccompArg, SeccompOp};

/// The whole filter.
pub(super) struct Policy {
    pub(super) sections: Vec<Section>,
}

/// The calls of one `seccomp_data.arch`: each range starts at its number and ends before the next; the first is 0.
pub(super) struct Section {
    pub(super) audit_arch: u32,
    pub(super) ranges: Vec<(u32, Call)>,
}

/// What happens to a call: the first matching rule's action, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) rules: Vec<Rule>,
    pub(super) otherwise: u32,
}

/// An action for arguments that pass every test.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) action: u32,
    pub(super) tests: Vec<Test>,
}

/// One comparison of one argument, cut to the bits that the kernel reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Test {
    pub(super) index: u8,
    pub(super) compare: Compare,
    pub(super) negated: bool,
}

/// The comparisons that BPF has; the others are these, negated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Compare {
    Equal { mask: u64, value: u64 },
    Greater { bits: u64, value: u64 },
    GreaterEqual { bits: u64, value: u64 },
}

/// The rules settled for the given ABIs. `default` is the answer to calls that no rule matches.
///
/// # Errors
/// Two rules for one call with the same conditions and different actions, naming the second.
pub(super) fn settle(
    rules: &[Read],
    abis: &[Abi],
    default: u32,
    warnings: &mut Vec<Warning>,
) -> Result<Policy> {
    let mut sections: Vec<Section> = Vec::new();
    for &abi in abis.iter().filter(|&&abi| abi != Abi::X32) {
        let ranges = Numbers::read(rules, abi, default, warnings)?.ranges();
        sections.push(Section {
            audit_arch: abi.audit_arch(),
            ranges,
        });
    }
    let x86_64 = sections
        .iter_mut()
        .find(|s| s.audit_arch == Abi::X8664.audit_arch());
    if let Some(section) = x86_64 {
        let x32 = match abis.contains(&Abi::X32) {
            true => Numbers::read(rules, Abi::X32, default, warnings)?.ranges(),
            false => vec![(0, plain(libc::SECCOMP_RET_KILL_PROCESS))],
        };
        add_x32(&mut section.ranges, x32);
    }
    Ok(Policy { sections })
}

/// Puts x32's ranges above its bit. The number -1, which a tracer sets to skip a call, stays a native one.
fn add_x32(ranges: &mut Vec<(u32, Call)>, x32: Vec<(u32, Call)>) {
    let last = ranges
        .last()
        .expect("the first range starts at 0")
        .1
        .clone();
    ranges.retain(|range| range.0 < X32_BIT);
    let start = x32
        .iter()
        .rposition(|range| range.0 <= X32_BIT)
        .unwrap_or(0);
    let above = x32.into_iter().skip(start);
    ranges.extend(above.map(|(number, call)| (number.max(X32_BIT), call)));
    ranges.push((u32::MAX, last));
    ranges.dedup_by(|next, range| next.1 == range.1);
}

fn plain(action: u32) -> Call {
    Call {
        rules: Vec::new(),
        otherwise: action,
    }
}

/// The calls of one ABI by number.
struct Numbers {
    abi: Abi,
    default: u32,
    newest: Option<u32>,
    drafts: BTreeMap<u32, Draft>,
}

/// The rules for one number so far; a condition list carries where it was written and how.
#[derive(Default)]
struct Draft {
    always: Option<u32>,
    sometimes: Vec<(usize, Vec<SeccompArg>, Rule)>,
}

impl Numbers {
    fn read(rules: &[Read], abi: Abi, default: u32, warnings: &mut Vec<Warning>) -> Result<Self> {
        let mut numbers = Self {
            abi,
            default,
            newest: None,
            drafts: BTreeMap::new(),
        };
        for rule in rules {
            for &call in &rule.calls {
                numbers.add(rule, call)?;
                if abi == Abi::X86 {
                    numbers.add_multiplexed(rule, call, warnings)?;
                }
            }
        }
        numbers.warn_of_shadows(warnings);
        Ok(numbers)
    }

    fn add(&mut self, rule: &Read, call: Syscall) -> Result<()> {
        let Some(number) = call.number(self.abi) else {
            return Ok(());
        };
        if self.abi.is_dated(number) {
            self.newest = self.newest.max(Some(number));
        }
        let read = if self.abi.is_32_bit() {
            0xffff_ffff
        } else {
            u64::MAX
        };
        for args in &rule.alternatives {
            let bits = |arg: &SeccompArg| call.argument_bits(arg.index as usize) & read;
            self.place(number, rule, args, bits)?;
        }
        Ok(())
    }

    /// On 32-bit x86 sockets and System V IPC also go through socketcall(2) and ipc(2), whose arguments lie in memory,
    /// out of a filter's sight. A rule without conditions is followed there. One with conditions cannot be: it applies to
    /// the whole sub-call if it is stricter than the default, and is left out if not.
    fn add_multiplexed(
        &mut self,
        rule: &Read,
        call: Syscall,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let Some((gate, sub_call)) = multiplexed(call.name()) else {
            return Ok(());
        };
        let number = named(gate).and_then(|gate| gate.number(self.abi));
        let number = number.expect("both gates are in the table");
        if rule.alternatives.iter().any(|args| !args.is_empty()) {
            warn_once(
                warnings,
                format!(
                    "linux.seccomp.syscalls: on SCMP_ARCH_X86 the arguments of {} cannot be checked through {gate}",
                    call.name(),
                ),
            );
            if strictness(rule.action) >= strictness(self.default) {
                return Ok(());
            }
        }
        // ipc(2) reads a version from the high half of its first argument.
        let mask = if gate == "ipc" { 0xffff } else { 0xffff_ffff };
        let arg = SeccompArg {
            index: 0,
            value: mask,
            value_two: sub_call,
            op: SeccompOp::MaskedEqual,
        };
        let draft = self.drafts.get(&number);
        let known = draft.is_some_and(|d| d.sometimes.iter().any(|s| s.1 == [arg.clone()]));
        if known {
            return Ok(());
        }
        self.place(number, rule, &[arg], |_| mask)
    }

    fn place(
        &mut self,
        number: u32,
        rule: &Read,
        args: &[SeccompArg],
        bits: impl Fn(&SeccompArg) -> u64,
    ) -> Result<()> {
        if rule.action == self.default {
            return Ok(());
        }
        let draft = self.drafts.entry(number).or_default();
        if args.is_empty() {
            draft.always.get_or_insert(rule.action);
            return Ok(());
        }
        let mut written = args.to_vec();
        written.sort_by_key(|arg| (arg.index, arg.op, arg.value, arg.value_two));
        if let Some(same) = draft.sometimes.iter().find(|other| other.1 == written) {
            if same.2.action == rule.action {
                return Ok(());
            }
            return Err(Error::new(
                format!("linux.seccomp.syscalls[{}]", rule.at),
                format!(
                    "the conditions of linux.seccomp.syscalls[{}] for {} with another action",
                    same.0,
                    quote(crate::names::syscalls::name(self.abi, number).unwrap_or("?")),
                ),
            ));
        }
        let tests = written
            .iter()
            .map(|arg| Test::new(arg, bits(arg)))
            .collect();
        draft.sometimes.push((
            rule.at,
            written,
            Rule {
                action: rule.action,
                tests,
            },
        ));
        Ok(())
    }

    fn warn_of_shadows(&self, warnings: &mut Vec<Warning>) {
        for draft in self.drafts.values() {
            let Some(always) = draft.always else { continue };
            let shadowed = draft
                .sometimes
                .iter()
                .filter(|s| strictness(s.2.action) < strictness(always));
            for (at, ..) in shadowed {
                warn_once(
                    warnings,
                    format!(
                        "linux.seccomp.syscalls[{at}]: a rule without conditions for the same call makes it void"
                    ),
                );
            }
        }
    }

    /// The answers as ranges of numbers, neighbours with equal answers joined.
    fn ranges(self) -> Vec<(u32, Call)> {
        let mut starts = BTreeSet::from([0]);
        for &number in self.drafts.keys().chain(self.newest.as_ref()) {
            starts.extend([number, number + 1]);
        }
        starts.extend(match self.abi {
            Abi::X32 => vec![X32_BIT + 512, X32_BIT + 548],
            Abi::Arm => vec![0x000f_0000],
            _ => vec![],
        });
        let mut ranges: Vec<(u32, Call)> = starts
            .into_iter()
            .map(|start| (start, self.call(start)))
            .collect();
        ranges.dedup_by(|next, range| next.1 == range.1);
        ranges
    }

    fn call(&self, number: u32) -> Call {
        match self.drafts.get(&number) {
            Some(Draft {
                always: Some(action),
                ..
            }) => plain(*action),
            Some(draft) => {
                let mut rules: Vec<Rule> = draft.sometimes.iter().map(|s| s.2.clone()).collect();
                rules.sort_by_key(|rule| strictness(rule.action));
                Call {
                    rules,
                    otherwise: self.default,
                }
            }
            None if self.is_too_new(number) => {
                plain(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs())
            }
            None => plain(self.default),
        }
    }

    /// Where the default denies; one that allows, logs or asks a tracer covers new calls as well.
    fn is_too_new(&self, number: u32) -> bool {
        strictness(self.default) < strictness(libc::SECCOMP_RET_TRACE)
            && self.newest.is_some_and(|newest| number > newest)
            && self.abi.is_dated(number)
    }
}

impl Test {
    /// `bits` are those of the argument that the kernel reads; libseccomp ignores bits of `valueTwo` outside the mask.
    fn new(arg: &SeccompArg, bits: u64) -> Self {
        let value = arg.value;
        let compare = match arg.op {
            SeccompOp::Equal | SeccompOp::NotEqual => Compare::Equal {
                mask: bits,
                value: value & bits,
            },
            SeccompOp::MaskedEqual => {
                let mask = value & bits;
                Compare::Equal {
                    mask,
                    value: arg.value_two & mask,
                }
            }
            SeccompOp::GreaterThan | SeccompOp::LessEqual => greater(bits, value),
            SeccompOp::GreaterEqual | SeccompOp::LessThan => greater_equal(bits, value),
        };
        let negated = matches!(
            arg.op,
            SeccompOp::NotEqual | SeccompOp::LessThan | SeccompOp::LessEqual
        );
        Self {
            index: arg.index as u8,
            compare,
            negated,
        }
    }
}

fn greater(bits: u64, value: u64) -> Compare {
    Compare::Greater {
        bits,
        value: if is_above(bits, value) {
            bits
        } else {
            value & bits
        },
    }
}

fn greater_equal(bits: u64, value: u64) -> Compare {
    match is_above(bits, value) {
        true => Compare::Greater { bits, value: bits },
        false => Compare::GreaterEqual {
            bits,
            value: value & bits,
        },
    }
}

/// A value above every number of that width, which no argument exceeds; a negative one, sign-extended, is not.
fn is_above(bits: u64, value: u64) -> bool {
    value & !bits != 0 && value | bits != u64::MAX
}

fn warn_once(warnings: &mut Vec<Warning>, text: String) {
    let warning = Warning::Usual(text);
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}
