//! Flags of every verb that unpacks an image: what it may cost, whether progress is shown, whose the files are.

use clap::{Args, ValueEnum};

use crate::container;
use crate::image::layer::Limits;
use crate::terminal::Shown;

/// Limits and progress.
#[derive(Debug, Clone, Default, Args)]
pub struct Unpacking {
    /// Limit of what the image may cost: bytes, entries, file-size, depth, path, ratio, ratio-from, extension, remembered,
    /// window; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    pub limits: Vec<(String, String)>,
    /// Show no progress and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

/// The value of `--map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Map {
    /// One's own id alone: it is the program's, and that of every file.
    Single,
    /// One's own id as 0, and above it those of /etc/subuid and /etc/subgid.
    Range,
}

impl Map {
    pub(super) fn request(self) -> container::Map {
        match self {
            Self::Single => container::Map::Single,
            Self::Range => container::Map::Range,
        }
    }
}

impl Unpacking {
    /// The limits of the command line, in the place of those in `base`; of one that is named twice, the last.
    pub(super) fn limits(&self, mut base: Limits) -> Limits {
        for (name, value) in &self.limits {
            base.set(name, value)
                .expect("the command line's values were tried");
        }
        base
    }

    pub(super) fn shown(&self) -> Shown {
        if self.quiet {
            Shown::Never
        } else {
            Shown::OnTerminals
        }
    }
}

fn limit(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("a limit is NAME=VALUE, such as bytes=128GiB")?;
    let tried = Limits::default().set(name, value);
    tried.map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_the_command_line_take_the_place_of_others() {
        let flags = Unpacking {
            limits: ["bytes=1GiB", "depth=9", "bytes=2GiB"]
                .map(|text| limit(text).unwrap())
                .to_vec(),
            ..Unpacking::default()
        };
        let base = Limits {
            depth: 7,
            path: 99,
            ..Limits::default()
        };
        let expected = Limits {
            bytes: 2 << 30,
            depth: 9,
            ..base.clone()
        };
        assert_eq!(flags.limits(base), expected);
    }

    #[test]
    fn limit_is_a_name_and_a_value() {
        let error = |text| limit(text).unwrap_err();
        assert_eq!(
            error("bytes"),
            "a limit is NAME=VALUE, such as bytes=128GiB"
        );
        assert_eq!(
            error("size=1"),
            "set the limit \"size\": the limits of images are bytes, entries, file-size, depth, path, ratio, \
             ratio-from, extension, remembered, window"
        );
        assert_eq!(
            error("bytes="),
            "set the limit \"bytes\": \"\" is no number of at least 1, with KiB, MiB, GiB or TiB after it or nothing"
        );
    }
}
