//! Flags of `docker run` and `docker create` (version 28) as a profile that permits what a container with them has.
//! Writing them is in `docker`.

use crate::error::{Error, Result, quote};
use crate::names::CAPABILITIES;
use crate::profile::format::Profile;
use crate::profile::limits::PERIOD;
use crate::profile::values::Quantity;
use crate::spec::NamespaceType;

use super::docker_read::{cpu_limit, switch, wrong};
use super::docker_table::{
    Flag, TABLE,
    Takes::{Nothing, Value},
};
use super::values::{DOCKER_MASKED, ENGINE_CAPABILITIES};
use super::{
    Converted,
    Fate::{Apart, Lost, Reads},
    Reading, finish, stand_in,
};

/// What flags say together.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) added: Vec<String>,
    pub(super) dropped: Vec<String>,
    pub(super) memory: Option<u64>,
    /// Memory and swap; `Some(None)` is no limit.
    pub(super) swap: Option<Option<u64>>,
    pub(super) quota: Option<u64>,
    pub(super) period: Option<u64>,
    pub(super) filter: Filter,
}

#[derive(Default)]
pub(super) enum Filter {
    #[default]
    Engine,
    Given,
}

pub(super) type Docker = Reading<Seen>;

/// Reads flags, with or without `docker run` before them and an image after; files that they name are read, too.
///
/// # Errors
/// Words that no shell would take, a flag or a value that Docker does not have, `--privileged`, a filter that a profile
/// cannot say.
pub fn from_docker(name: &str, text: &str) -> Result<Converted<Profile>> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let words = shlex::split(&lines.collect::<Vec<_>>().join("\n"))
        .ok_or_else(|| Error::new("read flags of docker", "a quote is not closed"))?;
    let mut reading = Docker::new(engine_defaults(), Seen::default());
    let mut words = words.into_iter().peekable();
    for word in ["docker", "container"] {
        words.next_if(|next| next == word);
    }
    words.next_if(|next| ["run", "create"].contains(&next.as_str()));
    while let Some(word) = words.next_if(|word| word.starts_with('-') && word != "-") {
        if word == "--" {
            break;
        }
        read_flag(&mut reading, &word, &mut || words.next())?;
    }
    together(&mut reading);
    finish(name, "flags of docker", reading.profile, reading.losses)
}

/// `--flag value`, `--flag=value`, `-f value`, `-fvalue` and `-it`, as Docker's own parser reads them.
fn read_flag(
    reading: &mut Docker,
    word: &str,
    next: &mut impl FnMut() -> Option<String>,
) -> Result<()> {
    let unknown = |flag: &str| Error::new(quote(flag), "no flag of docker run");
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let flag = TABLE.iter().find(|flag| flag.0 == name);
        return one(reading, flag.ok_or_else(|| unknown(word))?, value, next);
    }
    for (at, letter) in word.char_indices().skip(1) {
        let flag = TABLE.iter().find(|flag| flag.1 == Some(letter));
        let flag = flag.ok_or_else(|| unknown(word))?;
        let rest = &word[at + letter.len_utf8()..];
        if flag.2 == Value {
            let value = rest.strip_prefix('=').unwrap_or(rest);
            let value = (!value.is_empty()).then(|| value.to_owned());
            return one(reading, flag, value, next);
        }
        if let Some(value) = rest.strip_prefix('=') {
            return one(reading, flag, Some(value.to_owned()), next);
        }
        one(reading, flag, None, next)?;
    }
    Ok(())
}

fn one(
    reading: &mut Docker,
    Flag(name, _, takes, fate): &Flag,
    value: Option<String>,
    next: &mut impl FnMut() -> Option<String>,
) -> Result<()> {
    let value = match (takes, value) {
        (_, Some(value)) => value,
        (Nothing, None) => "true".to_owned(),
        (Value, None) => {
            next().ok_or_else(|| Error::new(format!("--{name}"), "a value is missing"))?
        }
    };
    if *takes == Nothing && switch(&value).is_none() {
        return Err(wrong(name, &value, "true or false"));
    }
    match fate {
        Apart => {}
        Reads(read) => read(reading, &value)?,
        Lost(direction, why) => reading.losses.add(format!("--{name}"), *direction, *why),
    }
    Ok(())
}

/// A container without a flag.
fn engine_defaults() -> Profile {
    let mut profile = super::values::engine_profile();
    profile.paths.mask.extend(DOCKER_MASKED.map(str::to_owned));
    profile.paths.mask_thermal_throttle = true;
    profile.namespaces.require.push(NamespaceType::Cgroup);
    profile
}

fn together(reading: &mut Docker) {
    capabilities(reading);
    let Seen {
        memory,
        swap,
        quota,
        period,
        ..
    } = reading.state;
    if let Some(memory) = memory {
        let limits = &mut reading.profile.limits;
        limits.memory.maximum = Some(Quantity::Number(memory));
        // As much swap as memory is what Docker gives without a flag.
        let both = swap.unwrap_or(Some(memory.saturating_mul(2)));
        limits.swap.maximum = both.map(|both| Quantity::Number(both.saturating_sub(memory)));
    }
    if let Some(quota) = quota {
        let billionths =
            u128::from(quota) * 1_000_000_000 / u128::from(period.unwrap_or(PERIOD).max(1));
        cpu_limit(
            reading,
            "--cpu-quota",
            billionths.try_into().unwrap_or(u64::MAX),
        );
    }
    if matches!(reading.state.filter, Filter::Engine) {
        reading.profile.seccomp = stand_in();
        let why =
            "Docker's own filter is not known here; that of profile \"baseline\" is in its place";
        reading.losses.stricter("--security-opt seccomp", why);
    }
}

/// As Docker does it: the order of flags does not matter.
fn capabilities(reading: &mut Docker) {
    let Seen { added, dropped, .. } = &reading.state;
    let is = |list: &[String], name: &str| list.iter().any(|item| item == name);
    let mut held: Vec<String> = match (is(added, "ALL"), is(dropped, "ALL")) {
        (true, _) => CAPABILITIES.map(str::to_owned).to_vec(),
        (false, true) => Vec::new(),
        (false, false) => ENGINE_CAPABILITIES.map(str::to_owned).to_vec(),
    };
    held.retain(|name| !is(dropped, name));
    for name in added.iter().filter(|name| *name != "ALL") {
        if !held.contains(name) {
            held.push(name.clone());
        }
    }
    held.sort_unstable();
    if let Some(section) = &mut reading.profile.capabilities {
        section.allow = held;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::convert::oci;

    fn losses(text: &str) -> Vec<String> {
        let converted = from_docker("x", text).unwrap();
        converted.losses.iter().map(ToString::to_string).collect()
    }

    fn allowed(text: &str) -> Vec<String> {
        let converted = from_docker("x", text).unwrap();
        converted.result.capabilities.unwrap().allow
    }

    #[test]
    fn capabilities_are_those_that_docker_gives() {
        assert_eq!(allowed(""), ENGINE_CAPABILITIES);
        assert_eq!(
            allowed("--cap-add net_admin --cap-drop=ALL"),
            ["CAP_NET_ADMIN"]
        );
        assert_eq!(allowed("--cap-drop CAP_MKNOD").len(), 13);
        assert_eq!(allowed("--cap-add ALL --cap-drop SYS_ADMIN").len(), 40);
    }

    #[test]
    fn a_whole_command_line_is_read_up_to_the_image() {
        let text = "# comment\ndocker run -it --rm -u 1000 \\\n  --read-only --memory=1.5g -m512m 'image' --privileged\n";
        let profile = from_docker("x", text).unwrap().result;
        assert!(profile.root.readonly);
        assert_eq!(profile.identity.minimum_uid, 1000);
        assert_eq!(
            profile.limits.memory.maximum,
            Some(Quantity::Number(512 << 20))
        );
        assert_eq!(
            profile.limits.swap.maximum,
            Some(Quantity::Number(512 << 20))
        );
    }

    #[test]
    fn each_loss_says_its_direction() {
        let default = "not carried over: --security-opt seccomp: stricter: Docker's own filter is not known here; that of profile \"baseline\" is in its place";
        assert_eq!(losses("--name x"), [default]);
        let off = "--security-opt seccomp=unconfined";
        assert_eq!(losses(off), Vec::<String>::new());
        assert_eq!(
            losses(&format!("{off} --sysctl a=b --network none --cpus 0.501")),
            [
                "not carried over: --sysctl: different: a profile sets no sysctls",
                "not carried over: --network: looser: a profile demands a network of the container's own, not an empty one",
                "not carried over: --cpus: looser: rounded up to 51 percent of a CPU",
            ]
        );
    }

    #[test]
    fn wrong_flags_are_errors() {
        let refused = |text: &str| from_docker("x", text).unwrap_err().to_string();
        assert_eq!(
            refused("--cap-dorp ALL"),
            "\"--cap-dorp\": no flag of docker run"
        );
        assert_eq!(
            refused("--cap-drop CHWON"),
            "--cap-drop: \"CHWON\" is not a capability"
        );
        assert_eq!(refused("--memory"), "--memory: a value is missing");
        assert_eq!(
            refused("--read-only=maybe"),
            "--read-only: \"maybe\" is not true or false"
        );
        assert_eq!(
            refused("--user 'x"),
            "read flags of docker: a quote is not closed"
        );
        assert_eq!(
            refused("--privileged"),
            "--privileged: a profile cannot give all that this takes from the confinement"
        );
    }

    #[test]
    fn flags_are_listed_once_in_order() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_filter_that_stands_in_is_no_looser_than_docker_s() {
        let text = include_str!("../../../tests/golden/docker-seccomp.json");
        let docker = oci::from_oci(&oci::read_oci(text).unwrap()).unwrap();
        let of = |rules| Profile::of_rules("x", rules).unwrap();
        let changes = crate::profile::compare(&of(docker), &of(stand_in().unwrap())).unwrap();
        let more: Vec<String> = changes
            .iter()
            .filter(|change| change.permits_more)
            .map(ToString::to_string)
            .collect();
        assert_eq!(more, Vec::<String>::new());
    }
}
