//! Fuzzes `app::fuzz::archives`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::app::fuzz::archives(data));
