//! The instructions that a filter is made of, and an evaluator that runs one outside the kernel.
//! How a policy becomes instructions is in `assemble`. The rules are those of seccomp(2) and of the kernel's own check.

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// The kernel's limit on a program, in instructions (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// `A = word at offset k of seccomp_data`.
pub const LOAD: u16 = 0x20;
/// `A &= k`.
pub const AND: u16 = 0x54;
/// Goes on `k` instructions further.
pub const JUMP: u16 = 0x05;
/// Tests `A == k`.
pub const EQUAL: u16 = 0x15;
/// Tests `A > k`.
pub const GREATER: u16 = 0x25;
/// Tests `A >= k`.
pub const GREATER_EQUAL: u16 = 0x35;
/// Tests `A & k != 0`.
pub const ANY_BIT: u16 = 0x45;
/// Ends with action `k`.
pub const RETURN: u16 = 0x06;

/// One system call as a filter sees it (`struct seccomp_data`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Data {
    /// The number, the bits of the kernel's `int`.
    pub nr: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The six argument registers.
    pub args: [u64; 6],
}

impl Data {
    /// The word at a byte offset; the layout is little-endian on every ABI that we filter.
    fn word(&self, offset: u32) -> Option<u32> {
        let wide = match offset {
            0 => return Some(self.nr),
            4 => return Some(self.arch),
            8 | 12 => self.instruction_pointer,
            16..64 if offset.is_multiple_of(4) => self.args[(offset as usize - 16) / 8],
            _ => return None,
        };
        let shift = if offset.is_multiple_of(8) { 0 } else { 32 };
        Some((wide >> shift) as u32)
    }
}

/// Runs a program on one call and returns its action (`SECCOMP_RET_*` with data bits).
///
/// # Errors
/// When the kernel would refuse the program, or it holds an instruction that our filters never use.
pub fn evaluate(program: &[libc::sock_filter], call: &Data) -> Result<u32> {
    validate(program)?;
    Ok(run(program, call))
}

/// The same for a program that is known to be valid.
pub(super) fn run(program: &[libc::sock_filter], call: &Data) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let instruction = program[at];
        let k = instruction.k;
        let skip = match instruction.code {
            RETURN => return k,
            LOAD => {
                accumulator = call.word(k).expect("validated offset");
                at += 1;
                continue;
            }
            AND => {
                accumulator &= k;
                at += 1;
                continue;
            }
            JUMP => {
                at += 1 + k as usize;
                continue;
            }
            code if holds(code, accumulator, k) => instruction.jt,
            _ => instruction.jf,
        };
        at += 1 + usize::from(skip);
    }
}

/// All that a valid program may answer to a call of which only these words are known, by their offsets: for the others both
/// ways are gone. It may be more than there is, where words that are asked about twice are unknown.
pub fn answers(program: &[libc::sock_filter], known: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut answers = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(0, Some(0))];
    while let Some((at, accumulator)) = open.pop() {
        if !seen.insert((at, accumulator)) {
            continue;
        }
        let instruction = &program[at];
        let k = instruction.k;
        let ways = [instruction.jt, instruction.jf].map(|skip| at + 1 + usize::from(skip));
        match (instruction.code, accumulator) {
            (RETURN, _) => {
                answers.insert(k);
            }
            (LOAD, _) => {
                let word = known.iter().find(|(offset, _)| *offset == k);
                open.push((at + 1, word.map(|(_, word)| *word)));
            }
            (AND, _) => open.push((at + 1, accumulator.map(|word| word & k))),
            (JUMP, _) => open.push((at + 1 + k as usize, accumulator)),
            (code, Some(word)) => {
                let way = ways[usize::from(!holds(code, word, k))];
                open.push((way, accumulator));
            }
            (_, None) => open.extend(ways.map(|way| (way, None))),
        }
    }
    answers
}

/// Whether a test of the accumulator holds.
fn holds(code: u16, accumulator: u32, k: u32) -> bool {
    match code {
        EQUAL => accumulator == k,
        GREATER => accumulator > k,
        GREATER_EQUAL => accumulator >= k,
        _ => accumulator & k != 0,
    }
}

/// Checks what the kernel checks: the size, known instructions, aligned loads, jumps inside, a return at the end.
///
/// # Errors
/// Naming the first instruction that is wrong.
pub fn validate(program: &[libc::sock_filter]) -> Result<()> {
    let broken = |cause: String| Err(Error::new("check the seccomp program", cause));
    let len = program.len();
    if len == 0 || len > MAX_INSTRUCTIONS {
        return broken(format!(
            "{len} instructions are not 1 to {MAX_INSTRUCTIONS}"
        ));
    }
    for (at, instruction) in program.iter().enumerate() {
        let left = len - at - 1;
        let sound = match instruction.code {
            RETURN | AND => true,
            LOAD => Data::default().word(instruction.k).is_some(),
            JUMP => (instruction.k as usize) < left,
            EQUAL | GREATER | GREATER_EQUAL | ANY_BIT => {
                usize::from(instruction.jt.max(instruction.jf)) < left
            }
            _ => false,
        };
        if !sound {
            return broken(format!(
                "instruction {at} of {len} is not valid: {instruction:?}"
            ));
        }
    }
    if program[len - 1].code != RETURN {
        return broken("the last instruction does not return".into());
    }
    Ok(())
}

/// A filter's answer in the specification's words: `SCMP_ACT_ERRNO(38)`.
pub fn ret_words(ret: u32) -> String {
    let data = ret & libc::SECCOMP_RET_DATA;
    match ret & libc::SECCOMP_RET_ACTION_FULL {
        libc::SECCOMP_RET_KILL_PROCESS => "SCMP_ACT_KILL_PROCESS".into(),
        libc::SECCOMP_RET_KILL_THREAD => "SCMP_ACT_KILL_THREAD".into(),
        libc::SECCOMP_RET_TRAP => "SCMP_ACT_TRAP".into(),
        libc::SECCOMP_RET_ERRNO => format!("SCMP_ACT_ERRNO({data})"),
        libc::SECCOMP_RET_USER_NOTIF => "SCMP_ACT_NOTIFY".into(),
        libc::SECCOMP_RET_TRACE => format!("SCMP_ACT_TRACE({data})"),
        libc::SECCOMP_RET_LOG => "SCMP_ACT_LOG".into(),
        libc::SECCOMP_RET_ALLOW => "SCMP_ACT_ALLOW".into(),
        _ => format!("{ret:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }

    #[test]
    fn loads_read_both_halves_of_an_argument() {
        let mut call = Data::default();
        call.args[1] = 0x1122_3344_5566_7788;
        assert_eq!(call.word(24), Some(0x5566_7788));
        assert_eq!(call.word(28), Some(0x1122_3344));
        assert_eq!(call.word(64), None);
        assert_eq!(call.word(17), None);
    }

    #[test]
    fn jump_past_the_end_is_refused() {
        let program = [instruction(EQUAL, 1, 0, 0), instruction(RETURN, 0, 0, 0)];
        assert!(evaluate(&program, &Data::default()).is_err());
    }

    #[test]
    fn program_without_return_is_refused() {
        assert!(validate(&[instruction(LOAD, 0, 0, 0)]).is_err());
        assert!(validate(&[]).is_err());
    }

    #[test]
    fn answers_are_spelt_as_in_the_specification() {
        assert_eq!(ret_words(0x0005_0026), "SCMP_ACT_ERRNO(38)");
        assert_eq!(ret_words(0x7fff_0000), "SCMP_ACT_ALLOW");
        assert_eq!(ret_words(0x8000_0000), "SCMP_ACT_KILL_PROCESS");
    }
}
