//! Looking at confinement from within: what a process can see, and what it cannot do.
//!
//! The calls it makes are in `sys::attempt`, the words of the output in `report`.

mod acts;
mod answer;
mod cgroup;
mod descriptors;
mod identity;
pub mod inside;
mod judge;
mod limits;
mod look;
mod mounts;
mod namespaces;
mod promise;
mod rows;
mod scene;
mod seen;
mod table;
mod wants;
mod words;
mod writable;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Outcome};
pub use judge::{Answered, Exposure, checks};
pub use promise::{Promise, Want};
pub use rows::ROWS;
pub use table::Probe;

/// Tries the probes that are asked for, each in a process of its own.
pub fn answers(is_asked_for: impl Fn(&str) -> bool) -> Vec<Answered> {
    let scene = scene::Scene::read();
    let asked = ROWS.iter().filter(|probe| is_asked_for(probe.id));
    asked
        .map(|probe| Answered {
            id: probe.id.to_owned(),
            answer: probe.run(&scene),
        })
        .collect()
}
