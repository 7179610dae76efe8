//! `install`: makes a client know stockade: prints what its configuration needs, or merges it in.
//! Not here: what each client needs (`client`), and how texts are merged (`json`, `tables`) and written (`file`).

pub mod client;
mod file;
mod json;
mod tables;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{ExitCode, Global, print};
use crate::error::{Doing, Error, Result, quote_path};
use client::{Client, HANDLERS, Handler};

/// Arguments of `install`.
#[derive(Debug, Clone, Args)]
pub struct Install {
    /// Client that shall know stockade
    #[arg(value_enum, value_name = "CLIENT")]
    pub client: Client,
    /// Change the client's configuration, instead of printing what it needs
    #[arg(long)]
    pub write: bool,
    /// The client's configuration file [default: where it looks]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stockade that the client shall call [default: this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
}

/// Carries `install` out.
///
/// # Errors
/// An unknown profile, a configuration that cannot be read, merged or written; it is as it was then.
pub fn run(global: &Global, arguments: &Install) -> Result<ExitCode> {
    let handlers = handlers(global.profile.as_deref())?;
    let client = arguments.client;
    if client == Client::Kubernetes {
        if arguments.write {
            let error = Error::new("write to kubernetes", "it has no configuration file");
            return Err(error.hint("stockade install kubernetes | kubectl apply -f -"));
        }
        print(client.fragment(&handlers, Path::new("/")).trim_end())?;
        return Ok(ExitCode::Done);
    }
    let binary = binary(arguments.binary.as_deref())?;
    let directory = binary.parent().unwrap_or(Path::new("/"));
    let file = match &arguments.file {
        Some(file) => file.clone(),
        None => PathBuf::from(client.file().expect("every client but kubernetes has one")),
    };
    if arguments.write {
        write(client, &handlers, &binary, &file)?;
    } else {
        show(client, &handlers, directory, &file)?;
    }
    Ok(ExitCode::Done)
}

/// The handlers to install: all, or that of one profile.
fn handlers(profile: Option<&str>) -> Result<Vec<Handler>> {
    let chosen: Vec<Handler> = HANDLERS
        .into_iter()
        .filter(|handler| profile.is_none_or(|profile| handler.profile == profile))
        .collect();
    if chosen.is_empty() {
        let name = crate::error::quote(profile.unwrap_or_default());
        let error = Error::new(
            format!("install profile {name}"),
            "no name of the binary stands for it",
        );
        return Err(error.hint("none, baseline or restricted"));
    }
    Ok(chosen)
}

/// The binary by its absolute path.
fn binary(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) => path
            .canonicalize()
            .doing(|| format!("find {}", quote_path(path))),
        None => std::env::current_exe().doing(|| "find this binary"),
    }
}

fn show(client: Client, handlers: &[Handler], directory: &Path, file: &Path) -> Result<()> {
    let fragment = client.fragment(handlers, directory);
    if client != Client::Docker {
        // JSON has no comments.
        print(&format!("# for {}", file.display()))?;
    }
    print(fragment.trim_end())
}

/// Makes the links, merges, writes, and says each thing that was done.
fn write(client: Client, handlers: &[Handler], binary: &Path, file: &Path) -> Result<()> {
    let directory = binary.parent().unwrap_or(Path::new("/"));
    let doing = || format!("change {}", quote_path(file));
    let old = match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
        Err(cause) => return Err(Error::new(doing(), cause)),
    };
    let new = client
        .merged(old.as_deref(), handlers, directory)
        .map_err(|error| Error::new(doing(), error))?;
    for handler in handlers {
        link(binary, &directory.join(handler.name))?;
    }
    if old.as_deref() == Some(&new) {
        return print(&format!("{} has it already", quote_path(file)));
    }
    let backup = file::replace(file, &new)?;
    let names: Vec<&str> = handlers.iter().map(|handler| handler.name).collect();
    print(&format!("{}: added {}", quote_path(file), names.join(", ")))?;
    if let Some(backup) = backup {
        print(&format!("what it was is in {}", quote_path(&backup)))?;
    }
    match client.reload() {
        Some(command) => print(&format!("to make it known: {command}")),
        None => Ok(()),
    }
}

/// A name of the binary beside it, which chooses the profile.
fn link(binary: &Path, name: &Path) -> Result<()> {
    let target = binary.file_name().unwrap_or(OsStr::new("stockade"));
    if name == binary || fs::canonicalize(name).is_ok_and(|there| there == binary) {
        return Ok(());
    }
    symlink(target, name).map_err(|cause| {
        let error = Error::new(format!("make link {}", quote_path(name)), &cause);
        match cause.kind() {
            std::io::ErrorKind::AlreadyExists => error.hint("remove it, or put stockade elsewhere"),
            _ => error,
        }
    })?;
    print(&format!("made link {}", quote_path(name)))
}
