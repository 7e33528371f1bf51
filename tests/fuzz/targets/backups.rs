//! Fuzzes `store::fuzz::backups`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keywayd::store::fuzz::backups(data));
