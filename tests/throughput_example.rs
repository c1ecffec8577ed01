//! The example `throughput`, run as its users run it, for as short as it can.
//!
//! `cargo test` builds the examples; where this test alone is asked for, it builds the example if there is none yet.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
    sync::LazyLock,
};

use cipherfold::{
    backend::Choice,
    paillier::{Bits2048, KeySize},
};
use serde_json::Value;

/// The example, beside this test's own folder.
static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let profile = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let binary = profile.join("examples").join("throughput").with_extension(env::consts::EXE_EXTENSION);
    if !binary.exists() {
        let profile = profile.file_name().unwrap().to_str().unwrap();
        let profile = if profile == "debug" { "dev" } else { profile };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--example", "throughput", "--profile", profile]);
        assert!(cargo.status().unwrap().success(), "the example does not build");
    }
    assert!(binary.exists(), "{} is not there: cargo build --example throughput", binary.display());
    binary
});

fn run(args: &[&str]) -> Output {
    Command::new(&*EXAMPLE).args(args).output().unwrap()
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"))
}

#[test]
fn every_backend_has_a_row_for_every_operation() {
    let output = run(&["--key-bits", "2048", "--threads", "2", "--seconds", "0.001", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    assert_eq!((&json["key_bits"], &json["threads"]), (&2048.into(), &2.into()));
    let yardstick_ns = number(&json, "yardstick_ns");
    assert!(yardstick_ns > 0.0);

    let mut backends = vec!["portable"];
    for (name, choice) in [("ifma", Choice::Ifma), ("avx2", Choice::Avx2)] {
        if Bits2048::backend(choice).is_ok() {
            backends.push(name);
        }
    }
    let rows = json["rows"].as_array().expect("rows");
    let mut names =
        rows.iter().map(|row| (row["backend"].as_str().unwrap(), row["operation"].as_str().unwrap()));
    for backend in backends {
        for operation in ["encrypt", "add", "decrypt", "mul_plain_16", "randomizer"] {
            assert_eq!(names.next(), Some((backend, operation)));
        }
    }
    assert_eq!(names.next(), None);

    for row in rows {
        // Slots of 16 + 7 bits, and of 16 + 23 bits with weights: 89 and 52 of them in 512 bytes.
        let slots = if row["operation"] == "mul_plain_16" { 52.0 } else { 89.0 };
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
        let per_second = number(row, "per_second");
        assert!(per_second > 0.0, "{row}");
        assert!(near(number(row, "values_per_second"), slots * per_second), "{row}");
        assert!(near(number(row, "bytes_per_value"), 512.0 / slots), "{row}");
        assert!(near(number(row, "ratio"), yardstick_ns * per_second / 1e9), "{row}");
        if row["backend"] == "ifma" && row["operation"] == "add" {
            assert!(number(row, "peak_fraction") > 0.0, "{row}");
        } else {
            assert!(row.get("peak_fraction").is_none(), "{row}");
        }
    }
}

#[test]
fn wrong_command_lines_say_what_is_wrong() {
    for (args, words) in [
        (["--key-bits", "1024"], "--key-bits"),
        (["--threads", "0"], "--threads"),
        (["--seconds", "-1"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(words), "{args:?}: {message}");
    }
}
