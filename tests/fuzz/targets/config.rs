//! Fuzzes `config::fuzz::file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::config::fuzz::file(data));
