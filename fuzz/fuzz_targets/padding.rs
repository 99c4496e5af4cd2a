//! Padded plaintexts of small objects.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::padding(bytes));
