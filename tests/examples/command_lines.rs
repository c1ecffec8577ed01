//! Valid and invalid command lines: every example prints a message and returns an exit code, and
//! none panics.

use std::{fs, path::Path};

use crate::example::{example, run};

/// All examples. The GPU's example is built only with its feature. `aggregate` has separate tests.
const EXAMPLES: &[&str] = &[
    "constant_time",
    "dropouts",
    "federated_averaging",
    #[cfg(feature = "gpu")]
    "gpu_report",
    "key_holder",
    "python_paillier_exchange",
    "roles",
    "secure_mean",
    "secure_sum",
    "simulation",
    "throughput",
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).expect("an example writes UTF-8")
}

#[test]
fn no_example_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "aggregate" && (cfg!(feature = "gpu") || name != "gpu_report"))
        .collect();
    found.sort();
    assert_eq!(found, EXAMPLES);
}

#[test]
fn every_example_has_help_and_a_version() {
    for name in EXAMPLES {
        let help = run(name, &["--help"]);
        assert!(help.status.success(), "{name}");
        let help = text(&help.stdout);
        assert!(help.contains(&format!("Usage: {name}")) && help.contains("--version"), "{name}: {help}");
        let version = run(name, &["--version"]);
        assert!(version.status.success(), "{name}");
        assert_eq!(text(&version.stdout), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn unknown_arguments_are_refused_and_shown_escaped() {
    for name in EXAMPLES {
        let output = run(name, &["--\u{1b}[31m\nerror: forged"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let message = text(&output.stderr);
        assert!(message.contains("--\\u{1b}[31m\\nerror: forged"), "{name}: {message}");
        assert!(!message.contains('\u{1b}'), "{name}: {message}");
    }
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_text_are_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    for name in EXAMPLES {
        let bytes = OsStr::from_bytes(b"--seconds=\xff\xfe");
        let output = example(name).arg(bytes).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn wrong_arguments_are_usage_errors_that_name_them() {
    let huge = "99999999999999999999";
    for (name, args) in [
        ("constant_time", &["timing", "0"][..]),
        ("constant_time", &["timing", "nan"]),
        ("constant_time", &["timing", "1", "1024"]),
        ("federated_averaging", &["--rounds", "0"]),
        ("federated_averaging", &["--rounds", "-1"]),
        ("federated_averaging", &["--rounds", huge]),
        ("federated_averaging", &["--clip", "-3"]),
        ("federated_averaging", &["--clip", "0"]),
        ("federated_averaging", &["--clip", "nan"]),
        ("federated_averaging", &["--clip", "1e300"]),
        ("federated_averaging", &["--clip", "1e-320"]),
        ("federated_averaging", &["--noise", "-1"]),
        ("federated_averaging", &["--noise", "0"]),
        ("federated_averaging", &["--noise", "inf"]),
        ("roles", &["--directory", ".", "--party", "nobody"]),
        ("secure_mean", &["--clients", "0"]),
        ("secure_mean", &["--clients", huge]),
        ("secure_mean", &["--values", "0"]),
        ("secure_mean", &["--values", huge]),
        ("secure_mean", &["--threads", "0"]),
        ("secure_mean", &["--threads", "60000"]),
        ("secure_mean", &["--key-bits", "1024"]),
        ("simulation", &["--clients", "0"]),
        ("simulation", &["--clients", huge]),
        ("simulation", &["--values", "0"]),
        ("simulation", &["--values", huge]),
        ("simulation", &["--rounds", "0"]),
        ("simulation", &["--dropouts", "100"]),
        ("simulation", &["--dropouts", "-1"]),
        ("simulation", &["--seed", "-1"]),
        ("throughput", &["--key-bits", "1024"]),
        ("throughput", &["--threads", "0"]),
        ("throughput", &["--threads", "65535"]),
        ("throughput", &["--seconds", "-1"]),
        ("throughput", &["--seconds", "nan"]),
        ("throughput", &["--seconds", "1e300"]),
    ] {
        check_usage_error(name, args);
    }
}

#[cfg(feature = "gpu")]
#[test]
fn wrong_arguments_of_gpu_report_are_usage_errors() {
    for args in [
        ["--seconds", "-1"],
        ["--seconds", "18446744073709551615"],
        ["--batch", "0"],
        ["--batch", "4294967295"],
        ["--lanes", "0"],
        ["--lanes", "5"],
    ] {
        check_usage_error("gpu_report", &args);
    }
}

fn check_usage_error(name: &str, args: &[&str]) {
    let output = run(name, args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name} {args:?}: {message}");
    assert!(output.stdout.is_empty(), "{name} {args:?}");
    let [argument, value] = args[args.len() - 2..] else { unreachable!("two arguments or more") };
    assert!(message.starts_with("error: ") && message.contains(value), "{name} {args:?}: {message}");
    assert!(name == "constant_time" || message.contains(argument), "{name} {args:?}: {message}");
}

/// Errors of the library are one line, with exit code 1.
#[test]
fn refusals_by_the_library_are_one_line() {
    for (name, args) in [
        ("secure_mean", &["--bits", "0"][..]),
        ("secure_mean", &["--bits", "99"]),
        ("simulation", &["--bits", "0", "--in-the-clear"]),
        ("simulation", &["--bits", "4294967295", "--in-the-clear"]),
    ] {
        let output = run(name, args);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name} {args:?}: {message}");
        assert!(message.starts_with("error: ") && message.lines().count() == 1, "{name} {args:?}: {message}");
    }
    let output = example("secure_sum").env("CIPHERFOLD_BACKEND", "\u{1b}[2J\nerror: b").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("`\\u{1b}[2J\\nerror: b`") && message.lines().count() == 1, "{message}");
}

/// Error bounds depend on the arguments: 48 bits are finer than a 32-bit float, 2 bits are a grid
/// of four points.
#[test]
fn simulations_run_at_the_ends_of_their_ranges() {
    for args in [
        ["--clients", "1", "--bits", "48", "--dropouts", "0", "--values", "1"],
        ["--clients", "3", "--bits", "2", "--dropouts", "0", "--values", "100"],
        ["--clients", "9", "--bits", "16", "--dropouts", "50", "--values", "3"],
    ] {
        let output =
            example("simulation").args(["--rounds", "3", "--in-the-clear"]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }
    // If all clients of a round drop out, there is no mean.
    let output =
        run("simulation", &["--clients", "1", "--dropouts", "99", "--rounds", "9", "--in-the-clear"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: ") && message.lines().count() == 1, "{message}");
}
