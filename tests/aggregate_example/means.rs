//! Means of floating-point tensors.

use std::fs;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::{
    Setting, bytes, deviation, f16s, f32s, f64s, header_of, number, safetensors, stderr, update, values,
};

#[test]
fn the_mean_has_the_tensors_of_the_first_file_and_is_within_the_bound() {
    let mut reversed = update(2.0);
    reversed.reverse();
    let files = [
        (
            "a",
            safetensors(&update(1.0), Some(&json!({ "format": "pt", "epoch": "3", "site": "Hospital A" }))),
        ),
        ("b", safetensors(&reversed, Some(&json!({ "epoch": "4", "format": "pt" })))),
        ("c", safetensors(&update(3.0), Some(&json!({ "format": "pt", "epoch": "3" })))),
    ];
    let setting = Setting::new(&files);
    let json = setting.json(&["--bits", "16", "--clip", "1.0", "a", "b", "c"]);

    let mean = fs::read(setting.path("mean")).unwrap();
    let [found, expected] = [&mean, &files[0].1].map(|file| SafeTensors::deserialize(file).unwrap());
    for (name, tensor) in expected.tensors() {
        let found = found.tensor(&name).unwrap();
        assert_eq!((found.dtype(), found.shape()), (tensor.dtype(), tensor.shape()), "{name}");
    }
    assert_eq!(found.len(), expected.len());
    let kept = found.tensor("steps").unwrap().data().to_vec();
    assert_eq!(kept, update(1.0)[2].3);
    assert_eq!(setting.names(), ["a", "b", "c", "mean"]);

    // The metadata are those that all files share. No client's own metadata are there.
    let header: Value = serde_json::from_slice(header_of(&mean)).unwrap();
    assert_eq!(header["__metadata__"], json!({ "format": "pt" }));
    assert!(json["notes"].to_string().contains("2 entries of the metadata are not the same in all files"));

    assert_eq!(json["clients"], 3);
    assert_eq!(json["parameters"], 300 + 300 + 7 + 1);
    assert_eq!(json["tensors"], 6);
    assert_eq!(json["kept_tensors"], 1);
    assert_eq!(json["clipped_values"], 0);
    assert_eq!((&json["bits"], &json["key_bits"]), (&json!(16), &json!(512)));
    assert!(number(&json, "bytes_per_value") > 2.0);
    assert!(json["seconds"]["encryption"].as_f64().unwrap() > 0.0);
    let clients = [("a", 1.0), ("b", 1.0), ("c", 1.0)];
    let mut worst: f64 = 0.0;
    for (tensor, float) in [
        ("encoder.weight", "F32"),
        ("scalar", "F32"),
        ("empty", "F32"),
        ("encoder.half", "F16"),
        ("décoder \"β\"", "BF16"),
    ] {
        let deviation = deviation(&setting, &clients, 1.0, tensor);
        assert!(deviation <= number(&json["types"][float], "error_bound"), "{tensor}: {deviation}");
        assert!(deviation <= number(&json["types"][float], "largest_deviation") + 1e-15, "{tensor}");
        worst = worst.max(deviation);
    }
    assert!((worst - number(&json, "largest_deviation")).abs() < 1e-15);
    assert!(number(&json, "largest_deviation") <= number(&json, "error_bound"));
    // Half a step, plus a margin for the roundings of f64 and F32.
    let half_step = 1.0 / f64::from((1 << 16) - 2);
    let bound = number(&json["types"]["F32"], "error_bound");
    assert!(bound > half_step && bound < 1.01 * half_step, "{bound}");
}

#[test]
fn weights_are_used_and_may_be_zero() {
    let files = [("a", 1.0), ("b", 2.0), ("c", 3.0)];
    let files = files.map(|(name, seed)| (name, safetensors(&update(seed), None)));
    let setting = Setting::new(&files);
    let json = setting.json(&["--weights", "10,0,5", "--max-weight", "1000", "--stochastic", "a", "b", "c"]);
    assert_eq!((&json["weights"], &json["max_weight"]), (&json!([10, 0, 5]), &json!(1000)));
    assert_eq!(json["rounding"], "stochastic");
    for tensor in ["encoder.weight", "encoder.half", "scalar"] {
        let deviation = deviation(&setting, &[("a", 10.0), ("b", 0.0), ("c", 5.0)], 1.0, tensor);
        assert!(deviation <= number(&json, "error_bound"), "{tensor}: {deviation}");
    }
    for (weights, words) in
        [("1,2", "2 weights for 3 files"), ("0,0,0", "all weights are zero"), ("1,2,-3", "-3")]
    {
        let message = setting.fails(2, &["--weights", weights, "a", "b", "c"]);
        assert!(message.contains(words), "{message}");
    }
    let message = setting.fails(2, &["--weights", "9,9,9", "--max-weight", "8", "a", "b", "c"]);
    assert!(message.contains("a weight of 9 is above --max-weight 8"), "{message}");
}

#[test]
fn weights_may_be_fractions() {
    let files = [("a", 1.0), ("b", 2.0), ("c", 3.0)];
    let files = files.map(|(name, seed)| (name, safetensors(&update(seed), None)));
    let setting = Setting::new(&files);
    for (text, weights, exact) in [
        ("0.5, 1.25, 0", [0.5, 1.25, 0.0], true),
        ("1e-3,.002,3", [0.001, 0.002, 3.0], true),
        ("0.333333333333,0.123456789123,1", [0.333_333_333_333, 0.123_456_789_123, 1.0], false),
    ] {
        let json = setting.json(&["--weights", text, "a", "b", "c"]);
        let clients = [("a", weights[0]), ("b", weights[1]), ("c", weights[2])];
        let deviation = deviation(&setting, &clients, 1.0, "encoder.weight");
        assert!(deviation <= number(&json["types"]["F32"], "error_bound"), "{text}: {deviation}");
        assert_eq!(json["notes"].to_string().contains("weights are rounded"), !exact, "{text}");
    }
    for (weights, words) in [
        ("1e-12,0.3333333333333333,1", "would count as zero"),
        ("nan,1,1", "nan"),
        ("inf,1,1", "inf"),
        ("1,,1", "``"),
        ("-0.5,1,1", "-0.5"),
    ] {
        let message = setting.fails(2, &["--weights", weights, "a", "b", "c"]);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn half_precision_means_stay_finite() {
    // The grid's only points are the three multiples of a step larger than the largest F16.
    let setting = Setting::new(&[("a", safetensors(&[f16s("w", &[2], &[65504.0, -65504.0])], None))]);
    setting.json(&["--clip", "70000", "--bits", "2", "a"]);
    assert_eq!(values(&setting.path("mean"), "w"), [65504.0, -65504.0]);
}

#[test]
fn f64_and_floats_of_8_bits_are_averaged() {
    // 0x38 is 1 in E4M3 and 0.5 in E5M2; 0x40 is 2 in both.
    let file = |x: f64, byte| {
        let tensors = [
            f64s("wide", &[2], &[x, -x / 3.0]),
            f32s("narrow", &[1], &[0.25]),
            bytes("e4m3", "F8_E4M3", &[byte, 0xb8]),
            bytes("e5m2", "F8_E5M2", &[byte, 0]),
        ];
        safetensors(&tensors, None)
    };
    let setting = Setting::new(&[("a", file(1.0 / 7.0, 0x38)), ("b", file(1.0 / 3.0, 0x40))]);
    let json = setting.json(&["--bits", "48", "--clip", "2", "a", "b"]);
    assert_eq!(json["parameters"], 2 + 1 + 2 + 2);
    let deviation = deviation(&setting, &[("a", 1.0), ("b", 1.0)], 2.0, "wide");
    assert!(deviation < 1e-13, "{deviation}");
    assert!(deviation <= number(&json["types"]["F64"], "error_bound"));
    let mean = fs::read(setting.path("mean")).unwrap();
    let mean = SafeTensors::deserialize(&mean).unwrap();
    // 1.5 is 0x3c in E4M3; 1.25 is 0x3d in E5M2.
    assert_eq!(mean.tensor("e4m3").unwrap().data(), [0x3c, 0xb8]);
    assert_eq!(mean.tensor("e5m2").unwrap().data(), [0x3d, 0]);

    // 0x7f is NaN in E4M3, and 0xfc an infinity in E5M2.
    let bad = [("a", bytes("w", "F8_E4M3", &[0, 0x7f])), ("b", bytes("w", "F8_E5M2", &[0xfc]))];
    for ((name, tensor), words) in bad.into_iter().zip(["NaN at index 1", "-inf at index 0"]) {
        let setting = Setting::new(&[(name, safetensors(&[tensor], None))]);
        let message = setting.fails(1, &[name]);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn differences_to_a_base_are_averaged() {
    let model = |shift: f32, x: f64| {
        let weights: Vec<f32> = (0..50_u8).map(|i| 100.0 * f32::from(i) + shift * f32::from(i % 7)).collect();
        safetensors(&[f32s("w", &[50], &weights), f64s("x", &[1], &[x])], None)
    };
    let files =
        [("base", model(0.0, 1e6)), ("a", model(0.001, 1e6 + 0.25)), ("b", model(-0.0005, 1e6 - 0.5))];
    let setting = Setting::new(&files);
    for clip in ["auto", "1"] {
        let json = setting.json(&["--base", "base", "--clip", clip, "a", "b"]);
        let clients = [("a", 1.0), ("b", 1.0)];
        for (tensor, float) in [("w", "F32"), ("x", "F64")] {
            let deviation = deviation(&setting, &clients, f64::MAX, tensor);
            assert!(deviation <= number(&json["types"][float], "error_bound"), "{clip}: {deviation}");
        }
        // As precise as the file's type at 5000, which is finer than a grid from -5000 to 5000.
        assert!(deviation(&setting, &clients, f64::MAX, "w") < 1e-3, "{clip}");
        assert!(deviation(&setting, &clients, f64::MAX, "x") < 1e-4, "{clip}");
    }
    let message = setting.fails(1, &["--base", "absent", "a", "b"]);
    assert!(message.starts_with("error: absent: "), "{message}");
    let other = Setting::new(&[("a", files[1].1.clone()), ("base", safetensors(&update(1.0), None))]);
    let message = other.fails(1, &["--base", "base", "a"]);
    assert!(message.starts_with("error: base: "), "{message}");
}

#[test]
fn the_summary_has_all_numbers() {
    let setting = Setting::new(&[("a", safetensors(&update(1.0), None))]);
    let output = setting.run(&["--threads", "1", "--out", "mean", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = String::from_utf8(output.stdout.clone()).unwrap();
    for words in [
        "mean of 1 update, 608 parameters in 5 tensors",
        "one client: the mean is the update in a, and hides nothing",
        "F32, 301 parameters: largest deviation from the plain mean",
        "bytes a value",
        "encryption",
        "on 1 thread\n",
    ] {
        assert!(summary.contains(words), "{words} in {summary}");
    }
    assert_eq!(stderr(&output), "", "no bar where there is no terminal");
}
