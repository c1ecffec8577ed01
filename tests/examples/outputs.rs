//! Outputs of examples: closed pipes, full devices, files that cannot be written.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::example::example;

/// Short runs that print something.
fn short_runs() -> Vec<Command> {
    let runs: &[(&str, &[&str])] = &[
        ("dropouts", &[]),
        ("federated_averaging", &["--rounds", "2", "--in-the-clear"]),
        #[cfg(feature = "gpu")]
        ("gpu_report", &["--seconds", "0"]),
        ("key_holder", &[]),
        ("python_paillier_exchange", &[]),
        ("roles", &[]),
        ("secure_mean", &["--clients", "2", "--values", "9", "--key-bits", "2048"]),
        ("secure_sum", &[]),
        ("simulation", &["--rounds", "2", "--clients", "4", "--values", "9", "--in-the-clear"]),
        ("throughput", &["--seconds", "0", "--key-bits", "2048"]),
    ];
    let command = |(name, args): &(&str, &[&str])| {
        let mut command = example(name);
        command.args(*args);
        command
    };
    runs.iter().map(command).collect()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_closed_pipe_ends_an_example_quietly() {
    for mut command in short_runs() {
        let folder = TempDir::new().unwrap(); // for the curve
        command.current_dir(folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {}", message(&output));
    }
}

/// Like `| head -1`.
#[test]
fn output_may_be_closed_after_the_first_line() {
    let mut child = example("secure_sum").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "[10, 15]\n");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", message(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error_that_names_standard_output() {
    for mut command in short_runs() {
        let folder = TempDir::new().unwrap();
        command.current_dir(folder.path());
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let message = message(&output);
        assert!(message.starts_with("error: standard output cannot be written: "), "{command:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{command:?}: {message}");
        // Nothing was drawn, and no empty file remains.
        assert!(!folder.path().join("target/federated_averaging.svg").exists());
    }
}

#[test]
fn a_curve_that_cannot_be_written_is_refused_before_the_training() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "kept").unwrap();
    for curve in ["file/curve.svg", ".", "file/\u{1b}[2J\nerror: forged"] {
        let mut command = example("federated_averaging");
        let output = command.current_dir(folder.path()).args(["--in-the-clear", "--curve", curve]).output();
        let output = output.unwrap();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(1), "{curve:?}: {message}");
        assert!(output.stdout.is_empty(), "{curve:?}: nothing was trained");
        assert!(
            message.contains("cannot be written") && message.lines().count() == 1,
            "{curve:?}: {message}"
        );
        assert!(!message.contains('\u{1b}'), "{curve:?}: {message}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "kept");
}

#[test]
fn the_curve_shows_both_lines() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new folder").join("curve.svg");
    let args = ["--rounds", "3", "--in-the-clear", "--curve"];
    let output = example("federated_averaging").args(args).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let drawn = fs::read_to_string(path).unwrap();
    // The first line is wider than the second, which is drawn over it.
    let widths: Vec<u32> = drawn
        .split("<polyline")
        .skip(1)
        .filter(|line| line.contains("#0000FF") || line.contains("#FF0000"))
        .map(|line| {
            let width = line.split("stroke-width=\"").nth(1).expect("a line has a width");
            width.split('"').next().and_then(|width| width.parse().ok()).expect("it is a number")
        })
        .collect();
    assert_eq!(widths, [8, 2, 8, 2], "two curves and their two samples in the legend");
}

#[cfg(feature = "gpu")]
#[test]
fn shaders_go_where_they_can_be_written() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "kept").unwrap();
    let mut command = example("gpu_report");
    let output = command.current_dir(folder.path()).args(["--shaders", "file/x"]).output().unwrap();
    let message = message(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: file/x cannot be written: "), "{message}");
}
