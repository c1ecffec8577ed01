//! Gaussian noise added to a sum, with or without random choice of those who take part.

use serde::{Deserialize, Serialize};

use super::{Accountant, Mechanism, checked};
use crate::{Error, Result};

/// Gaussian noise of `noise_multiplier` times the clipping norm, added once to the sum, over clients of which each takes
/// part with the same probability, independently of the others.
///
/// Without the choice of clients ([`sampled`](Self::sampled)), the same holds for [discrete](super::DiscreteGaussian) noise
/// on integer vectors.
///
/// ```
/// use cipherfold::privacy::{Gaussian, Mechanism};
///
/// let always = Gaussian::new(2.0)?;
/// assert_eq!((always.rho(), always.divergence(4.0)), (0.125, 0.5));
/// assert!(always.sampled(0.01)?.divergence(4.0) < 0.0002);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "(f64, f64)", into = "(f64, f64)")]
pub struct Gaussian {
    noise_multiplier: f64,
    sampling: f64,
}

impl Gaussian {
    /// Noise with a standard deviation of `noise_multiplier` times the clipping norm. All clients take part.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless the multiplier is a finite number from 0. Zero promises nothing.
    pub fn new(noise_multiplier: f64) -> Result<Self> {
        checked(
            "noise_multiplier",
            noise_multiplier,
            (0.0..f64::INFINITY).contains(&noise_multiplier),
            FROM_0,
        )?;
        Ok(Self { noise_multiplier, sampling: 1.0 })
    }

    /// The same noise when every client takes part with probability `sampling`, drawn for it alone in every round (Poisson
    /// sampling), and nobody whom the noise is to protect it from learns who does.
    ///
    /// A fixed number of clients drawn at random is *not* this, and neither is a server that picks them and is not
    /// trusted.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless the probability is above 0 and at most 1.
    pub fn sampled(self, sampling: f64) -> Result<Self> {
        checked("sampling", sampling, sampling > 0.0 && sampling <= 1.0, "above 0 and at most 1")?;
        Ok(Self { sampling, ..self })
    }

    /// Standard deviation of the noise over the clipping norm.
    pub const fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }

    /// Probability of a client to take part.
    pub const fn sampling(&self) -> f64 {
        self.sampling
    }

    /// ρ of zero-concentrated differential privacy for those who are known to take part: 1/(2z²) for a noise multiplier z
    /// (Bun, Steinke, "Concentrated Differential Privacy", TCC 2016-B, proposition 1.6; for discrete noise, Canonne,
    /// Kamath, Steinke, 2020, arXiv:2004.00010, theorem 4).
    pub fn rho(&self) -> f64 {
        0.5 / self.noise_multiplier.powi(2)
    }

    /// ln A at an integer order: Mironov, Talwar, Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism",
    /// 2019, section 3.3. With sampling probability q,
    ///
    /// A = Σ C(α, k)·(1 − q)^(α − k)·q^k·exp((k² − k)/(2z²)), k = 0 to α.
    ///
    /// The binomial weights add up to 1, and for k of 0 and 1 the exponential is 1: what A exceeds 1 by is the sum over
    /// k ≥ 2 with exp − 1 in its place. All of its terms are positive, and nothing cancels however close to 1 A is.
    fn ln_a(&self, order: u32) -> f64 {
        let (ln_q, ln_rest) = (self.sampling.ln(), (-self.sampling).ln_1p());
        let mut ln_binomial = 0.0;
        let mut ln_excess = f64::NEG_INFINITY;
        for k in 1..=order {
            ln_binomial += (f64::from(order - k + 1) / f64::from(k)).ln();
            if k >= 2 {
                let exponent = f64::from(k) * f64::from(k - 1) * self.rho();
                // ln(exp(x) − 1), from the side on which it does not overflow.
                let ln_growth = exponent + (-(-exponent).exp_m1()).ln();
                let others = f64::from(order - k);
                let ln_others = if others == 0.0 { 0.0 } else { others * ln_rest };
                ln_excess = ln_add(ln_excess, ln_binomial + f64::from(k) * ln_q + ln_others + ln_growth);
            }
        }
        ln_add(0.0, ln_excess)
    }
}

impl Mechanism for Gaussian {
    /// ρα if all take part. With sampling, ln A/(α − 1) at integer orders, exactly; between them, ln A is convex in α
    /// (corollary 2 of van Erven, Harremoës, "Rényi Divergence and Kullback–Leibler Divergence", 2014), so that a chord
    /// bounds it. The other direction of the divergence is no larger (Mironov, Talwar, Zhang, theorem 5).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "above 1; as large as it takes"
    )]
    fn divergence(&self, order: f64) -> f64 {
        if self.noise_multiplier == 0.0 {
            return f64::INFINITY;
        }
        if self.sampling >= 1.0 {
            return self.rho() * order;
        }
        let (below, share) = (order.floor() as u32, order.fract());
        let mut ln_a = self.ln_a(below) * (1.0 - share);
        if share > 0.0 {
            ln_a += self.ln_a(below + 1) * share;
        }
        ln_a / (order - 1.0)
    }
}

impl TryFrom<(f64, f64)> for Gaussian {
    type Error = Error;

    fn try_from((noise_multiplier, sampling): (f64, f64)) -> Result<Self> {
        Self::new(noise_multiplier)?.sampled(sampling)
    }
}

impl From<Gaussian> for (f64, f64) {
    fn from(gaussian: Gaussian) -> Self {
        (gaussian.noise_multiplier, gaussian.sampling)
    }
}

/// ln(exp(a) + exp(b)). At most one of them is −∞.
fn ln_add(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large == f64::INFINITY {
        return large;
    }
    large + (small - large).exp().ln_1p()
}

/// The least noise multiplier, up to a part in 10⁹, with which `rounds` rounds of [`Gaussian`] noise with sampling
/// probability `sampling` are (ε, δ)-differentially private.
///
/// # Errors
///
/// [`Error::PrivacyParameter`] unless ε is positive, δ between 0 and 1, the sampling probability above 0 and at most 1,
/// and there is at least one round.
///
/// ```
/// use cipherfold::privacy::{Accountant, Gaussian, noise_for};
///
/// let noise_multiplier = noise_for(2.0, 1e-6, 1000, 0.01)?;
/// let mut accountant = Accountant::new();
/// accountant.compose(&Gaussian::new(noise_multiplier)?.sampled(0.01)?, 1000);
/// assert!(accountant.epsilon(1e-6)? <= 2.0);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn noise_for(epsilon: f64, delta: f64, rounds: u32, sampling: f64) -> Result<f64> {
    checked("epsilon", epsilon, epsilon > 0.0 && epsilon.is_finite(), "positive and finite")?;
    checked("rounds", rounds.into(), rounds > 0, "at least 1")?;
    let suffices = |noise_multiplier| {
        let mut accountant = Accountant::new();
        accountant.compose(&Gaussian::new(noise_multiplier)?.sampled(sampling)?, rounds);
        Ok(accountant.epsilon(delta)? <= epsilon)
    };
    // More noise never costs more. And enough is enough for every budget: once the divergence is below δ², ε is 0.
    let mut enough = 1.0;
    while !suffices(enough)? {
        enough *= 2.0;
    }
    let mut too_little = enough / 2.0;
    while suffices(too_little)? {
        (enough, too_little) = (too_little, too_little / 2.0);
    }
    while enough - too_little > 1e-9 * enough {
        let middle = f64::midpoint(too_little, enough);
        if suffices(middle)? { enough = middle } else { too_little = middle }
    }
    Ok(enough)
}

const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "where tests compare for equality, they mean it")]
mod tests {
    use super::*;

    fn sampled(noise_multiplier: f64, sampling: f64) -> Gaussian {
        Gaussian::new(noise_multiplier).unwrap().sampled(sampling).unwrap()
    }

    fn epsilon(mechanism: Gaussian, rounds: u32, delta: f64) -> f64 {
        let mut accountant = Accountant::new();
        accountant.compose(&mechanism, rounds);
        accountant.epsilon(delta).unwrap()
    }

    /// ln A by its definition, E[(1 − q + q·exp((2x − 1)/(2z²)))^α] for x from N(0, z²), as a sum over a fine grid: the
    /// trapezoidal rule converges faster than any power of its step on such an integrand.
    fn ln_a_by_integration(mechanism: Gaussian, order: f64) -> f64 {
        let (z, q) = (mechanism.noise_multiplier, mechanism.sampling);
        let step = z / 200.0;
        let last = ((order + 40.0 * z) / step).ceil();
        let ln_density = -(z * (2.0 * std::f64::consts::PI).sqrt()).ln();
        let mut ln_sum = f64::NEG_INFINITY;
        let mut x = -40.0 * z;
        while x < last * step {
            let ratio = ln_add((-q).ln_1p(), q.ln() + (2.0 * x - 1.0) / (2.0 * z * z));
            ln_sum = ln_add(ln_sum, ln_density - x * x / (2.0 * z * z) + order * ratio + step.ln());
            x += step;
        }
        ln_sum
    }

    #[test]
    fn divergence_is_the_integral_that_defines_it() {
        for (noise_multiplier, sampling) in [(0.5, 0.1), (1.0, 0.001), (2.0, 0.5), (10.0, 0.01), (0.8, 0.99)]
        {
            let mechanism = sampled(noise_multiplier, sampling);
            for order in [2_u32, 3, 7, 20, 64] {
                let expected = ln_a_by_integration(mechanism, order.into());
                let found = mechanism.ln_a(order);
                assert!(
                    (found - expected).abs() <= 1e-10 + 1e-9 * expected,
                    "{mechanism:?}: {found}, not {expected}"
                );
            }
            // Between integers, an upper bound, and one that is worth something.
            for order in [1.5, 2.5, 3.3, 7.9] {
                let expected = ln_a_by_integration(mechanism, order) / (order - 1.0);
                let found = mechanism.divergence(order);
                assert!(found >= expected - 1e-10, "{mechanism:?}, {order}: {found} below {expected}");
                assert!(
                    order < 2.0 || found <= 1.5 * expected,
                    "{mechanism:?}, {order}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn tiny_divergences_do_not_drown() {
        // To second order in q, D = α·q²·(exp(1/z²) − 1)/2.
        let mechanism = sampled(5.0, 1e-9);
        let expected = 3.0 * 1e-18 * (1.0_f64 / 25.0).exp_m1() / 2.0;
        assert!((mechanism.divergence(3.0) / expected - 1.0).abs() < 1e-8);
    }

    #[test]
    fn divergences_are_those_published() {
        // Google's dp_accounting, rdp_privacy_accountant_test: 50 rounds, z = 2.5, q = 0.01.
        let mechanism = sampled(2.5, 0.01);
        for (order, expected) in [(5.0, 2.180_756_56e-3), (50.0, 2.384_603_75e-2), (100.0, 1.674_163_08e2)] {
            let found = 50.0 * mechanism.divergence(order);
            assert!((found / expected - 1.0).abs() < 1e-4, "{order}: {found}, not {expected}");
        }
        // There, series for fractional orders; here, bounds.
        for (order, expected) in [(1.5, 6.705_797_41e-4), (2.5, 1.085_487_1e-3)] {
            assert!(50.0 * mechanism.divergence(order) >= expected);
        }
    }

    #[test]
    fn epsilons_are_those_published() {
        // TensorFlow Privacy, compute_dp_sgd_privacy_test: examples, batch, noise, epochs, δ, and ε at its best order,
        // 19 and 13.
        for (examples, batch, noise_multiplier, epochs, delta, expected) in [
            (60_000_u32, 150_u32, 1.3, 15, 1e-5, 0.724_223_402_610_959_5),
            (100_000, 100, 1.0, 30, 1e-7, 1.415_498_849_544_484_2),
        ] {
            let mechanism = sampled(noise_multiplier, f64::from(batch) / f64::from(examples));
            let found = epsilon(mechanism, epochs * (examples / batch), delta);
            assert!((found - expected).abs() < 1e-8, "{found}, not {expected}");
        }
    }

    #[test]
    fn sampling_nobody_away_changes_nothing() {
        let always = Gaussian::new(1.7).unwrap();
        assert_eq!(always.sampled(1.0).unwrap(), always);
        let almost = sampled(1.7, 1.0 - 1e-12);
        for order in [2.0, 10.0, 50.0] {
            assert!((almost.divergence(order) / always.divergence(order) - 1.0).abs() < 1e-9);
        }
        for noise_multiplier in [0.0, 1e-300] {
            assert_eq!(sampled(noise_multiplier, 0.1).divergence(5.0), f64::INFINITY);
            assert_eq!(sampled(noise_multiplier, 1.0).divergence(5.0), f64::INFINITY);
        }
    }

    #[test]
    fn noise_for_is_the_least_that_keeps_the_budget() {
        for (target, delta, rounds, sampling) in [
            (1.0, 1e-6, 1, 1.0),
            (2.0, 1e-5, 1000, 0.01),
            (8.0, 1e-9, 100, 0.5),
            (50.0, 1e-5, 10, 1.0),
            (0.01, 1e-5, 1, 1.0),
        ] {
            let found = noise_for(target, delta, rounds, sampling).unwrap();
            assert!(epsilon(sampled(found, sampling), rounds, delta) <= target);
            assert!(epsilon(sampled(found * (1.0 - 1e-6), sampling), rounds, delta) > target);
        }
        // dp_accounting's figure, but for the orders in between.
        assert!((noise_for(1.0, 1e-6, 1, 1.0).unwrap() - 4.530_877_117).abs() < 5e-3);
    }

    #[test]
    fn bad_parameters_are_refused() {
        for noise_multiplier in [-1.0, f64::NAN, f64::INFINITY] {
            let error = Gaussian::new(noise_multiplier).unwrap_err();
            assert!(matches!(error, Error::PrivacyParameter { name: "noise_multiplier", .. }), "{error}");
        }
        for sampling in [0.0, -0.5, 1.1, f64::NAN] {
            let error = Gaussian::new(1.0).unwrap().sampled(sampling).unwrap_err();
            assert!(matches!(error, Error::PrivacyParameter { name: "sampling", .. }), "{error}");
        }
        for (epsilon, delta, rounds, sampling) in [
            (0.0, 1e-5, 1, 1.0),
            (f64::INFINITY, 1e-5, 1, 1.0),
            (f64::NAN, 1e-5, 1, 1.0),
            (1.0, 0.0, 1, 1.0),
            (1.0, 1.0, 1, 1.0),
            (1.0, 1e-5, 0, 1.0),
            (1.0, 1e-5, 1, 0.0),
        ] {
            assert!(noise_for(epsilon, delta, rounds, sampling).is_err());
        }
        assert!(serde_json::from_str::<Gaussian>("[1.0, 2.0]").is_err());
        let mechanism = sampled(1.5, 0.25);
        let text = serde_json::to_string(&mechanism).unwrap();
        assert_eq!(serde_json::from_str::<Gaussian>(&text).unwrap(), mechanism);
    }
}
