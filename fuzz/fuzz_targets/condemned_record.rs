//! Records of condemned packs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::condemned_record(bytes));
