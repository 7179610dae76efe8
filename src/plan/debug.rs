//! What `--debug` says of a plan before it is carried out. `stockade plan` says more, without doing anything.

use super::{Plan, Step};

impl Plan {
    /// One line for each of the child's steps, then one for each seccomp filter.
    pub fn debug_lines(&self) -> Vec<String> {
        let steps = self.steps().map(|step| match step {
            Step::Affinity { cpus, .. } => {
                format!("step: {}, affinity: {}", self.subject(step), mask(cpus))
            }
            step => format!("step: {}", self.subject(step)),
        });
        let filters = self
            .filters
            .iter()
            .map(|filter| format!("seccomp filter flags: {}", filter.flags));
        steps.chain(filters).collect()
    }
}

/// Ranges of CPUs as the kernel's mask, one bit each, the first CPU the lowest: `0x5` for 0 and 2.
fn mask(cpus: &[(usize, usize)]) -> String {
    let is_in = |cpu: usize| {
        cpus.iter()
            .any(|&(first, last)| (first..=last).contains(&cpu))
    };
    let highest = cpus.iter().map(|&(_, last)| last).max().unwrap_or(0);
    let digit = |number: usize| -> u32 {
        (0..4)
            .map(|bit| u32::from(is_in(4 * number + bit)) << bit)
            .sum()
    };
    let digits = (0..=highest / 4).rev();
    let digits = digits.filter_map(|number| char::from_digit(digit(number), 16));
    format!("0x{}", digits.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_one_bit_for_each_cpu() {
        for (cpus, expected) in [
            (&[(0, 0)][..], "0x1"),
            (&[(0, 0), (2, 3)], "0xd"),
            (&[(4, 7)], "0xf0"),
            (&[(1, 1), (1023, 1023)], &format!("0x8{}2", "0".repeat(254))),
        ] {
            assert_eq!(mask(cpus), expected);
        }
    }
}
