//! Platforms (image-spec image-index.md): what an image runs on, the host's own, and which entry of an index serves one.
//! `os.version`, `os.features` and `features` are not read: they are for other systems.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, quote};

/// Operating system, architecture and variant in Go's words: `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, `386`, `riscv64`, …
    pub architecture: String,
    /// `v8`; `None` is the architecture's usual one.
    pub variant: Option<String>,
}

impl Platform {
    /// What this program was built for. On arm it is `v7`; on amd64 the baseline, so that the same image is chosen on
    /// every machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self::new("linux", architecture, None)
    }

    /// With the words that mean the same made one: `aarch64` is `arm64`, `arm64/v8` is `arm64`.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = os.to_ascii_lowercase();
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) = match (&*architecture, &*variant) {
            ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
            ("x86_64" | "x86-64", other) => ("amd64", other),
            ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
            ("aarch64", other) => ("arm64", other),
            ("i386" | "i486" | "i586" | "i686" | "386", _) => ("386", ""),
            ("armhf", _) | ("arm", "7" | "") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => (architecture, variant),
        };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant: (!variant.is_empty()).then(|| variant.to_owned()),
        }
    }

    /// How well what is made for `offered` runs on this one; `None`: not at all, 0: made for it, more: for an older
    /// variant, so many steps away.
    pub fn distance(&self, offered: &Self) -> Option<usize> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.variant == offered.variant {
            return Some(0);
        }
        let order: &[&str] = match &*self.architecture {
            "amd64" => &["v1", "v2", "v3", "v4"],
            "arm" => &["v5", "v6", "v7", "v8"],
            "arm64" => &["v8", "v9"],
            _ => return None,
        };
        let usual = match &*self.architecture {
            "arm64" => "v8",
            _ => "v1",
        };
        let place = |platform: &Self| {
            let variant = platform.variant.as_deref().unwrap_or(usual);
            order.iter().position(|known| *known == variant)
        };
        place(self)?.checked_sub(place(offered)?)
    }

    /// The place in `offered` of the best one for this platform; of equals the first, as the specification says.
    pub fn best_of<'a>(&self, offered: impl IntoIterator<Item = &'a Self>) -> Option<usize> {
        let offered = offered.into_iter().enumerate();
        let serving = offered.filter_map(|(i, one)| Some((self.distance(one)?, i)));
        serving.min().map(|(_, i)| i)
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/architecture` or `os/architecture/variant`.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            !part.is_empty() && part.len() <= 64 && part.chars().all(is_plain)
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_word) {
            return Err(Error::new(
                format!("platform {}", quote(text)),
                "is not os/architecture",
            )
            .hint("for example linux/amd64 or linux/arm64/v8"));
        }
        Ok(Self::new(parts[0], parts[1], parts.get(2).copied()))
    }
}

impl fmt::Display for Platform {
    /// Text of an image may be in it: quoted where it is not plain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}/{}", self.os, self.architecture);
        if let Some(variant) = &self.variant {
            text.push('/');
            text.push_str(variant);
        }
        if text.bytes().all(|c| c.is_ascii_graphic()) {
            f.write_str(&text)
        } else {
            f.write_str(&quote(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn words_that_mean_the_same_are_one() {
        assert_eq!(platform("linux/arm64/v8"), platform("linux/aarch64"));
        assert_eq!(platform("linux/x86_64"), platform("linux/amd64/v1"));
        assert_eq!(platform("Linux/ARM/7"), platform("linux/armhf"));
        assert_eq!(platform("linux/i686").to_string(), "linux/386");
        assert_eq!(platform("linux/arm/v6").to_string(), "linux/arm/v6");
        assert_eq!(Platform::host().os, "linux");
    }

    #[test]
    fn text_that_is_no_platform_is_refused() {
        for wrong in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/a b",
            "linux/amd64/",
        ] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong:?}");
        }
        let error = "amd64".parse::<Platform>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "platform \"amd64\": is not os/architecture"
        );
    }

    #[test]
    fn newest_variant_that_runs_is_chosen_and_a_newer_one_never() {
        let offered = |texts: &[&str]| texts.iter().map(|t| platform(t)).collect::<Vec<_>>();
        let best = |wanted: &str, texts: &[&str]| platform(wanted).best_of(&offered(texts));
        let arm = [
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/arm64",
        ];
        assert_eq!(best("linux/arm/v7", &arm), Some(2));
        assert_eq!(best("linux/arm/v6", &arm), Some(1));
        assert_eq!(best("linux/arm/v8", &arm), Some(2));
        assert_eq!(best("linux/arm64", &arm), Some(3));
        assert_eq!(best("linux/arm64/v9", &arm), Some(3));
        assert_eq!(best("linux/arm64", &["linux/arm64/v9"]), None);
        let amd = [
            "linux/amd64/v3",
            "linux/amd64/v2",
            "linux/amd64",
            "linux/amd64",
        ];
        assert_eq!(best("linux/amd64", &amd), Some(2));
        assert_eq!(best("linux/amd64/v3", &amd), Some(0));
        assert_eq!(best("linux/amd64/v4", &amd), Some(0));
        assert_eq!(best("linux/amd64", &amd[..2]), None);
        assert_eq!(best("linux/amd64", &["windows/amd64", "linux/s390x"]), None);
        assert_eq!(best("linux/riscv64", &["linux/riscv64"]), Some(0));
    }
}
