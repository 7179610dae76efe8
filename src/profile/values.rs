//! Values of a profile that are more than a word: bounds, quantities, sets of devices.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::format::OnConflict;
use crate::error::quote;

/// One limit: what it is where the config has none, and the most that the config may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bound {
    /// Set where the config has no limit; absent: `maximum`.
    #[serde(default)]
    pub default: Option<Quantity>,
    /// The most that a config may ask for; absent: anything.
    #[serde(default)]
    pub maximum: Option<Quantity>,
    /// For a config that asks for more.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// A number, in TOML plain, `"512MiB"`, or `"host"` for all the memory of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "RawQuantity", into = "RawQuantity")]
pub enum Quantity {
    /// That many.
    Number(u64),
    /// As many bytes as the host has memory.
    Host,
}

impl Quantity {
    /// The number, on a host with this many bytes of memory.
    pub(super) fn number(self, memory_total: u64) -> i64 {
        let number = match self {
            Self::Number(number) => number,
            Self::Host => memory_total,
        };
        i64::try_from(number).unwrap_or(i64::MAX)
    }
}

#[derive(Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "a number, a size such as \"512MiB\", or \"host\""
)]
enum RawQuantity {
    Number(u64),
    Text(String),
}

impl TryFrom<RawQuantity> for Quantity {
    type Error = String;

    fn try_from(raw: RawQuantity) -> Result<Self, String> {
        let text = match raw {
            RawQuantity::Number(number) => return Ok(Self::Number(number)),
            RawQuantity::Text(text) if text == "host" => return Ok(Self::Host),
            RawQuantity::Text(text) => text,
        };
        let wrong = || {
            format!(
                "{} is not a size such as \"512MiB\", nor \"host\"",
                quote(&text)
            )
        };
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let (digits, unit) = units
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
            .ok_or_else(wrong)?;
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Self::Number).ok_or_else(wrong)
    }
}

impl From<Quantity> for RawQuantity {
    fn from(quantity: Quantity) -> Self {
        match quantity {
            Quantity::Number(number) => Self::Number(number),
            Quantity::Host => Self::Text("host".into()),
        }
    }
}

/// A length of time, in TOML as seconds or as `"90s"`, `"10m"`, `"2h"`, `"1d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "RawTime", into = "u64")]
pub struct Time {
    /// At least 1.
    pub seconds: u64,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "seconds, or a time such as \"10m\"")]
enum RawTime {
    Seconds(u64),
    Text(String),
}

impl TryFrom<RawTime> for Time {
    type Error = String;

    fn try_from(raw: RawTime) -> Result<Self, String> {
        let (seconds, said) = match raw {
            RawTime::Seconds(seconds) => (Some(seconds), seconds.to_string()),
            RawTime::Text(text) => (seconds(&text), quote(&text)),
        };
        match seconds.filter(|seconds| *seconds > 0) {
            Some(seconds) => Ok(Self { seconds }),
            None => Err(format!(
                "{said} is not a time such as \"90s\", \"10m\", \"2h\" or \"1d\""
            )),
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];
    let (digits, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

impl From<Time> for u64 {
    fn from(time: Time) -> Self {
        time.seconds
    }
}

/// The largest unit that it is whole in: `10m`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.seconds {
            seconds if seconds % 86400 == 0 => (86400, "d"),
            seconds if seconds % 3600 == 0 => (3600, "h"),
            seconds if seconds % 60 == 0 => (60, "m"),
            _ => (1, "s"),
        };
        write!(f, "{}{name}", self.seconds / unit)
    }
}

/// One resource limit, soft and hard alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RlimitBound {
    /// The most, and what is set where the config has none; in the limit's own unit (getrlimit(2)).
    pub maximum: u64,
    /// For a config that asks for more.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// A set of devices, `c 1:3 rwm`, of the devices cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct DeviceSet {
    /// `c` or `b`.
    pub kind: char,
    /// Absent: any.
    pub major: Option<i64>,
    /// Absent: any.
    pub minor: Option<i64>,
    /// Of `r`, `w` and `m`.
    pub access: String,
}

impl TryFrom<String> for DeviceSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = || {
            let (kind, rest) = text.split_once(' ')?;
            let (numbers, access) = rest.split_once(' ')?;
            let (major, minor) = numbers.split_once(':')?;
            let number = |digits: &str| match digits {
                "*" => Some(None),
                digits => digits
                    .parse::<u32>()
                    .ok()
                    .map(|number| Some(i64::from(number))),
            };
            let right = !access.is_empty() && access.chars().all(|c| "rwm".contains(c));
            (right && matches!(kind, "c" | "b")).then_some(Self {
                kind: kind.chars().next()?,
                major: number(major)?,
                minor: number(minor)?,
                access: access.into(),
            })
        };
        parsed().ok_or_else(|| format!("{} is not a device such as \"c 1:3 rwm\"", quote(&text)))
    }
}

impl From<DeviceSet> for String {
    fn from(set: DeviceSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for DeviceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<i64>| n.map_or("*".into(), |n| n.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(f, "{} {major}:{minor} {}", self.kind, self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_its_units_and_said_in_the_largest_whole_one() {
        let time = |raw: RawTime| Time::try_from(raw).map(|time| time.to_string());
        let text = |text: &str| time(RawTime::Text(text.to_owned()));
        assert_eq!(text("90s").as_deref(), Ok("90s"));
        assert_eq!(text("120s").as_deref(), Ok("2m"));
        assert_eq!(text("48h").as_deref(), Ok("2d"));
        assert_eq!(time(RawTime::Seconds(3600)).as_deref(), Ok("1h"));
        for wrong in ["", "0m", "5", "1.5h", "-1s", "1 m", "99999999999999999d"] {
            let expected = format!(
                "{} is not a time such as \"90s\", \"10m\", \"2h\" or \"1d\"",
                quote(wrong)
            );
            assert_eq!(text(wrong), Err(expected));
        }
    }
}
