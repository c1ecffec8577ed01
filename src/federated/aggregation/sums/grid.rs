//! The grid on which a secure sum counts floating-point numbers, and the bounds that it allows.

use zeroize::Zeroizing;

use crate::{
    federated::{
        Clients, Server,
        aggregation::{
            self,
            floats::{FloatElement, Floats},
        },
        computation::Value,
        tensor::FloatSum,
    },
    packing::{self, Float, QuantizedSum, Quantizer},
};

/// The number of bits of an encoded number, and the rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grid {
    /// 32 bits, by a [`QuantizedSum`]: the rounding of TensorFlow Federated.
    Quantized,
    /// This many bits, by a [`Quantizer`] to the nearest grid point.
    Bits(u32),
}

/// Makes bounds wider, or keeps them.
pub(super) type Widen = fn((f64, f64)) -> (f64, f64);

impl Grid {
    /// A grid of this many bits.
    ///
    /// # Errors
    ///
    /// [`packing::Error::QuantizerBits`](packing::Error::QuantizerBits).
    pub(super) fn of_bits(bits: u32) -> Result<Self, packing::Error> {
        Quantizer::symmetric(1.0, bits)?;
        Ok(Self::Bits(bits))
    }

    /// Bits of an encoded number.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Quantized => 32,
            Self::Bits(bits) => bits,
        }
    }

    /// Bounds, after widening, in the elements' type.
    ///
    /// Fixed bounds are not changed, and the sum refuses unsuitable ones in every round in the same
    /// way. Learned bounds are corrected so that a sum is always possible and no estimate ends a
    /// process. Bounds in the wrong order are swapped. Bounds so large that a sum could overflow
    /// are made smaller. Bounds that the grid cannot distinguish are moved apart.
    ///
    /// # Errors
    ///
    /// [`aggregation::Error::Estimate`] if a bound is not a number.
    pub(super) fn usable<F: FloatElement>(
        self,
        bounds: (f64, f64),
        widen: Widen,
        fixed: bool,
    ) -> Result<(F, F), aggregation::Error> {
        if let Some(value) = [bounds.0, bounds.1].into_iter().find(|bound| bound.is_nan()) {
            return Err(aggregation::Error::Estimate { value });
        }
        let (lower, upper) = widen(bounds);
        let both = |bounds: [f64; 2]| bounds.map(F::from_f64).into();
        if fixed {
            return Ok(both([lower, upper]));
        }
        let largest = self.maximum_bound::<F>();
        let [lower, upper] = [lower.min(upper), lower.max(upper)].map(|bound| bound.clamp(-largest, largest));
        let (low, high): (F, F) = both([lower, upper]);
        let apart = self.distance::<F>(lower.abs().max(upper.abs()));
        let good = match self {
            Self::Quantized => low == high || high.to_f64() - low.to_f64() >= apart,
            Self::Bits(bits) => Quantizer::new(low.to_f64(), high.to_f64(), bits).is_ok(),
        };
        Ok(if good { (low, high) } else { both([lower - apart, upper + apart]) })
    }

    /// Sums of fewer than 2^32 numbers up to this bound do not overflow, even after
    /// [`Self::distance`] moved it.
    fn maximum_bound<F: FloatElement>(self) -> f64 {
        match self {
            Self::Quantized => F::MAX_FINITE * TWO_POW_MINUS_33,
            // After being moved apart, bounds are up to three times as large, and a grid point may
            // lie one step beyond. A quantizer accepts bounds up to 2^958.
            Self::Bits(_) => (F::MAX_FINITE * TWO_POW_MINUS_35).min(TWO_POW_950),
        }
    }

    /// The distance by which two bounds of up to this magnitude are moved if the grid cannot
    /// distinguish them.
    fn distance<F: FloatElement>(self, magnitude: f64) -> f64 {
        match self {
            // Bounds may be 2^62 steps from zero, with 2^32 steps between them. So their distance
            // is at least 2^-30 of the larger one.
            Self::Quantized => (magnitude * TWO_POW_MINUS_29).max(<f64 as FloatElement>::MIN_DISTANCE),
            // Bounds may be 2^48 steps from zero, with 2^bits steps between them. So their distance
            // is at least 2^(bits - 48) of the larger one. The bounds must also differ in the
            // elements' type.
            Self::Bits(bits) => {
                let share = power_of_two(i64::from(bits) - 47);
                (magnitude * share.max(F::EPSILON * 4.0)).max(F::MIN_DISTANCE)
            }
        }
    }

    /// The elements as a sum between two bounds counts them. Elements that are not finite do not
    /// change.
    pub(super) fn counted<T: Floats>(
        self,
        values: &T,
        (lower, upper): (T::Float, T::Float),
    ) -> Result<T, packing::Error> {
        let counted: Box<dyn Fn(T::Float) -> T::Float> = match self {
            Self::Quantized => {
                let grid = QuantizedSum::new(lower, upper)?;
                Box::new(move |x| {
                    let mut encoded = Zeroizing::new([0]);
                    let sum =
                        grid.encode(&[x], &mut *encoded).and_then(|_| grid.decode_sum(encoded[0].into(), 1));
                    sum.unwrap_or(x)
                })
            }
            Self::Bits(bits) => {
                let quantizer = Quantizer::new(lower.to_f64(), upper.to_f64(), bits)?;
                Box::new(move |x| {
                    let point = T::Float::from_f64(quantizer.nearest_point(x.to_f64()));
                    if x.to_f64().is_finite() { point } else { x }
                })
            }
        };
        Ok(values.map_tensors(|_, tensor| tensor.mapv(&counted)))
    }

    /// The secure sum between two bounds that the server holds.
    pub(super) fn sum<T: Floats>(
        self,
        values: &Value<T, Clients>,
        bounds: &Value<(T::Float, T::Float), Server>,
    ) -> Value<T, Server> {
        match self {
            Self::Quantized => values.secure_quantized_sum_between(bounds),
            Self::Bits(bits) => {
                let codecs = bounds.fallible("bounds", move |&(lower, upper)| {
                    Ok(FloatSum::new(Quantizer::new(lower.to_f64(), upper.to_f64(), bits)?))
                });
                values.secure_by("secure_float_sum", &codecs)
            }
        }
    }
}

const TWO_POW_MINUS_29: f64 = power_of_two(-29);
const TWO_POW_MINUS_33: f64 = power_of_two(-33);
const TWO_POW_MINUS_35: f64 = power_of_two(-35);
const TWO_POW_950: f64 = power_of_two(950);

const fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits((1023 + exponent).cast_unsigned() << 52)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the tests check exact equality")]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn bound() -> impl Strategy<Value = f64> {
        let any = (-1.0..1.0_f64, -1074..1024_i32).prop_map(|(m, e)| m * f64::from(e).exp2());
        prop_oneof![
            any,
            -10.0..10.0_f64,
            prop::sample::select(vec![
                0.0,
                -0.0,
                5e-324,
                1.0,
                f64::MAX,
                f64::MIN,
                f64::INFINITY,
                f64::NEG_INFINITY
            ])
        ]
    }

    const GRIDS: [Grid; 7] = [
        Grid::Quantized,
        Grid::Bits(2),
        Grid::Bits(8),
        Grid::Bits(16),
        Grid::Bits(24),
        Grid::Bits(32),
        Grid::Bits(48),
    ];

    fn unwidened(grid: Grid, bounds: (f64, f64), fixed: bool) -> Result<(f64, f64), aggregation::Error> {
        grid.usable(bounds, |bounds| bounds, fixed)
    }

    /// The result of a grid's codec for this number of clients with this number.
    fn sum_of<F: FloatElement>(grid: Grid, (lower, upper): (F, F), x: F, clients: u64) -> f64 {
        let mut encoded = [0];
        let refused = |error: packing::Error| -> ! { panic!("[{lower}, {upper}], {grid:?}: {error}") };
        match grid {
            Grid::Quantized => {
                let codec = QuantizedSum::new(lower, upper).unwrap_or_else(|error| refused(error));
                codec.encode(&[x], &mut encoded).unwrap();
                codec.decode_sum(u128::from(encoded[0]) * u128::from(clients), clients).unwrap().to_f64()
            }
            Grid::Bits(bits) => {
                let codec = Quantizer::new(lower.to_f64(), upper.to_f64(), bits)
                    .unwrap_or_else(|error| refused(error));
                codec.encode(&[x], &mut encoded, &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
                let sum = u128::from(encoded[0]) * u128::from(clients);
                F::from_f64(codec.sum_of_points(sum, clients)).to_f64()
            }
        }
    }

    fn good<F: FloatElement>(grid: Grid, lower: f64, upper: f64) {
        let (low, high) = grid.usable::<F>((lower, upper), |bounds| bounds, false).unwrap();
        // The maximum possible sum is finite.
        for bound in [low, high] {
            let sum = sum_of(grid, (low, high), bound, u32::MAX.into());
            assert!(sum.is_finite(), "[{lower}, {upper}], {grid:?}: {sum}");
        }
    }

    proptest! {
        #![proptest_config(crate::test_support::replayable(2000))]

        #[test]
        fn learned_bounds_can_always_be_summed_between(a in bound(), b in bound(), near in -60..0_i32) {
            for (lower, upper) in [(a, b), (-a, a), (a, a), (a, a + a * f64::from(near).exp2())] {
                for grid in GRIDS {
                    good::<f32>(grid, lower, upper);
                    good::<f64>(grid, lower, upper);
                }
            }
        }

        #[test]
        fn elements_count_as_the_codec_has_them(a in -9.0..9.0_f64, b in -9.0..9.0_f64, x in -20.0..20.0_f64) {
            for grid in GRIDS {
                let bounds = unwidened(grid, (a, b), false).unwrap();
                prop_assert_eq!(grid.counted(&x, bounds), Ok(sum_of(grid, bounds, x, 1)), "{:?}", grid);
            }
        }
    }

    #[test]
    fn usable_bounds_do_not_change() {
        for grid in GRIDS {
            for bounds in [(-1.0, 1.0), (0.0, 1e-200), (-1e200, 1e200), (0.0, 50.0), (-50.0, 0.0)] {
                assert_eq!(unwidened(grid, bounds, false), Ok(bounds), "{grid:?}");
            }
            assert_eq!(unwidened(grid, (0.5, 0.0), false), Ok((0.0, 0.5)));
            for fixed in [false, true] {
                assert!(matches!(
                    unwidened(grid, (f64::NAN, 1.0), fixed),
                    Err(aggregation::Error::Estimate { .. })
                ));
            }
            // Widening keeps NaN.
            assert!(
                grid.usable::<f32>((f64::NAN, 1.0), |(lower, upper)| (lower.min(0.0), upper), false).is_err()
            );
            // Fixed bounds do not change here; the sum refuses these.
            for bounds in [(1.0, -1.0), (1.0, 1.0), (1.0, 1.0 + 1e-12), (f64::MIN, f64::MAX)] {
                assert_eq!(unwidened(grid, bounds, true), Ok(bounds));
            }
        }
        for bounds in [(-3.0, -2.0), (1.0, 1.0), (0.0, 0.0)] {
            assert_eq!(unwidened(Grid::Quantized, bounds, false), Ok(bounds));
        }
    }

    #[test]
    fn indistinguishable_bounds_are_moved_apart() {
        for (grid, bounds, distance) in [
            (Grid::Quantized, (1.0, 1.0 + 1e-12), 1e-8),
            (Grid::Bits(16), (1.0, 1.0), 1e-9),
            (Grid::Bits(16), (1.0, 1.0 + 1e-12), 1e-9),
            (Grid::Bits(32), (1.0, 1.0), 1e-4),
            (Grid::Bits(16), (0.0, 0.0), 1e-200),
        ] {
            let (lower, upper) = unwidened(grid, bounds, false).unwrap();
            assert!(lower < bounds.0 && lower > bounds.0 - distance, "{grid:?}, {bounds:?}: {lower}");
            assert!(upper > bounds.1 && upper < bounds.1 + distance, "{grid:?}, {bounds:?}: {upper}");
        }
        let (lower, upper) = Grid::Bits(16).usable::<f32>((0.0, 0.0), |bounds| bounds, false).unwrap();
        assert!(lower < 0.0 && upper > 0.0, "f32 has no 2^-900");
        // Elements between them count as between equal bounds, except for the distance.
        assert!((sum_of(Grid::Bits(16), (lower, upper), 7.0_f32, 9)).abs() < 1e-30);
    }

    #[test]
    fn counted_values_are_clipped_and_on_the_grid() {
        for (grid, step) in [(Grid::Quantized, 3.0 / f64::from(u32::MAX)), (Grid::Bits(8), 3.0 / 254.0)] {
            let found =
                grid.counted(&array![0.3, -7.0, 7.0, 0.0, f64::NAN, f64::INFINITY], (-1.0, 2.0)).unwrap();
            for (found, expected) in found.iter().zip([0.3, -1.0, 2.0]) {
                assert!((found - expected).abs() <= step * 0.5001, "{grid:?}: {found}");
            }
            assert_eq!(found[3], 0.0);
            assert!(found[4].is_nan() && found[5] == f64::INFINITY);
        }
    }

    #[test]
    fn unsupported_numbers_of_bits_are_refused() {
        for bits in [0, 1, 49, 64, u32::MAX] {
            let error = Grid::of_bits(bits).unwrap_err();
            assert_eq!(error, packing::Error::QuantizerBits { bits });
        }
        for bits in 2..=48 {
            assert_eq!(Grid::of_bits(bits).unwrap().bits(), bits);
        }
        assert_eq!(Grid::Quantized.bits(), 32);
    }
}
