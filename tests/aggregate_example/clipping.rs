//! Values beyond their bounds, and bounds that include all values.

use serde_json::Value;

use crate::support::{Setting, bf16s, deviation, f32s, number, safetensors, stderr};

#[test]
fn clipping_is_counted_and_the_bound_is_that_of_clipped_values() {
    let files = [
        ("a", safetensors(&[f32s("w", &[4], &[0.5, -3.0, 0.25, 100.0])], None)),
        ("b", safetensors(&[f32s("w", &[4], &[0.5, 0.5, -0.25, 0.0])], None)),
    ];
    let setting = Setting::new(&files);
    let json = setting.json(&["--clip", "0.5", "--allow-clipping", "--bits", "12", "a", "b"]);
    assert_eq!(json["clipped_values"], 2);
    let deviation = deviation(&setting, &[("a", 1.0), ("b", 1.0)], 0.5, "w");
    assert!(deviation <= number(&json, "error_bound"));
    assert!((number(&json, "largest_deviation_unclipped") - 49.75).abs() < 1e-3);
    assert!(json["notes"].to_string().contains("2 values were clipped"));
}

#[test]
fn clipping_that_was_not_allowed_is_an_error() {
    let files = [
        ("a", safetensors(&[f32s("small", &[2], &[0.5, -1.0]), f32s("large", &[2], &[2.5, 0.0])], None)),
        ("b", safetensors(&[f32s("small", &[2], &[0.5, 1.0]), f32s("large", &[2], &[2.5, -7.0])], None)),
    ];
    let setting = Setting::new(&files);
    for args in
        [&[][..], &["--quiet"], &["--json"], &["--clip", "1"], &["--clip", "large=3"], &["--clip", "*ll=5"]]
    {
        let message = setting.fails(1, &[args, &["a", "b"]].concat());
        assert!(message.contains("beyond the bound, in 1 tensor; most in b: "), "{args:?}: {message}");
        assert!(message.contains("`large`") && message.contains("--clip auto"), "{args:?}: {message}");
    }
    let message = setting.fails(2, &["--allow-clipping", "a", "b"]);
    assert!(message.contains("--clip"), "{message}");
    setting.json(&["--clip", "lar*=7", "--clip", "1", "a", "b"]);
    assert!(deviation(&setting, &[("a", 1.0), ("b", 1.0)], 100.0, "large") < 1e-3);
    let message = setting.fails(1, &["--clip", "8", "--clip", "bias*=1", "a", "b"]);
    assert!(message.contains("no floating-point tensor is called `bias*`"), "{message}");
    let message = setting.fails(2, &["--clip", "8", "--clip", "1", "a", "b"]);
    assert!(message.contains("two bounds"), "{message}");
}

#[test]
fn bounds_that_the_clients_find_clip_nothing_and_are_tight() {
    // A speech model: layers whose values differ by orders of magnitude.
    let scales = [1e-30_f32, 1e-6, 0.02, 1.0, 9.5, 3e4, 1e38];
    let names: Vec<String> = (0..scales.len()).map(|layer| format!("layer{layer}")).collect();
    let file = |seed: f32| {
        let layers = scales.iter().zip(&names).map(|(scale, name)| {
            let values: Vec<f32> = (0..40_u8).map(|i| scale * (f32::from(i) * 1.7 + seed).sin()).collect();
            f32s(name.clone(), &[40], &values)
        });
        safetensors(&layers.chain([f32s("zeros", &[3], &[0.0; 3])]).collect::<Vec<_>>(), None)
    };
    let setting = Setting::new(&[("a", file(1.0)), ("b", file(2.0)), ("c", file(3.0))]);
    let json = setting.json(&["--clip", "auto", "a", "b", "c"]);
    assert_eq!(json["clipped_values"], 0);
    let clients = [("a", 1.0), ("b", 1.0), ("c", 1.0)];
    for (scale, name) in scales.iter().zip(&names) {
        let relative = deviation(&setting, &clients, f64::MAX, name) / f64::from(*scale);
        assert!(relative < 4.0 / 65536.0, "{name}: {relative}");
    }
    assert!(deviation(&setting, &clients, 1.0, "zeros") == 0.0);
    assert!(number(&json, "clip") <= 2e38 && number(&json, "min_clip") < 1e-200);
    assert_eq!(json["further_rounds"][0]["purpose"], "bounds");

    let output = setting.run(&["--out", "mean", "--clip", "layer4=auto", "--clip", "2e38", "a", "b"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_bound_that_rounds_up_in_the_files_type_clips_nothing() {
    // 0.1 as F32, and 0.1 as BF16, are larger than 0.1.
    let tensors = [f32s("w", &[2], &[0.1, -0.1]), bf16s("h", &[2], &[0.1, -0.1])];
    let setting = Setting::new(&[("a", safetensors(&tensors, None))]);
    let json: Value = setting.json(&["--clip", "0.1", "a"]);
    assert_eq!(json["clipped_values"], 0);
}
