//! What serde lets pass: a key given twice in one object, and NUL in text that the kernel reads up to the first NUL.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::quote;

/// Where and why.
type Refusal = (String, String);

/// Walks the whole document. Only malformed JSON, double keys and NUL are found here.
pub(super) fn check(text: &[u8]) -> Result<(), Refusal> {
    let found = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let walked = Walk { path: String::new(), found: &found }.deserialize(&mut deserializer);
    match (found.into_inner(), walked.and_then(|()| deserializer.end())) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err((String::new(), error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}

struct Walk<'a> {
    path: String,
    found: &'a RefCell<Option<Refusal>>,
}

impl Walk<'_> {
    fn refuse<E: serde::de::Error>(&self, path: &str, cause: String) -> E {
        self.found.replace(Some((path.to_owned(), cause)));
        E::custom("refused")
    }

    fn below(&self, part: &str) -> String {
        if self.path.is_empty() { part.to_owned() } else { format!("{}.{part}", self.path) }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(self.refuse(&self.path, format!("holds a NUL: {}", quote(text))));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while items.next_element_seed(Walk { path: format!("{}[{index}]", self.path), found: self.found })?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            let path = self.below(&key);
            if key.contains('\0') {
                return Err(self.refuse(&quote(&path), "a key holds a NUL".into()));
            }
            members.next_value_seed(Walk { path: path.clone(), found: self.found })?;
            if !seen.insert(key) {
                return Err(self.refuse(&quote(&path)[1..quote(&path).len() - 1], "duplicate key".into()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_walked_whole() {
        assert_eq!(check(br#"{"a":[{"b":1},{"b":2}],"c":null}"#), Ok(()));
        assert_eq!(check(br#"{"a":[{"b":1},{"b":2,"b":3}]}"#), Err(("a[1].b".into(), "duplicate key".into())));
    }
}
