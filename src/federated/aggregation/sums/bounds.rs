//! Bounds of sums of floating-point numbers, fixed or learned.

use crate::federated::{
    Clients, Server,
    aggregation::estimation::Estimation,
    computation::{Transferable, Value},
};

/// Bounds of a [`SecureClippingSum`](super::SecureClippingSum) of floating-point numbers:
/// [`SymmetricBounds`] or [`Bounds`].
pub trait FloatBounds: Send + Sync {
    /// The state that the server keeps from round to round.
    type State: Transferable + Clone + core::fmt::Debug;

    /// The state before the first round.
    fn initialize(&self) -> Self::State;

    /// The lower and the upper bound, as estimated.
    fn report(&self, state: &Value<Self::State, Server>) -> Value<(f64, f64), Server>;

    /// Whether the bounds are the same in every round.
    fn is_fixed(&self) -> bool;

    /// The state after a round in which clients had these minimum and maximum elements.
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<Self::State, Server>;
}

/// Bounds −x and x, for an estimate x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SymmetricBounds<E>(pub(super) E);

impl<E: Estimation> FloatBounds for SymmetricBounds<E> {
    type State = E::State;

    fn initialize(&self) -> E::State {
        self.0.initialize()
    }

    fn report(&self, state: &Value<E::State, Server>) -> Value<(f64, f64), Server> {
        let fixed = self.0.fixed().is_some();
        self.0.report(state).map(move |&upper| {
            // A learned bound below zero counts as zero.
            let upper = if fixed || upper.is_nan() { upper } else { upper.max(0.0) };
            (0.0 - upper, upper)
        })
    }

    fn is_fixed(&self) -> bool {
        self.0.fixed().is_some()
    }

    fn next(
        &self,
        state: &Value<E::State, Server>,
        extremes: &Value<(f64, f64), Clients>,
    ) -> Value<E::State, Server> {
        // Zero for a client without elements: its minimum is above its maximum.
        self.0.next(state, &extremes.map(|&(minimum, maximum)| maximum.max(-minimum).max(0.0)))
    }
}

/// Two separate estimates as bounds.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Bounds, Fixed, Process, Schedule, SecureClippingSum}};
/// use cipherfold::paillier::Bits2048;
///
/// // From 0 to 1 in the first round, from 0 to 2 in the next one.
/// let growing = Schedule::new(|round| 1.0 + round as f64);
/// let sum = SecureClippingSum::adaptive_between(Bounds { lower: Fixed::new(0.0)?, upper: growing });
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = Process::new(sum);
/// for expected in [1.5, 2.5] {
///     assert!((process.run(&executor, [-3.0_f32, 0.5, 9.0])?.value - expected).abs() < 1e-6);
/// }
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds<L, U> {
    /// The lower bound.
    pub lower: L,
    /// The upper bound.
    pub upper: U,
}

impl<L: Estimation, U: Estimation> FloatBounds for Bounds<L, U> {
    type State = (L::State, U::State);

    fn initialize(&self) -> Self::State {
        (self.lower.initialize(), self.upper.initialize())
    }

    fn report(&self, state: &Value<Self::State, Server>) -> Value<(f64, f64), Server> {
        let lower = self.lower.report(&state.map(|(lower, _)| lower.clone()));
        lower.zip(&self.upper.report(&state.map(|(_, upper)| upper.clone())))
    }

    fn is_fixed(&self) -> bool {
        self.lower.fixed().is_some() && self.upper.fixed().is_some()
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
