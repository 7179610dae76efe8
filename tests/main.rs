//! Integration tests: one binary, a file per topic.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what failed by failing"
)]

mod cell;
mod escape_devices;
mod escape_fds;
mod escape_paths;
mod escape_races;
