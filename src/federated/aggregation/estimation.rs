//! Estimations: bounds and norms that may change from round to round.

use core::fmt::{self, Debug};
use std::sync::Arc;

use super::PrivacyCost;
use crate::{
    federated::{Clients, Error, Result, Server, Transferable, Value},
    privacy::AffineMap,
};

/// A number that the server knows, and that a round may change (TFF: `EstimationProcess`).
///
/// Aggregations use estimations as bounds or norms: [`Fixed`], a [`Schedule`], a learned
/// [`Quantile`](super::Quantile), or an [affine](Self::affine) function of one of them.
pub trait Estimation: Send + Sync {
    /// The state that the server keeps from round to round.
    type State: Transferable + Clone + Debug;

    /// The state before the first round.
    fn initialize(&self) -> Self::State;

    /// The estimate for a state.
    fn report(&self, state: &Value<Self::State, Server>) -> Value<f64, Server>;

    /// The state after a round, from one number of each client: the estimated quantity, before
    /// clipping.
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<f64, Clients>,
    ) -> Value<Self::State, Server>;

    /// The cost of the next estimates, as far as they depend on the clients' numbers of this
    /// round. Unknown by default.
    fn cost(&self) -> PrivacyCost {
        PrivacyCost::unknown()
    }

    /// Whether the number is the same in every round. An error about a fixed bound ends every run
    /// in the same way. An error about a learned bound would end all runs after the first failure,
    /// so aggregations correct learned bounds instead.
    fn is_fixed(&self) -> bool {
        false
    }

    /// The estimate `multiplier`·x + `increment` where this one is x. It stays finite.
    ///
    /// # Errors
    ///
    /// [`Error::Estimate`] unless both are finite.
    fn affine(self, map: AffineMap) -> Result<Affine<Self>>
    where
        Self: Sized,
    {
        finite(map.multiplier)?;
        finite(map.increment)?;
        Ok(Affine { inner: self, map })
    }
}

/// The same number in every round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed(f64);

impl Fixed {
    /// An estimation that always gives this number.
    ///
    /// # Errors
    ///
    /// [`Error::Estimate`] unless it is finite.
    pub fn new(value: f64) -> Result<Self> {
        finite(value).map(Self)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Estimation for Fixed {
    type State = ();

    fn initialize(&self) {}

    fn report(&self, state: &Value<(), Server>) -> Value<f64, Server> {
        let value = self.0;
        state.map(move |()| value)
    }

    fn next(&self, state: &Value<(), Server>, _: &Value<f64, Clients>) -> Value<(), Server> {
        state.clone()
    }

    fn cost(&self) -> PrivacyCost {
        PrivacyCost::nothing()
    }

    fn is_fixed(&self) -> bool {
        true
    }
}

/// A number that depends only on the number of the round.
///
/// ```
/// use cipherfold::federated::aggregation::Schedule;
///
/// // 1 in the first round, 2 in the next, and so on up to 10.
/// let growing = Schedule::new(|round| 1.0 + round.min(9) as f64);
/// ```
#[derive(Clone)]
pub struct Schedule {
    value: Arc<dyn Fn(u64) -> f64 + Send + Sync>,
}

impl Schedule {
    /// `value(round)`, with rounds counted from zero.
    pub fn new(value: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Self { value: Arc::new(value) }
    }
}

impl Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").finish_non_exhaustive()
    }
}

impl Estimation for Schedule {
    /// Number of finished rounds. It stays at `u64::MAX` once it reaches this value.
    type State = u64;

    fn initialize(&self) -> u64 {
        0
    }

    fn report(&self, state: &Value<u64, Server>) -> Value<f64, Server> {
        let value = Arc::clone(&self.value);
        state.map(move |round| value(*round))
    }

    fn next(&self, state: &Value<u64, Server>, _: &Value<f64, Clients>) -> Value<u64, Server> {
        state.map(|round| round.saturating_add(1))
    }

    fn cost(&self) -> PrivacyCost {
        PrivacyCost::nothing()
    }
}

/// An affine function of another estimate; see [`Estimation::affine`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine<E> {
    inner: E,
    map: AffineMap,
}

impl<E: Estimation> Estimation for Affine<E> {
    type State = E::State;

    fn initialize(&self) -> E::State {
        self.inner.initialize()
    }

    fn report(&self, state: &Value<E::State, Server>) -> Value<f64, Server> {
        let map = self.map;
        // NaN stays NaN, and the aggregation refuses it.
        self.inner.report(state).map(move |x| map.at(*x).clamp(f64::MIN, f64::MAX))
    }

    /// The inner estimate learns from the unchanged values.
    fn next(&self, state: &Value<E::State, Server>, values: &Value<f64, Clients>) -> Value<E::State, Server> {
        self.inner.next(state, values)
    }

    fn cost(&self) -> PrivacyCost {
        self.inner.cost()
    }

    fn is_fixed(&self) -> bool {
        self.inner.is_fixed()
    }
}

fn finite(value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Estimate { value }) }
}
