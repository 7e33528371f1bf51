//! Fuzzes `http::fuzz::connections`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::http::fuzz::connections(data));
