//! Invalid files and command lines.

use std::fs;

use half::f16;

use crate::support::{Setting, Tensor, f16s, f32s, header_of, i64s, safetensors, update, with_header};

#[test]
fn mismatched_files_are_refused_by_name() {
    let good = safetensors(&update(1.0), None);
    let changed = |change: fn(&mut Vec<Tensor>)| {
        let mut tensors = update(2.0);
        change(&mut tensors);
        safetensors(&tensors, None)
    };
    let cases: [(Vec<u8>, &[&str]); 9] = [
        (changed(|t| drop(t.remove(1))), &["`encoder.weight` is missing"]),
        (changed(|t| t.push(f32s("extra", &[1], &[0.0]))), &["`extra`", "has a tensor"]),
        (changed(|t| t[1].0 = "encoder.wait".into()), &["`encoder.weight` is missing"]),
        (changed(|t| t[1].2 = vec![20, 5, 3]), &["`encoder.weight` is F32 [20, 5, 3], but F32 [20, 3, 5]"]),
        (changed(|t| t[0].1 = "BF16"), &["`encoder.half` is BF16 [2, 150], but F16 [2, 150]"]),
        (changed(|t| t[1] = f16s("encoder.weight", &[20, 3, 5], &[0.0; 300])), &["F16", "F32"]),
        (changed(|t| t[2] = i64s("steps", &[2], &[512, 0])), &["`steps` is I64 and not the same"]),
        (
            changed(|t| t[1].3[4 * 299..].copy_from_slice(&f32::NAN.to_le_bytes())),
            &["`encoder.weight` has NaN at index 299"],
        ),
        (
            changed(|t| t[0].3[14..16].copy_from_slice(&f16::NEG_INFINITY.to_le_bytes())),
            &["`encoder.half` has -inf at index 7"],
        ),
    ];
    for (bad, words) in cases {
        let setting = Setting::new(&[("good", good.clone()), ("fine", good.clone()), ("bad", bad)]);
        let message = setting.fails(1, &["good", "fine", "bad"]);
        assert!(message.starts_with("error: bad: "), "{message}");
        for word in words {
            assert!(message.contains(word), "{word} in {message}");
        }
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn broken_files_are_refused_by_name_at_every_position() {
    let good = safetensors(&update(1.0), None);
    let data = good.len() - 8 - header_of(&good).len();
    let cut = |len: usize| good[..len].to_vec();
    let header = |header: &str| with_header(header, &[0; 8]);
    let mut overlong = good.clone();
    overlong.push(0);
    let mut cases = vec![
        cut(0),
        cut(7),
        cut(8),
        cut(20),
        cut(good.len() - data - 1),
        cut(good.len() - data),
        cut(good.len() - data / 2),
        cut(good.len() - 1),
        overlong,
        u64::MAX.to_le_bytes().to_vec(),
        with_header("", &[]),
        header("{}"),
        header("[]"),
        header(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#),
        header(r#"{"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#),
        header(
            r#"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        ),
        header(
            r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}"#,
        ),
        with_header("{\"\u{0}", &[]),
        b"PK\x03\x04 this is something else altogether".to_vec(),
    ];
    // Flips one bit of the header at a time: never a mean of other values, never a panic.
    let bits = 8 * header_of(&good).len();
    cases.extend((64..64 + bits).step_by(83).map(|bit| {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }));
    for bad in cases {
        let setting = Setting::new(&[("good", good.clone()), ("bad", bad.clone())]);
        let message = setting.fails(1, &["good", "bad"]);
        assert!(message.starts_with("error: bad: "), "{message}");
        // A flipped name or shape may be valid in the first file. The error then names the other
        // file.
        let message = setting.fails(1, &["bad", "good"]);
        assert!(message.starts_with("error: ") && message.contains("bad"), "{message}");
    }
    let setting = Setting::new(&[("good", good)]);
    fs::create_dir(setting.path("bad")).unwrap();
    for name in ["bad", "absent"] {
        let message = setting.fails(1, &["good", name]);
        assert!(message.starts_with(&format!("error: {name}: ")), "{message}");
    }
}

#[test]
fn wrong_command_lines_say_what_is_wrong() {
    let setting = Setting::new(&[("a", safetensors(&update(1.0), None))]);
    for (args, words) in [
        (&["a", "--bits", "1"][..], "--bits"),
        (&["a", "--bits", "49"], "--bits"),
        (&["a", "--clip", "0"], "--clip"),
        (&["a", "--clip", "-1"], "--clip"),
        (&["a", "--clip", "inf"], "--clip"),
        (&["a", "--clip", "1e-320"], "normal f64"),
        (&["a", "--backend", "abacus"], "portable"),
        (&["a", "--threads", "0"], "--threads"),
        (&["a", "--max-weight", "3"], "--weights"),
        (&["a", "--clip", "w=0"], "--clip"),
        (&["a", "--clip", "w=much"], "much"),
        (&["a", "--json", "--quiet"], "--json"),
        (&[], "<FILE>"),
    ] {
        let message = setting.fails(2, args);
        assert!(message.contains(words), "{args:?}: {message}");
    }
    for args in ["--help", "--version"] {
        assert!(setting.run(&[args]).status.success(), "{args}");
    }
}
