//! Cgroups through systemd: a container's scope is a transient unit, asked for by D-Bus, and systemd makes its cgroup.
//! Cgroup v2 alone, as systemd.scope(5) and the delegation rules have it; everything after the making is by files again.

mod address;
mod annotation;
mod calls;
mod connection;
mod message;
mod property;
mod scope;
mod unit;
mod wire;

#[cfg(test)]
mod tests;

pub use calls::is_running;
pub use property::Property;
pub use scope::{Delegation, delegation, location, properties};
pub(super) use scope::{change, move_in, start, stop};
pub use unit::{Unit, Whose};
