//! Any bytes as each of the documents of an image.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../inputs.rs"]
#[allow(dead_code, reason = "the other targets' inputs")]
mod inputs;

fuzz_target!(|bytes: &[u8]| inputs::documents(bytes));
