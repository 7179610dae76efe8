//! Loading and checking of OCI documents: config.json in, typed and checked [`Config`] out.
//! What a profile changes in it and what the host can do of it are not here.

mod bundle;
mod check;
mod config;
mod document;
mod hardened;
mod linux;
mod null;
mod plain;
mod read;
mod resources;
mod seccomp;
mod update;

pub use bundle::{Bundle, load_process};
pub use config::*;
pub use hardened::{hardened_default, to_text};
pub use linux::*;
pub use plain::plain_default;
pub use read::{check_process, check_runnable, parse, parse_process, typed};
pub use resources::*;
pub use seccomp::*;
pub use update::parse_resources;

use check::At;
