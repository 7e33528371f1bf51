//! Fuzzes `store::fuzz::records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::store::fuzz::records(data));
