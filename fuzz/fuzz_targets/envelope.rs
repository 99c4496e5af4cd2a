//! The clear prefix of sealed objects.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::envelope(bytes));
