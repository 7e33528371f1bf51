//! Fuzzes `crypto::fuzz::bearers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::crypto::fuzz::bearers(data));
