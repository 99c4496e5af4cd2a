//! Key slots.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::key_slot(bytes));
