//! Fuzzes `http::fuzz::targets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::http::fuzz::targets(data));
