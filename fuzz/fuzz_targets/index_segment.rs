//! Index segments, read whole and record by record.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::index_segment(bytes));
