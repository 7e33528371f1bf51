//! Fuzzes `crypto::fuzz::sealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::crypto::fuzz::sealed(data));
