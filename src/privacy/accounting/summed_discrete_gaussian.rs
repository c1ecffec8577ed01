//! The sum of many clients' discrete Gaussian noises.

use super::{gaussian::Gaussian, mechanism::Mechanism};
use crate::privacy::{
    check::{checked, to_float},
    discrete_gaussian::DiscreteGaussian,
    error::Result,
};

/// Discrete Gaussian noise that `clients` clients add to integer vectors. Each adds its own share,
/// and only the sum is visible.
///
/// A sum of discrete Gaussians is not a discrete Gaussian, but close to one: with shares of
/// variance σ² ≥ ¼, each of its probabilities differs by a factor of at most exp(τ/2), where
///
/// τ = 10·Σ exp(−2π²σ²·k/(k + 1)), k = 1 to n − 1.
///
/// From this, with s² = nσ², an L2 sensitivity of Δ₂, an L1 sensitivity of Δ₁, and d dimensions,
/// the Rényi divergence of order α is at most the minimum of
///
/// - α/2·(Δ₂/s)² + τd,
/// - α/2·((Δ₂/s)² + 2τΔ₁/s + τ²d),
/// - α/2·(Δ₂/s + τ√d)²
///
/// (Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with
/// Secure Aggregation", ICML 2021, proposition 14). τ is 0.85 for two clients with σ = ½ and falls
/// like exp(−π²σ²): for σ = 2 it is below 10⁻¹⁵, even for a million clients. Below σ = ½ there is
/// no proof, and the divergence is infinite. A single client's noise is a discrete Gaussian for
/// every σ.
///
/// ```
/// use cipherfold::privacy::{DiscreteGaussian, Mechanism, SummedDiscreteGaussian};
///
/// // 100 clients, each with noise of variance 4 and vectors of 1000 integers of L2 norm at most 20.
/// let mechanism = SummedDiscreteGaussian::new(100, &DiscreteGaussian::new(4.0)?, 20.0, 1000)?;
/// assert!((mechanism.concentrated_epsilon() - 1.0).abs() < 1e-9); // 20/√400
/// assert!((mechanism.divergence(3.0) - 1.5).abs() < 1e-9);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SummedDiscreteGaussian {
    // Sensitivities divided by s.
    l1: f64,
    l2: f64,
    dimension: f64,
    tau: f64,
    // Deviation divided by the L2 norm.
    continuous: f64,
}

impl SummedDiscreteGaussian {
    /// The noise of `clients` clients, each with its `share`, in every coordinate of integer
    /// vectors of `dimension` numbers and of L2 norm at most `l2`.
    ///
    /// The L1 norm is then at most the smaller of √d·Δ₂ and Δ₂², since an integer is at most its
    /// square.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`](crate::privacy::Error::Parameter) if there are no clients, or unless
    /// the norm is finite and not negative.
    pub fn new(clients: u32, share: &DiscreteGaussian, l2: f64, dimension: usize) -> Result<Self> {
        let variance = share.variance();
        checked("clients", clients.into(), clients > 0, "at least 1")?;
        checked("l2", l2, (0.0..f64::INFINITY).contains(&l2), FROM_0)?;
        let deviation = (f64::from(clients) * variance).sqrt();
        let dimension = to_float(dimension);
        let known = variance > 0.0 && (clients == 1 || variance >= 0.25);
        let tau = if known { tau(clients, variance) } else { f64::INFINITY };
        // The sum is a randomised rounding of this continuous noise, up to τ: see
        // `Gaussian::of_discrete`.
        let continuous = (f64::from(clients) * variance - 2.0).max(0.0).sqrt() / l2;
        Ok(Self {
            l1: l2 * l2.min(dimension.sqrt()) / deviation,
            l2: l2 / deviation,
            dimension,
            tau,
            continuous,
        })
    }

    /// The same noise, if one client can change the sum by `factor` times its vector's bounds.
    pub(crate) fn with_contributions_scaled(self, factor: f64) -> Self {
        let Self { l1, l2, dimension, tau, continuous } = self;
        Self { l1: factor * l1, l2: factor * l2, dimension, tau, continuous: continuous / factor }
    }

    /// τ: the distance of the sum from a discrete Gaussian. Infinite without a proof.
    pub const fn tau(&self) -> f64 {
        self.tau
    }

    /// ε for which the mechanism is ½ε²-concentrated differentially private: its divergence of
    /// order α is at most ½ε²α.
    ///
    /// The three bounds, the first one with 2τd instead of τd, because α may be close to 1.
    pub fn concentrated_epsilon(&self) -> f64 {
        let first = self.l2.powi(2) + 2.0 * self.tau * self.dimension;
        min_bound([first, self.second(), self.third()]).sqrt()
    }

    fn second(&self) -> f64 {
        self.l2.powi(2) + 2.0 * self.tau * self.l1 + self.tau.powi(2) * self.dimension
    }

    fn third(&self) -> f64 {
        (self.l2 + self.tau * self.dimension.sqrt()).powi(2)
    }
}

impl Mechanism for SummedDiscreteGaussian {
    /// The minimum of the three bounds above.
    ///
    /// Proof sketch of the first one: the loss is that of the discrete Gaussian, which is linear,
    /// plus at most τ in each dimension. The exponential moments of linear functions of the noise
    /// are at most those of the continuous Gaussian, for each share and therefore for the sum.
    fn divergence(&self, order: f64) -> f64 {
        let first = order / 2.0 * self.l2.powi(2) + self.tau * self.dimension;
        min_bound([first, order / 2.0 * self.second(), order / 2.0 * self.third()])
    }

    /// Continuous noise, as in [`Gaussian::of_discrete`]. `None` if the slack is above 10⁻⁶ or the
    /// noise has a variance of at most 2.
    fn dominating(&self) -> Option<Gaussian> {
        let known = self.slack() <= 1e-6 && self.continuous > 0.0;
        Gaussian::new(self.continuous.min(f64::MAX)).ok().filter(|_| known)
    }

    /// τ/2 + 10⁻¹⁶ in each dimension.
    fn slack(&self) -> f64 {
        self.dimension * (self.tau / 2.0 + 1e-16)
    }
}

/// Infinity for NaN: infinity times zero is as unknown as infinity.
fn min_bound(bounds: [f64; 3]) -> f64 {
    bounds.into_iter().fold(f64::INFINITY, f64::min)
}

/// τ, or slightly more for more than 2^16 clients: a sum of billions of terms takes minutes.
fn tau(clients: u32, variance: f64) -> f64 {
    let exponent = -2.0 * std::f64::consts::PI.powi(2) * variance;
    let term = |k: u32| (exponent * f64::from(k) / (f64::from(k) + 1.0)).exp();
    // Terms decrease with k. From `SEPARATE_TERMS` on they differ little: each counts as the first
    // of them.
    let rest = f64::from(clients.saturating_sub(SEPARATE_TERMS));
    10.0 * (1..clients.min(SEPARATE_TERMS))
        .map(term)
        .fold(rest * term(SEPARATE_TERMS), |sum, term| sum + term)
}

/// Terms of τ that are added one by one.
const SEPARATE_TERMS: u32 = 1 << 15;

const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::*;
    use crate::privacy::Error;

    fn share(variance: f64) -> DiscreteGaussian {
        DiscreteGaussian::new(variance).unwrap()
    }

    /// Probabilities of −reach..=reach: of one discrete Gaussian, by definition, and of a sum, by
    /// convolution. In double precision the tails of a sum are accurate while no term underflows.
    fn discrete_gaussian(variance: f64, reach: i32) -> Vec<f64> {
        let weights: Vec<f64> =
            (-reach..=reach).map(|x| (-f64::from(x).powi(2) / (2.0 * variance)).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    fn sum_of(clients: u32, variance: f64, reach: i32) -> Vec<f64> {
        let one = discrete_gaussian(variance, reach);
        let reach = usize::try_from(reach).unwrap();
        (1..clients).fold(one.clone(), |sum, _| {
            let at = |x: usize| {
                let terms = (x.saturating_sub(reach)..=(x + reach).min(2 * reach))
                    .map(|y| sum[y] * one[x + reach - y]);
                terms.sum::<f64>()
            };
            (0..sum.len()).map(at).collect()
        })
    }

    #[test]
    fn the_sum_is_as_close_to_a_discrete_gaussian_as_claimed() {
        for (clients, variance) in [(2, 0.25), (3, 0.3), (5, 0.25), (2, 0.5), (8, 0.4), (4, 0.8)] {
            let mechanism = SummedDiscreteGaussian::new(clients, &share(variance), 1.0, 1).unwrap();
            let sum = sum_of(clients, variance, 12);
            let near = discrete_gaussian(variance * f64::from(clients), 12);
            // As far out as the truncation of the convolution has no effect.
            let worst = (8..=16).map(|x| (sum[x] / near[x]).ln().abs()).fold(0.0, f64::max);
            assert!(worst <= mechanism.tau / 2.0, "{clients}, {variance}: {worst}, τ = {}", mechanism.tau);
            // The bound is not too loose: the true distance is a considerable part of it.
            assert!(
                worst >= mechanism.tau / 2.0 / 40.0,
                "{clients}, {variance}: {worst}, τ = {}",
                mechanism.tau
            );
        }
    }

    #[test]
    fn divergence_is_above_the_exact_one() {
        for (clients, variance) in [(1, 0.1), (2, 0.25), (3, 0.36), (4, 1.0), (6, 0.5)] {
            let sum = sum_of(clients, variance, 30);
            for shift in [1_usize, 2] {
                for order in [1.1_f64, 2.0, 5.0] {
                    // In logarithms, because powers of the tails underflow.
                    let ln_term = |x: usize| order * sum[x].ln() + (1.0 - order) * sum[x - shift].ln();
                    let terms = (shift..sum.len()).map(|x| ln_term(x).exp());
                    let exact = terms.filter(|term| term.is_finite()).sum::<f64>().ln() / (order - 1.0);
                    let mechanism =
                        SummedDiscreteGaussian::new(clients, &share(variance), to_float(shift), 1).unwrap();
                    let found = mechanism.divergence(order);
                    assert!(
                        found >= exact - 1e-9,
                        "{clients}, {variance}, {shift}, {order}: {found} below {exact}"
                    );
                    // At integer orders a single discrete Gaussian has this divergence exactly.
                    assert!(order < 2.0 || found <= exact + 2.0 * order * mechanism.tau + 1e-9);
                    assert!(order / 2.0 * mechanism.concentrated_epsilon().powi(2) >= exact - 1e-9);
                }
            }
        }
    }

    #[test]
    fn the_three_bounds_are_those_of_the_paper() {
        // By hand, for one share of variance 1/2 of two: s = 1, τ = 10·exp(−π²/2).
        let tau = 10.0 * (-std::f64::consts::PI.powi(2) / 2.0).exp();
        let mechanism = SummedDiscreteGaussian::new(2, &share(0.5), 3.0, 16).unwrap();
        assert!((mechanism.tau() - tau).abs() < 1e-15);
        // Δ₁ = min(4·3, 9) = 9.
        let bounds = |order: f64| {
            [
                order / 2.0 * 9.0 + 16.0 * tau,
                order / 2.0 * (9.0 + 18.0 * tau + 16.0 * tau * tau),
                order / 2.0 * (3.0 + 4.0 * tau).powi(2),
            ]
        };
        for order in [1.5, 2.0, 10.0] {
            assert!((mechanism.divergence(order) - min_bound(bounds(order))).abs() < 1e-12);
        }
        // Small orders take the second, large ones the first.
        assert!(bounds(1.5)[1] < bounds(1.5)[0] && bounds(10.0)[0] < bounds(10.0)[1]);
    }

    #[test]
    fn tau_falls_as_documented() {
        assert!((tau(2, 0.25) - 0.85).abs() < 0.01);
        assert!(tau(1_000_000, 4.0) < 1e-15);
        // At least the sum of all terms, and at most a part in 1000 more.
        for variance in [0.25, 1.0] {
            let exponent = -2.0 * std::f64::consts::PI.powi(2) * variance;
            let terms = (1..200_000).map(|k| (exponent * f64::from(k) / f64::from(k + 1)).exp());
            let (sum, found) = (10.0 * terms.sum::<f64>(), tau(200_000, variance));
            assert!(found >= sum * (1.0 - 1e-12) && found <= sum * 1.001, "{found}, {sum}");
        }
        assert!(tau(u32::MAX, 0.25).is_finite());
    }

    #[test]
    fn one_client_has_the_plain_mechanism() {
        let mechanism = SummedDiscreteGaussian::new(1, &share(0.01), 2.0, 100).unwrap();
        assert_eq!(mechanism.tau(), 0.0);
        assert!((mechanism.divergence(3.0) - 1.5 * 400.0).abs() < 1e-9);
    }

    #[test]
    fn too_little_noise_promises_nothing() {
        for (clients, variance) in [(2, 0.2499), (1, 0.0), (100, 0.0)] {
            let mechanism = SummedDiscreteGaussian::new(clients, &share(variance), 1.0, 10).unwrap();
            assert_eq!(mechanism.divergence(2.0), f64::INFINITY);
            assert_eq!(mechanism.concentrated_epsilon(), f64::INFINITY);
        }
        for (clients, l2) in [(0, 1.0), (1, f64::NAN), (1, -1.0), (1, f64::INFINITY)] {
            let error = SummedDiscreteGaussian::new(clients, &share(1.0), l2, 10).unwrap_err();
            assert!(matches!(error, Error::Parameter { .. }), "{error}");
        }
    }
}
