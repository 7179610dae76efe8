//! Loading and checking of OCI documents: config.json in, typed [`Config`] out.

mod config;
mod linux;
mod seccomp;

pub use config::*;
pub use linux::*;
pub use seccomp::*;
