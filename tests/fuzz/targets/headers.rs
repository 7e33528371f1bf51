//! Fuzzes `http::fuzz::headers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::http::fuzz::headers(data));
