//! On which line of a file a key is. What the keys mean is not here.

use toml::de::{DeTable, DeValue};

/// The lines of a file of TOML.
pub(super) struct Lines<'a> {
    text: &'a str,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text }
    }

    /// Of a key such as `seccomp.rules[2].names[0]`, or of the nearest one above it; `None` where not even its section is.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        let table = DeTable::parse(self.text).ok()?.into_inner();
        let mut start = None;
        let mut node: Option<&DeValue<'_>> = None;
        for part in key.split(['.', '[']) {
            let found = match (node, part.strip_suffix(']')) {
                (None, _) => find(&table, part),
                (Some(DeValue::Table(table)), None) => find(table, part),
                (Some(DeValue::Array(items)), Some(index)) => {
                    let item = index
                        .parse::<usize>()
                        .ok()
                        .and_then(|index| items.get(index));
                    item.map(|item| (item.span().start, item.get_ref()))
                }
                _ => None,
            };
            let Some((at, below)) = found else { break };
            start = Some(at);
            node = Some(below);
        }
        Some(self.text.get(..start?)?.matches('\n').count() + 1)
    }
}

fn find<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<(usize, &'t DeValue<'i>)> {
    let (found, value) = table
        .iter()
        .find(|(found, _)| found.get_ref().as_ref() == key)?;
    Some((found.span().start, value.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_or_the_nearest_above_it_is_found() {
        let text = "name = \"x\"\n\n[limits]\npids = { maximum = 1 }\n\n[[seccomp.rules]]\nnames = [\n    \"a\",\n    \"b\",\n]\n\n[[seccomp.rules]]\nnames = []\n";
        let lines = Lines::of(text);
        let line = |key| lines.line(key);
        assert_eq!(line("name"), Some(1));
        assert_eq!(line("limits.pids.maximum"), Some(4));
        assert_eq!(line("limits.memory"), Some(3));
        assert_eq!(line("seccomp.rules[0].names[1]"), Some(9));
        assert_eq!(line("seccomp.rules[1]"), Some(12));
        assert_eq!(line("identity.non-root"), None);
    }
}
