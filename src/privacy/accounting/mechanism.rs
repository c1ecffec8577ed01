//! The interface between mechanisms and an accountant.

use super::gaussian::Gaussian;

/// A computation that uses private data once a round, with a known privacy cost.
///
/// ```
/// use cipherfold::privacy::{Accountant, Mechanism};
///
/// /// Pure ε-differential privacy, for example of Laplace noise.
/// struct Pure {
///     epsilon: f64,
/// }
///
/// impl Mechanism for Pure {
///     fn divergence(&self, order: f64) -> f64 {
///         self.epsilon.min(order / 2.0 * self.epsilon.powi(2))
///     }
/// }
///
/// let mut accountant = Accountant::new();
/// accountant.compose(&Pure { epsilon: 0.01 }, 100);
/// assert!(accountant.epsilon(1e-6)? < 0.6); // less than 100 times 0.01
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub trait Mechanism {
    /// A bound on the Rényi divergence of order `order` between the results with and without any
    /// one client, in both directions, in nats. `order` is above 1. Infinite if no bound is known.
    ///
    /// An [`Accountant`](crate::privacy::Accountant) takes NaN for infinity and negative numbers
    /// for 0.
    fn divergence(&self, order: f64) -> f64;

    /// A Gaussian mechanism that loses at least as much privacy at every ε, up to the
    /// [slack](Self::slack), if one is known. An [`Accountant`](crate::privacy::Accountant) then
    /// gives a much lower ε than from divergences alone, and uses the lower of both divergences.
    fn dominating(&self) -> Option<Gaussian> {
        None
    }

    /// η, from 0: the factor exp(η) up to which the [dominating](Self::dominating) mechanism loses
    /// at least as much privacy.
    ///
    /// Let P and Q be the results of this mechanism with and without one client, in either order,
    /// and P′ and Q′ those of the Gaussian mechanism after any processing. Then P ≤ exp(η)·P′ and
    /// Q ≥ exp(−η)·Q′. Therefore δ(ε) ≤ exp(η)·δ′(ε − 2η), and slacks of rounds add up.
    fn slack(&self) -> f64 {
        0.0
    }
}

/// The dominating mechanism of another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DominatingGaussian {
    pub(super) gaussian: Gaussian,
    /// η, from 0: see [`Mechanism::slack`].
    pub(super) slack: f64,
}

impl DominatingGaussian {
    /// The dominating mechanism of this one, if it is known.
    pub(super) fn of(mechanism: &(impl Mechanism + ?Sized)) -> Option<Self> {
        mechanism.dominating().map(|gaussian| Self { gaussian, slack: mechanism.slack() })
    }

    /// A bound on the Rényi divergence of the dominated mechanism.
    pub(super) fn divergence(&self, order: f64) -> f64 {
        self.gaussian.divergence(order) + slack_divergence(self.slack, order)
    }
}

impl Mechanism for Gaussian {
    /// ρα if all clients take part. With sampling, ln A/(α − 1) at integer orders, exactly. Between
    /// them, ln A is convex in α (corollary 2 of van Erven, Harremoës, "Rényi Divergence and
    /// Kullback–Leibler Divergence", 2014), so a chord bounds it. The other direction of the
    /// divergence is no larger (Mironov, Talwar, Zhang, theorem 5). Above order 4096, the bound is
    /// the divergence without sampling. The divergence is infinite for orders up to 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 4096")]
    fn divergence(&self, order: f64) -> f64 {
        if self.noise_multiplier() == 0.0 || order.is_nan() || order <= 1.0 {
            return f64::INFINITY;
        }
        let always = self.rho() * order;
        if self.sampling() >= 1.0 || order > MAX_ORDER {
            return always;
        }
        let (below, share) = (order.floor() as u32, order.fract());
        let mut ln_a = self.ln_a(below) * (1.0 - share);
        if share > 0.0 {
            ln_a += self.ln_a(below + 1) * share;
        }
        // `min` prefers a number to NaN, and both are bounds.
        (ln_a / (order - 1.0)).min(always)
    }

    /// The mechanism itself, with noise that counts as 10⁻⁷ narrower, to cover discrete noise: see
    /// [`of_discrete`](Gaussian::of_discrete).
    fn dominating(&self) -> Option<Gaussian> {
        let gaussian = self.narrowed(1.0 - 1e-7);
        (gaussian.noise_multiplier() > 0.0).then_some(gaussian)
    }
}

/// Factors within exp(±η) in P and Q change ln ∫ P^α·Q^(1 − α) by at most (2α − 1)·η.
pub(super) fn slack_divergence(slack: f64, order: f64) -> f64 {
    // NaN stays NaN.
    let slack = if slack < 0.0 { 0.0 } else { slack };
    slack * (2.0 * order - 1.0) / (order - 1.0)
}

/// Maximum order for sums over integer orders.
const MAX_ORDER: f64 = 4096.0;
