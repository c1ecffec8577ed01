//! Runs examples like a user.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use tempfile::TempDir;

/// A runtime directory. Graphics drivers look for a display in it, and some print a warning without
/// it.
static RUNTIME_DIR: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary directory"));

/// Settings that change what an example does or prints, by the beginnings of their names.
const SETTINGS: [&str; 7] = ["CIPHERFOLD_", "CLICOLOR", "LIBGL_", "MESA_", "NO_COLOR", "RUST_", "VK_"];

/// The binary of an example, beside this test's own folder.
///
/// `cargo test` builds the examples. If only one test runs, this function builds the example if
/// necessary.
fn binary(name: &str) -> PathBuf {
    let profile =
        env::current_exe().expect("a test has a path").ancestors().nth(2).expect("target").to_owned();
    let binary = profile.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    if !binary.exists() {
        let profile = profile.file_name().and_then(|name| name.to_str()).expect("a profile's name");
        let profile = if profile == "debug" { "dev" } else { profile };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--example", name, "--profile", profile]);
        if cfg!(feature = "gpu") {
            cargo.args(["--features", "gpu"]);
        }
        assert!(cargo.status().expect("cargo runs").success(), "the example does not build");
    }
    assert!(binary.exists(), "{} is not there: cargo build --example {name}", binary.display());
    binary
}

/// An example without the environment's settings, and without a standard input.
pub fn example(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    for (setting, _) in env::vars_os() {
        if SETTINGS.iter().any(|start| setting.to_string_lossy().starts_with(start)) {
            command.env_remove(setting);
        }
    }
    command.env("XDG_RUNTIME_DIR", RUNTIME_DIR.path()).stdin(Stdio::null());
    command
}

/// Runs an example to its end.
pub fn run(name: &str, args: &[&str]) -> Output {
    example(name).args(args).output().expect("the example starts")
}
