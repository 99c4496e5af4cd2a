//! What a checkpoint says of a file that it has the beginning of.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::beginning_of_a_file(bytes));
