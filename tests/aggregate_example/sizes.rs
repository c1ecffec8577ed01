//! Files with a large number of tensors.

use crate::support::{Setting, bf16s, bytes, f16s, f32s, f64s, i64s, number, safetensors};

/// Work that grows with the square of the number of tensors would take hours here.
#[test]
fn twenty_thousand_tensors_of_mixed_types() {
    let file = |seed: u32| {
        let tensors = (0..20_000_u32).map(|i| {
            let name = format!("layer.{i}.tensor");
            let x = f64::from((i * 31 + seed * 17) % 100) / 128.0;
            #[expect(clippy::cast_possible_truncation, reason = "exact in F16")]
            let narrow = x as f32;
            match i % 7 {
                0 => f32s(name, &[2], &[narrow, -narrow]),
                1 => bytes(name, "U8", &[9, 9, 9]),
                2 => f64s(name, &[], &[x]),
                3 => i64s(name, &[1], &[i64::from(seed)]),
                4 => bf16s(name, &[1, 1], &[0.5]),
                5 => f16s(name, &[1], &[narrow]),
                _ => bytes(name, "F8_E5M2", &[0x38]),
            }
        });
        safetensors(&tensors.collect::<Vec<_>>(), None)
    };
    let setting = Setting::new(&[("a", file(1)), ("b", file(2)), ("c", file(4))]);
    let json = setting.json(&["--other-types", "mean", "a", "b", "c"]);
    assert_eq!((&json["tensors"], &json["integer_tensors"]), (&20_000.into(), &5_714.into()));
    assert!(
        number(&json["types"]["F64"], "largest_deviation") <= number(&json["types"]["F64"], "error_bound")
    );
    assert_eq!(setting.integers("layer.1.tensor"), [9, 9, 9]);
    assert_eq!(setting.integers("layer.3.tensor"), [2]); // 7/3
    setting.json(&["--other-types", "first", "--clip", "auto", "a", "b", "c"]);
    assert_eq!(setting.integers("layer.3.tensor"), [1]);
}
