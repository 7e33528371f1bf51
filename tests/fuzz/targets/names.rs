//! Fuzzes `base::fuzz::names`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::base::fuzz::names(data));
