//! Tensors without a floating-point type.

use std::fs;

use crate::support::{Setting, Tensor, bytes, f32s, i64s, safetensors};

#[test]
fn other_types_are_refused_kept_or_taken_from_the_first_file() {
    let with_steps = |steps: i64| safetensors(&[f32s("w", &[1], &[0.5]), i64s("steps", &[], &[steps])], None);
    let setting = Setting::new(&[("a", with_steps(1)), ("b", with_steps(2))]);
    let message = setting.fails(1, &["--other-types", "refuse", "a", "b"]);
    assert!(message.contains("a: tensor `steps` is I64"), "{message}");
    let message = setting.fails(1, &["a", "b"]);
    assert!(message.contains("b: tensor `steps` is I64 and not the same as in a"), "{message}");
    let json = setting.json(&["--other-types", "first", "a", "b"]);
    assert!(
        json["notes"].to_string().contains("1 tensor of another type is kept as in a: that client's own"),
        "{json}"
    );
    let a = fs::read(setting.path("a")).unwrap();
    let mean = fs::read(setting.path("mean")).unwrap();
    assert_eq!(a[a.len() - 8..], mean[mean.len() - 8..]);
}

/// A model with batch normalisation after this number of batches, as saved by `PyTorch`.
fn batch_norm(batches: i64, mean: f32) -> Vec<u8> {
    let tensors = [
        f32s("bn1.weight", &[3], &[1.0; 3]),
        f32s("bn1.running_mean", &[3], &[mean; 3]),
        i64s("bn1.num_batches_tracked", &[], &[batches]),
    ];
    safetensors(&tensors, None)
}

#[test]
fn models_with_batch_normalisation_name_a_remedy_that_works() {
    let setting = Setting::new(&[("a", batch_norm(100, 0.5)), ("b", batch_norm(301, 0.25))]);
    let message = setting.fails(1, &["a", "b"]);
    assert!(
        message.contains("bn1.num_batches_tracked") && message.contains("--other-types mean"),
        "{message}"
    );
    for (what, expected) in [("mean", 201), ("max", 301), ("first", 100)] {
        let json = setting.json(&["--other-types", what, "a", "b"]);
        assert_eq!(setting.integers("bn1.num_batches_tracked"), [expected], "{what}");
        assert_eq!(json["clipped_values"], 0);
    }
}

/// Integers of several types, at the ends of their ranges.
fn integers(wide: [i64; 3], narrow: [i8; 2], flags: [u8; 3]) -> Vec<u8> {
    let narrow = narrow.map(|x| x.to_le_bytes()[0]);
    let tensors = [
        i64s("wide", &[3], &wide),
        bytes("narrow", "I8", &narrow),
        f32s("w", &[1], &[0.5]),
        bytes("flags", "BOOL", &flags),
        Tensor("none".into(), "I64", vec![0], Vec::new()),
    ];
    safetensors(&tensors, None)
}

#[test]
fn means_and_maxima_of_integers_are_exact() {
    let setting = Setting::new(&[
        ("a", integers([i64::MIN, 7, 1 << 40], [-128, 3], [0, 1, 0])),
        ("b", integers([i64::MAX, -8, 3], [127, 4], [1, 1, 0])),
        ("c", integers([0, 0, 1], [1, 4], [0, 1, 0])),
    ]);
    let json = setting.json(&["--other-types", "mean", "a", "b", "c"]);
    assert_eq!((&json["integer_tensors"], &json["kept_tensors"]), (&4.into(), &0.into()));
    assert_eq!(setting.integers("wide"), [0, 0, ((1 << 40) + 4 + 1) / 3]);
    assert_eq!(setting.integers("narrow"), [0, 4]);
    assert_eq!(setting.integers("flags"), [0, 1, 0]);

    // Halves are rounded up. Weights count with all their 32 bits.
    setting.json(&["--other-types", "mean", "--weights", "1,1,0", "a", "b", "c"]);
    assert_eq!(setting.integers("wide"), [0, 0, (1 << 39) + 2]);
    assert_eq!(setting.integers("narrow"), [0, 4]);
    assert_eq!(setting.integers("flags"), [1, 1, 0]);
    setting.json(&["--other-types", "mean", "--weights", "4294967295,1,4294967295", "a", "b", "c"]);
    let total = 2 * i128::from(u32::MAX) + 1;
    let first = i128::from(i64::MIN) * i128::from(u32::MAX) + i128::from(i64::MAX);
    let rounded = (2 * first + total).div_euclid(2 * total);
    assert_eq!(i128::from(setting.integers("wide")[0]), rounded);

    let json = setting.json(&["--other-types", "max", "--weights", "1,1,0", "a", "b", "c"]);
    assert_eq!(setting.integers("wide"), [i64::MAX, 7, 1 << 40]);
    assert_eq!(setting.integers("narrow"), [127, 4]);
    assert_eq!(setting.integers("flags"), [1, 1, 0]);
    assert_eq!(json["further_rounds"][0]["rounds"], 64);
}

#[test]
fn a_run_that_would_average_nothing_is_an_error_and_writes_nothing() {
    let counters = safetensors(&[i64s("private", &[1], &[123_456])], None);
    let setting = Setting::new(&[("a", counters.clone()), ("b", counters)]);
    for args in [&[][..], &["--other-types", "first"], &["--quiet"]] {
        let message = setting.fails(1, &[args, &["a", "b"]].concat());
        assert!(message.contains("nothing to average: its tensors are I64"), "{args:?}: {message}");
    }
    let json = setting.json(&["--other-types", "mean", "a", "b"]);
    assert_eq!(json["parameters"], 1);
    assert_eq!(setting.integers("private"), [123_456]);

    let empty = safetensors(&[f32s("w", &[0, 3], &[]), bytes("x", "U8", &[])], None);
    let setting = Setting::new(&[("a", empty.clone()), ("b", empty)]);
    for args in [&[][..], &["--other-types", "mean"]] {
        let message = setting.fails(1, &[args, &["a", "b"]].concat());
        assert!(message.contains("its tensors have no values"), "{message}");
    }
}

#[test]
fn parts_of_block_formats_have_no_mean() {
    let blocks = Tensor("blocks".into(), "F4", vec![4], vec![0x12, 0x34]);
    let file = safetensors(&[f32s("w", &[1], &[0.5]), blocks, bytes("scales", "F8_E8M0", &[127])], None);
    let setting = Setting::new(&[("a", file.clone()), ("b", file)]);
    for what in ["mean", "max", "refuse"] {
        let message = setting.fails(1, &["--other-types", what, "a", "b"]);
        assert!(message.contains("--other-types same") && message.contains("`blocks` is F4"), "{message}");
    }
    setting.json(&["a", "b"]);
    let mean = fs::read(setting.path("mean")).unwrap();
    assert!(mean.ends_with(&[0x12, 0x34, 127]));
}

#[test]
fn truth_values_are_0_or_1() {
    let file = safetensors(&[f32s("w", &[1], &[0.5]), bytes("flag", "BOOL", &[1, 2])], None);
    let setting = Setting::new(&[("a", file)]);
    let message = setting.fails(1, &["--other-types", "mean", "a"]);
    assert!(message.contains("`flag` is BOOL, and neither 0 nor 1 at index 1"), "{message}");
}
