//! The command `cipherfold`, called by people and by programs.

use std::fs;

use serde_json::Value;

use crate::support::{
    commands::{cipherfold, json, pull, run, set_up},
    values, write_update, write_updates,
};

/// Exit code and error.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn two_hospitals_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let store = path("store");
    let session =
        json(&["session", "new", "--home", &path("server"), "--store", &store, "--key-bits", "2048"]);
    write_updates(folder.path());
    let opened =
        json(&["round", "open", "--home", &path("server"), "--store", &store, "--model", &path("update-0")]);
    assert_eq!((&opened["round"], &opened["session"]), (&0.into(), &session["session"]));

    let aggregating = cipherfold(&[
        "aggregate",
        "--home",
        &path("aggregator"),
        "--store",
        &store,
        "--poll",
        "0.05",
        "--json",
    ])
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::null())
    .spawn()
    .unwrap();
    for client in [0, 1] {
        let (home, update) = (path(&format!("client-{client}")), path(&format!("update-{client}")));
        let submitted = json(&["submit", "--home", &home, "--store", &store, &update]);
        assert_eq!((&submitted["attempt"], &submitted["clipped"]), (&1.into(), &0.into()));
    }
    let pulled = pull(folder.path(), &store);
    assert_eq!(pulled["participants"], serde_json::json!([0, 1]));
    assert_eq!(pulled["values"], 340);
    crate::support::assert_is_mean(&crate::support::read_mean(&folder.path().join("mean")), &[0, 1]);
    let ended: Value = serde_json::from_slice(&aggregating.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(ended["participants"], serde_json::json!([0, 1]));

    let status = json(&["status", "--home", &path("client-0"), "--store", &store]);
    assert_eq!((&status["rounds"][0]["state"], &status["key_bits"]), (&"saved".into(), &2048.into()));
    let audit = json(&["audit", "--home", &path("aggregator"), "--store", &store]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &1.into()));

    // An auditor without a home, after one byte was changed.
    let sum = folder.path().join("store").join(session["session"].as_str().unwrap()).join("0/sum/0");
    let mut bytes = fs::read(&sum).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&sum, bytes).unwrap();
    let digest =
        json(&["consortium", "digest", &path("consortium.toml")])["digest"].as_str().unwrap().to_owned();
    let output =
        run(&["audit", "--store", &store, "--consortium", &path("consortium.toml"), "--digest", &digest]);
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAULT") && text.contains("/0/sum/0: has digest"), "{text}");

    // A round that is over.
    let late = failure(&[
        "submit",
        "--home",
        &path("client-0"),
        "--store",
        &store,
        &path("missing"),
        "--round",
        "7",
    ]);
    assert_eq!(late.0, 1);
    assert!(late.1.contains("there is no round 7"), "{}", late.1);
}

#[test]
fn secrets_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("me");
    let text = home.display().to_string();
    let new = ["identity", "new", "--home", &text, "--name", "A", "--role", "client-0"];
    let made = run(&new);
    let shown = run(&["identity", "show", "--home", &text]);
    assert_eq!(made.stdout, shown.stdout);
    let identity = home.join("identity");
    assert_eq!(fs::metadata(&identity).unwrap().permissions().mode() & 0o777, 0o600);
    let secrets = fs::read_to_string(&identity).unwrap();
    for line in secrets.lines().filter(|line| line.starts_with("signing") || line.starts_with("tls")) {
        let secret = line.split('"').nth(1).unwrap();
        for output in [&made.stdout, &made.stderr] {
            assert!(!String::from_utf8_lossy(output).contains(secret), "a secret is printed");
        }
    }
    let (code, text_again) = failure(&new);
    assert_eq!(code, 1);
    assert!(text_again.contains("exists"), "{text_again}");
    assert_eq!(fs::read_to_string(&identity).unwrap(), secrets, "keys are not overwritten");

    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, open) = failure(&["identity", "show", "--home", &text]);
    assert_eq!(code, 1);
    assert!(open.contains("has mode 644") && open.contains("chmod 600"), "{open}");

    // From the environment, without a file.
    fs::remove_file(&identity).unwrap();
    let mut from_environment = cipherfold(&["identity", "show", "--home", &text]);
    let output = from_environment.env("CIPHERFOLD_IDENTITY", &secrets).output().unwrap();
    assert_eq!(output.stdout, made.stdout);
    let broken = from_environment
        .env("CIPHERFOLD_IDENTITY", secrets.replace("signing = \"", "signing = \"zz"))
        .output();
    let message = String::from_utf8(broken.unwrap().stderr).unwrap();
    assert!(message.contains("is not what this program wrote") && !message.contains("zz"), "{message}");
}

#[test]
fn a_pin_is_compared_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 1);
    let (store, home) = (path("store"), path("server"));
    let other = "00".repeat(32);
    let (code, text) =
        failure(&["consortium", "pin", "--home", &home, &path("consortium.toml"), "--digest", &other]);
    assert_eq!(code, 1);
    assert!(text.contains("pinned is 0000"), "{text}");
    let pinned = folder.path().join("server/consortium.toml");
    let changed = fs::read_to_string(&pinned).unwrap().replace("two hospitals", "two banks");
    fs::write(&pinned, changed).unwrap();
    let (_, text) = failure(&["session", "new", "--home", &home, "--store", &store]);
    assert!(text.contains("the consortium has digest"), "{text}");
    // A home whose keys are not in the file.
    run(&["identity", "new", "--home", &path("other"), "--name", "x", "--role", "server"]);
    let digest =
        json(&["consortium", "digest", &path("consortium.toml")])["digest"].as_str().unwrap().to_owned();
    let (_, text) = failure(&[
        "consortium",
        "pin",
        "--home",
        &path("other"),
        &path("consortium.toml"),
        "--digest",
        &digest,
    ]);
    assert!(text.contains("lists other keys for server"), "{text}");
}

#[test]
fn a_plan_has_the_figures_of_the_documentation() {
    let output = run(&["plan", "--clients", "1000", "--values", "1e9", "--bits", "16", "--key-bits", "2048"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for figure in ["12,820,513 ciphertexts an update", "6.56 GB an update", "6.56 TB a round"] {
        assert!(text.contains(figure), "{text}");
    }
    let plan = json(&["plan", "--clients", "1000", "--values", "1e9", "--bits", "16", "--key-bits", "2048"]);
    assert_eq!(plan["ciphertexts"], 12_820_513);
}

#[test]
fn wrong_command_lines_and_failures_have_different_exit_codes() {
    assert_eq!(failure(&["plan", "--clients", "0", "--values", "1"]).0, 2);
    assert_eq!(failure(&["frobnicate"]).0, 2);
    assert_eq!(failure(&["identity", "new", "--home", "x", "--name", "x", "--role", "boss"]).0, 2);
    let (code, text) = failure(&["status", "--home", "/nowhere", "--store", "ftp://x"]);
    assert_eq!(code, 1);
    assert!(text.starts_with("error: /nowhere/identity: "), "{text}");
    let object = failure(&["status", "--home", "/nowhere", "--store", "x", "--json"]).1;
    let object: Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["exit_code"], 1);
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("Exit status:"), "{help}");
}

#[test]
fn the_demonstration_shows_a_round() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display().to_string();
    let shown = json(&["demo", "--clients", "2", "--values", "500", "--directory", &directory]);
    assert_eq!((&shown["values"], &shown["clients"]), (&500.into(), &2.into()));
    assert!(shown["largest_error"].as_f64().unwrap() <= shown["error_bound"].as_f64().unwrap());
    assert!(folder.path().join("homes/client-1/identity").exists());
}

/// The message names the missing object, and the exit code says that a retry may succeed.
#[test]
fn waiting_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let store = path("store");
    let (code, text) =
        failure(&["round", "open", "--home", &path("server"), "--store", &store, "--model", "x"]);
    assert_eq!(code, 1);
    assert!(text.contains("there is no session"), "{text}");
    json(&["session", "new", "--home", &path("server"), "--store", &store, "--key-bits", "2048"]);
    write_update(&folder.path().join("update"), &values(0));
    json(&["round", "open", "--home", &path("server"), "--store", &store, "--model", &path("update")]);
    let submit =
        ["submit", "--home", &path("client-0"), "--store", &store, &path("update"), "--timeout", "0.1"];
    let (code, text) = failure(&submit);
    assert_eq!(code, 75);
    assert!(text.contains("the aggregator's key did not come"), "{text}");
    let pull =
        ["pull", "--home", &path("server"), "--store", &store, "--out", &path("mean"), "--timeout", "0.1"];
    assert_eq!(failure(&pull).0, 75);
}
