//! Fuzzes `app::fuzz::env_trees`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::app::fuzz::env_trees(data));
