use super::{super::gaussian::Gaussian, *};

/// A mechanism with the same cost at all orders, like pure differential privacy.
struct Constant(f64);

impl Mechanism for Constant {
    fn divergence(&self, _: f64) -> f64 {
        self.0
    }
}

#[test]
fn conversion_gives_published_figures() {
    // Google's dp_accounting: pure 1.1-DP at δ = 10⁻⁵, orders up to 32, and the noise for
    // exactly (1, 10⁻⁶).
    assert!((epsilon(32.0, 1.1, 1e-5) - 1.327_838_061_76).abs() < 1e-11);
    assert!((delta(32.0, 1.1, 1.327_838_061_76) - 1e-5).abs() < 1e-14);
    let dense = (1001..100_000_u32).map(|order| f64::from(order) / 1000.0);
    let least = |convert: &dyn Fn(f64, f64) -> f64| {
        let results = dense.clone().map(|order| convert(order, order / (2.0 * 4.530_877_117_f64.powi(2))));
        results.fold(f64::INFINITY, f64::min)
    };
    assert!((least(&|order, divergence| epsilon(order, divergence, 1e-6)) - 1.0).abs() < 1e-7);
    assert!((least(&|order, divergence| delta(order, divergence, 1.0)) / 1e-6 - 1.0).abs() < 1e-6);

    // The stored orders are almost as good as all orders.
    let mut accountant = Accountant::new();
    accountant.compose(&Gaussian::new(4.530_877_117).unwrap(), 1);
    let excess = accountant.renyi_epsilon(1e-6) - 1.0;
    assert!((-1e-9..1e-3).contains(&excess), "{excess}");
}

#[test]
fn no_statement_is_better_than_the_exact_one() {
    // Balle, Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML 2018,
    // theorem 8: the exact δ(ε) of one Gaussian; 16 rounds at four times the noise are the same
    // Gaussian.
    let phi = |x: f64| libm::erfc(-x / 2.0_f64.sqrt()) / 2.0;
    for noise in [0.3, 0.7, 1.0, 2.0, 5.0, 20.0] {
        for epsilon in [0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0] {
            let mut accountant = Accountant::new();
            accountant.compose(&Gaussian::new(4.0 * noise).unwrap(), 16);
            let middle = 0.5 / noise;
            let exact = phi(middle - epsilon * noise) - epsilon.exp() * phi(-middle - epsilon * noise);
            let found = accountant.delta(epsilon).unwrap();
            assert!(found >= exact - 1e-15, "{noise}, {epsilon}: {found} below {exact}");
            if exact > 1e-9 {
                assert!(found <= exact * (1.0 + 1e-4), "{noise}, {epsilon}: {found} above {exact}");
            }
            // In these cases, the conversion from divergences is known to lose at most a factor
            // of about ten in δ.
            accountant.losses = None;
            let found = accountant.delta(epsilon).unwrap();
            assert!(found >= exact - 1e-15 && (exact <= 1e-9 || found <= 12.0 * exact));
        }
    }
}

#[test]
fn epsilon_and_delta_invert_each_other() {
    for divergence in [0.1, 1.0, 30.0] {
        let mut accountant = Accountant::new();
        accountant.compose(&Constant(divergence), 1);
        for delta in [1e-2, 1e-5, 1e-9] {
            let epsilon = accountant.epsilon(delta).unwrap();
            assert!(epsilon > 0.0);
            assert!((accountant.delta(epsilon).unwrap() / delta - 1.0).abs() < 1e-9, "{divergence}, {delta}");
        }
    }
}

#[test]
fn rounds_add_up() {
    let mut one_by_one = Accountant::default();
    for _ in 0..8 {
        one_by_one.compose(&Constant(0.25), 1);
    }
    let mut at_once = Accountant::new();
    at_once.compose(&Constant(0.25), 5);
    at_once.compose(&Constant(0.75), 1);
    at_once.compose(&Constant(f64::INFINITY), 0);
    assert_eq!(one_by_one, at_once);
}

#[test]
fn nothing_spent_is_nothing_and_infinity_everything() {
    let mut accountant = Accountant::new();
    assert_eq!((accountant.epsilon(1e-9), accountant.delta(0.0)), (Ok(0.0), Ok(0.0)));
    accountant.compose(&Constant(1e-20), 1);
    assert_eq!(accountant.epsilon(1e-9), Ok(0.0));
    accountant.compose(&Constant(f64::INFINITY), 1);
    assert_eq!((accountant.epsilon(1e-9), accountant.delta(5.0)), (Ok(f64::INFINITY), Ok(1.0)));
    assert_eq!(accountant.delta(f64::INFINITY), Ok(1.0));
}

#[test]
fn impossible_epsilons_and_deltas_are_refused() {
    let accountant = Accountant::new();
    for delta in [0.0, 1.0, -1e-5, f64::NAN] {
        assert!(accountant.epsilon(delta).is_err());
    }
    for epsilon in [-0.1, f64::NAN] {
        assert!(accountant.delta(epsilon).is_err());
    }
}

fn both_formats(accountant: &Accountant) {
    let text = serde_json::to_string(accountant).unwrap();
    assert_eq!(serde_json::from_str::<Accountant>(&text).unwrap(), *accountant);
    let bytes = postcard::to_stdvec(accountant).unwrap();
    assert_eq!(postcard::from_bytes::<Accountant>(&bytes).unwrap(), *accountant);
}

#[test]
fn the_state_survives_serialisation() {
    let mut accountant = Accountant::new();
    for (noise_multiplier, sampling, rounds) in [(2.0, 1.0, 3), (1.0, 0.25, 7), (0.7, 0.01, u32::MAX)] {
        both_formats(&accountant);
        accountant.compose(&Gaussian::new(noise_multiplier).unwrap().sampled(sampling).unwrap(), rounds);
    }
    assert!(accountant.losses.is_some());
    for divergence in [0.0, 0.375, f64::INFINITY] {
        both_formats(&accountant);
        accountant.compose(&Constant(divergence), 1);
    }
    both_formats(&accountant);
}

/// Its own cost is unknown, but the cost of a worse mechanism is known.
struct Dominated {
    gaussian: Gaussian,
    slack: f64,
}

impl Mechanism for Dominated {
    fn divergence(&self, _: f64) -> f64 {
        f64::NAN
    }

    fn dominating(&self) -> Option<Gaussian> {
        Some(self.gaussian)
    }

    fn slack(&self) -> f64 {
        self.slack
    }
}

#[test]
fn a_dominating_mechanism_is_enough() {
    let gaussian = Gaussian::new(2.0).unwrap();
    let mut exact = Accountant::new();
    exact.compose(&gaussian, 3);
    for slack in [0.0, 1e-3, -1.0, f64::NAN, f64::INFINITY, 10.0] {
        let mut accountant = Accountant::new();
        accountant.compose(&Dominated { gaussian, slack }, 3);
        both_formats(&accountant);
        let excess = accountant.epsilon(1e-5).unwrap() - exact.epsilon(1e-5).unwrap();
        assert!(excess >= -1e-6, "{slack}: {excess}");
        assert_eq!(accountant.losses.is_some(), slack < 0.01, "{slack}");
        let is_small = (0.0..0.01).contains(&slack);
        assert!(!is_small || excess < 8.0 * slack + 1e-6, "{slack}: {excess}");
    }
}

#[test]
fn states_are_bounded_where_they_are_read() {
    let state = |spent: &[(f64, f64)], losses: &str| {
        let spent: Vec<_> = spent.iter().map(|&(order, divergence)| Spent { order, divergence }).collect();
        let text = format!(r#"{{"spent":{},"losses":{losses}}}"#, serde_json::to_string(&spent).unwrap());
        serde_json::from_str::<Accountant>(&text)
    };
    assert!(state(&[(2.0, 1.0), (3.5, 1.0)], "null").is_ok());
    let many: Vec<_> = (0..513).map(|i| (2.0 + f64::from(i), 0.0)).collect();
    let bad: [&[(f64, f64)]; 11] = [
        &[],
        &many,
        &[(1.0, 1.0)],
        &[(1.0 + 1e-9, 1.0)],
        &[(f64::NAN, 1.0)],
        &[(4096.5, 1.0)],
        &[(3e7, 1.0)],
        &[(4_294_967_295.5, 1.0)],
        &[(1e300, 1.0)],
        &[(2.0, -1.0)],
        &[(3.0, 1.0), (2.0, 1.0)],
    ];
    for spent in bad {
        assert!(state(spent, "null").is_err(), "{spent:?}");
    }
    let entry = |z: f64, q: f64, rounds: u64| {
        format!(r#"{{"noise_multiplier":{z:?},"sampling":{q:?},"rounds":{rounds}}}"#)
    };
    let losses = |always: f64, slack: f64, sampled: &[String]| {
        format!(r#"{{"always":{always:?},"slack":{slack:?},"sampled":[{}]}}"#, sampled.join(","))
    };
    let spent = [(2.0, 1.0)];
    assert!(state(&spent, &losses(1.0, 0.0, &[])).is_ok());
    assert!(state(&spent, &losses(0.0, 0.0, &[entry(1.0, 0.5, 10)])).is_ok());
    let in_order: Vec<_> = (0..17).map(|i| entry(1.0 + f64::from(i), 0.5, 10)).collect();
    for bad in [
        losses(0.0, 0.0, &[]), // costs less than the accumulated divergence
        losses(0.9, 0.0, &[]),
        losses(-1.0, 0.0, &[entry(1.0, 0.5, 10)]),
        losses(1e13, 0.0, &[]),
        losses(1.0, -1.0, &[]),
        losses(1.0, 2.0, &[]),
        losses(1.0, 0.0, &[entry(1e-3, 0.5, 1)]),
        losses(1.0, 0.0, &[entry(1e13, 0.5, 1)]),
        losses(1.0, 0.0, &[entry(1.0, 0.0, 1)]),
        losses(1.0, 0.0, &[entry(1.0, 1.0, 1)]),
        losses(1.0, 0.0, &[entry(1.0, 0.5, 0)]),
        losses(1.0, 0.0, &[entry(1.0, 0.5, u64::MAX)]),
        losses(1.0, 0.0, &[entry(2.0, 0.5, 1), entry(1.0, 0.5, 1)]),
        losses(1.0, 0.0, &in_order),
    ] {
        assert!(state(&spent, &bad).is_err(), "{bad}");
    }
}
