//! Fuzzes `base::fuzz::times`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::base::fuzz::times(data));
