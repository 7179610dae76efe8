//! Control groups: where a container's groups are, what is written there, and their life from creation to removal.
//! By files on cgroup v1, hybrid and v2 (cgroups(7), config-linux.md "Control groups"), or on v2 through `systemd`.

pub mod devices;
mod entrance;
mod filesystem;
mod freezer;
mod group;
mod layout;
mod life;
mod limits;
mod location;
mod make;
mod mark;
mod oom;
mod readback;
mod settings;
pub mod stats;
pub mod systemd;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use devices::{device_program, device_rules};
pub use entrance::{Entrance, Sub};
pub use group::{Cgroup, Found};
pub(crate) use layout::unescape;
pub use layout::{Hierarchy, Layout, Mode};
pub use location::{Driver, Group, Location, default_name, location};
pub use mark::{Directories, Mark};
pub use oom::MemoryWatch;
pub use settings::{Write, settings};
pub use stats::{Peaks, Stats};
