//! The losses of all rounds together, by FFT.
//!
//! The FFT computes a circular convolution. Mass outside the window wraps into it, and makes the
//! bound larger, never smaller. Chernoff's inequality bounds the mass above the window, and this
//! bound is added. Rounding errors of the transforms are bounded from the transforms themselves and
//! added to every grid point. The method and such error bounds are in Gopi, Lee, Wutschitz,
//! "Numerical Composition of Differential Privacy", `NeurIPS` 2021, and Koskela, Jälkö, Honkela,
//! "Computing Tight Differential Privacy Guarantees Using FFT", AISTATS 2020.

use realfft::{RealFftPlanner, num_complex::Complex};

use super::{
    GRID_LEN,
    cells::{Cells, float, whole},
    saddle::Window,
};
use crate::privacy::check::to_float;

/// A bound on the tilted distribution of the composition's loss, at the integer multiples of `step`
/// from `first` on.
#[derive(Debug)]
pub(super) struct Composition {
    step: f64,
    tilt: f64,
    /// ln of the factor by which the tilt changed the total mass.
    ln_total: f64,
    first: i64,
    masses: Vec<f64>,
    /// Bound on the error of each mass. The masses include it.
    error: f64,
    /// Bound on the tilted mass above the last grid point.
    tail: f64,
    /// Mass of infinite losses.
    infinite: f64,
}

/// An ε of a composition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) epsilon: f64,
    /// Whether the error bounds are a small part of δ.
    pub(super) is_tight: bool,
    /// Whether ε is only the lower end of the window.
    pub(super) is_end: bool,
}

impl Composition {
    /// Each item is one round's losses, and their number of rounds.
    pub(super) fn new(rounds: &[(&Cells, u64)], step: f64, window: Window) -> Self {
        let mut spectrum = Spectrum::new();
        let (mut ln_total, mut ln_tail, mut infinite) = (0.0, 0.0, 1e-290);
        for &(cells, count) in rounds {
            let ln_one = cells.ln_total(step, window.tilt);
            ln_total += times(count) * (ln_one + 1e-14); // covers its rounding error
            ln_tail += times(count) * (cells.ln_total(step, window.tilt + window.tail_tilt) - ln_one);
            infinite += times(count) * cells.infinite;
            spectrum.multiply(cells, count, step, window.tilt, ln_one);
        }
        let first = whole((window.low / step).floor());
        let (masses, error) = spectrum.masses(first);
        let last = float(first + GRID_LEN - 1) * step;
        let tail = (ln_tail - window.tail_tilt * last).min(0.0).exp();
        Self { step, tilt: window.tilt, ln_total, first, masses, error, tail, infinite }
    }

    /// An ε for which δ(ε) is at most `delta`. `None` if there is none in the window.
    pub(super) fn epsilon(&self, delta: f64) -> Option<Found> {
        let left = (delta - self.infinite) / LEFT;
        if left <= 0.0 {
            return None;
        }
        let mut above = None;
        for (i, ln_delta, error_share) in self.ln_deltas() {
            let here = ln_delta.exp();
            // NaN is no bound.
            if here.is_nan() || here > left {
                // Between grid points δ is linear in exp(ε).
                let share: f64 = (here - left) / (here - above?);
                let share = if share.is_finite() { share } else { 1.0 };
                let epsilon = float(i) * self.step + (share * self.step.exp_m1()).ln_1p();
                return Some(Found { epsilon, is_tight: error_share < 1e-3, is_end: false });
            }
            above = Some(here);
        }
        Some(Found { epsilon: float(self.first) * self.step, is_tight: false, is_end: true })
    }

    /// A bound on δ(ε), at most 1.
    pub(super) fn delta(&self, epsilon: f64) -> f64 {
        let mut above = None;
        for (i, ln_delta, _) in self.ln_deltas() {
            let (place, here) = (float(i) * self.step, ln_delta.exp());
            if place <= epsilon {
                let share = (epsilon - place).exp_m1() / self.step.exp_m1();
                let between = above.map_or(here, |above| here + share.min(1.0) * (above - here));
                return (LEFT * between + self.infinite).min(1.0);
            }
            above = Some(here);
        }
        1.0
    }

    /// ln δ at the grid points, from the last to the first, and the share of the error bounds in δ.
    ///
    /// Let S be the mass above a grid point and D be δ at this point. One step h below, they are
    /// S + p and exp(−h)·D + (1 − exp(−h))·(S + p): nothing cancels. Both are kept in units of the
    /// tilt at the grid point.
    fn ln_deltas(&self) -> impl Iterator<Item = (i64, f64, f64)> {
        let untilt = (-self.tilt * self.step).exp();
        let (decay, part) = (untilt * (-self.step).exp(), -(-self.step).exp_m1());
        // The tail bound represents the point above the last one.
        let (mut above, mut delta) = (self.tail, self.tail);
        let (mut error_above, mut error) = (self.tail, self.tail);
        (self.first..self.first + GRID_LEN).rev().zip(self.masses.iter().rev()).map(move |(i, mass)| {
            let ln_delta = delta.ln() + self.ln_total - self.tilt * float(i) * self.step;
            let here = (i, ln_delta, error / delta);
            above = untilt * (above + mass);
            error_above = untilt * (error_above + self.error);
            delta = part * above + decay * delta;
            error = part * error_above + decay * error;
            here
        })
    }
}

impl Cells {
    /// ln Σ exp(tilt·ℓ) over all masses.
    fn ln_total(&self, step: f64, tilt: f64) -> f64 {
        let exponents = || (self.first..).zip(&self.ln_mass).map(|(i, ln)| ln + tilt * float(i) * step);
        let maximum = exponents().fold(f64::NEG_INFINITY, f64::max);
        maximum + exponents().map(|exponent| (exponent - maximum).exp()).sum::<f64>().ln()
    }
}

/// The product of the transforms of all rounds, in logarithms.
struct Spectrum {
    planner: RealFftPlanner<f64>,
    ln_modulus: Vec<f64>,
    phase: Vec<f64>,
    /// ln of the modulus, with the maximum error of every factor.
    ln_bound: Vec<f64>,
    /// Relative error from the arithmetic on logarithms and phases.
    rounding: Vec<f64>,
    /// The circular position of loss 0.
    origin: i64,
}

impl Spectrum {
    fn new() -> Self {
        let [ln_modulus, phase, ln_bound, rounding] = [(); 4].map(|()| vec![0.0; LEN / 2 + 1]);
        Self { planner: RealFftPlanner::new(), ln_modulus, phase, ln_bound, rounding, origin: 0 }
    }

    fn multiply(&mut self, cells: &Cells, count: u64, step: f64, tilt: f64, ln_total: f64) {
        let mut values = vec![0.0; LEN];
        // Centred at the mean, phases change slowly and lose little precision.
        let mut mean = 0.0;
        for (i, (place, ln)) in (cells.first..).zip(&cells.ln_mass).enumerate() {
            values[i] = (ln + tilt * float(place) * step - ln_total).exp();
            mean += values[i] * to_float(i);
        }
        let centre = whole(mean.round()).clamp(0, GRID_LEN - 1);
        values.rotate_left(usize::try_from(centre).expect("clamped"));
        let total = i128::from(cells.first + centre) * i128::from(count) + i128::from(self.origin);
        self.origin = i64::try_from(total.rem_euclid(i128::from(GRID_LEN))).expect("reduced");

        let transform = self.planner.plan_fft_forward(LEN);
        let mut output = transform.make_output_vec();
        transform.process(&mut values, &mut output).expect("lengths come from the plan");
        let count = times(count);
        for (k, value) in output.into_iter().enumerate() {
            let (modulus, phase) = value.to_polar();
            let ln = modulus.max(1e-300).ln();
            self.ln_modulus[k] += count * ln;
            self.phase[k] += (count * phase) % std::f64::consts::TAU;
            self.ln_bound[k] += count * (modulus + 2.0 * FORWARD_ERROR).ln();
            self.rounding[k] += count * 4.0 * f64::EPSILON * (1.0 + ln.abs() + phase.abs());
        }
    }

    /// The masses at the grid points from `first` on, each with the maximum error added.
    fn masses(mut self, first: i64) -> (Vec<f64>, f64) {
        let length = to_float(LEN);
        let (mut error, mut values) = (0.0, Vec::with_capacity(LEN / 2 + 1));
        for k in 0..=LEN / 2 {
            let modulus = self.ln_modulus[k].exp();
            let rounding = self.rounding[k].exp_m1().min(2.0);
            error += 2.0 * (self.ln_bound[k].exp() - modulus + modulus * (rounding + FORWARD_ERROR));
            values.push(Complex::from_polar(modulus, self.phase[k]));
        }
        // In the spectrum of a real signal, the first and the middle number are real.
        values[0].im = 0.0;
        values[LEN / 2].im = 0.0;
        let transform = self.planner.plan_fft_inverse(LEN);
        let mut output = transform.make_output_vec();
        transform
            .process(&mut values, &mut output)
            .expect("lengths come from the plan, two numbers are real");
        let start = (first - self.origin).rem_euclid(GRID_LEN);
        output.rotate_left(usize::try_from(start).expect("reduced"));
        for mass in &mut output {
            *mass = (*mass + error).max(0.0) / length;
        }
        (output, error / length)
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounded by 2^40")]
const fn times(count: u64) -> f64 {
    count as f64
}

const LEN: usize = 1 << GRID_LEN.ilog2();

/// Bound on the error of each number of a transform whose inputs add up to 1. Every output is a sum
/// over all inputs, each times log₂ n roots of unity. Each root, product and sum has a relative
/// error of at most 1, √5 and 1 units of 2⁻⁵³.
const FORWARD_ERROR: f64 = 6.0 * GRID_LEN.ilog2() as f64 * f64::EPSILON / 2.0;

/// Covers rounding errors in sums and exponentials here.
const LEFT: f64 = 1.0 + 1e-9;
