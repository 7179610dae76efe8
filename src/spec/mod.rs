//! Loading and checking of OCI documents: config.json in, typed [`Config`] out.
//! After loading a wrong value cannot exist; what a host can honour is for the plan to say.

mod check;
mod check_linux;
mod config;
mod hardened;
mod linux;
mod load;
mod seccomp;
mod strict;

pub use check::check_runnable;
pub use config::*;
pub use hardened::{MASKED_PATHS, READONLY_PATHS, hardened_default};
pub use linux::*;
pub use load::{Bundle, parse};
pub use seccomp::*;

/// The version of the OCI runtime specification that this follows.
pub const VERSION: &str = "1.3.0";
