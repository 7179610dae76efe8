//! Any bytes as an archive that holds an image, opened and its layers read.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

#[path = "../inputs.rs"]
#[allow(dead_code, reason = "the other targets' inputs")]
mod inputs;

fuzz_target!(|bytes: &[u8]| inputs::image(bytes));

// A header with a wrong checksum is all that random changes would ever test.
fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        let size = libfuzzer_sys::fuzzer_mutate(data, size, max_size);
        inputs::repair(&mut data[..size]);
        size
    }
);
