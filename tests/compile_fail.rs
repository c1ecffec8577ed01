//! What must not compile does not, and for the reason meant; beside it, the corrected code does and runs.
//!
//! The expected messages are those of the compiler that the repository is developed with. After a change of
//! compiler, `TRYBUILD=overwrite cargo test --test compile_fail` writes them anew; read each one before keeping it: what
//! counts is that the compiler objects to the line it should object to.

#[path = "compile_fail/pass"]
mod pass {
    pub(crate) mod floats_and_integers;
    pub(crate) mod one_key_size;
    pub(crate) mod placed_values;
    pub(crate) mod values_that_meet;
}

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

#[test]
fn the_corrected_code_compiles_and_runs() {
    pass::floats_and_integers::main().unwrap();
    pass::one_key_size::main().unwrap();
    pass::placed_values::main().unwrap();
    pass::values_that_meet::main();
}
