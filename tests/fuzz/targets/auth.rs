#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyline_fuzz::auth(bytes));
