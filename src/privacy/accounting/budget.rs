//! The noise that a privacy budget requires.

use super::{accountant::Accountant, gaussian::Gaussian};
use crate::privacy::{
    check::checked,
    error::{Error, Result},
};

/// A privacy budget: (ε, δ)-differential privacy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// ε.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
}

/// The minimum noise multiplier with which `rounds` rounds of [`Gaussian`] noise with sampling
/// probability `sampling` stay in a budget, by the bounds of [`Accountant::epsilon`]. The result is
/// at most a part in 10⁶ above that minimum. The search calls an accountant about ten times.
///
/// # Errors
///
/// [`Error::Parameter`] unless ε is positive and finite, δ between 0 and 1, the sampling
/// probability above 0 and at most 1, and there is at least one round, or if no finite multiplier
/// suffices.
///
/// ```
/// use cipherfold::privacy::{Accountant, Budget, Gaussian, noise_for};
///
/// let budget = Budget { epsilon: 2.0, delta: 1e-6 };
/// let noise_multiplier = noise_for(budget, 1000, 0.01)?;
/// let mut accountant = Accountant::new();
/// accountant.compose(&Gaussian::new(noise_multiplier)?.sampled(0.01)?, 1000);
/// assert!(accountant.epsilon(1e-6)? <= 2.0);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn noise_for(Budget { epsilon, delta }: Budget, rounds: u32, sampling: f64) -> Result<f64> {
    checked("epsilon", epsilon, epsilon > 0.0 && epsilon.is_finite(), "positive and finite")?;
    checked("rounds", rounds.into(), rounds > 0, "at least 1")?;
    // The logarithm of cost / budget. More noise never costs more.
    let excess = |noise_multiplier: f64| {
        let mut accountant = Accountant::new();
        accountant.compose(&Gaussian::new(noise_multiplier)?.sampled(sampling)?, rounds);
        Ok::<_, Error>((accountant.epsilon(delta)? / epsilon).ln())
    };
    let (mut enough, mut high) = (1.0, excess(1.0)?);
    while high > 0.0 {
        enough *= 2.0;
        high = excess(enough)?;
    }
    let mut too_little = enough / 2.0;
    let mut low = excess(too_little)?;
    while low <= 0.0 {
        (enough, high, too_little) = (too_little, low, too_little / 2.0);
        low = excess(too_little)?;
    }
    // The cost is nearly a power of the noise: a line in logarithms meets the budget near the
    // solution. A step of `margin` beyond it shortens the bracket from both sides. Every third step
    // halves the bracket.
    let margin = 3e-7;
    for step in 0.. {
        let (a, b) = (too_little.ln(), enough.ln());
        if b - a <= 1e-6 {
            break;
        }
        let share = low / (low - high);
        let on_line = a + share * (b - a);
        let next = if step % 3 == 2 || !on_line.is_finite() {
            f64::midpoint(a, b)
        } else if share < 0.5 {
            (on_line + margin).min(f64::midpoint(a, b))
        } else {
            (on_line - margin).max(f64::midpoint(a, b))
        };
        let (noise_multiplier, next_excess) = (next.exp(), excess(next.exp())?);
        if next_excess <= 0.0 {
            (enough, high) = (noise_multiplier, next_excess);
        } else {
            (too_little, low) = (noise_multiplier, next_excess);
        }
    }
    Ok(enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_for_is_the_minimum_that_keeps_the_budget() {
        for (epsilon, delta, rounds) in [(1.0, 1e-6, 1), (50.0, 1e-5, 10), (0.01, 1e-5, 1), (1e-9, 1e-9, 1)] {
            let found = noise_for(Budget { epsilon, delta }, rounds, 1.0).unwrap();
            let spent = |noise_multiplier: f64| {
                let mut accountant = Accountant::new();
                accountant.compose(&Gaussian::new(noise_multiplier).unwrap(), rounds);
                accountant.epsilon(delta).unwrap()
            };
            assert!(spent(found) <= epsilon && spent(found * (1.0 - 2e-6)) > epsilon, "{epsilon}: {found}");
        }
        // A budget that no float of noise satisfies gives an error, not an endless search.
        for (epsilon, delta) in [(5e-324, 5e-324), (1e-300, 1e-320)] {
            assert!(noise_for(Budget { epsilon, delta }, u32::MAX, 1.0).is_err());
        }
        let loose = noise_for(Budget { epsilon: 1e300, delta: 0.5 }, 1, 1.0).unwrap();
        assert!(loose > 0.0 && loose < 1e-100, "{loose}");
    }

    #[test]
    fn impossible_budgets_are_refused() {
        for (epsilon, delta, rounds, sampling) in [
            (0.0, 1e-5, 1, 1.0),
            (f64::INFINITY, 1e-5, 1, 1.0),
            (f64::NAN, 1e-5, 1, 1.0),
            (1.0, 0.0, 1, 1.0),
            (1.0, 1.0, 1, 1.0),
            (1.0, 1e-5, 0, 1.0),
            (1.0, 1e-5, 1, 0.0),
        ] {
            assert!(noise_for(Budget { epsilon, delta }, rounds, sampling).is_err());
        }
    }
}
