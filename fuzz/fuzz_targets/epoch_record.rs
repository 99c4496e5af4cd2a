//! What is valid under a closed epoch.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::epoch_record(bytes));
