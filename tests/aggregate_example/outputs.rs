//! The output's name, and remaining files when a run ends early.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use safetensors::SafeTensors;
use serde_json::json;

use crate::support::{Setting, f32s, safetensors, stderr, update, with_header};

#[test]
fn outputs_replace_what_was_there_but_no_input() {
    let good = safetensors(&update(1.0), None);
    let setting = Setting::new(&[("a", good.clone()), ("mean", b"old".to_vec())]);
    let message = setting.fails(1, &["a", "absent"]);
    assert!(message.contains("absent"));
    assert_eq!(fs::read(setting.path("mean")).unwrap(), b"old");

    let output = setting.run(&["--quiet", "--out", "mean", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    assert!(SafeTensors::deserialize(&fs::read(setting.path("mean")).unwrap()).is_ok());

    let output = setting.run(&["--out", "./a", "a"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("./a: is the input a, and is not overwritten"), "{}", stderr(&output));
    assert_eq!(fs::read(setting.path("a")).unwrap(), good);

    for out in [".", "nowhere/mean"] {
        let output = setting.run(&["--out", out, "a"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(out), "{}", stderr(&output));
    }
    assert_eq!(setting.names(), ["a", "mean"]);
}

#[test]
fn names_that_cannot_be_written_are_refused_before_the_work() {
    // Reading the values would fail. An error about the name therefore shows that the name is
    // checked first.
    let setting = Setting::new(&[("bad", safetensors(&[f32s("w", &[1], &[f32::NAN])], None))]);
    let long = "n".repeat(300);
    for out in [&long, "nowhere/mean", "bad/mean", "mean/", ".", "..", "bad"] {
        let output = setting.run(&["--out", out, "bad"]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{out}");
        assert!(message.starts_with(&format!("error: {out}: ")), "{out}: {message}");
        assert_eq!(setting.names(), ["bad"]);
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_written_through() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let setting = Setting::new(&[("a", safetensors(&update(1.0), None))]);
    fs::create_dir(setting.path("store")).unwrap();
    symlink("store/real", setting.path("link")).unwrap();
    for existing in [false, true] {
        let output = setting.run(&["--out", "link", "a"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let summary = String::from_utf8(output.stdout).unwrap();
        assert!(summary.contains("link is a symbolic link: the mean is in "), "{existing}: {summary}");
        assert!(fs::symlink_metadata(setting.path("link")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(setting.path("store/real")).unwrap().is_file());
        assert_eq!(fs::read_dir(setting.path("store")).unwrap().count(), 1);
    }
    // A file that only its owner may read keeps this permission.
    fs::set_permissions(setting.path("store/real"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(setting.run(&["--quiet", "--out", "link", "a"]).status.success());
    let mode = fs::metadata(setting.path("store/real")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    symlink("a", setting.path("input")).unwrap();
    symlink("circle", setting.path("circle")).unwrap();
    for (out, words) in
        [("input", "is the input a"), ("circle", "too many links"), ("/dev/null", "not a regular file")]
    {
        let output = setting.run(&["--out", out, "a"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
fn a_run_that_is_killed_leaves_nothing_behind() {
    let values = vec![0.25; 500_000];
    let setting = Setting::new(&[("a", safetensors(&[f32s("w", &[500_000], &values)], None))]);
    for millis in [5, 20, 200] {
        let mut child = setting
            .command(&["--threads", "1", "--out", "mean", "a", "a", "a"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        // On a fast machine, the run may end earlier.
        if child.wait().unwrap().success() {
            fs::remove_file(setting.path("mean")).unwrap();
        }
        assert_eq!(setting.names(), ["a"]);
    }
}

/// A setting with a sparse file: copying takes long, but it needs no disk space.
fn slow(bytes: usize) -> Setting {
    let header = json!({
        "w": { "dtype": "F32", "shape": [1], "data_offsets": [0, 4] },
        "bulk": { "dtype": "U8", "shape": [bytes], "data_offsets": [4, 4 + bytes] },
    });
    let start = with_header(&header.to_string(), &[0; 4]);
    let setting = Setting::new(&[("a", start.clone())]);
    let file = File::options().append(true).open(setting.path("a")).unwrap();
    file.set_len((start.len() + bytes) as u64).unwrap();
    setting
}

/// Waits until there is a temporary file, or the run has ended.
fn wait_for_temporary_file(setting: &Setting, child: &mut Child) {
    while child.try_wait().unwrap().is_none() && setting.names().len() == 1 {
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(unix)]
#[test]
fn signals_leave_no_temporary_file_behind() {
    use std::os::unix::process::ExitStatusExt;
    let setting = slow(2 << 30);
    // A parent process may ignore some of them, like `nohup`. They are then ignored here too.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    for (name, signal) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("ALRM", 14), ("TERM", 15)] {
        if (ignored >> (signal - 1)) & 1 == 1 {
            continue;
        }
        let mut child = setting.command(&["--other-types", "first", "--out", "mean", "a"]).spawn().unwrap();
        wait_for_temporary_file(&setting, &mut child);
        let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = child.wait().unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(status.signal(), Some(signal), "{name}: {status}");
        }
        let left: Vec<_> = setting.names().into_iter().filter(|name| !name.starts_with("core")).collect();
        assert_eq!(left, ["a"], "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn signals_that_are_ignored_stay_so() {
    let setting = slow(64 << 20);
    let example = setting.command(&[]).get_program().to_owned();
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(example)
        .args(["--insecure-test-key", "--other-types", "first", "--quiet", "--out", "mean", "a"])
        .current_dir(setting.path(""))
        .spawn()
        .unwrap();
    wait_for_temporary_file(&setting, &mut child);
    Command::new("kill").args(["-s", "HUP", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(setting.names(), ["a", "mean"]);
}
