//! What a store says of an object, as it stands in an extra.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::pairs(bytes));
