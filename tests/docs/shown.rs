//! Compares what a command wrote with what a page shows of it: `…` in a line stands for any text, a line that is `…` alone
//! for any lines.

/// The mark for what may be anything.
const ANY: &str = "…";

/// Is this what is shown?
pub(crate) fn is_shown(lines: &[&str], shown: &[&str]) -> bool {
    match (lines, shown) {
        ([], []) => true,
        (_, [first, rest @ ..]) if *first == ANY => {
            (0..=lines.len()).any(|skipped| is_shown(&lines[skipped..], rest))
        }
        ([line, lines @ ..], [first, rest @ ..]) => {
            line_is_shown(line.trim_end(), first.trim_end()) && is_shown(lines, rest)
        }
        _ => false,
    }
}

fn line_is_shown(line: &str, shown: &str) -> bool {
    match shown.split_once(ANY) {
        None => line == shown,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| line_is_shown(&rest[at..], after))
        }),
    }
}

mod tests {
    use super::is_shown;

    #[test]
    fn dots_stand_for_any_text_and_any_lines() {
        let lines = ["pid 17 runs", "a", "b", "end"];
        for shown in [
            &["pid 17 runs", "a", "b", "end"][..],
            &["pid … runs", "…", "end"],
            &["…"],
            &["…", "b", "…"],
            &["pid …", "a", "b", "…", "end", "…"],
        ] {
            assert!(is_shown(&lines, shown), "{shown:?}");
        }
        for shown in [
            &["pid 17 runs", "a", "end"][..],
            &["pid … run", "…"],
            &["…", "a"],
            &[],
        ] {
            assert!(!is_shown(&lines, shown), "{shown:?}");
        }
    }
}
