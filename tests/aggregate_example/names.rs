//! Names and paths from other parties are escaped for a terminal.

use std::{fs, process::Output};

use serde_json::json;

use crate::support::{Setting, f32s, i64s, safetensors, stderr, with_header};

/// A name that clears the screen, forges an error, and turns the direction of writing.
const UNPRINTABLE: &str = "w\u{1b}[2J\u{9b}31m\nerror: forged\r\u{202e}\u{7f}";

/// Fails if the output has characters that are neither printable nor line ends, or a line that a
/// name has forged.
fn harmless(output: &Output) {
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(stream.clone()).expect("text");
        let bad = |c: &char| {
            c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert_eq!(text.chars().find(bad), None, "{text:?}");
        assert!(!text.contains("\nerror: forged") && !text.starts_with("error: forged"), "{text:?}");
    }
}

#[test]
fn names_of_tensors_and_files_are_escaped_everywhere() {
    let good = [f32s(UNPRINTABLE, &[2], &[0.5, -0.5]), i64s("steps\u{1b}", &[1], &[3])];
    let metadata = json!({ UNPRINTABLE: "x" });
    let path = if cfg!(unix) { "a\u{1b}[31m\nerror: forged" } else { "a" };
    let nan = [f32s(UNPRINTABLE, &[2], &[0.5, f32::NAN]), i64s("steps\u{1b}", &[1], &[3])];
    let other = [f32s(UNPRINTABLE, &[1], &[0.5]), i64s("steps\u{1b}", &[1], &[3])];
    let steps = [f32s(UNPRINTABLE, &[2], &[0.5, -0.5]), i64s("steps\u{1b}", &[1], &[4])];
    let header = "{\"w\":{\"dtype\":\"F\\u001b[2J\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let setting = Setting::new(&[
        (path, safetensors(&good, Some(&metadata))),
        ("nan", safetensors(&nan, None)),
        ("other", safetensors(&other, None)),
        ("steps", safetensors(&steps, None)),
        ("missing", safetensors(&[f32s("w", &[1], &[0.5])], None)),
        ("header", with_header(header, &[0; 4])),
        ("index.json", br#"{"weight_map":{"w":"\u001b[2J"}}"#.to_vec()),
        ("away.json", br#"{"weight_map":{"w":"../\u001b[2J"}}"#.to_vec()),
    ]);
    for args in [
        &[path, "steps", "--other-types", "first"][..],
        &[path, path, "--json"],
        &[path, "--clip", "auto"],
        &[path, "--clip", "0.1", "--allow-clipping"],
    ] {
        let output = setting.run(&[&["--out", "mean"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        harmless(&output);
    }
    let pattern = format!("{UNPRINTABLE}x=1");
    for args in [
        &[path, "nan"][..],
        &[path, "other"],
        &[path, "steps"],
        &[path, "missing"],
        &["missing", path],
        &["header"],
        &["index.json"],
        &["away.json"],
        &[path, "--clip", "0.1"],
        &[path, "--clip", &pattern],
        &[path, "--other-types", "refuse"],
        &["absent\u{1b}[2J"],
        &[path, "--bits", "\u{1b}[2J"],
        &[path, "--weights", "1\u{1b}"],
        &["--\u{1b}[2J\nerror: forged"],
        &[path, "--out", path],
    ] {
        let args =
            if args.contains(&"--out") { args.to_vec() } else { [&["--out", "none\u{1b}"], args].concat() };
        let output = setting.run(&args);
        assert!(!output.status.success(), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
        harmless(&output);
        assert!(!fs::exists(setting.path("none\u{1b}")).unwrap());
    }
}
