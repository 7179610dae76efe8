//! Lines of text under headings, for a reader: colours, alignment, and the escaping of what came from outside.

use super::Appearance;
use crate::error::{escape, quote};

/// Text that is being written.
pub(super) struct Page {
    appearance: Appearance,
    text: String,
}

/// A colour by what it says, as the parameter of the SGR sequence.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Heading = 1,
    Faint = 2,
    Bad = 31,
    Good = 32,
}

impl Page {
    pub(super) fn new(appearance: Appearance) -> Self {
        Self {
            appearance,
            text: String::new(),
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// An empty line, then the heading.
    pub(super) fn heading(&mut self, heading: &str) {
        let heading = self.styled(Style::Heading, heading);
        self.text.push('\n');
        self.line(&heading);
    }

    pub(super) fn styled(&self, style: Style, text: &str) -> String {
        match self.appearance {
            Appearance::Plain => text.to_owned(),
            Appearance::Coloured => format!("\u{1b}[{}m{text}\u{1b}[0m", style as u8),
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

pub(super) fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

/// The text itself where it is harmless, else quoted and escaped.
pub(super) fn plain(untrusted: &str) -> String {
    // escape also escapes the quotation marks that our own texts hold; only other changes mean something harmful.
    if escape(untrusted).replace("\\\"", "\"") == untrusted {
        untrusted.to_owned()
    } else {
        quote(untrusted)
    }
}
