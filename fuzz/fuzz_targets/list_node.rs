//! Nodes of split chunk lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keepstone_fuzz::targets::list_node(bytes));
