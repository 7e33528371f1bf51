//! Fuzzes `http::fuzz::bodies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::http::fuzz::bodies(data));
