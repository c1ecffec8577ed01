//! Each case must fail to compile with the recorded messages. `pass/` holds corrected versions,
//! which compile and run.
//!
//! Messages differ between compilers. They are recorded for one compiler, and compared only with
//! that compiler. If `REQUIRE_MESSAGES` is set, as in CI, another compiler is a failure. After a
//! change of compiler, record the messages again with
//! `TRYBUILD=overwrite cargo test --test compile_fail`, and update [`RECORDED`]. Check every new
//! message: it must be about the intended line.

use std::{env, process::Command};

#[path = "compile_fail/pass"]
mod pass {
    pub(crate) mod floats_and_integers;
    pub(crate) mod one_key_size;
    pub(crate) mod placed_values;
    pub(crate) mod values_that_meet;
}

/// The compiler whose messages are recorded.
const RECORDED: &str = "rustc 1.95.";

#[test]
fn misuse_does_not_compile() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("the compiler says its version");
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    if !version.starts_with(RECORDED) && env::var_os("TRYBUILD").is_none() {
        assert!(
            env::var_os("REQUIRE_MESSAGES").is_none(),
            "messages are recorded for {RECORDED}, not {version}"
        );
        println!("skipped: messages are recorded for {RECORDED}, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

#[test]
fn the_corrected_code_compiles_and_runs() {
    pass::floats_and_integers::main().unwrap();
    pass::one_key_size::main().unwrap();
    pass::placed_values::main().unwrap();
    pass::values_that_meet::main();
}
