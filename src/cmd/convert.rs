//! `profile convert`: from a profile to what other programs confine by, and back.
//! What is carried over, and what is said of the rest, is `profile::convert`'s.

use std::fs;
use std::io::Read;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::pretty;
use super::plan::Format;
use super::{ExitCode, print};
use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::profile::{
    self, Converted, Profile, from_docker, from_kubernetes, from_oci, from_systemd, read_oci,
    to_docker, to_kubernetes, to_oci_seccomp, to_systemd, to_toml,
};
use crate::{seccomp, spec};

/// Arguments of `profile convert`.
#[derive(Debug, Clone, Args)]
pub struct ProfileConvert {
    /// Print a profile in this format
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    pub to: Option<Foreign>,
    /// Print a file of this format as a profile
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub from: Option<Foreign>,
    /// The name of the new profile, with --from
    #[arg(
        long,
        value_name = "NAME",
        default_value = "converted",
        conflicts_with = "to"
    )]
    pub name: String,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<String>,
    /// The file of the system-call filter, which docker and kubernetes refer to: written with --to, read with --from
    #[arg(long, value_name = "FILE")]
    pub seccomp: Option<String>,
    /// Which container of a pod, with --from kubernetes
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub container: Option<String>,
    /// Write nothing where anything is not carried over as it is, and exit with 1
    #[arg(long)]
    pub strict: bool,
    /// For people, or for programs: with what is not carried over
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// What to convert: with --to a profile, by its name or path; with --from a file, or - for standard input. Docker's
    /// flags may come here themselves, after --
    #[arg(value_name = "PROFILE|FILE", required = true)]
    pub source: Vec<String>,
}

/// A format that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Foreign {
    /// The member linux.seccomp of a config.json
    OciSeccomp,
    /// Flags of docker run
    Docker,
    /// A Pod of Kubernetes, in YAML or JSON
    Kubernetes,
    /// The section Service of a unit of systemd
    Systemd,
}

/// Carries `profile convert` out.
///
/// # Errors
/// A profile or a file that cannot be read or written, or means nothing in the other format.
pub(super) fn run(convert: &ProfileConvert) -> Result<ExitCode> {
    let (converted, filter) = match (convert.to, convert.from) {
        (Some(format), _) => to(convert, format)?,
        (None, Some(format)) => (from(convert, format)?, None),
        (None, None) => return Err(Error::new("convert", "neither --to nor --from is given")),
    };
    for loss in &converted.losses {
        if convert.strict || convert.format == Format::Text {
            log::warn!("{loss}");
        }
    }
    if convert.strict && !converted.losses.is_empty() {
        return Ok(ExitCode::Failed);
    }
    if let (Some(file), Some(filter)) = (&convert.seccomp, filter) {
        write(file, &pretty(&filter, "  ")?)?;
    }
    let text = match convert.format {
        Format::Text => converted.result,
        Format::Json => {
            let document =
                json!({ "result": converted.result, "notCarriedOver": converted.losses });
            pretty(&document, "  ")?
        }
    };
    match &convert.output {
        Some(file) => write(file, &text)?,
        None => print(&text)?,
    }
    Ok(ExitCode::Done)
}

/// The text, and the filter that goes into a file of its own. A filter must compile, so that nobody takes home one that no
/// container starts with.
fn to(
    convert: &ProfileConvert,
    format: Foreign,
) -> Result<(Converted<String>, Option<spec::Seccomp>)> {
    let profile = Profile::load(only(convert)?)?;
    let filter = match profile.seccomp {
        Some(_) => Some(profile::to_oci(&profile)?),
        None => None,
    };
    if let Some(filter) = &filter {
        seccomp::compile(filter)?;
    }
    let file = convert.seccomp.as_deref();
    let converted = match format {
        Foreign::OciSeccomp => {
            let Converted { result, losses } = to_oci_seccomp(&profile)?;
            let result = pretty(&result, "  ")?;
            return Ok((Converted { result, losses }, None));
        }
        Foreign::Systemd => return Ok((to_systemd(&profile)?, None)),
        Foreign::Docker => to_docker(&profile, file)?,
        Foreign::Kubernetes => {
            let name = file.and_then(|file| Path::new(file).file_name()?.to_str());
            to_kubernetes(&profile, name)?
        }
    };
    Ok((converted, filter))
}

fn from(convert: &ProfileConvert, format: Foreign) -> Result<Converted<String>> {
    let name = &convert.name;
    let converted = match format {
        Foreign::OciSeccomp => {
            let filter = compiled(&read(only(convert)?)?)?;
            Converted {
                result: Profile::of_rules(name, from_oci(&filter)?)?,
                losses: Vec::new(),
            }
        }
        Foreign::Docker => from_docker(name, &flags(convert)?)?,
        Foreign::Systemd => from_systemd(name, &read(only(convert)?)?)?,
        Foreign::Kubernetes => {
            let filter = match &convert.seccomp {
                Some(file) => Some(compiled(&read(file)?)?),
                None => None,
            };
            let text = read(only(convert)?)?;
            from_kubernetes(name, &text, convert.container.as_deref(), filter.as_ref())?
        }
    };
    if converted.result.seccomp.is_some() {
        seccomp::compile(&profile::to_oci(&converted.result)?)?;
    }
    Ok(Converted {
        result: to_toml(&converted.result)?.trim_end().to_owned(),
        losses: converted.losses,
    })
}

fn compiled(text: &str) -> Result<spec::Seccomp> {
    let filter = read_oci(text)?;
    seccomp::compile(&filter)?;
    Ok(filter)
}

fn only(convert: &ProfileConvert) -> Result<&str> {
    match &convert.source[..] {
        [one] => Ok(one),
        [_, second, ..] => Err(Error::new(
            quote(second),
            "there is more than one to convert",
        )),
        [] => Err(Error::new("convert", "there is nothing to convert")),
    }
}

/// One word is a file, unless it is a flag; more are the flags themselves.
fn flags(convert: &ProfileConvert) -> Result<String> {
    match &convert.source[..] {
        [file] if file == "-" || !file.starts_with('-') => read(file),
        words => {
            let words = words.iter().map(String::as_str);
            shlex::try_join(words).doing(|| "read flags of docker")
        }
    }
}

fn read(file: &str) -> Result<String> {
    if file == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read.doing(|| "read standard input").map(|_| text);
    }
    fs::read_to_string(file).doing(|| format!("read {}", quote_path(Path::new(file))))
}

fn write(file: &str, text: &str) -> Result<()> {
    fs::write(file, format!("{text}\n")).doing(|| format!("write {}", quote_path(Path::new(file))))
}
