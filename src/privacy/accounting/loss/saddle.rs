//! The choice of tilt and window: an exponential tilt moves a composition's loss to the ε in
//! question.
//!
//! A tilt by θ multiplies masses by exp(θℓ). In the tilted distribution the losses around ε are the
//! likely ones. The FFT then computes even the smallest tails with good relative precision. Any
//! tilt and any window give a valid bound; the estimates here only make it tight. They sum over a
//! few hundred values of the noise.

use super::cells::SampledGaussian;

/// One round's losses at values of the noise, with their weights, in one of the two directions.
#[derive(Debug)]
struct Sample {
    rounds: f64,
    losses: Vec<f64>,
    ln_weights: Vec<f64>,
}

/// The losses of all rounds in one direction.
#[derive(Debug)]
pub(super) struct Estimate(Vec<Sample>);

/// The logarithm of the moment generating function, and its first two derivatives.
#[derive(Clone, Copy, Debug, Default)]
struct Cumulants {
    value: f64,
    mean: f64,
    variance: f64,
}

/// A tilt, and the window of losses that are likely under it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) tilt: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// A second tilt, in addition to the first, that makes the Chernoff bound of losses above the
    /// window small.
    pub(super) tail_tilt: f64,
}

impl Estimate {
    /// The losses of leaving and of joining, for noise of up to `reach` deviations.
    pub(super) fn both(rounds: &[(SampledGaussian, f64)], reach: f64) -> [Self; 2] {
        [true, false].map(|leaving| {
            Self(rounds.iter().map(|&(round, count)| Sample::new(round, count, reach, leaving)).collect())
        })
    }

    /// The ε for which Chernoff's bound is δ.
    pub(super) fn chernoff_epsilon(&self, ln_delta: f64) -> f64 {
        self.cumulants(self.tilt_for_delta(ln_delta)).mean
    }

    /// The window around an ε, `place`, where δ is about the given one.
    ///
    /// The tilt is the smallest one for which rounding errors are below δ, because less tilted
    /// distributions have shorter tails. The window is wide enough that errors by the mass outside
    /// are below δ as well.
    pub(super) fn window(&self, place: f64, ln_delta: f64) -> Window {
        let rounds: f64 = self.0.iter().map(|sample| sample.rounds).sum();
        let [rounding, negligible] = [ln_delta - (7e-10 * rounds).ln().max(-11.0), ln_delta - 23.0];
        let tilt_of_place =
            solve(|tilt| self.cumulants(tilt).mean >= place).min(self.tilt_for_delta(ln_delta));
        let tilt =
            solve(|tilt| tilt >= tilt_of_place || self.cumulants(tilt).value - tilt * place <= rounding);
        let tilt = tilt.min(tilt_of_place);

        let centre = self.cumulants(tilt);
        let deviation = centre.variance.sqrt().max(1e-12 * centre.mean.abs()).max(f64::MIN_POSITIVE.sqrt());
        // Rare rounds with a high cost make tails far longer than the deviation suggests.
        let changes = || (0..64).map(|k| 1e-6 * 1.5_f64.powi(k) / deviation);
        let above = |change: f64| self.cumulants(tilt + change).value;
        // Beyond `high`, all mass together is negligible against δ.
        let highs = changes().map(|change| ((above(change) - negligible) / (tilt + change), change));
        let (high, tail_tilt) = highs.fold((f64::INFINITY, 1.0), |a, b| if b.0 < a.0 { b } else { a });
        // Mass below `low` wraps to the upper end of the window.
        let excess = (centre.value - tilt * high - negligible).max(3.0);
        let below = |change: f64| self.cumulants(tilt - change).value - centre.value;
        let low =
            changes().map(|change| -(excess + below(change)) / change).fold(f64::NEG_INFINITY, f64::max);
        let low = low.min(place - deviation).min(centre.mean - deviation);
        // Mass far above `high` wraps to positions above the place.
        let excess = (centre.value - tilt * place - negligible).max(3.0);
        let farthest = changes().map(|change| (excess + above(change) - centre.value) / change);
        let farthest = farthest.fold(f64::INFINITY, f64::min);
        Window { tilt, low, high: high.max(farthest - (place - low)), tail_tilt }
    }

    /// The tilt at which the exponent of the Chernoff bound is ln δ.
    fn tilt_for_delta(&self, ln_delta: f64) -> f64 {
        solve(|tilt| {
            let all = self.cumulants(tilt);
            tilt * all.mean - all.value >= -ln_delta
        })
    }

    fn cumulants(&self, tilt: f64) -> Cumulants {
        self.0.iter().fold(Cumulants::default(), |all, sample| {
            let one = sample.cumulants(tilt);
            Cumulants {
                value: all.value + sample.rounds * one.value,
                mean: all.mean + sample.rounds * one.mean,
                variance: all.variance + sample.rounds * one.variance,
            }
        })
    }
}

impl Sample {
    fn new(round: SampledGaussian, rounds: f64, reach: f64, leaving: bool) -> Self {
        const PLACES: u32 = 400;
        let step = (2.0 * reach + 1.0 / round.noise_multiplier) / f64::from(PLACES);
        let places = (0..=PLACES).map(|i| f64::from(i) * step - reach);
        let (losses, ln_weights) = places
            .map(|t| {
                let (loss, ln_weight) = (round.loss(t), step.ln() - 0.5 * t * t - 0.5 * LN_TAU);
                if leaving { (loss, ln_weight + loss) } else { (-loss, ln_weight) }
            })
            .unzip();
        Self { rounds, losses, ln_weights }
    }

    fn cumulants(&self, tilt: f64) -> Cumulants {
        let exponents = || self.losses.iter().zip(&self.ln_weights).map(|(loss, ln)| ln + tilt * loss);
        let maximum = exponents().fold(f64::NEG_INFINITY, f64::max);
        let [mut mass, mut first, mut second] = [0.0; 3];
        let middle = self.losses[self.losses.len() / 2];
        for (exponent, loss) in exponents().zip(&self.losses) {
            let weight = (exponent - maximum).exp();
            let loss = loss - middle;
            mass += weight;
            first += weight * loss;
            second += weight * loss * loss;
        }
        let mean = first / mass;
        let variance = (second / mass - mean * mean).max(0.0);
        Cumulants { value: maximum + mass.ln(), mean: mean + middle, variance }
    }
}

/// The tilt at which an increasing condition becomes true, to a hundredth. Zero if it is always
/// true.
fn solve(reached: impl Fn(f64) -> bool) -> f64 {
    if reached(0.0) {
        return 0.0;
    }
    let mut high = 1.0;
    while !reached(high) && high < 1e15 {
        high *= 4.0;
    }
    let mut low = high / 4.0;
    while reached(low) && low > 1e-9 {
        (high, low) = (low, low / 4.0);
    }
    for _ in 0..8 {
        let middle = (low * high).sqrt();
        if reached(middle) { high = middle } else { low = middle }
    }
    high
}

/// ln 2π.
const LN_TAU: f64 = 1.837_877_066_409_345_5;
