//! A cache that was tampered with: rebuilt, and never other bytes than were backed up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::cache(bytes));
