//! One short file per verb: its flags, and what it does in the words of `container`.
//! Not here: which verbs there are and how they are chosen (`cli`).

pub mod audit;
pub mod checkpoint;
pub mod checks;
pub mod convert;
pub mod create;
pub mod delete;
pub mod doctor;
pub mod events;
pub mod exec;
pub mod exit;
pub mod explain;
mod explaining;
pub mod features;
mod global;
pub mod image;
pub mod inside;
pub mod install;
pub mod kill;
pub mod launch;
pub mod list;
mod output;
mod partial;
pub mod pause;
pub mod plan;
pub mod probe;
pub mod profile;
pub mod ps;
pub mod record;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod test;
pub mod unpack;
pub mod unpacking;
pub mod update;
pub mod values;
pub mod verify;

pub use exit::ExitCode;
pub use global::{Global, LogFormat, Rootless};
pub use output::print;
