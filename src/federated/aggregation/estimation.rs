//! Estimations: bounds and norms that may change from round to round.

use core::fmt::{self, Debug};
use std::sync::Arc;

use super::privacy_cost::PrivacyCost;
use crate::federated::{
    Clients, Server,
    aggregation::error::{Error, Result},
    computation::{Transferable, Value},
};

/// A number that the server knows, and that a round may change (TFF: `EstimationProcess`).
///
/// Aggregations use estimations as bounds or norms: [`Fixed`], a [`Schedule`], a learned
/// [`Quantile`](super::Quantile), or one of your own:
///
/// ```
/// use cipherfold::federated::aggregation::{Clipping, Estimation, Process, SecureClippingSum};
/// use cipherfold::federated::{Clients, LocalExecutor, Server, computation::Value};
/// use cipherfold::paillier::Bits2048;
///
/// /// The clients' mean norm in the round before, in the clear.
/// struct MeanNorm {
///     initial: f64,
/// }
///
/// impl Estimation for MeanNorm {
///     type State = f64;
///
///     fn initialize(&self) -> f64 {
///         self.initial
///     }
///
///     fn report(&self, state: &Value<f64, Server>) -> Value<f64, Server> {
///         state.clone()
///     }
///
///     fn next(&self, _: &Value<f64, Server>, norms: &Value<f64, Clients>) -> Value<f64, Server> {
///         norms.mean()
///     }
/// }
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let clipping = Clipping::new(MeanNorm { initial: 5.0 }, SecureClippingSum::floats_up_to(10.0)?);
/// let mut process = Process::new(clipping);
/// let first = process.run(&executor, [1.0_f32, 3.0, 8.0])?;
/// assert_eq!(first.measurements.clipping_norm, 5.0);
/// assert_eq!(process.state().aggregation.norm, 4.0);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub trait Estimation: Send + Sync {
    /// The state that the server keeps from round to round: a type that serde writes and reads.
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

    /// The number, if it is the same in every round. An error about a fixed bound ends every run in
    /// the same way. An error about a learned bound would end all runs after the first failure, so
    /// aggregations correct learned bounds instead.
    fn fixed(&self) -> Option<f64> {
        None
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

    fn fixed(&self) -> Option<f64> {
        Some(self.0)
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

fn finite(value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Estimate { value }) }
}
