//! Records of blobs, as in directories and segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::blob_record(bytes));
