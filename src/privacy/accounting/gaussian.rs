//! Gaussian noise added to a sum, with or without sampling of the clients.

use serde::{Deserialize, Serialize};

use crate::privacy::{
    check::checked,
    discrete_gaussian::DiscreteGaussian,
    error::{Error, Result},
};

/// Gaussian noise of `noise_multiplier` times the clipping norm, added once to the sum. Each client
/// takes part with the same probability, independently of the others.
///
/// [`new`](Self::new) is for continuous noise, or for discrete noise on a fine grid;
/// [`of_discrete`](Self::of_discrete) is for [discrete](DiscreteGaussian) noise on any grid.
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
    /// Noise with a standard deviation of `noise_multiplier` times the clipping norm. All clients
    /// take part.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless the multiplier is finite and not negative. Zero gives no
    /// guarantee.
    pub fn new(noise_multiplier: f64) -> Result<Self> {
        checked(
            "noise_multiplier",
            noise_multiplier,
            (0.0..f64::INFINITY).contains(&noise_multiplier),
            FROM_0,
        )?;
        Ok(Self { noise_multiplier, sampling: 1.0 })
    }

    /// The same noise with Poisson sampling: every client takes part with probability `sampling`,
    /// drawn independently for each client and round. The adversary must not learn which clients
    /// take part.
    ///
    /// Drawing a fixed number of clients at random is *not* Poisson sampling. An untrusted server
    /// that selects the clients does not count either.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless the probability is above 0 and at most 1.
    pub fn sampled(self, sampling: f64) -> Result<Self> {
        checked("sampling", sampling, sampling > 0.0 && sampling <= 1.0, "above 0 and at most 1")?;
        Ok(Self { sampling, ..self })
    }

    /// A mechanism that dominates [discrete](DiscreteGaussian) noise on integer vectors of an L2
    /// norm up to `norm`: a multiplier of √(σ² − 2)/Δ for noise of variance σ² and a norm of Δ, or
    /// 0 if σ² is at most 2.
    ///
    /// δ(ε) of discrete noise can be above that of continuous noise of the same variance: by a
    /// third for σ = 2 and Δ = 1. But discrete noise of variance σ² is a randomised rounding of
    /// continuous noise of variance σ² − r²: an integer k is drawn with a probability proportional
    /// to exp(−(k − x)²/(2r²)) around x. Its normalisation depends on x by a factor within
    /// exp(±4·exp(−2π²r²)) (Poisson summation). For r² = 2 the exponent is below 10⁻¹⁶ for each
    /// coordinate. Rounding does not depend on the clients, so this holds with sampling, too.
    ///
    /// [`new`](Self::new) may be used for discrete noise with a deviation of at least 2¹³ in each
    /// coordinate: the difference is then below the margin of an
    /// [`Accountant`](crate::privacy::Accountant).
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless the norm is positive and finite.
    pub fn of_discrete(noise: &DiscreteGaussian, norm: f64) -> Result<Self> {
        checked("norm", norm, norm > 0.0 && norm.is_finite(), "positive and finite")?;
        Self::new((noise.variance() - DISCRETE).max(0.0).sqrt() / norm)
    }

    /// Standard deviation of the noise, divided by the clipping norm.
    pub const fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }

    /// Probability that a client takes part.
    pub const fn sampling(&self) -> f64 {
        self.sampling
    }

    /// The same mechanism with the noise multiplied by this factor.
    pub(super) fn narrowed(self, part: f64) -> Self {
        Self { noise_multiplier: self.noise_multiplier * part, ..self }
    }

    /// ρ of zero-concentrated differential privacy for known participants: 1/(2z²) for a noise
    /// multiplier z (Bun, Steinke, "Concentrated Differential Privacy", TCC 2016-B, proposition
    /// 1.6; for discrete noise, Canonne, Kamath, Steinke, 2020, arXiv:2004.00010, theorem 4).
    pub fn rho(&self) -> f64 {
        if self.noise_multiplier == 0.0 {
            return f64::INFINITY;
        }
        // Never zero, even if the square overflows.
        (0.5 * self.noise_multiplier.recip() / self.noise_multiplier).max(f64::MIN_POSITIVE)
    }

    /// ln A at an integer order: Mironov, Talwar, Zhang, "Rényi Differential Privacy of the Sampled
    /// Gaussian Mechanism", 2019, section 3.3. With sampling probability q,
    ///
    /// A = Σ C(α, k)·(1 − q)^(α − k)·q^k·exp((k² − k)/(2z²)), k = 0 to α.
    ///
    /// The binomial weights add up to 1, and for k = 0 and 1 the exponential is 1. A − 1 is
    /// therefore the same sum over k ≥ 2 with exp − 1 instead of exp. All of its terms are
    /// positive, so nothing cancels even if A is close to 1.
    pub(super) fn ln_a(&self, order: u32) -> f64 {
        let (ln_q, ln_rest) = (self.sampling.ln(), (-self.sampling).ln_1p());
        let mut ln_binomial = 0.0;
        let mut ln_excess = f64::NEG_INFINITY;
        for k in 1..=order {
            ln_binomial += (f64::from(order - k + 1) / f64::from(k)).ln();
            if k >= 2 {
                let exponent = f64::from(k) * f64::from(k - 1) * self.rho();
                // ln(exp(x) − 1), in the form that does not overflow.
                let ln_growth = exponent + (-(-exponent).exp_m1()).ln();
                let others = f64::from(order - k);
                let ln_others = if others == 0.0 { 0.0 } else { others * ln_rest };
                ln_excess = ln_add(ln_excess, ln_binomial + f64::from(k) * ln_q + ln_others + ln_growth);
            }
        }
        ln_add(0.0, ln_excess)
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

/// ln(exp(a) + exp(b)).
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large.is_infinite() {
        return large;
    }
    large + (small - large).exp().ln_1p()
}

/// Variance of a randomised rounding to integers.
const DISCRETE: f64 = 2.0;

const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::{
        super::{accountant::Accountant, mechanism::Mechanism},
        *,
    };

    fn sampled(noise_multiplier: f64, sampling: f64) -> Gaussian {
        Gaussian::new(noise_multiplier).unwrap().sampled(sampling).unwrap()
    }

    /// From Rényi divergences alone.
    fn epsilon(mechanism: Gaussian, rounds: u32, delta: f64) -> f64 {
        let mut accountant = Accountant::new();
        accountant.compose(&mechanism, rounds);
        accountant.renyi_epsilon(delta)
    }

    /// ln A by its definition, E[(1 − q + q·exp((2x − 1)/(2z²)))^α] for x from N(0, z²), as a sum
    /// over a fine grid: the trapezoidal rule converges faster than any power of its step on such
    /// an integrand.
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
            // Between integers, an upper bound that is not too loose.
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
    fn tiny_divergences_are_not_lost() {
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
        // dp_accounting uses series for fractional orders; this crate uses bounds.
        for (order, expected) in [(1.5, 6.705_797_41e-4), (2.5, 1.085_487_1e-3)] {
            assert!(50.0 * mechanism.divergence(order) >= expected);
        }
    }

    #[test]
    fn epsilons_are_those_published() {
        // TensorFlow Privacy, compute_dp_sgd_privacy_test: examples, batch, noise, epochs, δ, and ε
        // at its best order, 19 and 13.
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
    fn sampling_with_probability_one_changes_nothing() {
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
    fn extreme_parameters_never_give_less_than_zero_or_no_number() {
        for noise_multiplier in [5e-324, 1e-160, 1e-3, 1.0, 1e9, 1e161, f64::MAX] {
            for sampling in [5e-324, 1e-9, 0.5, 1.0 - f64::EPSILON / 2.0, 1.0] {
                let mechanism = sampled(noise_multiplier, sampling);
                assert!(mechanism.rho() > 0.0);
                let mut before = 0.0;
                for order in [1.0 + f64::EPSILON, 1.5, 2.0, 3.0, 4096.0, 1e5, 4_294_967_295.5, f64::MAX] {
                    let divergence = mechanism.divergence(order);
                    assert!(divergence >= before, "{noise_multiplier}, {sampling}, {order}: {divergence}");
                    before = divergence * (1.0 - 1e-9);
                }
            }
        }
        for order in [1.0, 0.5, -1.0, f64::NAN] {
            assert_eq!(sampled(1.0, 0.5).divergence(order), f64::INFINITY);
        }
    }

    #[test]
    fn discrete_noise_counts_as_a_little_less() {
        let noise = |variance: f64| DiscreteGaussian::new(variance).unwrap();
        let found = Gaussian::of_discrete(&noise(102.0), 5.0).unwrap();
        assert_eq!((found.noise_multiplier(), found.sampling()), (2.0, 1.0));
        assert_eq!(Gaussian::of_discrete(&noise(2.0), 5.0).unwrap().noise_multiplier(), 0.0);
        for norm in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Gaussian::of_discrete(&noise(102.0), norm).is_err());
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        for noise_multiplier in [-1.0, f64::NAN, f64::INFINITY] {
            let error = Gaussian::new(noise_multiplier).unwrap_err();
            assert!(matches!(error, Error::Parameter { name: "noise_multiplier", .. }), "{error}");
        }
        for sampling in [0.0, -0.5, 1.1, f64::NAN] {
            let error = Gaussian::new(1.0).unwrap().sampled(sampling).unwrap_err();
            assert!(matches!(error, Error::Parameter { name: "sampling", .. }), "{error}");
        }
        assert!(serde_json::from_str::<Gaussian>("[1.0, 2.0]").is_err());
        let mechanism = sampled(1.5, 0.25);
        let text = serde_json::to_string(&mechanism).unwrap();
        assert_eq!(serde_json::from_str::<Gaussian>(&text).unwrap(), mechanism);
    }
}
