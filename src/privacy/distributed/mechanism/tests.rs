use super::*;
use crate::privacy::{
    accounting::Accountant,
    norm::l2_norm,
    test_support::{moments, rng},
};

/// TFF's test factory.
fn parameters() -> DistributedParameters {
    DistributedParameters {
        bits: 16,
        noise_multiplier: 0.5,
        clients: 100,
        dimension: 50,
        ..DistributedParameters::DEFAULTS
    }
}

fn sum(mechanism: &DistributedGaussian, updates: &[Vec<f64>], rotation: &Rotation, seed: u8) -> Vec<i64> {
    let rng = &mut rng(seed);
    let mut sum = vec![0; mechanism.encoded_len()];
    for update in updates {
        let encoded = mechanism.encode_vartime(update, rotation, rng).unwrap();
        sum.iter_mut().zip(encoded.iter()).for_each(|(sum, x)| *sum += x);
    }
    sum
}

#[test]
fn bad_parameters_are_refused() {
    // TFF's cases; those of a wrong type or an unknown mechanism do not compile here.
    let base = parameters();
    // No machine with addresses of 32 bits can state the number.
    let beyond_2_40 = usize::try_from((1_u64 << 40) + 1).unwrap_or(usize::MAX);
    for (name, bad) in [
        ("noise_multiplier", DistributedParameters { noise_multiplier: -1.0, ..base }),
        ("bits", DistributedParameters { bits: 0, ..base }),
        ("bits", DistributedParameters { bits: 25, ..base }),
        ("modclip_prob", DistributedParameters { modclip_prob: 0.0, ..base }),
        ("modclip_prob", DistributedParameters { modclip_prob: 1.0, ..base }),
        ("modclip_prob", DistributedParameters { modclip_prob: -1.0, ..base }),
        ("clients", DistributedParameters { clients: 0, ..base }),
        ("clip", DistributedParameters { clip: 0.0, ..base }),
        ("clip", DistributedParameters { clip: -1.0, ..base }),
        ("beta", DistributedParameters { beta: -1.0, ..base }),
        ("beta", DistributedParameters { beta: 1.0, ..base }),
        // Further cases.
        ("noise_multiplier", DistributedParameters { noise_multiplier: f64::NAN, ..base }),
        ("clip", DistributedParameters { clip: f64::INFINITY, ..base }),
        ("modclip_prob", DistributedParameters { modclip_prob: f64::NAN, ..base }),
        ("clip", DistributedParameters { clip: 1.7e308, ..base }),
        ("clip", DistributedParameters { clip: 5e-324, ..base }),
        ("noise_multiplier", DistributedParameters { noise_multiplier: 1e300, ..base }),
        ("max_clients", DistributedParameters { max_clients: Some(99), ..base }),
        ("dimension", DistributedParameters { dimension: beyond_2_40, ..base }),
        ("dimension", DistributedParameters { dimension: usize::MAX / 2 + 2, ..base }),
        ("dimension", DistributedParameters { dimension: usize::MAX, ..base }),
    ] {
        match DistributedGaussian::new(bad) {
            Err(Error::Parameter { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    // 2^b < n; and 2^b < k·√n with n small enough for the first.
    for (bits, clients, modclip_prob) in [(6, 65, 0.5), (1, 2, 1e-4)] {
        let error = DistributedGaussian::new(DistributedParameters { clients, bits, modclip_prob, ..base });
        assert_eq!(error, Err(Error::ModulusTooSmall { bits, clients, modclip_prob }));
    }
    assert!(DistributedGaussian::new(DistributedParameters { bits: 6, clients: 64, ..base }).is_ok());
}

#[test]
fn the_scale_solves_its_equation() {
    for (noise_multiplier, clients, bits, clip, dimension) in
        [(0.5, 100, 16, 0.1, 50), (1.0, 1000, 20, 1.0, 1 << 14), (0.0, 40, 12, 10.0, 3)]
    {
        let parameters = DistributedParameters {
            clip,
            noise_multiplier,
            clients,
            bits,
            dimension,
            ..DistributedParameters::DEFAULTS
        };
        let mechanism = DistributedGaussian::new(parameters).unwrap();
        let (gamma, n, d) = (1.0 / mechanism.scale(), f64::from(clients), to_float(mechanism.encoded_len()));
        let share = noise_multiplier * clip / n.sqrt();
        let variance = (clip * n).powi(2) / d + (gamma * gamma / 4.0 + share * share) * n;
        // 99.99 % of a Gaussian are within 3.8905918864131 deviations.
        let width = 2.0 * 3.890_591_886_413_1 * variance.sqrt() / gamma;
        assert!((width / f64::from(1 << bits) - 1.0).abs() < 1e-12);
        assert!((mechanism.local_stddev() - share / gamma).abs() <= 1e-9 * mechanism.local_stddev());
        let bound = clip / gamma + d.sqrt();
        assert!(mechanism.l2_bound() <= bound && mechanism.l2_bound() > bound - 1.0);
        assert_eq!(mechanism.range.modulus(), 1 << bits);
    }
    // TFF's reason for a maximum scale: no noise, 20 bits and 10 clients.
    let capped = DistributedGaussian::new(DistributedParameters {
        noise_multiplier: 0.0,
        clients: 10,
        dimension: 1 << 20,
        ..DistributedParameters::DEFAULTS
    })
    .unwrap();
    assert_eq!(capped.scale(), 1e6);
}

#[test]
fn quantiles_are_those_of_tables() {
    for (probability, expected) in
        [(0.05, 1.959_963_984_540_054), (0.317_310_507_862_914_1, 1.0), (0.5, 0.674_489_750_196_081_7)]
    {
        assert!((two_sided_quantile(probability) - expected).abs() < 1e-12);
    }
    assert!((37.0..38.6).contains(&two_sided_quantile(1e-308)));
    assert!(two_sided_quantile(1.0 - 1e-15) < 1e-14);
}

#[test]
fn sums_without_noise_are_those_of_tff() {
    // distributed_dp_test, test_sum: a scalar, and a matrix, with both kinds of rounding.
    for (clients, expected) in [
        (vec![vec![-1.0], vec![2.0], vec![3.0]], vec![4.0]),
        (vec![vec![1.0, 2.0, 1.0, 2.0], vec![2.0, 1.0, 2.0, 1.0]], vec![3.0; 4]),
    ] {
        for beta in [0.0, (-0.5_f64).exp()] {
            let count = u32::try_from(clients.len()).unwrap();
            let parameters = DistributedParameters {
                clip: 10.0,
                beta,
                noise_multiplier: 0.0,
                clients: count,
                dimension: expected.len(),
                ..DistributedParameters::DEFAULTS
            };
            let mechanism = DistributedGaussian::new(parameters).unwrap();
            for round in 0..2 {
                let rotation = mechanism.rotation(&[5; 32], round);
                let found =
                    mechanism.decode(&sum(&mechanism, &clients, &rotation, 1), count, &rotation).unwrap();
                for (x, y) in found.iter().zip(&expected) {
                    assert!((x - y).abs() < 1e-3, "{found:?}");
                }
            }
        }
    }
}

#[test]
fn the_sum_has_the_mean_and_the_noise_that_were_predicted() {
    let clients = 20;
    for beta in [0.0, (-0.5_f64).exp()] {
        let parameters = DistributedParameters {
            clip: 2.0,
            bits: 18,
            beta,
            noise_multiplier: 0.7,
            clients,
            dimension: 50,
            ..DistributedParameters::DEFAULTS
        };
        let mechanism = DistributedGaussian::new(parameters).unwrap();
        // The last update is too long, and counts as clipped.
        let mut updates: Vec<Vec<f64>> = (0..clients)
            .map(|i| (0..50).map(|j| f64::from((i * 31 + j * 17) % 23) / 60.0 - 0.18).collect())
            .collect();
        updates[19].iter_mut().for_each(|x| *x *= 10.0);
        let mut clipped = updates.clone();
        for (i, update) in clipped.iter_mut().enumerate() {
            assert_eq!(clip_l2(update, 2.0).unwrap() > 2.0, i == 19);
        }
        let expected: Vec<f64> = (0..50).map(|j| clipped.iter().map(|update| update[j]).sum()).collect();

        let mut errors = vec![];
        for round in 0..200 {
            let rotation = mechanism.rotation(&[8; 32], round.into());
            let sum = sum(&mechanism, &updates, &rotation, round);
            let found = mechanism.decode(&sum, clients, &rotation).unwrap();
            errors.extend(found.iter().zip(&expected).map(|(x, y)| x - y));
            // Multiples of the modulus do not change the result.
            let wrapped: Vec<i64> = sum.iter().map(|x| mechanism.range.clip(*x + (1 << 18))).collect();
            assert_eq!(mechanism.decode(&wrapped, clients, &rotation).unwrap(), found);
        }
        let (mean, variance) = moments(&errors);
        let count = to_float(errors.len());
        // Noise of 0.7·2, and rounding errors of up to 1/4 each, which are less than a
        // millionth of it.
        let predicted = 1.4_f64.powi(2);
        assert!(mean.abs() < 5.0 * (predicted / count).sqrt(), "{mean}");
        assert!(
            (variance / predicted - 1.0).abs() < 5.0 * (2.0 / count).sqrt(),
            "{variance}, not {predicted}"
        );
    }
}

#[test]
fn values_wrap_as_rarely_as_was_asked() {
    // The worst case for the scale: all clients contribute the same long update.
    let parameters = DistributedParameters {
        clip: 1.0,
        bits: 10,
        modclip_prob: 0.01,
        noise_multiplier: 0.5,
        clients: 8,
        dimension: 64,
        ..DistributedParameters::DEFAULTS
    };
    let mechanism = DistributedGaussian::new(parameters).unwrap();
    let updates = vec![vec![0.125; 64]; 8];
    let (mut wrapped, mut total) = (0, 0);
    for round in 0..200 {
        let rotation = mechanism.rotation(&[8; 32], round.into());
        let found = sum(&mechanism, &updates, &rotation, round);
        wrapped += found.iter().filter(|x| mechanism.range.clip(**x) != **x).count();
        total += found.len();
    }
    // About 128 of 12,800. Coordinates of a round are dependent, so the count varies more than
    // independent ones would.
    assert!((64..200).contains(&wrapped), "{wrapped} of {total}");
}

#[test]
fn the_cost_follows_from_the_parameters() {
    let mechanism = DistributedGaussian::new(DistributedParameters {
        clip: 1.0,
        noise_multiplier: 1.0,
        clients: 100,
        dimension: 1000,
        ..DistributedParameters::DEFAULTS
    })
    .unwrap();
    let multiplier = mechanism.effective_noise_multiplier();
    assert!((0.95..1.0).contains(&multiplier), "{multiplier}");
    let cost = mechanism.mechanism(100).unwrap().concentrated_epsilon();
    assert!((cost * multiplier - 1.0).abs() < 1e-9);
    // The adversary knows half of the noise: half the variance remains.
    let cost_of_half = mechanism.mechanism(50).unwrap().concentrated_epsilon();
    assert!((cost_of_half / cost - 2.0_f64.sqrt()).abs() < 1e-9);
    assert!(mechanism.mechanism(0).is_err());

    // Without noise, or with too little for the proof, there is no guarantee.
    for noise_multiplier in [0.0, 1e-4] {
        let parameters = DistributedParameters { noise_multiplier, bits: 12, ..*mechanism.parameters() };
        let mut accountant = Accountant::new();
        accountant.compose(&DistributedGaussian::new(parameters).unwrap().mechanism(100).unwrap(), 1);
        assert_eq!(accountant.epsilon(1e-5), Ok(f64::INFINITY));
    }
}

#[test]
fn numbers_that_json_cannot_carry_are_not_read() {
    let good = DistributedParameters { noise_multiplier: 1.0, ..DistributedParameters::DEFAULTS };
    for clip in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let bytes = postcard::to_allocvec(&DistributedParameters { clip, ..good }).unwrap();
        assert!(postcard::from_bytes::<DistributedParameters>(&bytes).is_err(), "{clip}");
    }
    let bytes = postcard::to_allocvec(&good).unwrap();
    assert_eq!(postcard::from_bytes::<DistributedParameters>(&bytes).unwrap(), good);
}

/// Typical and worst-case updates, at every extreme of the accepted parameters.
#[test]
fn all_accepted_parameters_give_finite_and_bounded_sums() {
    let mut accepted = 0;
    for clip in [MIN_CLIP, 1e-300, 1e-10, 1.0, 1e10, 1e280, MAX_CLIP, f64::MAX, 1e-310] {
        for noise_multiplier in [0.0, 1e-300, 0.5, 1e3, 1_048_576.0, 1e30] {
            for (clients, max_clients) in [(1, None), (3, None), (2, Some(3)), (1000, Some(1 << 21))] {
                for bits in [1, 2, 8, 22] {
                    for modclip_prob in [1e-308, 1e-4, 0.999, 1.0 - 1e-16] {
                        let parameters = DistributedParameters {
                            clip,
                            bits,
                            modclip_prob,
                            max_clients,
                            noise_multiplier,
                            clients,
                            dimension: 3,
                            ..DistributedParameters::DEFAULTS
                        };
                        accepted += u32::from(gives_finite_sums(parameters));
                    }
                }
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
    // A bias close to 1 would draw forever, and is refused.
    for beta in [0.9, 0.99, 0.999_999, 1.0 - f64::EPSILON / 2.0] {
        for clip in [1e-5, 1e-3, 1.0] {
            let parameters = DistributedParameters {
                clip,
                beta,
                noise_multiplier: 0.5,
                clients: 3,
                dimension: 3,
                ..DistributedParameters::DEFAULTS
            };
            assert_eq!(gives_finite_sums(parameters), beta <= 0.99);
        }
    }
}

fn gives_finite_sums(parameters: DistributedParameters) -> bool {
    let Ok(mechanism) = DistributedGaussian::new(parameters) else { return false };
    let rotation = mechanism.rotation(&[3; 32], 0);
    let updates = [vec![f64::MAX; 3], vec![parameters.clip / 2.0, 0.0, -1e-320]];
    let most = parameters.most_clients();
    let clients = most.min(2) as usize;
    let sums = [sum(&mechanism, &updates[..clients], &rotation, 9), vec![i64::MAX; 4], vec![i64::MIN; 4]];
    for sum in sums {
        let found = mechanism.decode(&sum, most, &rotation).unwrap();
        // Within the modulus.
        let bound = f64::from(1 << parameters.bits) / mechanism.scale() * 2.0;
        assert!(bound.is_finite() && found.iter().all(|x| x.abs() <= bound), "{parameters:?}: {found:?}");
    }
    assert!(mechanism.effective_noise_multiplier() >= 0.0, "{parameters:?}");
    assert!(mechanism.local_stddev().is_finite() && mechanism.l2_bound().is_finite());
    let error = Error::MoreClientsThanExpected { expected: most, found: most + 1 };
    assert_eq!(mechanism.decode(&[0; 4], most + 1, &rotation), Err(error));
    true
}

#[test]
fn a_modulus_for_more_clients_than_expected_holds_their_sum() {
    // Twice the expected number of clients, all with the same long update: too many for the
    // modulus of the expected number.
    let parameters = DistributedParameters {
        clip: 10.0,
        bits: 12,
        noise_multiplier: 0.0,
        clients: 10,
        dimension: 2,
        ..DistributedParameters::DEFAULTS
    };
    let updates = vec![vec![6.0, -8.0]; 20];
    let found = |parameters: DistributedParameters| {
        let mechanism = DistributedGaussian::new(parameters).unwrap();
        let rotation = mechanism.rotation(&[7; 32], 0);
        mechanism.decode(&sum(&mechanism, &updates, &rotation, 2), 20, &rotation)
    };
    let error = Error::MoreClientsThanExpected { expected: 10, found: 20 };
    assert_eq!(found(parameters), Err(error));
    let found = found(DistributedParameters { max_clients: Some(20), ..parameters }).unwrap();
    assert!((found[0] - 120.0).abs() < 4.0 && (found[1] + 160.0).abs() < 4.0, "{found:?}");
    // Each adds the share of one of the expected ten clients.
    let parameters = DistributedParameters {
        max_clients: Some(40),
        noise_multiplier: 1.0,
        clients: 10,
        dimension: 2,
        ..DistributedParameters::DEFAULTS
    };
    let mechanism = DistributedGaussian::new(parameters).unwrap();
    let share = mechanism.local_stddev() / mechanism.scale();
    assert!((share / (0.1 / 10.0_f64.sqrt()) - 1.0).abs() < 1e-6, "{share}");
}

#[test]
fn bad_updates_and_sums_are_refused() {
    let mechanism = DistributedGaussian::new(parameters()).unwrap();
    let rotation = mechanism.rotation(&[0; 32], 0);
    let encode =
        |update: &[f64], rotation| mechanism.encode_vartime(update, rotation, &mut rng(0)).map(|_| ());
    assert_eq!(encode(&[0.0; 49], &rotation), Err(Error::VectorLength { expected: 50, found: 49 }));
    let mut update = [0.0; 50];
    update[7] = f64::NAN;
    assert_eq!(encode(&update, &rotation), Err(Error::NotFinite { index: 7 }));
    let other = Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: 51 });
    assert_eq!(encode(&[0.0; 50], &other), Err(Error::VectorLength { expected: 51, found: 50 }));
    assert_eq!(mechanism.decode(&[0; 64], 100, &other), Err(Error::VectorLength { expected: 50, found: 51 }));
    assert_eq!(
        mechanism.decode(&[0; 63], 100, &rotation),
        Err(Error::VectorLength { expected: 64, found: 63 })
    );
}

#[test]
fn encoded_vectors_are_in_range_and_differ_from_round_to_round() {
    let mechanism = DistributedGaussian::new(parameters()).unwrap();
    let update: Vec<f64> = (0..50).map(f64::from).collect();
    assert!(l2_norm(&update) > 0.1);
    let rng = &mut rng(4);
    let [first, second] = [0, 1]
        .map(|round| mechanism.encode_vartime(&update, &mechanism.rotation(&[0; 32], round), rng).unwrap());
    assert!(first.iter().chain(second.iter()).all(|x| mechanism.range.clip(*x) == *x));
    assert_ne!(first, second);
}
