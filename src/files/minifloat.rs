//! Floating-point numbers of 8 bits.

use core::cmp::Ordering;

/// A format of 8 bits: a sign, an exponent, and the rest of the significand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Minifloat {
    /// Stored bits of the significand.
    mantissa_bits: u32,
    bias: i32,
    /// The code of the maximum finite value. Larger codes are infinity or NaN.
    largest: u8,
    /// Whether the code of a negative zero means NaN.
    unsigned_zero: bool,
}

impl Minifloat {
    /// `F8_E4M3` of Micikevicius et al., "FP8 formats for deep learning" (2022): no infinities, one
    /// NaN for each sign.
    pub(super) fn e4m3() -> Self {
        Self { mantissa_bits: 3, bias: 7, largest: 0x7e, unsigned_zero: false }
    }

    /// `F8_E5M2`, of the same paper: infinities and NaN as in IEEE 754.
    pub(super) fn e5m2() -> Self {
        Self { mantissa_bits: 2, bias: 15, largest: 0x7b, unsigned_zero: false }
    }

    /// `F8_E4M3FNUZ` of Noune et al., "8-bit numerical formats for deep neural networks" (2022).
    pub(super) fn e4m3_fnuz() -> Self {
        Self { mantissa_bits: 3, bias: 8, largest: 0x7f, unsigned_zero: true }
    }

    /// `F8_E5M2FNUZ`, of the same paper.
    pub(super) fn e5m2_fnuz() -> Self {
        Self { mantissa_bits: 2, bias: 16, largest: 0x7f, unsigned_zero: true }
    }

    pub(super) fn decode(self, byte: u8) -> f64 {
        let (negative, code) = (byte & 0x80 != 0, byte & 0x7f);
        let magnitude = if self.unsigned_zero && byte == 0x80 {
            return f64::NAN;
        } else if code > self.largest {
            // Only E5M2 has infinities: the first code beyond the largest finite value.
            if self.mantissa_bits == 2 && code == self.largest + 1 { f64::INFINITY } else { f64::NAN }
        } else {
            self.magnitude(code)
        };
        if negative { -magnitude } else { magnitude }
    }

    /// The value of a code without its sign.
    fn magnitude(self, code: u8) -> f64 {
        let exponent = i32::from(code >> self.mantissa_bits);
        let mantissa = f64::from(code & ((1 << self.mantissa_bits) - 1));
        let one = f64::from(1 << self.mantissa_bits);
        let (significand, exponent) = if exponent == 0 { (mantissa, 1) } else { (one + mantissa, exponent) };
        significand / one * 2_f64.powi(exponent - self.bias)
    }

    /// The nearest finite value; of two, the one with the even code. A number beyond the maximum
    /// becomes the maximum.
    pub(super) fn encode(self, x: f64) -> u8 {
        let magnitude = x.abs();
        // Magnitudes grow with their codes.
        let (mut below, mut above) = (0, self.largest);
        if magnitude >= self.magnitude(above) {
            below = above;
        }
        while above - below > 1 {
            let middle = below.midpoint(above);
            if self.magnitude(middle) <= magnitude {
                below = middle;
            } else {
                above = middle;
            }
        }
        let (down, up) = (magnitude - self.magnitude(below), self.magnitude(above) - magnitude);
        let code = match down.total_cmp(&up) {
            Ordering::Less => below,
            Ordering::Equal if below % 2 == 0 || below == above => below,
            _ => above,
        };
        let negative = x.is_sign_negative() && !(self.unsigned_zero && code == 0);
        if negative { code | 0x80 } else { code }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::*;

    const ALL: fn() -> [Minifloat; 4] =
        || [Minifloat::e4m3(), Minifloat::e5m2(), Minifloat::e4m3_fnuz(), Minifloat::e5m2_fnuz()];

    #[test]
    fn known_values() {
        let [e4m3, e5m2, e4m3_fnuz, e5m2_fnuz] = ALL();
        // From the tables of the papers.
        assert_eq!(
            [0x01, 0x08, 0x38, 0x7e, 0xfe].map(|x| e4m3.decode(x)),
            [2_f64.powi(-9), 2_f64.powi(-6), 1.0, 448.0, -448.0]
        );
        assert!(e4m3.decode(0x7f).is_nan() && e4m3.decode(0xff).is_nan());
        assert_eq!(
            [0x01, 0x04, 0x3c, 0x7b, 0x7c, 0xfc].map(|x| e5m2.decode(x)),
            [2_f64.powi(-16), 2_f64.powi(-14), 1.0, 57344.0, f64::INFINITY, f64::NEG_INFINITY]
        );
        assert!([0x7d, 0x7e, 0x7f, 0xff].iter().all(|x| e5m2.decode(*x).is_nan()));
        assert_eq!([0x01, 0x40, 0x7f].map(|x| e4m3_fnuz.decode(x)), [2_f64.powi(-10), 1.0, 240.0]);
        assert_eq!([0x01, 0x40, 0x7f].map(|x| e5m2_fnuz.decode(x)), [2_f64.powi(-17), 1.0, 57344.0]);
        assert!(e4m3_fnuz.decode(0x80).is_nan() && e5m2_fnuz.decode(0x80).is_nan());
        assert_eq!((e4m3.encode(-0.0), e4m3_fnuz.encode(-0.0)), (0x80, 0));
    }

    #[test]
    fn encode_inverts_decode_and_rounds_to_nearest() {
        for format in ALL() {
            let finite: Vec<u8> = (0..=u8::MAX).filter(|byte| format.decode(*byte).is_finite()).collect();
            for byte in &finite {
                assert_eq!(format.encode(format.decode(*byte)), *byte, "{format:?}");
            }
            let mut values: Vec<f64> = finite.iter().map(|byte| format.decode(*byte)).collect();
            values.sort_by(f64::total_cmp);
            for pair in values.windows(2) {
                let middle = f64::midpoint(pair[0], pair[1]);
                let code = format.encode(middle);
                assert!(code % 2 == 0 && pair.contains(&format.decode(code)), "{format:?}: {middle}");
                let quarter = f64::midpoint(pair[0], middle);
                assert_eq!(format.decode(format.encode(quarter)), pair[0], "{format:?}: {quarter}");
            }
            assert_eq!(format.decode(format.encode(1e9)), *values.last().unwrap(), "{format:?}");
        }
    }
}
