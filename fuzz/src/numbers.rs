//! Layouts, ranges and quantizers with any parameters: accepted values survive packing and addition
//! within their error bound.

use arbitrary::{Arbitrary, Unstructured};
use cipherfold::packing::{IntegerRange, Layout, LayoutParameters, Modular, QuantizedSum, Quantizer};

use crate::rng;

#[derive(Arbitrary, Debug)]
enum Case {
    Layout { capacity: u16, bits: u8, summands: u32, weight: u32, values: Vec<u64> },
    Integers { min: i128, max: i128, values: Vec<i64> },
    Modular { modulus: u64, symmetric: bool, values: Vec<i64> },
    Quantizer { lower: f64, upper: f64, bits: u8, values: Vec<f32>, wide: Vec<f64>, stochastic: bool },
    Quantized { lower: f32, upper: f32, values: Vec<f32> },
}

/// The bytes are the parameters and values of one case.
pub fn run(data: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) else { return };
    match case {
        Case::Layout { capacity, bits, summands, weight, values } => {
            let layout = Layout::new(LayoutParameters {
                capacity_bits: u32::from(capacity),
                value_bits: u32::from(bits),
                max_summands: summands,
                max_weight: weight,
            });
            if let Ok(layout) = layout {
                pack(&layout, bits, &values);
            }
        }
        Case::Integers { min, max, values } => {
            let Ok(range) = IntegerRange::new(min, max) else { return };
            let mut encoded = vec![0; values.len()];
            if range.encode(&values, &mut encoded).is_ok() {
                for (value, encoded) in values.iter().zip(&encoded) {
                    assert_eq!(range.decode_sum(u128::from(*encoded), 1), i128::from(*value));
                }
            }
        }
        Case::Modular { modulus, symmetric, values } => {
            let modular = if symmetric { Modular::symmetric(modulus) } else { Modular::new(modulus) };
            let Ok(modular) = modular else { return };
            let mut encoded = vec![0; values.len()];
            modular.encode(&values, &mut encoded);
            for (value, encoded) in values.iter().zip(&encoded) {
                let back = i128::from(modular.decode_sum(u128::from(*encoded)));
                // A symmetric range of m has the 2m − 1 residues from −(m − 1) to m − 1.
                let m = i128::from(modular.modulus());
                let residues = if symmetric { 2 * m - 1 } else { m };
                assert_eq!((back - i128::from(*value)).rem_euclid(residues), 0);
            }
        }
        Case::Quantizer { lower, upper, bits, values, wide, stochastic } => {
            let Ok(quantizer) = Quantizer::new(lower, upper, u32::from(bits)) else { return };
            let quantizer = if stochastic { quantizer.stochastic() } else { quantizer };
            quantize(&quantizer, &values);
            quantize(&quantizer, &wide);
        }
        Case::Quantized { lower, upper, values } => {
            let Ok(sum) = QuantizedSum::new(lower, upper) else { return };
            let mut encoded = vec![0; values.len()];
            if sum.encode(&values, &mut encoded).is_ok() {
                for encoded in encoded {
                    if let Ok(back) = sum.decode_sum(u128::from(encoded), 1) {
                        assert!(back.is_finite(), "{back}");
                    }
                }
            }
        }
    }
}

fn pack(layout: &Layout, bits: u8, values: &[u64]) {
    let mask = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
    let count = values.len().min(layout.slots());
    let values: Vec<u64> = values[..count].iter().map(|value| value & mask).collect();
    let mut plaintext = vec![0; layout.words()];
    layout.pack(&values, &mut plaintext);
    let mut sums = vec![0; count];
    layout.unpack(&plaintext, &mut sums);
    assert!(sums.iter().zip(&values).all(|(sum, value)| *sum == u128::from(*value)));
}

fn quantize<F: cipherfold::packing::Float>(quantizer: &Quantizer, values: &[F]) {
    let mut encoded = vec![0; values.len()];
    if quantizer.encode(values, &mut encoded, &mut rng()).is_err() {
        return;
    }
    for (value, encoded) in values.iter().zip(&encoded) {
        let back = quantizer.decode_mean(u128::from(*encoded), 1);
        assert!(back.is_finite(), "{back}");
        let clipped = value.to_f64().clamp(quantizer.lower(), quantizer.upper());
        let slack = 1e-6 * (quantizer.lower().abs() + quantizer.upper().abs());
        assert!((back - clipped).abs() <= quantizer.step() + slack, "{back} for {clipped}");
    }
}
