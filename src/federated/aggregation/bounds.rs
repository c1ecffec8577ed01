//! Bounds between which floating-point numbers are summed, fixed or learned.

use super::{Estimation, Real};
use crate::federated::{Clients, Error, Portable, Result, Server, Value};

/// Bounds of a [`SecureSum`](super::SecureSum) of floating-point numbers: [`Symmetric`] or [`Between`]. Sealed.
pub trait FloatBounds: sealed::Sealed + Send + Sync {
    #[doc(hidden)]
    type State: Portable + Clone + core::fmt::Debug;

    #[doc(hidden)]
    fn initialize(&self) -> Self::State;

    /// The lower and the upper bound, as they are estimated.
    #[doc(hidden)]
    fn report(&self, state: &Value<Self::State, Server>) -> Value<(f64, f64), Server>;

    /// Whether they are the same in every round.
    #[doc(hidden)]
    fn is_fixed(&self) -> bool;

    /// The state after a round in which clients had these minimum and maximum elements.
    #[doc(hidden)]
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<Self::State, Server>;
}

mod sealed {
    pub trait Sealed {}
}

/// Bounds −x and x, for an estimate x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Symmetric<E>(pub(super) E);

impl<E> sealed::Sealed for Symmetric<E> {}

impl<E: Estimation> FloatBounds for Symmetric<E> {
    type State = E::State;

    fn initialize(&self) -> E::State {
        self.0.initialize()
    }

    fn report(&self, state: &Value<E::State, Server>) -> Value<(f64, f64), Server> {
        let fixed = self.0.is_fixed();
        self.0.report(state).map(move |&upper| {
            // A learned bound below zero counts as zero.
            let upper = if fixed || upper.is_nan() { upper } else { upper.max(0.0) };
            (0.0 - upper, upper)
        })
    }

    fn is_fixed(&self) -> bool {
        self.0.is_fixed()
    }

    fn next(
        &self,
        state: &Value<E::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<E::State, Server> {
        // Zero for a client without elements, whose minimum is above its maximum.
        self.0.next(state, &extremes.map(|&(minimum, maximum)| maximum.max(-minimum).max(0.0)))
    }
}

/// Bounds that are estimates each for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between<L, U> {
    /// The lower bound.
    pub lower: L,
    /// The upper bound.
    pub upper: U,
}

impl<L, U> sealed::Sealed for Between<L, U> {}

impl<L: Estimation, U: Estimation> FloatBounds for Between<L, U> {
    type State = (L::State, U::State);

    fn initialize(&self) -> Self::State {
        (self.lower.initialize(), self.upper.initialize())
    }

    fn report(&self, state: &Value<Self::State, Server>) -> Value<(f64, f64), Server> {
        let lower = self.lower.report(&state.map(|(lower, _)| lower.clone()));
        lower.zip(&self.upper.report(&state.map(|(_, upper)| upper.clone())))
    }

    fn is_fixed(&self) -> bool {
        self.lower.is_fixed() && self.upper.is_fixed()
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<Self::State, Server> {
        let minimum = extremes.map(|&(minimum, _)| minimum);
        let lower = self.lower.next(&state.map(|(lower, _)| lower.clone()), &minimum);
        let maximum = extremes.map(|&(_, maximum)| maximum);
        lower.zip(&self.upper.next(&state.map(|(_, upper)| upper.clone()), &maximum))
    }
}

/// Makes bounds wider, or leaves them.
pub(super) type Widen = fn((f64, f64)) -> (f64, f64);

/// Bounds, made wider, as the elements' type has them.
///
/// Fixed ones are taken as they are, and the sum refuses what it cannot do in every round alike. Learned ones become bounds
/// that a sum can always have, so that no estimate ends a process: bounds that have crossed change places, bounds so large
/// that a sum could overflow are made smaller, and those that the grid of 2³² steps cannot tell apart are moved apart.
///
/// # Errors
///
/// [`Error::Estimate`] if a bound is not a number.
pub(super) fn usable<F: Real>(bounds: (f64, f64), widen: Widen, fixed: bool) -> Result<(F, F)> {
    if let Some(value) = [bounds.0, bounds.1].into_iter().find(|bound| bound.is_nan()) {
        return Err(Error::Estimate { value });
    }
    let (lower, upper) = widen(bounds);
    let both = |bounds: [f64; 2]| bounds.map(F::from_f64).into();
    if fixed {
        return Ok(both([lower, upper]));
    }
    // Fewer than 2^32 clients.
    let largest = F::LARGEST * TWO_POW_MINUS_33;
    let [lower, upper] = [lower.min(upper), lower.max(upper)].map(|bound| bound.clamp(-largest, largest));
    let (low, high): (F, F) = both([lower, upper]);
    let span = high.to_f64() - low.to_f64();
    let least = (lower.abs().max(upper.abs()) * TWO_POW_MINUS_29).max(SMALLEST_SPAN);
    if span == 0.0 || span >= least {
        return Ok((low, high));
    }
    Ok(both([lower - least, upper + least]))
}

/// Sums of fewer than 2^33 numbers of this part of the largest do not overflow.
const TWO_POW_MINUS_33: f64 = 1.0 / 8_589_934_592.0;

/// A [quantised sum](crate::packing::QuantizedSum) takes bounds of 2^62 steps from zero, of 2^32 between them: their
/// distance is 2^-30 of the larger one or more.
const TWO_POW_MINUS_29: f64 = 1.0 / 536_870_912.0;

/// 2^-900: the steps of this distance, and the number of steps to one, are normal numbers.
const SMALLEST_SPAN: f64 = f64::from_bits((1023 - 900) << 52);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::QuantizedSum;
    use proptest::prelude::*;

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

    fn as_they_are(bounds: (f64, f64), fixed: bool) -> Result<(f64, f64)> {
        usable(bounds, |bounds| bounds, fixed)
    }

    fn good<F: Real>(lower: f64, upper: f64) {
        let (low, high) = usable::<F>((lower, upper), |bounds| bounds, false).unwrap();
        let grid = QuantizedSum::new(low, high).unwrap_or_else(|error| panic!("[{lower}, {upper}]: {error}"));
        // The largest sum that there can be is finite.
        let mut encoded = [0; 2];
        grid.encode(&[low, high], &mut encoded).unwrap();
        for encoded in encoded {
            let clients = u64::from(u32::MAX);
            let sum = grid.decode_sum(u128::from(encoded) * u128::from(clients), clients).unwrap();
            assert!(sum.to_f64().is_finite(), "[{lower}, {upper}]: {sum}");
        }
    }

    proptest! {
        #![proptest_config(crate::packing::tests::replayable(2000))]

        #[test]
        fn learned_bounds_can_always_be_summed_between(a in bound(), b in bound(), near in -60..0_i32) {
            for (lower, upper) in [(a, b), (-a, a), (a, a), (a, a + a * f64::from(near).exp2())] {
                good::<f32>(lower, upper);
                good::<f64>(lower, upper);
            }
        }
    }

    #[test]
    fn bounds_that_can_be_summed_between_stay_as_they_are() {
        for bounds in [(-1.0, 1.0), (0.0, 0.0), (-3.0, -2.0), (1.0, 1.0), (0.0, 1e-200), (-1e200, 1e200)] {
            assert_eq!(as_they_are(bounds, false), Ok(bounds));
        }
        assert_eq!(as_they_are((0.5, 0.25), false), Ok((0.25, 0.5)));
        let (lower, upper) = as_they_are((1.0, 1.0 + 1e-12), false).unwrap();
        assert!(lower < 1.0 && lower > 1.0 - 1e-8 && upper > 1.0 && upper < 1.0 + 1e-8);
        for fixed in [false, true] {
            assert!(matches!(as_they_are((f64::NAN, 1.0), fixed), Err(Error::Estimate { .. })));
        }
        // Nor does widening hide what is not a number.
        assert!(usable::<f32>((f64::NAN, 1.0), |(lower, upper)| (lower.min(0.0), upper), false).is_err());
        // Fixed bounds are for the sum to refuse.
        for bounds in [(1.0, -1.0), (1.0, 1.0 + 1e-12), (f64::MIN, f64::MAX)] {
            assert_eq!(as_they_are(bounds, true), Ok(bounds));
        }
    }
}
