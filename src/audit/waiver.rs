//! Waivers: findings that somebody has looked at and answers for, with a reason and until a day, in a TOML file.
//!
//! ```toml
//! [[waiver]]
//! id = "CFG-011"
//! place = "/root/readonly"
//! reason = "the program rewrites its own configuration; asked for in its tracker"
//! expires = 2027-03-31
//! ```

use serde::Deserialize;

use super::date::Date;
use super::finding::Finding;
use super::table;
use crate::error::{Error, Result, quote};
use crate::profile::from_toml;

/// What a file waives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waivers {
    /// Where they come from, for messages.
    pub file: String,
    /// In the file's order.
    pub all: Vec<Waiver>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Of which check.
    pub id: String,
    /// Where ([`super::Place::stable`]): a pattern, in which `*` is any text. Everywhere, if it is not there.
    pub place: Option<String>,
    /// About what ([`Finding::about`]): a pattern. Anything, if it is not there.
    pub about: Option<String>,
    /// Why.
    pub reason: String,
    /// The last day on which it holds.
    pub expires: Date,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    waiver: Vec<WrittenWaiver>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWaiver {
    id: String,
    place: Option<String>,
    about: Option<String>,
    reason: String,
    expires: toml::Value,
}

impl Waivers {
    /// Reads a file's text; `file` is for messages.
    ///
    /// # Errors
    /// What is no such file; a check that does not exist, an empty reason, a day that is none.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let Written { waiver } = from_toml("read waivers", file, text)?;
        let wrong = |at: usize, cause: String| {
            Error::new(
                format!("read waivers {}", quote(file)),
                format!("waiver {}: {cause}", at + 1),
            )
        };
        let read = |(at, written): (usize, WrittenWaiver)| {
            written.read().map_err(|cause| wrong(at, cause))
        };
        Ok(Self {
            file: file.to_owned(),
            all: waiver
                .into_iter()
                .enumerate()
                .map(read)
                .collect::<Result<_>>()?,
        })
    }
}

impl WrittenWaiver {
    fn read(self) -> std::result::Result<Waiver, String> {
        if table::check(&self.id).is_none() {
            return Err(format!("id: there is no check {}", quote(&self.id)));
        }
        if self.reason.trim().is_empty() {
            return Err("reason: is empty".to_owned());
        }
        let day = match &self.expires {
            toml::Value::String(text) => text.clone(),
            toml::Value::Datetime(day) => day.to_string(),
            _ => return Err("expires: is no day such as 2027-03-31".to_owned()),
        };
        let wrong = || format!("expires: {} is no day such as 2027-03-31", quote(&day));
        let expires = Date::parse(&day).ok_or_else(wrong)?;
        Ok(Waiver {
            id: self.id,
            place: self.place,
            about: self.about,
            reason: self.reason,
            expires,
        })
    }
}

impl Waiver {
    /// Whether it is of this finding; on which day is not asked.
    pub fn is_of(&self, finding: &Finding) -> bool {
        let fits = |pattern: &Option<String>, text: &str| {
            pattern
                .as_ref()
                .is_none_or(|pattern| matches(pattern, text))
        };
        self.id == finding.check.id
            && fits(&self.place, &finding.place.stable())
            && fits(&self.about, &finding.about)
    }

    /// Whether its last day has gone by.
    pub fn has_expired(&self, today: Date) -> bool {
        self.expires < today
    }

    /// `CFG-011 at "/root/readonly"`.
    pub fn words(&self) -> String {
        let mut words = self.id.clone();
        if let Some(place) = &self.place {
            words.push_str(&format!(" at {}", quote(place)));
        }
        if let Some(about) = &self.about {
            words.push_str(&format!(" about {}", quote(about)));
        }
        words
    }
}

/// Whether the whole text is as the pattern says, in which `*` is any text, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    // The first place is as good as any later one: what follows may only be longer.
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Waivers::parse(text, "w.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_waiver_needs_a_check_a_reason_and_a_day() {
        let day = "id = \"CFG-011\"\nreason = \"because\"\nexpires = ";
        for written in ["2027-03-31", "\"2027-03-31\""] {
            let waivers =
                Waivers::parse(&format!("[[waiver]]\n{day}{written}\n"), "w.toml").unwrap();
            assert_eq!(waivers.all[0].expires.to_string(), "2027-03-31");
        }
        assert_eq!(
            error(&format!("[[waiver]]\n{day}2027-03-31T10:00:00Z")),
            "read waivers \"w.toml\": waiver 1: expires: \"2027-03-31T10:00:00Z\" is no day such as 2027-03-31"
        );
        assert_eq!(
            error(&format!("[[waiver]]\n{day}1")),
            "read waivers \"w.toml\": waiver 1: expires: is no day such as 2027-03-31"
        );
        assert_eq!(
            error("[[waiver]]\nid = \"CFG-999\"\nreason = \"x\"\nexpires = 2027-03-31\n"),
            "read waivers \"w.toml\": waiver 1: id: there is no check \"CFG-999\""
        );
        assert_eq!(
            error("[[waiver]]\nid = \"CFG-011\"\nreason = \" \"\nexpires = 2027-03-31\n"),
            "read waivers \"w.toml\": waiver 1: reason: is empty"
        );
        assert!(
            error("[[waiver]]\nid = \"CFG-011\"\nexpires = 2027-03-31\n")
                .contains("missing field `reason`")
        );
        assert!(
            error("[[waiver]]\nid = \"CFG-011\"\nreason = \"x\"\n")
                .contains("missing field `expires`")
        );
        assert!(error("[[waiver]]\nidd = 1\n").contains("unknown field"));
        assert_eq!(Waivers::parse("", "w.toml").unwrap().all, []);
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, is_match) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a*", "/a/b/c", true),
            ("*.pem", "/x/y.pem", true),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a*b*c", "/a-c-b", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), is_match, "{pattern} {text}");
        }
    }
}
