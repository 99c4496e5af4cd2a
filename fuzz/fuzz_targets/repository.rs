//! A repository whose objects were tampered with: errors, but never other bytes than were backed up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::repository(bytes));
