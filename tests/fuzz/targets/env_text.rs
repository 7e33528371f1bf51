//! Fuzzes `domain::fuzz::env_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::domain::fuzz::env_text(data));
