//! The sum under encryption, of integers and of floating-point numbers between bounds that may be learned.

use serde::{Deserialize, Serialize};

use super::{Aggregation, Estimation, Fixed, Floats, Step, floats::extremes};
use crate::{
    Error, Result,
    federated::{Clients, Portable, Scalar, Server, Tensors, Value},
    packing::{Float, Integer, IntegerRange},
};

/// The secure sum of numbers that are clipped between two bounds (TFF: `SecureSumFactory`).
///
/// | | elements | bounds | results |
/// | :-- | :-- | :-- | :-- |
/// | [`integers`](Self::integers) | integers of 8 to 64 bits | fixed | exact, in a wider type |
/// | [`floats`](Self::floats) | `f32`, `f64` | fixed | rounded as [`QuantizedSum`](crate::packing::QuantizedSum) does, in 32 bits |
/// | [`adaptive`](Self::adaptive), [`adaptive_between`](Self::adaptive_between) | `f32`, `f64` | one or two [estimates](Estimation) | the same |
///
/// Integers between bounds for floats do not compile, nor does the contrary, nor do tensors of different types.
/// Estimates learn from the least and the greatest element of each client before they are clipped.
///
/// Measured are the bounds, and how many *clients* had an element beyond one or the other: two secure sums more.
///
/// ```
/// use cipherfold::{federated::{LocalExecutor, aggregation::{Process, SecureSum}}, paillier::Bits2048};
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut sum = Process::new(SecureSum::integers(-1, 1)?);
/// let round = sum.run(&executor, [-2_i32, -1, 0, 1, 2, 3])?;
/// assert_eq!(round.result, 1);
/// assert_eq!(round.measurements.secure_upper_clipped_count, 2);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// ```compile_fail
/// # use cipherfold::{federated::{LocalExecutor, aggregation::{Process, SecureSum}}, paillier::Bits2048};
/// # let executor = LocalExecutor::<Bits2048>::builder().build().unwrap();
/// Process::new(SecureSum::integers(-1, 1).unwrap()).run(&executor, [0.5_f32, 1.0]); // floats between integers
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecureSum<B> {
    bounds: B,
}

impl SecureSum<IntegerRange> {
    /// Integers from `lower` to `upper`, both included.
    ///
    /// # Errors
    ///
    /// Those of [`IntegerRange::new`].
    pub fn integers(lower: impl Into<i128>, upper: impl Into<i128>) -> Result<Self> {
        Ok(Self { bounds: IntegerRange::new(lower, upper)? })
    }

    /// Integers from −`upper` to `upper`.
    ///
    /// # Errors
    ///
    /// [`Error::SymmetricBound`] unless `upper` is positive, and those of [`IntegerRange::new`].
    pub fn integers_up_to(upper: impl Into<i128>) -> Result<Self> {
        let upper = upper.into();
        #[expect(clippy::cast_precision_loss, reason = "for the message")]
        positive(upper > 0, upper as f64)?;
        Self::integers(-upper, upper)
    }
}

impl SecureSum<Between<Fixed, Fixed>> {
    /// Floating-point numbers from `lower` to `upper`.
    ///
    /// # Errors
    ///
    /// [`Error::QuantizerRange`] unless they are finite and in order. A range that is too fine for the elements' type ends a
    /// run instead ([`Error::QuantizedSumTooFine`]).
    pub fn floats(lower: f64, upper: f64) -> Result<Self> {
        if !(lower <= upper && (upper - lower).is_finite()) {
            return Err(Error::QuantizerRange { lower, upper });
        }
        Ok(Self::adaptive_between(Between { lower: Fixed::new(lower)?, upper: Fixed::new(upper)? }))
    }
}

impl SecureSum<Symmetric<Fixed>> {
    /// Floating-point numbers from −`upper` to `upper`.
    ///
    /// # Errors
    ///
    /// [`Error::SymmetricBound`] unless `upper` is positive and finite.
    pub fn floats_up_to(upper: f64) -> Result<Self> {
        positive(upper > 0.0 && upper.is_finite(), upper)?;
        Ok(Self::adaptive(Fixed::new(upper)?))
    }
}

impl<E: Estimation> SecureSum<Symmetric<E>> {
    /// Floating-point numbers from −x to x, where x is an estimate that learns from the clients' largest magnitudes.
    pub fn adaptive(bound: E) -> Self {
        Self { bounds: Symmetric(bound) }
    }
}

impl<L: Estimation, U: Estimation> SecureSum<Between<L, U>> {
    /// Floating-point numbers between two estimates, which learn from the clients' least and greatest elements.
    pub fn adaptive_between(bounds: Between<L, U>) -> Self {
        Self { bounds }
    }
}

/// What a [`SecureSum`] measures. The names are TFF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SecureSumMeasurements<B> {
    /// Clients with an element above the upper bound.
    pub secure_upper_clipped_count: u64,
    /// Clients with an element below the lower bound.
    pub secure_lower_clipped_count: u64,
    /// The upper bound of this round, included.
    pub secure_upper_threshold: B,
    /// The lower bound of this round, included.
    pub secure_lower_threshold: B,
}

impl<T> Aggregation<T> for SecureSum<IntegerRange>
where
    T: Tensors<Scalar: Integer<Sum: Scalar>> + 'static,
{
    type State = ();
    type Result = <T::With<T::Scalar> as Tensors>::With<<T::Scalar as Integer>::Sum>;
    type Measurements = SecureSumMeasurements<i128>;

    fn initialize(&self) {}

    fn next(
        &self,
        state: &Value<(), Server>,
        values: &Value<T, Clients>,
    ) -> Step<(), Self::Result, Self::Measurements> {
        let range = self.bounds;
        let beyond = values.map(move |values| {
            let tensors = values.tensors();
            let any = |beyond: &dyn Fn(i128) -> bool| {
                tensors.iter().any(|tensor| tensor.iter().any(|x| beyond(x.to_i128())))
            };
            (any(&|x| x > range.max()), any(&|x| x < range.min()))
        });
        let clipped = values.map(move |values| {
            // What cannot be clipped, because no number of the type is in the range, is refused as it is.
            values.map_tensors(|_, tensor| tensor.mapv(|x| range.clip(x).unwrap_or(x)))
        });
        let result = clipped.named("clipped").secure_sum(range);
        let measurements = measurements(&beyond, &Value::constant((range.min(), range.max())));
        Step::new(state.clone(), result, measurements)
    }
}

impl<T: Floats, B: FloatBounds> Aggregation<T> for SecureSum<B> {
    type State = B::State;
    type Result = T;
    type Measurements = SecureSumMeasurements<f64>;

    fn initialize(&self) -> B::State {
        self.bounds.initialize()
    }

    fn next(
        &self,
        state: &Value<B::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<B::State, T, Self::Measurements> {
        // As the elements' type has them, so that clipped are those elements that are counted.
        let bounds = self.bounds.report(state).map(|&(lower, upper)| {
            let [lower, upper] = [lower, upper].map(T::Float::from_f64);
            (lower, upper)
        });
        let wide = bounds.map(|&(lower, upper)| (lower.to_f64(), upper.to_f64()));
        let extremes = values.map(|values| extremes(values)).named("least and greatest");
        let beyond = extremes
            .zip(&wide.broadcast())
            .map(|&((least, greatest), (lower, upper))| (greatest > upper, least < lower));
        let result = values.secure_quantized_sum_between(&bounds);
        Step::new(self.bounds.next(state, &extremes), result, measurements(&beyond, &wide))
    }
}

/// Counts the clients that were beyond the upper and beyond the lower bound.
fn measurements<B: Clone + Send + Sync + 'static>(
    beyond: &Value<(bool, bool), Clients>,
    bounds: &Value<(B, B), Server>,
) -> Value<SecureSumMeasurements<B>, Server> {
    let counts = beyond.map(|&(above, below)| (u32::from(above), u32::from(below)));
    let counts = counts.named("clipped").secure_sum_up_to(1);
    counts.zip(bounds).map(|((above, below), (lower, upper))| SecureSumMeasurements {
        secure_upper_clipped_count: *above,
        secure_lower_clipped_count: *below,
        secure_upper_threshold: upper.clone(),
        secure_lower_threshold: lower.clone(),
    })
}

/// Bounds of a [`SecureSum`] of floating-point numbers: [`Symmetric`] or [`Between`]. Sealed.
pub trait FloatBounds: sealed::Sealed + Send + Sync {
    #[doc(hidden)]
    type State: Portable + Clone + core::fmt::Debug;

    #[doc(hidden)]
    fn initialize(&self) -> Self::State;

    /// The lower and the upper bound.
    #[doc(hidden)]
    fn report(&self, state: &Value<Self::State, Server>) -> Value<(f64, f64), Server>;

    /// The state after a round in which clients had these least and greatest elements.
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
pub struct Symmetric<E>(E);

impl<E> sealed::Sealed for Symmetric<E> {}

impl<E: Estimation> FloatBounds for Symmetric<E> {
    type State = E::State;

    fn initialize(&self) -> E::State {
        self.0.initialize()
    }

    fn report(&self, state: &Value<E::State, Server>) -> Value<(f64, f64), Server> {
        self.0.report(state).map(|upper| (-upper, *upper))
    }

    fn next(
        &self,
        state: &Value<E::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<E::State, Server> {
        // Zero for a client without elements, whose least is above its greatest.
        self.0.next(state, &extremes.map(|&(least, greatest)| greatest.max(-least).max(0.0)))
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

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<Self::State, Server> {
        let least = extremes.map(|&(least, _)| least);
        let lower = self.lower.next(&state.map(|(lower, _)| lower.clone()), &least);
        let greatest = extremes.map(|&(_, greatest)| greatest);
        lower.zip(&self.upper.next(&state.map(|(_, upper)| upper.clone()), &greatest))
    }
}

fn positive(good: bool, bound: f64) -> Result<()> {
    if good { Ok(()) } else { Err(Error::SymmetricBound { bound }) }
}
