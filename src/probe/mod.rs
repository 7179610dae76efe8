//! Looking at confinement from within: what a process can see, and what it cannot do.
//!
//! The calls it makes are in `sys::attempt`, the words of the output in `report`.

mod acts;
mod cgroup;
mod descriptors;
mod identity;
pub mod inside;
mod limits;
mod mounts;
mod namespaces;
mod seen;
mod words;
mod writable;
