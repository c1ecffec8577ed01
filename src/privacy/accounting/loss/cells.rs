//! The privacy loss of one round, on a grid.
//!
//! Let P be the distribution of a coordinate with the client, (1 − q)·N(0, z²) + q·N(1, z²), and Q
//! the distribution without it, N(0, z²). The loss is ln(dP/dQ). In units of the deviation,
//! t = x/z, it is
//!
//! ℓ(t) = ln(1 − q + q·exp(u)), u = t/z − 1/(2z²).
//!
//! P and Q are dominating for the sampled Gaussian mechanism in every dimension, and Q and P are
//! for the other direction (Zhu, Dong, Wang, "Optimal Accounting of Differential Privacy via
//! Characteristic Function", AISTATS 2022, theorem 11).
//!
//! The grid has the distribution of Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, "Connect the
//! Dots: Tighter Discrete Approximations of Privacy Loss Distributions", PETS 2022: the mass of a
//! loss between two grid points is divided between the two, so that its P-mass and its Q-mass are
//! both preserved. δ(ε) is then exact at the grid points, and interpolated from above between them.
//! Compositions are bounded from above as well.

use super::{
    super::normal::{above, between, density, integral},
    ln_add,
};

/// A sampled Gaussian mechanism. `noise_multiplier` and `sampling` are in a range where no
/// exponential overflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SampledGaussian {
    pub(super) noise_multiplier: f64,
    pub(super) sampling: f64,
}

impl SampledGaussian {
    /// ℓ(t).
    pub(super) fn loss(self, t: f64) -> f64 {
        let u = (t - 0.5 / self.noise_multiplier) / self.noise_multiplier;
        if self.sampling >= 1.0 {
            u
        } else if u <= 0.0 {
            (self.sampling * u.exp_m1()).ln_1p()
        } else {
            u + self.sampling.ln() + ((1.0 - self.sampling) / self.sampling * (-u).exp()).ln_1p()
        }
    }

    /// The likelihood ratio exp(u) of a loss: (exp(ℓ) − 1 + q)/q. Not positive if no t has such a
    /// low loss.
    fn ratio(self, loss: f64) -> f64 {
        let q = self.sampling;
        // Both forms are exact up to rounding: the first near zero, the second far below it.
        if loss > -0.5 { 1.0 + loss.exp_m1() / q } else { (loss.exp() - (1.0 - q)) / q }
    }

    /// t for a loss. Minus infinity if the loss is below all possible losses.
    fn place(self, loss: f64) -> f64 {
        let u = if self.sampling >= 1.0 {
            loss
        } else if loss > -0.5 && loss < 0.5 {
            let excess = loss.exp_m1() / self.sampling;
            if excess > -1.0 { excess.ln_1p() } else { f64::NEG_INFINITY }
        } else {
            let ratio = self.ratio(loss);
            if ratio > 0.0 { ratio.ln() } else { f64::NEG_INFINITY }
        };
        u * self.noise_multiplier + 0.5 / self.noise_multiplier
    }

    /// P-mass above t.
    fn p_above(self, t: f64) -> f64 {
        (1.0 - self.sampling) * above(t) + self.sampling * above(t - 1.0 / self.noise_multiplier)
    }

    /// P-mass below t.
    fn p_below(self, t: f64) -> f64 {
        (1.0 - self.sampling) * above(-t) + self.sampling * above(1.0 / self.noise_multiplier - t)
    }

    /// The mass that a cell of losses adds to its lower and to its upper grid point, both divided
    /// by q and before the division by the step: ∫ (r₁ − r) dQ and ∫ (r − r₀) dQ, for a likelihood
    /// ratio r that goes from r₀ to r₁.
    fn moments(self, [low, high]: [f64; 2], [t0, t1]: [f64; 2]) -> [f64; 2] {
        let shift = 1.0 / self.noise_multiplier;
        let reach = 1.0 + t0.abs().max(t1.abs()).max((t0 - shift).abs()).max((t1 - shift).abs());
        let width = t1 - t0;
        if width * (reach + shift) <= 0.06 {
            // dQ = φ(t) dt, r·φ(t) = φ(t − 1/z): all terms are positive, and the integrands are
            // nearly linear.
            let density = |t: f64| density(t - shift);
            let to_lower = integral(t0, t1, |t| density(t) * ((t1 - t) * shift).exp_m1());
            let to_upper = integral(t0, t1, |t| density(t) * -((t0 - t) * shift).exp_m1());
            return [to_lower, to_upper];
        }
        let [q_mass, r_mass] = [between(t0, t1), between(t0 - shift, t1 - shift)];
        let to_lower = self.ratio(high) * q_mass - r_mass;
        let to_upper = r_mass - self.ratio(low) * q_mass;
        [to_lower.max(0.0), to_upper.max(0.0)]
    }
}

/// Masses of one round's losses at whole multiples of a step.
#[derive(Debug)]
pub(super) struct Cells {
    /// Number of the first grid point.
    pub(super) first: i64,
    /// ln of the mass at each point.
    pub(super) ln_mass: Vec<f64>,
    /// Mass of losses above the grid. They count as infinite.
    pub(super) infinite: f64,
}

impl Cells {
    /// The losses of `round` from `low` to `high`, rounded outwards to multiples of `step`: the
    /// losses of leaving (P against Q), and the losses of joining (Q against P). The latter are the
    /// negative losses, each with exp(−ℓ) of the mass.
    ///
    /// Losses below the grid count as its first point.
    pub(super) fn both(round: SampledGaussian, [low, high]: [f64; 2], step: f64) -> [Self; 2] {
        let (first, last) = (whole((low / step).floor()), whole((high / step).ceil()));
        let mut mass = vec![0.0; usize::try_from(last - first + 1).expect("a grid of bounded length")];
        let (to_lower, to_upper) = (round.sampling / step.exp_m1(), -round.sampling / (-step).exp_m1());
        let start = round.place(float(first) * step);
        let mut t0 = start;
        for (i, upper) in (first..last).zip(1..) {
            let losses = [float(i) * step, float(i + 1) * step];
            let t1 = round.place(losses[1]);
            let moments = round.moments(losses, [t0, t1]);
            mass[upper - 1] += moments[0] * to_lower;
            mass[upper] += moments[1] * to_upper;
            t0 = t1;
        }
        let ln_mass: Vec<f64> = mass.into_iter().map(|mass| (mass * INFLATION).ln()).collect();
        let reversed = (first..=last).rev().zip(ln_mass.iter().rev());
        let reversed = reversed.map(|(i, ln)| ln - float(i) * step).collect();
        let mut leaving = Self { first, ln_mass, infinite: round.p_above(t0) };
        let mut joining = Self { first: -last, ln_mass: reversed, infinite: above(-start) };
        leaving.ln_mass[0] = ln_add(leaving.ln_mass[0], round.p_below(start).ln());
        joining.ln_mass[0] = ln_add(joining.ln_mass[0], above(t0).ln());
        [leaving, joining]
    }
}

#[expect(clippy::cast_precision_loss, reason = "grids have fewer than 2^52 points")]
pub(super) const fn float(whole: i64) -> f64 {
    whole as f64
}

#[expect(clippy::cast_possible_truncation, reason = "grids have fewer than 2^52 points")]
pub(super) const fn whole(float: f64) -> i64 {
    float as i64
}

/// Covers rounding errors of masses: cancellation in wide cells gives relative errors of 10⁻¹².
const INFLATION: f64 = 1.0 + 6e-11;
