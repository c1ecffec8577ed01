//! Secure sums of integers, and of floating-point numbers between bounds that may be learned.

use serde::{Deserialize, Serialize};

use super::{
    bounds::{Bounds, FloatBounds, SymmetricBounds},
    grid::{Grid, Widen},
};
#[cfg(doc)]
use crate::packing::Quantizer;
use crate::{
    federated::{
        Clients, Result, Server,
        aggregation::{
            self,
            estimation::{Estimation, Fixed},
            factory::{AggregationFactory, Step},
            floats::{FloatElement, Floats, extremes, is_finite},
        },
        computation::Value,
        tensor::{self, Scalar, Tensors},
    },
    packing::{self, Float, Integer, IntegerRange},
};

/// The secure sum of numbers that are clipped between two bounds (TFF: `SecureSumFactory`).
///
/// | | elements | bounds | results |
/// | :-- | :-- | :-- | :-- |
/// | [`integers`](Self::integers) | integers of 8 to 64 bits | fixed | exact, in a wider type |
/// | [`floats`](Self::floats), [`floats_up_to`](Self::floats_up_to) | `f32`, `f64` | fixed | rounded, in 32 bits unless [`with_bits`](Self::with_bits) sets another number |
/// | [`adaptive`](Self::adaptive), [`adaptive_between`](Self::adaptive_between) | `f32`, `f64` | one or two [estimates](Estimation) | the same |
///
/// Other combinations do not compile: floating-point bounds for integers, integer bounds for
/// floating-point numbers, or tensors of different types.
///
/// Estimates learn from the minimum and the maximum element of each client before clipping. An
/// estimate may be any number. Its bounds are corrected so that a sum is possible in every round:
///
/// - A symmetric bound below zero counts as zero.
/// - Two bounds in the wrong order are swapped.
/// - Bounds that are too large for a finite sum become smaller.
/// - Bounds that the grid cannot distinguish are moved apart. With 2³² steps, they are moved by a
///   part in 2²⁹, or to a distance of 2⁻⁹⁰⁰. With b bits, they are moved by a part in 2⁴⁷⁻ᵇ (for
///   `f32` a part in 2²¹ if that is more), or to a distance of 2⁻¹²⁶ (`f32`) or 2⁻⁹⁰⁰ (`f64`). An
///   element then counts up to this much beyond the estimate.
///
/// The measured thresholds are the bounds after these corrections.
///
/// A sum beyond the maximum number of its type ends a run with [`tensor::Error::NotFiniteSum`].
///
/// Measurements are the bounds, and the numbers of *clients* with an element above and below them.
/// These are two further secure sums. The names are TFF's: `secure_upper_threshold`,
/// `secure_lower_threshold`, `secure_upper_clipped_count`, `secure_lower_clipped_count`.
///
/// # Bits of a number
///
/// | floats | encoded by | bits | maximum error of a sum over n clients |
/// | :-- | :-- | :-- | :-- |
/// | default | [`QuantizedSum`](crate::packing::QuantizedSum), with TFF's rounding | 32 | n·(upper − lower)/(2³² − 1)/2 |
/// | [`with_bits`](Self::with_bits)`(b)` | [`Quantizer`], as in [`secure_mean`](crate::federated::LocalExecutor::secure_mean) | b | n·[`error_bound`](Quantizer::error_bound): n·(upper − lower)/(2ᵇ − 2)/2 and a rounding of `f64` |
///
/// This is the error of the sum of clipped elements; their own type rounds the result once more.
/// Fewer bits make smaller messages. The next table gives the bytes that a client sends for each
/// value, with both counts, for 10 clients with 2040 values each, under a key of 2048 bits:
///
/// | 32 bits | 16 bits | 8 bits |
/// | :-- | :-- | :-- |
/// | 9.56 | 5.30 | 3.29 |
///
/// # Example
///
/// ```
/// use cipherfold::{federated::{LocalExecutor, aggregation::{Process, SecureClippingSum}}, paillier::Bits2048};
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut sum = Process::new(SecureClippingSum::integers(-1, 1)?);
/// let round = sum.run(&executor, [-2_i32, -1, 0, 1, 2, 3])?;
/// assert_eq!(round.value, 1);
/// assert_eq!(round.measurements.secure_upper_clipped_count, 2);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// ```compile_fail
/// # use cipherfold::{federated::{LocalExecutor, aggregation::{Process, SecureClippingSum}}, paillier::Bits2048};
/// # let executor = LocalExecutor::<Bits2048>::builder().build().unwrap();
/// Process::new(SecureClippingSum::integers(-1, 1).unwrap()).run(&executor, [0.5_f32, 1.0]); // floats between integers
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecureClippingSum<B> {
    bounds: B,
    /// The grid of floats. Integers are exact, and have as many bits as their range needs.
    grid: Grid,
}

impl SecureClippingSum<IntegerRange> {
    /// Integers from `lower` to `upper`, both included.
    ///
    /// # Errors
    ///
    /// Those of [`IntegerRange::new`].
    pub fn integers(lower: impl Into<i128>, upper: impl Into<i128>) -> Result<Self, packing::Error> {
        Ok(Self::over(IntegerRange::new(lower, upper)?))
    }

    /// Integers from −`upper` to `upper`.
    ///
    /// # Errors
    ///
    /// [`aggregation::Error::SymmetricBound`] unless `upper` is positive, and those of
    /// [`IntegerRange::new`].
    pub fn integers_up_to(upper: impl Into<i128>) -> Result<Self> {
        let upper = upper.into();
        #[expect(clippy::cast_precision_loss, reason = "for the message")]
        positive(upper > 0, upper as f64)?;
        Ok(Self::integers(-upper, upper)?)
    }
}

impl SecureClippingSum<Bounds<Fixed, Fixed>> {
    /// Floating-point numbers from `lower` to `upper`.
    ///
    /// # Errors
    ///
    /// [`packing::Error::QuantizerRange`] unless the bounds are finite and in order. Two other
    /// errors end a run: a range that is too fine for the elements' type
    /// ([`packing::Error::QuantizedSumTooFine`]), and, with stated bits, bounds that a
    /// [`Quantizer`] does not accept, such as equal ones.
    pub fn floats(lower: f64, upper: f64) -> Result<Self> {
        if !(lower <= upper && (upper - lower).is_finite()) {
            return Err(packing::Error::QuantizerRange { lower, upper }.into());
        }
        Ok(Self::adaptive_between(Bounds { lower: Fixed::new(lower)?, upper: Fixed::new(upper)? }))
    }
}

impl SecureClippingSum<SymmetricBounds<Fixed>> {
    /// Floating-point numbers from −`upper` to `upper`.
    ///
    /// # Errors
    ///
    /// [`aggregation::Error::SymmetricBound`] unless `upper` is positive and finite.
    pub fn floats_up_to(upper: f64) -> Result<Self, aggregation::Error> {
        positive(upper > 0.0 && upper.is_finite(), upper)?;
        Ok(Self::adaptive(Fixed::new(upper)?))
    }
}

impl<E: Estimation> SecureClippingSum<SymmetricBounds<E>> {
    /// Floating-point numbers from −x to x, where x is an estimate that learns from the clients'
    /// maximum magnitudes.
    pub fn adaptive(bound: E) -> Self {
        Self::over(SymmetricBounds(bound))
    }
}

impl<L: Estimation, U: Estimation> SecureClippingSum<Bounds<L, U>> {
    /// Floating-point numbers between two estimates, which learn from the clients' minimum and
    /// maximum elements.
    pub fn adaptive_between(bounds: Bounds<L, U>) -> Self {
        Self::over(bounds)
    }
}

impl<B: FloatBounds> SecureClippingSum<B> {
    /// The same sum with `bits` bits for every number, instead of 32. It counts the nearest point
    /// on the grid of a [`Quantizer`]. See [bits of a number](Self#bits-of-a-number).
    ///
    /// Fixed bounds that a quantizer does not accept end a run with its error, before any client
    /// works.
    ///
    /// ```
    /// use cipherfold::federated::{LocalExecutor, aggregation::{Process, SecureClippingSum}};
    /// use cipherfold::{packing::Quantizer, paillier::Bits2048};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let mut sum = Process::new(SecureClippingSum::floats_up_to(2.0)?.with_bits(16)?);
    /// let round = sum.run(&executor, [0.1_f64, 0.7, -3.0])?; // the last one counts as -2
    /// let error_bound = 3.0 * Quantizer::symmetric(2.0, 16)?.error_bound(); // of three clients
    /// assert!((round.value - (0.1 + 0.7 - 2.0)).abs() <= error_bound && error_bound < 1e-4);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`packing::Error::QuantizerBits`] unless `bits` is 2 to 48.
    pub fn with_bits(self, bits: u32) -> Result<Self, packing::Error> {
        Ok(Self { grid: Grid::of_bits(bits)?, ..self })
    }

    /// Bits of an encoded number: 32, unless another number was set.
    pub fn bits(&self) -> u32 {
        self.grid.bits()
    }
}

impl<B> SecureClippingSum<B> {
    fn over(bounds: B) -> Self {
        Self { bounds, grid: Grid::Quantized }
    }
}

/// The measurements of a [`SecureClippingSum`]. The names are TFF's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(clippy::struct_field_names, reason = "the names are TFF's")]
pub struct SecureClippingSumMeasurements<B> {
    /// Clients with an element above the upper bound.
    pub secure_upper_clipped_count: u64,
    /// Clients with an element below the lower bound.
    pub secure_lower_clipped_count: u64,
    /// The upper bound of this round, included.
    pub secure_upper_threshold: B,
    /// The lower bound of this round, included.
    pub secure_lower_threshold: B,
}

impl<T> AggregationFactory<T> for SecureClippingSum<IntegerRange>
where
    T: Tensors<Scalar: Integer<Sum: Scalar>> + 'static,
{
    type State = ();
    type Result = <T::With<T::Scalar> as Tensors>::With<<T::Scalar as Integer>::Sum>;
    type Measurements = SecureClippingSumMeasurements<i128>;

    fn initialize(&self) {}

    fn next(
        &self,
        state: &Value<(), Server>,
        values: &Value<T, Clients>,
    ) -> Step<(), Self::Result, Self::Measurements> {
        let range = self.bounds;
        let beyond = values.map(move |values| {
            // All elements are visited: neither branches nor the number of steps show which element
            // is beyond.
            values.tensors().iter().flatten().fold((false, false), |(above, below), x| {
                let x = x.to_i128();
                (above | (x > range.max()), below | (x < range.min()))
            })
        });
        let result = clipped::<T>(range, values).named("clipped").secure_sum(range);
        let measurements = measurements(&beyond, &Value::constant((range.min(), range.max())));
        Step::new(state.clone(), result, measurements)
    }
}

fn clipped<T>(range: IntegerRange, values: &Value<T, Clients>) -> Value<T::With<T::Scalar>, Clients>
where
    T: Tensors<Scalar: Integer> + 'static,
{
    // If no number of the type is in the range, values cannot be clipped. They stay unchanged and
    // are refused.
    values
        .map(move |values| values.map_tensors(|_, tensor| tensor.mapv(|x| range.clip(x).unwrap_or(x))))
        .keeping_structure()
}

impl<T: Floats, B: FloatBounds> AggregationFactory<T> for SecureClippingSum<B> {
    type State = B::State;
    type Result = T;
    type Measurements = SecureClippingSumMeasurements<f64>;

    fn initialize(&self) -> B::State {
        self.bounds.initialize()
    }

    fn next(
        &self,
        state: &Value<B::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<B::State, T, Self::Measurements> {
        self.step(state, values, |bounds| bounds)
    }

    fn admitted(&self, state: &Value<B::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let bounds = self.bounds::<T::Float>(state, |bounds| bounds).broadcast();
        let bounded = values.zip(&bounds).keeping_structure();
        let grid = self.grid;
        bounded
            .fallible("admitted", move |(values, bounds)| Ok(grid.counted(values, *bounds)?))
            .keeping_structure()
    }

    fn next_toward_zero(
        &self,
        state: &Value<B::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<B::State, T, Self::Measurements> {
        self.step(state, values, |(lower, upper)| (lower.min(0.0), upper.max(0.0)))
    }
}

impl<B: FloatBounds> SecureClippingSum<B> {
    /// The bounds of a round in the elements' type. The same bounds decide which elements are
    /// clipped and counted.
    fn bounds<F: FloatElement>(
        &self,
        state: &Value<B::State, Server>,
        widen: Widen,
    ) -> Value<(F, F), Server> {
        let (grid, fixed) = (self.grid, self.bounds.is_fixed());
        self.bounds.report(state).fallible("bounds", move |bounds| Ok(grid.usable(*bounds, widen, fixed)?))
    }

    fn step<T: Floats>(
        &self,
        state: &Value<B::State, Server>,
        values: &Value<T, Clients>,
        widen: Widen,
    ) -> Step<B::State, T, SecureClippingSumMeasurements<f64>> {
        let bounds = self.bounds::<T::Float>(state, widen);
        let wide = bounds.map(|&(lower, upper)| (lower.to_f64(), upper.to_f64()));
        let extremes = values.map(|values| extremes(values)).named("minimum and maximum");
        let beyond = extremes
            .zip(&wide.broadcast())
            .map(|&((minimum, maximum), (lower, upper))| (maximum > upper, minimum < lower));
        let sum = self.grid.sum(values, &bounds).fallible("finite", |sum| {
            if is_finite(sum) { Ok(sum.clone()) } else { Err(tensor::Error::NotFiniteSum.into()) }
        });
        Step::new(self.bounds.next(state, &extremes), sum, measurements(&beyond, &wide))
    }
}

/// Counts the clients with an element above the upper bound, and those with one below the lower
/// bound.
fn measurements<B: Clone + Send + Sync + 'static>(
    beyond: &Value<(bool, bool), Clients>,
    bounds: &Value<(B, B), Server>,
) -> Value<SecureClippingSumMeasurements<B>, Server> {
    let counts = beyond.map(|&(above, below)| (u32::from(above), u32::from(below)));
    let counts = counts.named("clipped").secure_sum_up_to(1);
    counts.zip(bounds).map(|((above, below), (lower, upper))| SecureClippingSumMeasurements {
        secure_upper_clipped_count: *above,
        secure_lower_clipped_count: *below,
        secure_upper_threshold: upper.clone(),
        secure_lower_threshold: lower.clone(),
    })
}

fn positive(good: bool, bound: f64) -> Result<(), aggregation::Error> {
    if good { Ok(()) } else { Err(aggregation::Error::SymmetricBound { bound }) }
}

/// A secure count of values that are 0 or 1.
pub(in crate::federated::aggregation) fn counts() -> SecureClippingSum<IntegerRange> {
    SecureClippingSum::integers(0, 1).expect("0 to 1 is a valid range")
}
