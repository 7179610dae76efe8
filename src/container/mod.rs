//! The container's life as the runtime sees it (runtime.md): state on disk, signals, hooks, removal.
//! The order of confinement is in `plan`, the child in `init`.

mod child;
mod confinement;
mod console;
mod create;
mod delete;
mod entrant;
mod events;
mod exec;
mod group;
pub mod hooks;
pub mod id;
mod id_map;
mod keeper;
mod kill;
mod launch;
mod list;
mod pause;
mod prepare;
pub mod process;
mod processes;
pub mod seal;
mod signals;
mod start;
mod state;
mod store;
mod target;
mod update;

pub use confinement::Confinement;
pub use create::{Attachment, Request, create, run};
pub use delete::{Unless, delete, destroy};
pub use entrant::{Overrides, Wanted};
pub use events::{Event, EventKind, stats, watch};
pub use exec::{Execution, Paused, exec};
pub use keeper::{Keeper, keep_directory};
pub use kill::{Whom, kill};
pub use launch::{Bind, Launch, Network, Tty, launch};
pub use list::{Listed, list, owner};
pub use pause::{pause, resume};
pub use prepare::{Prepared, prepare};
pub use processes::processes;
pub use start::start;
pub use state::{Phase, START_SOCKET, State, StateDocument, Status, timestamp};
pub use store::{Entry, Lock, Remains, Store, default_root};
pub use update::update;
