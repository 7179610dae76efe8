//! stockade: a hardened-by-default OCI runtime and sandbox launcher.
//!
//! The parent turns a config into a [`plan::Plan`], an ordered list of plain steps; the child ([`init`]) carries the
//! list out; a failure is a step number, a call and an errno, and the plan supplies the words.
//!
//! A module imports only from entries below it (`tests/layers.rs` holds this list against the `use` lines):
//! ```text
//! main
//! cli
//! cmd
//! configuration
//! probe
//! container
//! terminal
//! init
//! link
//! watch
//! plan
//! audit
//! image
//! cgroup
//! seccomp
//! profile
//! host
//! spec
//! names
//! report
//! error
//! sys
//! ```
pub mod audit;
pub mod cgroup;
pub mod cli;
pub mod cmd;
pub mod configuration;
pub mod container;
pub mod error;
pub mod host;
pub mod image;
pub mod init;
pub mod link;
pub mod names;
pub mod plan;
pub mod probe;
pub mod profile;
pub mod report;
pub mod seccomp;
pub mod spec;
pub mod sys;
pub mod terminal;
pub mod watch;
