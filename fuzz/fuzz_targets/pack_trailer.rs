//! Trailers of packs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::pack_trailer(bytes));
