//! A clipping norm: a quantile of the clients' norms, learned from counts.

use serde::{Deserialize, Serialize};

use crate::privacy::{
    check::{checked, finite},
    error::{Error, Result},
};

/// The rule by which an estimate follows the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UpdateRule {
    Geometric,
    Linear,
}

/// The start of an estimate, and its learning parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileParameters {
    /// The first estimate. Positive for the
    /// [geometric](QuantileEstimator::geometric) rule.
    #[serde(deserialize_with = "finite")]
    pub initial: f64,
    /// γ: the target share of clients at or below the estimate. From 0 to 1.
    #[serde(deserialize_with = "finite")]
    pub target: f64,
    /// η: the learning rate, which limits the move of one round. Positive.
    #[serde(deserialize_with = "finite")]
    pub learning_rate: f64,
}

/// The function `multiplier`·x + `increment`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AffineMap {
    /// The factor of x.
    #[serde(deserialize_with = "finite")]
    pub multiplier: f64,
    /// The summand.
    #[serde(deserialize_with = "finite")]
    pub increment: f64,
}

/// An estimate of a quantile that follows the quantile from round to round. It only learns the
/// fraction of clients below the estimate.
///
/// Every client compares its value with the current estimate C and reports one bit. The next
/// estimate follows from the fraction b of clients at or below C, the target quantile γ and the
/// learning rate η, by one of two rules: [geometric](Self::geometric), for positive quantities of
/// unknown magnitude, such as norms, or [linear](Self::linear). Both are gradient descent on the
/// quantile's loss (Andrew et al., "Differentially Private Learning with Adaptive Clipping", 2021,
/// arXiv:1905.03871, section 2). The paper suggests the geometric rule with η = 0.2, and
/// noise of a twentieth of the expected number of clients. The reported value may
/// be an affine function of C, as in TFF: for example, twice the 98 % quantile plus one.
///
/// It is the state of TFF's `PrivateQuantileEstimationProcess`, and can be serialised.
///
/// ```
/// use cipherfold::privacy::{QuantileEstimator, QuantileParameters};
///
/// // Median of the norms.
/// let parameters = QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 };
/// let mut estimator = QuantileEstimator::geometric(parameters)?;
/// let norms = [2.0, 3.0, 5.0, 7.0, 11.0];
/// for _ in 0..200 {
///     let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
///     estimator = estimator.next(below as f64 / 5.0)?;
/// }
/// assert!((4.5..5.5).contains(&estimator.report()));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct QuantileEstimator {
    fields: Fields,
}

/// The serialised state. Reading does not check it yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "QuantileEstimator")]
struct Fields {
    estimate: f64,
    target: f64,
    learning_rate: f64,
    update: UpdateRule,
    multiplier: f64,
    increment: f64,
}

impl QuantileEstimator {
    /// An estimator with the geometric rule, C ← C·exp(−η(b − γ)).
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless `initial` and `learning_rate` are positive and finite, and
    /// `target` is from 0 to 1.
    pub fn geometric(parameters: QuantileParameters) -> Result<Self> {
        Self::new(parameters, UpdateRule::Geometric)
    }

    /// An estimator with the linear rule, C ← C − η(b − γ).
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless `initial` is finite, `learning_rate` positive and finite, and
    /// `target` from 0 to 1.
    pub fn linear(parameters: QuantileParameters) -> Result<Self> {
        Self::new(parameters, UpdateRule::Linear)
    }

    fn new(parameters: QuantileParameters, update: UpdateRule) -> Result<Self> {
        let QuantileParameters { initial, target, learning_rate } = parameters;
        Fields { estimate: initial, target, learning_rate, update, multiplier: 1.0, increment: 0.0 }
            .try_into()
    }

    /// The same estimator, but it reports a function of C.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless the multiplier is positive and finite, and the increment finite
    /// and not negative.
    pub fn reporting(self, map: AffineMap) -> Result<Self> {
        let AffineMap { multiplier, increment } = map;
        Fields { multiplier, increment, ..self.fields }.try_into()
    }

    /// C: the current estimate of the quantile.
    pub const fn estimate(&self) -> f64 {
        self.fields.estimate
    }

    /// The reported value: `multiplier`·C + `increment`.
    pub fn report(&self) -> f64 {
        self.fields.multiplier * self.fields.estimate + self.fields.increment
    }

    /// γ: the target share of clients at or below the estimate.
    pub const fn target(&self) -> f64 {
        self.fields.target
    }

    /// η: how far one round may move the estimate.
    pub const fn learning_rate(&self) -> f64 {
        self.fields.learning_rate
    }

    /// The bit that a client reports: whether its value is at or below the current estimate C (not
    /// the [reported](Self::report) value).
    pub fn is_below(&self, value: f64) -> bool {
        value <= self.fields.estimate
    }

    /// The estimator of the next round, given the fraction of clients at or below this estimate.
    /// With noise a fraction may be outside [0, 1]; it is clamped.
    ///
    /// A geometric estimate stays a positive and finite float.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] if the fraction is not a number.
    pub fn next(&self, below: f64) -> Result<Self> {
        checked("below", below, !below.is_nan(), "a number")?;
        let Fields { estimate, target, learning_rate, update, .. } = self.fields;
        let step = learning_rate * (below.clamp(0.0, 1.0) - target);
        let estimate = match update {
            UpdateRule::Geometric => (estimate * (-step).exp()).max(f64::MIN_POSITIVE),
            UpdateRule::Linear => estimate - step,
        };
        let estimate = estimate.clamp(f64::MIN, f64::MAX);
        Ok(Self { fields: Fields { estimate, ..self.fields } })
    }
}

impl TryFrom<Fields> for QuantileEstimator {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let Fields { estimate, target, learning_rate, update, multiplier, increment } = fields;
        match update {
            UpdateRule::Geometric => positive("estimate", estimate)?,
            UpdateRule::Linear => checked("estimate", estimate, estimate.is_finite(), "finite")?,
        };
        checked("target", target, (0.0..=1.0).contains(&target), "from 0 to 1")?;
        positive("learning_rate", learning_rate)?;
        positive("multiplier", multiplier)?;
        checked("increment", increment, (0.0..f64::INFINITY).contains(&increment), FROM_0)?;
        Ok(Self { fields })
    }
}

impl From<QuantileEstimator> for Fields {
    fn from(estimator: QuantileEstimator) -> Self {
        estimator.fields
    }
}

fn positive(name: &'static str, value: f64) -> Result<f64> {
    checked(name, value, value > 0.0 && value.is_finite(), "positive and finite")
}

const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests;
