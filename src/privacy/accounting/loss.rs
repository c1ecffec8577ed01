//! Tight accounting by privacy loss distributions, for Gaussian noise with and without sampling of
//! clients.
//!
//! The privacy loss of a round is ln(P(x)/Q(x)), where P and Q are the probabilities of the round's
//! result x with and without one client. Losses of rounds add up, so their distributions convolve,
//! and δ(ε) = E[max(0, 1 − exp(ε − loss))]. Both directions count: a client that leaves, and a
//! client that joins.
//!
//! | module | content |
//! | :-- | :-- |
//! | [`cells`] | one round's losses on a grid, rounded towards more loss |
//! | [`saddle`] | the part of the grid that matters for a given ε or δ |
//! | [`convolution`] | all rounds by FFT, with bounds on its errors |
//!
//! Every result is an upper bound. If a step leaves its range, there is no result. The work is
//! bounded: a grid has 2¹⁷ points, and there are at most [`MAX_ENTRIES`] different mechanisms.

mod cells;
mod convolution;
mod saddle;

use serde::{Deserialize, Serialize};

use self::{
    cells::{Cells, SampledGaussian},
    convolution::{Composition, Found},
    saddle::{Estimate, Window},
};
use super::{
    gaussian::Gaussian,
    mechanism::{DominatingGaussian, Mechanism, slack_divergence},
    normal::ln_gaussian_delta,
};
use crate::privacy::{
    check::{checked, to_float},
    error::Result,
};

/// Rounds of mechanisms whose loss distributions are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Losses {
    /// Σ 1/z² over all rounds without sampling. Together they are one Gaussian mechanism.
    always: f64,
    /// Sum of the rounds' slacks; see [`Mechanism::slack`].
    slack: f64,
    /// In ascending order of noise and sampling, so that equal histories have equal states.
    sampled: Vec<Sampled>,
}

/// Rounds of one mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sampled {
    noise_multiplier: f64,
    sampling: f64,
    rounds: u64,
}

impl Losses {
    /// Adds rounds of a mechanism. `None` if they are out of range: then the distribution of all
    /// rounds is unknown.
    pub(super) fn with(mut self, bound: &DominatingGaussian, rounds: u32) -> Option<Self> {
        let DominatingGaussian { gaussian, slack } = *bound;
        if slack.is_nan() {
            return None;
        }
        self.slack += slack.max(0.0) * f64::from(rounds);
        if gaussian.sampling() >= 1.0 {
            self.always += (2.0 * gaussian.rho() * f64::from(rounds)).max(f64::MIN_POSITIVE);
        } else {
            // Less noise or a higher sampling probability loses more.
            let noise_multiplier = gaussian.noise_multiplier().min(MAX_NOISE);
            let sampling = gaussian.sampling().max(MIN_SAMPLING);
            self.insert(Sampled { noise_multiplier, sampling, rounds: rounds.into() });
        }
        self.is_good().then_some(self)
    }

    fn insert(&mut self, new: Sampled) {
        let key = |entry: &Sampled| (entry.noise_multiplier, entry.sampling);
        let position = self.sampled.partition_point(|entry| key(entry) < key(&new));
        match self.sampled.get_mut(position) {
            Some(entry) if key(entry) == key(&new) => entry.rounds = entry.rounds.saturating_add(new.rounds),
            _ => self.sampled.insert(position, new),
        }
        if self.sampled.len() > MAX_ENTRIES {
            self.merge_nearest();
        }
    }

    /// Merges two neighbouring entries into one that loses at least as much as either.
    fn merge_nearest(&mut self) {
        let distance = |[a, b]: &[Sampled; 2]| {
            (b.noise_multiplier / a.noise_multiplier).ln() + (b.sampling / a.sampling).ln().abs()
        };
        let pairs = self.sampled.windows(2).map(|pair| distance(&[pair[0], pair[1]]));
        let nearest = pairs.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(position, _)| position);
        if let Some(position) = nearest {
            let (low, high) = (self.sampled.remove(position), self.sampled.remove(position));
            self.insert(Sampled {
                noise_multiplier: low.noise_multiplier,
                sampling: low.sampling.max(high.sampling),
                rounds: low.rounds.saturating_add(high.rounds),
            });
        }
    }

    /// Checks a state.
    fn is_good(&self) -> bool {
        let key = |entry: &Sampled| (entry.noise_multiplier, entry.sampling);
        let entries = self.sampled.iter().all(|entry| {
            (MIN_NOISE..=MAX_NOISE).contains(&entry.noise_multiplier)
                && (MIN_SAMPLING..1.0).contains(&entry.sampling)
                && (1..=MAX_ROUNDS).contains(&entry.rounds)
        });
        (0.0..=MAX_ALWAYS).contains(&self.always)
            && (0.0..=MAX_SLACK).contains(&self.slack)
            && self.sampled.len() <= MAX_ENTRIES
            && entries
            && self.sampled.is_sorted_by(|a, b| key(a) < key(b))
    }

    /// # Errors
    ///
    /// [`Error::Parameter`](crate::privacy::Error::Parameter) for a state that no composition can
    /// produce.
    pub(super) fn check(&self) -> Result<()> {
        checked("losses", to_float(self.sampled.len()), self.is_good(), "in range, in order and few")
            .map(drop)
    }

    /// A bound on the Rényi divergence of these rounds at one order.
    pub(super) fn divergence(&self, order: f64) -> f64 {
        let sampled = self.sampled.iter().map(|entry| {
            let gaussian =
                Gaussian::new(entry.noise_multiplier).and_then(|gaussian| gaussian.sampled(entry.sampling));
            gaussian.map_or(f64::INFINITY, |gaussian| gaussian.divergence(order) * times(entry.rounds))
        });
        0.5 * self.always * order + sampled.sum::<f64>() + slack_divergence(self.slack, order)
    }

    /// An ε for which all rounds are (ε, δ)-differentially private. `None` out of range.
    pub(super) fn epsilon(&self, delta: f64) -> Option<f64> {
        if self.is_empty() {
            return Some(0.0);
        }
        if self.sampled.is_empty() {
            let mu = self.always.sqrt();
            let epsilon = gaussian_epsilon(mu, delta.ln() - self.slack) + 2.0 * self.slack;
            return Some(round_up(epsilon, 36));
        }
        if delta < MIN_DELTA {
            return None;
        }
        let mut best =
            self.found(delta, |losses| losses.window(losses.chernoff_epsilon(delta.ln()), delta.ln()))?;
        // Chernoff's exponent is inaccurate if rare rounds cost much. Then ε itself gives the
        // window.
        for place in [1.0, 0.5, 1.0, 0.25, 1.0, 0.1] {
            if best.is_tight || best.epsilon <= 0.0 {
                break;
            }
            let place = place * best.epsilon;
            let next = self.found(delta, |losses| losses.window(place, delta.ln()))?;
            if next.epsilon < best.epsilon * (1.0 - 1e-4) {
                best = next;
            } else if !best.is_end {
                break;
            }
        }
        Some(round_up(best.epsilon, 20))
    }

    /// The larger ε of both directions, for the windows of `window`.
    fn found(&self, delta: f64, window: impl Fn(&Estimate) -> Window) -> Option<Found> {
        let (compositions, slack) = self.compositions(delta, window)?;
        let reduced = delta * (-slack).exp();
        let [leaving, joining] = compositions.map(|composition| composition.epsilon(reduced));
        let (leaving, joining) = (leaving?, joining?);
        let found = if leaving.epsilon <= joining.epsilon { joining } else { leaving };
        Some(Found { epsilon: found.epsilon + 2.0 * slack, ..found })
    }

    /// A δ for which all rounds are (ε, δ)-differentially private, given an upper bound of δ.
    /// `None` out of range.
    pub(super) fn delta(&self, epsilon: f64, bound: f64) -> Option<f64> {
        if self.is_empty() {
            return Some(0.0);
        }
        if self.sampled.is_empty() {
            let ln_delta = ln_gaussian_delta(self.always.sqrt(), epsilon - 2.0 * self.slack) + self.slack;
            return Some(round_up(ln_delta.exp(), 36).min(1.0));
        }
        // The first guess is a tenth of the bound. Each result then gives the next window.
        let (mut best, mut estimate) = (bound, 0.1 * bound);
        for pass in 0..6 {
            let near = estimate.max(MIN_DELTA);
            // A window around a higher ε may include this ε with a smaller tilt.
            let (compositions, slack) = self.compositions(near, |losses| {
                let higher = if pass % 2 == 1 { losses.chernoff_epsilon(near.ln()) } else { 0.0 };
                losses.window(higher.max(epsilon), near.ln())
            })?;
            let reduced = epsilon - 2.0 * slack;
            let [leaving, joining] = compositions.map(|composition| composition.delta(reduced));
            let next = leaving.max(joining) * slack.exp();
            let is_settled = next > 0.9 * best;
            best = best.min(next);
            if is_settled && pass > 0 {
                break;
            }
            estimate = best;
        }
        Some(round_up(best, 20).min(1.0))
    }

    fn is_empty(&self) -> bool {
        self.always == 0.0 && self.sampled.is_empty() && self.slack == 0.0
    }

    /// All rounds, for a client that leaves and for one that joins, and the slack. The losses
    /// beyond the followed range have a total probability far below `delta`.
    fn compositions(
        &self,
        delta: f64,
        window: impl Fn(&Estimate) -> Window,
    ) -> Option<([Composition; 2], f64)> {
        let rounds = self.rounds();
        let total: f64 = rounds.iter().map(|&(_, count)| times(count)).sum();
        let reach = (2.0 * (total.ln() - delta.ln() + 30.0)).sqrt();
        let representable = |round: &SampledGaussian| {
            let far = reach + 1.0 / round.noise_multiplier;
            far <= 37.0 && far / round.noise_multiplier <= 650.0
        };
        if !rounds.iter().all(|(round, _)| representable(round)) {
            return None;
        }
        let counted: Vec<(SampledGaussian, f64)> =
            rounds.iter().map(|&(round, count)| (round, times(count))).collect();
        let windows = Estimate::both(&counted, reach).map(|estimate| window(&estimate));
        let ranges: Vec<[f64; 2]> = rounds
            .iter()
            .map(|(round, _)| [round.loss(-reach), round.loss(1.0 / round.noise_multiplier + reach)])
            .collect();
        let widths = ranges.iter().map(|[low, high]| high - low);
        let width = widths.chain(windows.iter().map(|window| window.high - window.low)).fold(0.0, f64::max);
        // A power of two: coarser grids are part of finer ones, and whole multiples of it are
        // exact.
        let step = (width / cells::float(GRID_LEN - 8)).log2().ceil().exp2();
        let far = windows.iter().map(|window| window.low.abs().max(window.high.abs()) / step);
        if !(step.is_normal() && far.fold(0.0, f64::max) < 1e15) {
            return None;
        }

        let cells: Vec<[Cells; 2]> =
            rounds.iter().zip(&ranges).map(|((round, _), range)| Cells::both(*round, *range, step)).collect();
        // Grid points represent losses up to rounding errors.
        let rounding = counted.iter().zip(&ranges).map(|((round, count), [low, high])| {
            count * (round.sampling + low.abs().max(high.abs())) * 2.0_f64.powi(-46)
        });
        let slack = self.slack + rounding.sum::<f64>();
        let compositions = [0, 1].map(|direction| {
            let of = cells.iter().zip(&rounds).map(|(cells, (_, count))| (&cells[direction], *count));
            Composition::new(&of.collect::<Vec<_>>(), step, windows[direction])
        });
        Some((compositions, slack))
    }

    fn rounds(&self) -> Vec<(SampledGaussian, u64)> {
        let always = (self.always > 0.0)
            .then(|| (SampledGaussian { noise_multiplier: self.always.sqrt().recip(), sampling: 1.0 }, 1));
        let sampled = self.sampled.iter().map(|&Sampled { noise_multiplier, sampling, rounds }| {
            (SampledGaussian { noise_multiplier, sampling }, rounds)
        });
        always.into_iter().chain(sampled).collect()
    }
}

/// The minimum ε from 0 for which ln δ(ε) of one Gaussian mechanism is at most `ln_delta`.
fn gaussian_epsilon(mu: f64, ln_delta: f64) -> f64 {
    if mu == 0.0 || ln_gaussian_delta(mu, 0.0) <= ln_delta {
        return 0.0;
    }
    // The tail of the normal distribution is at most exp(−x²/2).
    let mut enough = mu * (mu / 2.0 + (-2.0 * ln_delta).sqrt());
    let mut too_little = 0.0;
    loop {
        let middle = f64::midpoint(too_little, enough);
        if middle <= too_little || middle >= enough {
            return enough;
        }
        if ln_gaussian_delta(mu, middle) <= ln_delta { enough = middle } else { too_little = middle }
    }
}

/// Rounds up to a float with `bits` bits after the first. Smaller differences are rounding errors;
/// this hides them.
fn round_up(value: f64, bits: u32) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let mask = (1 << (52 - bits)) - 1;
    f64::from_bits((value.max(0.0).to_bits() + mask) & !mask)
}

/// ln(exp(a) + exp(b)).
fn ln_add(a: f64, b: f64) -> f64 {
    super::gaussian::ln_add(a, b)
}

#[expect(clippy::cast_precision_loss, reason = "at most 2^40")]
const fn times(count: u64) -> f64 {
    count as f64
}

/// Points of a grid. The number is the same for all histories: a longer history never gets a finer
/// grid, and so never a lower ε.
const GRID_LEN: i64 = 1 << 17;

const MAX_ENTRIES: usize = 16;
const MAX_ROUNDS: u64 = 1 << 40;
const MIN_NOISE: f64 = 0.05;
const MAX_NOISE: f64 = 1e12;
const MIN_SAMPLING: f64 = 1e-12;
const MAX_ALWAYS: f64 = 1e12;
const MAX_SLACK: f64 = 1.0;
const MIN_DELTA: f64 = 1e-100;
