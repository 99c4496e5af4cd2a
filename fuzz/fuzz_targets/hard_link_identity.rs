//! Link identities that stand in an extra.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::hard_link_identity(bytes));
