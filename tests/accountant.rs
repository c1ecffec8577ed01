//! The accountant against Google's dp-accounting, and its general properties.

use std::error::Error;

use cipherfold::privacy::{
    Accountant, Budget, DiscreteGaussian, Gaussian, Mechanism, SummedDiscreteGaussian, noise_for,
};
use rayon::prelude::*;

/// Noise multiplier, sampling probability and rounds.
type Rounds = (f64, f64, u32);

/// A line of `data/dp_accounting.csv`; see `data/check_with_dp_accounting.py`.
struct Point {
    mechanisms: Vec<Rounds>,
    delta: f64,
    epsilon: f64,
    slack: f64,
}

fn parse(line: &str) -> Result<Point, Box<dyn Error>> {
    let fields: Vec<&str> = line.split(',').collect();
    let mechanism = |text: &str| -> Result<Rounds, Box<dyn Error>> {
        let fields: Vec<&str> = text.split(':').collect();
        Ok((fields[0].parse()?, fields[1].parse()?, fields[2].parse()?))
    };
    Ok(Point {
        mechanisms: fields[0].split('+').map(mechanism).collect::<Result<_, _>>()?,
        delta: fields[1].parse()?,
        epsilon: fields[2].parse()?,
        slack: fields[3].parse()?,
    })
}

fn sampled(noise_multiplier: f64, sampling: f64) -> Gaussian {
    Gaussian::new(noise_multiplier).unwrap().sampled(sampling).unwrap()
}

fn accountant(mechanisms: &[Rounds]) -> Accountant {
    let mut accountant = Accountant::new();
    for &(noise_multiplier, sampling, rounds) in mechanisms {
        accountant.compose(&sampled(noise_multiplier, sampling), rounds);
    }
    accountant
}

/// Never below dp-accounting's upper bound minus its own slack, and never more than 2 % above it.
///
/// `EVERY_POINT=1` tests the whole table instead of every 19th line.
#[test]
fn epsilons_are_those_of_dp_accounting() {
    let table = include_str!("data/dp_accounting.csv");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() >= 500);
    let stride = if std::env::var_os("EVERY_POINT").is_some() { 1 } else { 19 };
    let chosen: Vec<&str> = lines.into_iter().step_by(stride).collect();
    chosen.par_iter().for_each(|line| {
        let Point { mechanisms, delta, epsilon, slack } = parse(line).unwrap();
        let accountant = accountant(&mechanisms);
        let found = accountant.epsilon(delta).unwrap();
        assert!(found >= (epsilon - slack) * (1.0 - 1e-8), "{line}: {found} is too low");
        assert!(found <= epsilon * 1.02, "{line}: {found} is too high");
        // The inverse question: the same δ, unless ε is 0 for a much smaller one.
        let back = accountant.delta(found).unwrap() / delta;
        assert!(back <= 1.2 && (back >= 0.9 || epsilon == 0.0), "{line}: {back} of δ");
    });
}

/// δ of one sampled round, by the definition: the hockey-stick divergence of the two normal
/// distributions.
fn exact_delta(z: f64, q: f64, epsilon: f64) -> f64 {
    let above = |t: f64| 0.5 * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2);
    let place = |loss: f64| {
        let ratio = loss.exp_m1() / q + 1.0;
        if ratio > 0.0 { ratio.ln() * z + 0.5 / z } else { f64::NEG_INFINITY }
    };
    let (leaving, joining) = (place(epsilon), place(-epsilon));
    let growth = epsilon.exp();
    let first = (1.0 - q - growth) * above(leaving) + q * above(leaving - 1.0 / z);
    let second = above(-joining) - growth * ((1.0 - q) * above(-joining) + q * above(1.0 / z - joining));
    first.max(second)
}

#[test]
fn one_round_has_its_exact_delta() {
    for z in [0.06_f64, 1.0, 1000.0] {
        for q in [1e-3, 0.5, 0.999] {
            let mut accountant = Accountant::new();
            accountant.compose(&sampled(z, q), 1);
            for scale in [0.3, 1.5] {
                let epsilon = scale * (q * (1.0 / z).exp_m1()).ln_1p();
                let (found, exact) = (accountant.delta(epsilon).unwrap(), exact_delta(z, q, epsilon));
                assert!(found >= exact * (1.0 - 1e-9), "{z}, {q}, {epsilon}: {found} below {exact}");
                assert!(found <= exact * 1.02 + 1e-13, "{z}, {q}, {epsilon}: {found} above {exact}");
            }
        }
    }
}

struct Unknown(f64);

impl Mechanism for Unknown {
    fn divergence(&self, _: f64) -> f64 {
        self.0
    }
}

/// A mechanism with an invalid dominating mechanism.
struct Dominated(f64, f64);

impl Mechanism for Dominated {
    fn divergence(&self, _: f64) -> f64 {
        0.0
    }

    fn dominating(&self) -> Option<Gaussian> {
        Some(Gaussian::new(self.0).unwrap())
    }

    fn slack(&self) -> f64 {
        self.1
    }
}

#[test]
fn more_rounds_never_cost_less() {
    let mechanisms: [(&dyn Mechanism, u32); 16] = [
        (&sampled(1.0, 0.01), 100),
        (&sampled(1e161, 0.5), 1),
        (&sampled(1e12, 1e-300), u32::MAX),
        (&sampled(1.0, 0.01), 1),
        (&Gaussian::new(8.0).unwrap(), 1),
        (&Gaussian::new(1e200).unwrap(), 7),
        (&sampled(0.8, 0.001), 50),
        (&sampled(30.0, 0.999_999), 3),
        (&Dominated(50.0, -1.0), 1),
        (&Dominated(50.0, f64::NAN), 1),
        (&SummedDiscreteGaussian::new(3, &DiscreteGaussian::new(1e6).unwrap(), 40.0, 10).unwrap(), 1),
        (&Unknown(-5.0), 1000),
        (&Unknown(1e-3), 1),
        (&sampled(1e-300, 1e-300), 1),
        (&Unknown(f64::NAN), 1),
        (&Unknown(f64::NEG_INFINITY), u32::MAX),
    ];
    let mut accountant = Accountant::new();
    let (mut epsilons, mut deltas) = ([0.0; 2], [0.0; 2]);
    for (i, (mechanism, rounds)) in mechanisms.into_iter().enumerate() {
        accountant.compose(mechanism, rounds);
        let next = [1e-9, 1e-3].map(|delta| accountant.epsilon(delta).unwrap());
        assert!(next[0] >= epsilons[0] && next[1] >= epsilons[1], "{i}: {epsilons:?}, then {next:?}");
        epsilons = next;
        let next = [0.0, 1.0].map(|epsilon| accountant.delta(epsilon).unwrap());
        assert!(
            next[0] >= deltas[0] * 0.999 && next[1] >= deltas[1] * 0.999,
            "{i}: {deltas:?}, then {next:?}"
        );
        deltas = next;
    }
    assert_eq!((epsilons, deltas), ([f64::INFINITY; 2], [1.0; 2]));
}

#[test]
fn a_round_of_almost_no_noise_never_hides_what_was_spent() {
    let mut accountant = Accountant::new();
    accountant.compose(&Gaussian::new(1.0).unwrap(), 1000);
    let before = accountant.epsilon(1e-5).unwrap();
    assert!(before > 600.0);
    for noise_multiplier in [1e161, 1e200, f64::MAX, 1e-200, f64::MIN_POSITIVE, 5e-324] {
        for sampling in [0.5, 5e-324, 1.0 - f64::EPSILON / 2.0] {
            let mut accountant = accountant.clone();
            accountant.compose(&sampled(noise_multiplier, sampling), 1);
            let after = accountant.epsilon(1e-5).unwrap();
            assert!(after >= before, "{noise_multiplier}, {sampling}: {before}, then {after}");
            for order in [1.0, 1.5, 2.0, 4096.0, 1e9, 4_294_967_295.5, f64::MAX, f64::INFINITY, f64::NAN] {
                let divergence = sampled(noise_multiplier, sampling).divergence(order);
                assert!(divergence >= 0.0, "{noise_multiplier}, {sampling}, {order}: {divergence}");
            }
        }
    }
}

#[test]
fn the_minimum_noise_is_that_of_the_exact_formula() {
    // 2437 is the minimum for (0.001, 10⁻⁶) by Balle, Wang, 2018, theorem 8.
    let noise_multiplier = noise_for(Budget { epsilon: 0.001, delta: 1e-6 }, 1, 1.0).unwrap();
    assert!((2436.0..2438.0).contains(&noise_multiplier), "{noise_multiplier}");
    for (epsilon, delta, rounds, sampling) in [(2.0, 1e-6, 1000, 0.01), (0.5, 1e-9, 20, 0.2)] {
        let found = noise_for(Budget { epsilon, delta }, rounds, sampling).unwrap();
        let spent = |factor: f64| accountant(&[(found * factor, sampling, rounds)]).epsilon(delta).unwrap();
        assert!(spent(1.0) <= epsilon && spent(1.0 - 3e-6) > epsilon, "{found}: {}", spent(1.0));
    }
}

#[test]
fn discrete_noise_never_has_less_than_its_exact_delta() {
    // One integer that changes by 1, by the definition of δ.
    for variance in [4.0_f64, 25.0, 400.0] {
        let noise = DiscreteGaussian::new(variance).unwrap();
        let mechanism = SummedDiscreteGaussian::new(1, &noise, 1.0, 1).unwrap();
        let mut spent = Accountant::new();
        spent.compose(&mechanism, 1);
        let mut bounded = Accountant::new();
        bounded.compose(&Gaussian::of_discrete(&noise, 1.0).unwrap(), 1);
        let weights: Vec<f64> = (-400..=400).map(|k| (-f64::from(k * k) / (2.0 * variance)).exp()).collect();
        let total: f64 = weights.iter().sum();
        for tenths in 0..30 {
            let epsilon = f64::from(tenths) * 0.1 / variance.sqrt();
            let gains = weights.windows(2).map(|pair| (pair[1] - epsilon.exp() * pair[0]).max(0.0) / total);
            let exact: f64 = gains.sum::<f64>();
            for found in [spent.delta(epsilon).unwrap(), bounded.delta(epsilon).unwrap()] {
                assert!(found >= exact, "{variance}, {epsilon}: {found} below {exact}");
            }
            let found = spent.delta(epsilon).unwrap();
            assert!(
                variance < 100.0 || found <= 1.05 * exact + 1e-12,
                "{variance}, {epsilon}: {found}, {exact}"
            );
        }
    }
}

#[test]
fn many_different_mechanisms_stay_a_small_state() {
    let mut accountant = Accountant::new();
    let mut before = 0.0;
    for i in 0..40_u32 {
        let change = 1.0 + f64::from(i * 7 % 40) / 100.0;
        accountant.compose(&sampled(3.0 * change, 0.01 * change), 10);
        if i % 13 == 0 {
            let after = accountant.epsilon(1e-5).unwrap();
            assert!(after >= before);
            before = after;
        }
    }
    let text = serde_json::to_string(&accountant).unwrap();
    assert!(text.matches("sampling").count() <= 16 && text.len() < 16_384, "{}", text.len());
    let read: Accountant = serde_json::from_str(&text).unwrap();
    assert_eq!(read, accountant);
    assert_eq!(read.epsilon(1e-5), accountant.epsilon(1e-5));
    // The short list loses little compared with the true value, which is between the extremes.
    let [min, max] = [[4.17, 0.01], [3.0, 0.0139]].map(|[z, q]| {
        let mut extreme = Accountant::new();
        extreme.compose(&sampled(z, q), 400);
        extreme.epsilon(1e-5).unwrap()
    });
    let found = accountant.epsilon(1e-5).unwrap();
    assert!(min < found && found < max, "{min}, {found}, {max}");
}
