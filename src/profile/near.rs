//! What a misspelt word may have meant.

use crate::error::quote;

/// The candidate that is at most two letters away, the nearest first; of short words one letter.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = if word.chars().count() < 5 { 1 } else { 2 };
    let rated = candidates.into_iter().map(|word_too| {
        let distance = distance(word, word_too);
        (distance, word_too)
    });
    let (distance, found) = rated.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(found)
}

/// For a message of serde's such as "unknown field `a`, expected one of `b`, `c`": what to write instead.
pub(super) fn hint(message: &str) -> Option<String> {
    if !message.starts_with("unknown field `") && !message.starts_with("unknown variant `") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    let word = words.next()?;
    nearest(word, words).map(|found| format!("did you mean {}?", quote(found)))
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    // Far apart anyway, and it takes little time whatever a file holds.
    if a.chars().count().abs_diff(b.chars().count()) > 2 {
        return usize::MAX;
    }
    strsim::osa_distance(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let words = ["mount", "umount2", "read", "pread64"];
        assert_eq!(nearest("muont", words), Some("mount"));
        assert_eq!(nearest("umount", words), Some("mount"));
        assert_eq!(nearest("raed", words), Some("read"));
        assert_eq!(nearest("frobnicate", words), None);
        assert_eq!(nearest("rd", words), None);
    }

    #[test]
    fn a_message_of_serde_gives_a_hint() {
        let message = "unknown field `readnoly`, expected `readonly` or `on-conflict`";
        assert_eq!(hint(message).unwrap(), "did you mean \"readonly\"?");
        assert_eq!(hint("unknown field `x`, expected `readonly`"), None);
        assert_eq!(hint("invalid type"), None);
    }
}
