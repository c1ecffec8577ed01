//! Numbers that may change from round to round: bounds and norms, fixed or learned.

use core::fmt::{self, Debug};
use std::sync::Arc;

use super::Price;
use crate::{
    federated::{Clients, Error, Portable, Result, Server, Value},
    privacy::AffineMap,
};

/// A number that the server knows, and that a round may change (TFF: `EstimationProcess`).
///
/// What aggregations take where they need a bound or a norm: [`Fixed`], a [`Schedule`], a learned [`Quantile`](super::Quantile), or
/// an [affine](Self::affine) function of one of them.
pub trait Estimation: Send + Sync {
    /// What the server keeps from round to round.
    type State: Portable + Clone + Debug;

    /// The state before the first round.
    fn initialize(&self) -> Self::State;

    /// The number that follows from a state.
    fn report(&self, state: &Value<Self::State, Server>) -> Value<f64, Server>;

    /// The state after a round, given one number of each client: what the estimate is about, before anything was clipped.
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<f64, Clients>,
    ) -> Value<Self::State, Server>;

    /// The price of the next estimates: how much they tell about one client's number of this round. Unknown unless stated.
    fn price(&self) -> Price {
        Price::unknown()
    }

    /// Whether the number is the same in every round, whatever happens. An error about a bound that never changes ends every
    /// run; one about a bound that is learned would end all runs after a failed one, so that aggregations mend such bounds.
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
    /// This number.
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

    fn price(&self) -> Price {
        Price::nothing()
    }

    fn is_fixed(&self) -> bool {
        true
    }
}

/// A number that follows from the number of the round, whatever the clients have.
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
    /// Rounds that are over. The number stays at `u64::MAX` once it is there.
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

    fn price(&self) -> Price {
        Price::nothing()
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
        // What is not a number stays so, for the aggregation to refuse.
        self.inner.report(state).map(move |x| map.at(*x).clamp(f64::MIN, f64::MAX))
    }

    /// The inner estimate learns from the values as they are.
    fn next(&self, state: &Value<E::State, Server>, values: &Value<f64, Clients>) -> Value<E::State, Server> {
        self.inner.next(state, values)
    }

    fn price(&self) -> Price {
        self.inner.price()
    }

    fn is_fixed(&self) -> bool {
        self.inner.is_fixed()
    }
}

fn finite(value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Estimate { value }) }
}
