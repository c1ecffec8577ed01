#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cipherfold_fuzz::files::run(data));
