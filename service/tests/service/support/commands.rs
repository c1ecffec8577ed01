//! Calls of the command `cipherfold`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// The command with these arguments, away from the homes and stores of the environment.
pub(crate) fn cipherfold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cipherfold"));
    command.args(arguments).env_remove("CIPHERFOLD_HOME").env_remove("CIPHERFOLD_STORE");
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    cipherfold(arguments).output().unwrap()
}

/// The JSON of a command that succeeds.
pub(crate) fn json(arguments: &[&str]) -> Value {
    json_of(cipherfold(arguments).arg("--json"))
}

/// The same for a command that has the argument `--json`.
pub(crate) fn json_of(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{command:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{command:?}: {error}: {out}"))
}

/// Homes in a folder with a pinned consortium, made by the command.
pub(crate) fn set_up(folder: &Path, clients: u32) {
    set_up_with(folder, &["server", "aggregator"], clients);
}

/// The same with these roles beside the clients.
pub(crate) fn set_up_with(folder: &Path, others: &[&str], clients: u32) {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut roles: Vec<String> = others.iter().map(|role| (*role).to_owned()).collect();
    roles.extend((0..clients).map(|client| format!("client-{client}")));
    let mut toml = "version = 1\nname = \"two hospitals\"\n".to_owned();
    for role in &roles {
        let output = run(&[
            "identity",
            "new",
            "--home",
            &path(role),
            "--name",
            &format!("the {role}"),
            "--role",
            role,
        ]);
        assert!(output.status.success());
        toml.push('\n');
        toml.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    fs::write(folder.join("consortium.toml"), toml).unwrap();
    let digest =
        json(&["consortium", "digest", &path("consortium.toml")])["digest"].as_str().unwrap().to_owned();
    for role in &roles {
        json(&["consortium", "pin", "--home", &path(role), &path("consortium.toml"), "--digest", &digest]);
    }
}

/// The server of such homes pulls the latest round to `mean`.
pub(crate) fn pull(folder: &Path, store: &str) -> Value {
    let path = |name: &str| folder.join(name).display().to_string();
    json(&["pull", "--home", &path("server"), "--store", store, "--out", &path("mean"), "--timeout", "60"])
}

#[cfg(feature = "fault-injection")]
pub(crate) const SIGKILL: i32 = 9;

/// Runs a command that is killed at a point, and then runs it again without that.
#[cfg(feature = "fault-injection")]
pub(crate) fn killed_at(point: &str, arguments: &[&str]) {
    use std::os::unix::process::ExitStatusExt;

    let mut command = cipherfold(arguments);
    let status = command.arg("--quiet").env("CIPHERFOLD_KILL_AT", point).status().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "{point} is passed by {arguments:?}: {status}");
    json(arguments);
}
