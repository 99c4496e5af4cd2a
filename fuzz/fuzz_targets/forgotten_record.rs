//! Records of removed snapshots.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::forgotten_record(bytes));
