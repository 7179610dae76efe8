//! Integration tests: one binary, a file per topic. They talk to a real kernel and need root.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what failed by failing; the harness is not inside a test function"
)]

mod harness;
mod hooks;
mod layers;
mod lifecycle;
