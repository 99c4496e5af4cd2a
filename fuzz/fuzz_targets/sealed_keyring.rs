//! What stands before a keyring's sealed content.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::sealed_keyring(bytes));
