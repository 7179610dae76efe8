//! `spec`: writes a config.json to start from: a hardened one, or a plain one under the profile `none`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;

use super::{ExitCode, Global, output};
use crate::cgroup::{Layout, Mode};
use crate::error::{Doing, Error, Result, quote_path};
use crate::profile::Face;
use crate::spec::{Config, Namespace, NamespaceType, hardened_default, plain_default};

/// Arguments of `spec`.
#[derive(Debug, Clone, Args)]
pub struct Spec {
    /// Directory to write config.json to
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For use without root: a user namespace that maps the caller
    #[arg(long = "rootless", id = "for_rootless", action = clap::ArgAction::SetTrue)]
    pub rootless: bool,
}

/// Writes config.json where there is none.
///
/// # Errors
/// There is one already, or the directory cannot be written to; a profile that cannot be read.
pub fn run(global: &Global, args: &Spec) -> Result<ExitCode> {
    let ids = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let rootless = args.rootless.then_some(ids);
    let choice = global.profile(&global.configuration()?, &BTreeMap::new(), Face::Oci)?;
    let config = match choice.profile.name.as_str() {
        "none" => plain(rootless)?,
        _ => hardened_default(rootless),
    };
    let path = args.bundle.join("config.json");
    let doing = || format!("write {}", quote_path(&path));
    let text = output::pretty(&config, "\t")? + "\n";
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|cause| {
            let error = Error::new(doing(), &cause);
            match cause.kind() {
                ErrorKind::AlreadyExists => error.hint("remove it first"),
                _ => error,
            }
        })?;
    file.write_all(text.as_bytes()).doing(doing)?;
    Ok(ExitCode::Done)
}

/// What scripts written for `runc spec` expect, and on which hosts.
fn plain(rootless: Option<(u32, u32)>) -> Result<Config> {
    let mut config = plain_default(rootless);
    if let (Mode::V2, Some(linux)) = (Layout::discover()?.mode(), &mut config.linux) {
        linux.namespaces.push(Namespace {
            kind: NamespaceType::Cgroup,
            path: None,
        });
    }
    Ok(config)
}
