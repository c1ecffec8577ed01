//! What must not compile does not, and for the reason meant; beside it, the corrected code does and runs.
//!
//! The expected messages are those of the compiler that the repository is developed with. After a change of
//! compiler, `TRYBUILD=overwrite cargo test --test compile_fail` writes them anew; read each one before keeping it: what
//! counts is that the compiler objects to the line it should object to.

#[test]
fn misuse_does_not_compile() {
    let tests = trybuild::TestCases::new();
    tests.pass("tests/compile_fail/pass/*.rs");
    tests.compile_fail("tests/compile_fail/*.rs");
}
