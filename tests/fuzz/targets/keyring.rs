//! Fuzzes `crypto::fuzz::keyring`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::crypto::fuzz::keyring(data));
