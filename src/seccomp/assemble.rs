//! From a policy to a BPF program: the architecture, then a binary tree over ranges of call numbers.
//! What the policy says is in `policy`. The program is written from its end, so that every jump's target, which lies
//! behind the jump, already has its place; an identical policy gives an identical program.

use std::collections::HashMap;

use super::bpf::{AND, EQUAL, GREATER, GREATER_EQUAL, JUMP, LOAD, RETURN};
use super::policy::{Call, Compare, Policy, Test};

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A conditional jump spans 255 instructions; a few stay free for the detours that its two targets may need.
const NEAR: usize = 250;

/// The program for a policy. It may be longer than the kernel takes; the caller checks.
pub(super) fn assemble(policy: &Policy) -> Vec<libc::sock_filter> {
    let mut program = Reversed::default();
    let mut other = program.answer(libc::SECCOMP_RET_KILL_PROCESS);
    for section in policy.sections.iter().rev() {
        let tree = program.tree(&section.ranges);
        let entry = program.load(NUMBER, tree);
        other = program.branch(EQUAL, section.audit_arch, entry, other);
    }
    program.load(ARCHITECTURE, other);
    program.code.reverse();
    program.code
}

/// Where an instruction is, counted from the end of the program.
type Place = usize;

#[derive(Default)]
struct Reversed {
    code: Vec<libc::sock_filter>,
    answers: HashMap<u32, Place>,
    calls: HashMap<Call, Place>,
}

impl Reversed {
    fn tree(&mut self, ranges: &[(u32, Call)]) -> Place {
        if let [(_, call)] = ranges {
            return self.call(call);
        }
        let middle = ranges.len() / 2;
        let high = self.tree(&ranges[middle..]);
        let low = self.tree(&ranges[..middle]);
        self.branch(GREATER_EQUAL, ranges[middle].0, high, low)
    }

    fn call(&mut self, call: &Call) -> Place {
        if call.rules.is_empty() {
            return self.answer(call.otherwise);
        }
        if let Some(&place) = self.calls.get(call) {
            return place;
        }
        let mut next = self.answer(call.otherwise);
        for rule in call.rules.iter().rev() {
            let mut then = self.answer(rule.action);
            for test in rule.tests.iter().rev() {
                then = self.test(test, then, next);
            }
            next = then;
        }
        self.calls.insert(call.clone(), next);
        next
    }

    fn test(&mut self, test: &Test, then: Place, or: Place) -> Place {
        let (then, or) = if test.negated { (or, then) } else { (then, or) };
        let low = ARGUMENTS + 8 * u32::from(test.index);
        let high = low + 4;
        match test.compare {
            Compare::Equal { mask, value } => {
                let then = self.equal(low, mask as u32, value as u32, then, or);
                self.equal(high, (mask >> 32) as u32, (value >> 32) as u32, then, or)
            }
            Compare::Greater { bits, value } => {
                let narrow = self.branch(GREATER, value as u32, then, or);
                self.ordered(low, bits, value, narrow, (then, or))
            }
            Compare::GreaterEqual { bits, value } => {
                let narrow = self.branch(GREATER_EQUAL, value as u32, then, or);
                self.ordered(low, bits, value, narrow, (then, or))
            }
        }
    }

    fn equal(&mut self, offset: u32, mask: u32, value: u32, then: Place, or: Place) -> Place {
        if mask == 0 {
            return then;
        }
        let compare = self.branch(EQUAL, value, then, or);
        let masked = self.mask(mask, compare);
        self.load(offset, masked)
    }

    /// `narrow` compares the low half; the high half, where the kernel reads it, decides first.
    fn ordered(
        &mut self,
        low: u32,
        bits: u64,
        value: u64,
        narrow: Place,
        ends: (Place, Place),
    ) -> Place {
        let masked = self.mask(bits as u32, narrow);
        let load_low = self.load(low, masked);
        if bits >> 32 == 0 {
            return load_low;
        }
        let (then, or) = ends;
        let high = (value >> 32) as u32;
        let same = self.branch(EQUAL, high, load_low, or);
        let greater = self.branch(GREATER, high, then, same);
        self.load(low + 4, greater)
    }

    fn mask(&mut self, mask: u32, next: Place) -> Place {
        if mask == u32::MAX {
            return next;
        }
        self.before(next);
        self.push(AND, 0, 0, mask)
    }

    fn load(&mut self, offset: u32, next: Place) -> Place {
        self.before(next);
        self.push(LOAD, 0, 0, offset)
    }

    fn answer(&mut self, action: u32) -> Place {
        let known = self.answers.get(&action).copied();
        if let Some(place) = known.filter(|&place| self.distance(place) < NEAR) {
            return place;
        }
        let place = self.push(RETURN, 0, 0, action);
        self.answers.insert(action, place);
        place
    }

    fn branch(&mut self, code: u16, k: u32, then: Place, or: Place) -> Place {
        if then == or {
            return then;
        }
        let then = self.near(then);
        let or = self.near(or);
        let (jt, jf) = (self.distance(then), self.distance(or));
        debug_assert!(jt.max(jf) <= 255);
        self.push(code, jt as u8, jf as u8, k)
    }

    /// A place that a conditional jump reaches and that leads to `target`.
    fn near(&mut self, target: Place) -> Place {
        if self.distance(target) < NEAR {
            return target;
        }
        let far = self.code[target];
        if far.code == RETURN {
            return self.answer(far.k);
        }
        self.jump(target)
    }

    /// Makes `next` the instruction that follows the one about to be written.
    fn before(&mut self, next: Place) {
        if self.distance(next) > 0 {
            self.jump(next);
        }
    }

    fn jump(&mut self, target: Place) -> Place {
        let distance = self.distance(target) as u32;
        self.push(JUMP, 0, 0, distance)
    }

    /// How many instructions lie between the one about to be written and `target`.
    fn distance(&self, target: Place) -> usize {
        self.code.len() - 1 - target
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Place {
        self.code.push(libc::sock_filter { code, jt, jf, k });
        self.code.len() - 1
    }
}
