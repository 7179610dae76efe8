//! Integration tests: one binary, a file per topic. They talk to a real kernel and need root.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what failed by failing; the harness is not inside a test function"
)]

mod apparmor;
mod bad_input;
mod cell;
mod clients;
mod clients_containerd;
mod clients_cri;
mod clients_docker;
mod clients_install;
mod clients_podman;
mod confinement_cgroups;
mod confinement_devices;
mod confinement_hooks;
mod confinement_mounts;
mod confinement_namespaces;
mod confinement_process;
mod confinement_restricted;
mod confinement_seccomp;
mod confinement_shared;
mod conformance;
mod control;
mod control_events;
mod control_update;
mod docs;
mod escape_devices;
mod escape_fds;
mod escape_paths;
mod escape_races;
mod exec;
mod exec_confinement;
mod foreign_images;
mod fuzz_corpus;
mod harness;
mod hooks;
mod hostile_images;
mod image;
mod landlock;
mod launch;
mod layered;
mod layers;
mod lifecycle;
mod limits;
mod net_devices;
mod odd_config;
mod odd_surroundings;
mod plan;
mod profile_verbs;
mod profiles;
mod real_programs;
mod rootless;
mod runc_parity;
mod runc_scripts;
mod schema;
mod seccomp;
mod store;
mod store_tree;
mod systemd;
mod terminal;
mod terminal_attacks;
mod terminal_socket;
mod unpack;
mod verify;
