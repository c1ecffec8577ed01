//! The normal distribution, and the exact δ of one Gaussian mechanism.
//!
//! All functions keep their relative precision in the tails.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Density of the standard normal distribution.
pub(super) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// Probability above `x`.
pub(super) fn above(x: f64) -> f64 {
    0.5 * libm::erfc(x * FRAC_1_SQRT_2)
}

/// Probability between `low` and `high`, computed from the smaller tails.
pub(super) fn between(low: f64, high: f64) -> f64 {
    if low >= 0.0 { above(low) - above(high) } else { above(-high) - above(-low) }
}

/// ∫ f over [low, high] by the Gauss–Legendre rule of three points: exact for polynomials of
/// degree 5.
pub(super) fn integral(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (middle, half) = (f64::midpoint(low, high), 0.5 * (high - low));
    let offset = half * 0.6_f64.sqrt();
    half * (5.0 * (f(middle - offset) + f(middle + offset)) + 8.0 * f(middle)) / 9.0
}

/// ln δ(ε) of a Gaussian mechanism whose sensitivity is `mu` deviations: Balle, Wang, "Improving
/// the Gaussian Mechanism for Differential Privacy", ICML 2018, theorem 8.
///
/// δ = Φ(−a) − exp(ε)·Φ(−b) with a = ε/μ − μ/2, b = ε/μ + μ/2. Because exp(ε)·φ(b) = φ(a), this is
/// φ(a)·(R(a) − R(b)), with Mills' ratio R(x) = Φ(−x)/φ(x).
pub(super) fn ln_gaussian_delta(mu: f64, epsilon: f64) -> f64 {
    let (a, b) = (epsilon / mu - mu / 2.0, epsilon / mu + mu / 2.0);
    let ln_density = -0.5 * a * a - 0.5 * (2.0 * PI).ln();
    if a < -8.0 {
        return (above(a) - ln_density.exp() * mills_ratio(b)).max(0.0).ln().min(0.0);
    }
    let difference = if mu >= 1.0 { mills_ratio(a) - mills_ratio(b) } else { excess(a, mu) };
    (ln_density + difference.ln()).min(0.0)
}

/// R(a) − R(a + μ) = ∫ exp(−as − s²/2)·(1 − exp(−μs)) ds from 0, for μ below 1. Nothing cancels.
fn excess(a: f64, mu: f64) -> f64 {
    const PANELS: u32 = 400;
    // The integrand falls at least like exp(−s²/2) beyond −a, and like exp(−as) for positive a.
    let last = if a > 0.0 { 40.0 / a.max(4.0) } else { 10.0 - a };
    let width = last / f64::from(PANELS);
    let integrand = |s: f64| -(-a * s - 0.5 * s * s).exp() * (-mu * s).exp_m1();
    (0..PANELS).map(|i| integral(f64::from(i) * width, f64::from(i + 1) * width, integrand)).sum()
}

/// Φ(−x)/φ(x) for x above −37.
fn mills_ratio(x: f64) -> f64 {
    if x < 5.0 {
        return above(x) / density(x);
    }
    // 1/(x + 1/(x + 2/(x + 3/(x + …)))), from the inside.
    let fraction = (1..=100).rev().fold(x, |inner, k| x + f64::from(k) / inner);
    1.0 / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_keep_their_precision() {
        assert!((between(-1.0, 1.0) - 0.682_689_492_137_085_9).abs() < 1e-15);
        assert!((between(10.0, 11.0) / between(-11.0, -10.0) - 1.0).abs() < 1e-14);
        assert!((between(10.0, f64::INFINITY) / 7.619_853_024_160_525e-24 - 1.0).abs() < 1e-13);
    }

    #[test]
    fn delta_is_the_integral_that_defines_it() {
        for mu in [1e-6, 0.01, 0.3, 0.99, 1.0, 3.0, 20.0] {
            for deviations in [-7.0, -2.0, 0.0, 1.0, 6.0, 30.0] {
                let epsilon: f64 = mu * (deviations + mu / 2.0);
                if epsilon < 0.0 {
                    continue;
                }
                let a = epsilon / mu - mu / 2.0;
                let panels = 100_000;
                let width = 40.0 / f64::from(panels);
                let integrand = |s: f64| -density(a + s) * (-mu * s).exp_m1();
                let exact: f64 = (0..panels)
                    .map(|i| integral(f64::from(i) * width, f64::from(i + 1) * width, integrand))
                    .sum();
                let found = ln_gaussian_delta(mu, epsilon);
                assert!((found - exact.ln()).abs() < 1e-10, "{mu}, {epsilon}: {found}, {}", exact.ln());
            }
        }
        // Far out, where δ itself does not fit a double.
        assert!((ln_gaussian_delta(1.0, 60.0) + 0.5 * 59.5_f64.powi(2) + 8.9).abs() < 1.0);
        assert!(ln_gaussian_delta(100.0, 0.0) <= 0.0);
    }
}
