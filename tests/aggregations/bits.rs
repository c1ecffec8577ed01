//! Secure sums with a stated number of bits for every number.

use cipherfold::{
    federated::{
        Error, LocalExecutor, PlacementKind,
        aggregation::{
            Bounds, CentralDpSum, Clipping, Fixed, Mean, MeanSums, NoisyCount, NormOrder, Process, Quantile,
            SecureClippingSum, Sum, UnweightedMean, WeightedProcess, Zeroing, secure_aggregator,
            secure_aggregator_with_bits,
        },
        report::Report,
        tensor,
    },
    packing::{self, Quantizer},
    paillier::Bits2048,
    privacy::{QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::support::{both, clear, clear_for_one, close};

fn fixed(value: f64) -> Fixed {
    Fixed::new(value).unwrap()
}

fn geometric(initial: f64) -> Quantile {
    let parameters = QuantileParameters { initial, target: 0.5, learning_rate: 0.4 };
    Quantile::new(QuantileEstimator::geometric(parameters).unwrap())
}

/// Numbers, some of them beyond ±2.
fn updates(clients: usize, len: usize) -> Vec<Array1<f64>> {
    (0..clients).map(|i| Array1::from_shape_fn(len, |j| ((i * len + j) as f64).sin() * 2.5)).collect()
}

fn clipped_sum(updates: &[Array1<f64>], lower: f64, upper: f64) -> Array1<f64> {
    updates.iter().map(|x| x.mapv(|x| x.clamp(lower, upper))).reduce(|sum, x| sum + x).unwrap()
}

#[test]
fn a_sum_is_within_its_stated_error_of_the_exact_one() {
    let updates = updates(7, 50);
    let exact = clipped_sum(&updates, -2.0, 2.0);
    for executor in both() {
        for bits in [2, 4, 8, 16, 32, 48] {
            let sum = SecureClippingSum::floats_up_to(2.0).unwrap().with_bits(bits).unwrap();
            let round = Process::new(sum).run(&executor, updates.clone()).unwrap();
            let bound = 7.0 * Quantizer::symmetric(2.0, bits).unwrap().error_bound();
            let worst = (&round.value - &exact).iter().fold(0.0_f64, |worst, x| worst.max(x.abs()));
            assert!(worst <= bound, "{bits} bits: {worst} above {bound}");
            // The precision is not better than the bits allow, either.
            assert!(bits > 16 || worst > bound / 100.0, "{bits} bits: {worst}, bound {bound}");
            assert_eq!(round.measurements.secure_upper_threshold, 2.0);
            assert_eq!(round.measurements.secure_upper_clipped_count, 7);
        }
    }
}

#[test]
fn all_forms_of_floats_have_bits() {
    let updates = updates(5, 20);
    let bound = |lower, upper| 5.0 * Quantizer::new(lower, upper, 12).unwrap().error_bound();
    let far = |found: Array1<f64>, (lower, upper): (f64, f64)| {
        let exact = clipped_sum(&updates, lower, upper);
        let worst = (found - exact).iter().fold(0.0_f64, |worst, x| worst.max(x.abs()));
        assert!(worst <= bound(lower, upper), "[{lower}, {upper}]: {worst}");
    };
    for executor in both() {
        let sum = SecureClippingSum::floats(-1.0, 2.0).unwrap().with_bits(12).unwrap();
        assert_eq!(sum.bits(), 12);
        far(Process::new(sum).run(&executor, updates.clone()).unwrap().value, (-1.0, 2.0));
        let mut symmetric = Process::new(SecureClippingSum::adaptive(geometric(1.0)).with_bits(12).unwrap());
        let between = Bounds { lower: fixed(0.25), upper: geometric(1.0) };
        let mut between = Process::new(SecureClippingSum::adaptive_between(between).with_bits(12).unwrap());
        for _ in 0..3 {
            let round = symmetric.run(&executor, updates.clone()).unwrap();
            let measured = round.measurements;
            far(round.value, (measured.secure_lower_threshold, measured.secure_upper_threshold));
            let round = between.run(&executor, updates.clone()).unwrap();
            let measured = round.measurements;
            assert_eq!(measured.secure_lower_threshold, 0.25);
            far(round.value, (0.25, measured.secure_upper_threshold));
        }
        assert!(symmetric.state().aggregation.estimator.estimate() > 1.5, "it has learned");
    }
    // The default is TFF's 32 bits.
    assert_eq!(SecureClippingSum::floats_up_to(2.0).unwrap().bits(), 32);
    let in_32 = |sum| Process::new(sum).run(&clear(), [0.1_f64, 0.7]).unwrap().value;
    let of_tff = SecureClippingSum::floats_up_to(2.0).unwrap();
    let stated = of_tff.with_bits(32).unwrap();
    assert_ne!(of_tff, stated);
    assert!(in_32(of_tff) != in_32(stated) && close(in_32(of_tff), in_32(stated), 1e-8));
}

/// Payload of the messages from clients to aggregator, in bytes for each value of a client.
fn bytes_a_value(report: &Report, clients: u64, values: u64) -> f64 {
    let ends = (PlacementKind::Clients, PlacementKind::Aggregator);
    let traffic = report.traffic.iter().find(|traffic| (traffic.from, traffic.to) == ends).unwrap();
    traffic.payload_bytes as f64 / (clients * values) as f64
}

/// The numbers in the documentation of `SecureClippingSum`.
#[test]
fn fewer_bits_make_smaller_messages() {
    let rng = ChaCha20Rng::seed_from_u64(3);
    let executor = LocalExecutor::<Bits2048>::builder().threads(2).rng(rng).build().unwrap();
    let updates = updates(10, 2040);
    let exact = clipped_sum(&updates, -2.0, 2.0);
    let mut found = Vec::new();
    for bits in [None, Some(16), Some(8)] {
        let sum = SecureClippingSum::floats_up_to(2.0).unwrap();
        let sum = bits.map_or(sum, |bits| sum.with_bits(bits).unwrap());
        let round = Process::new(sum).run(&executor, updates.clone()).unwrap();
        let bound = 10.0 * Quantizer::symmetric(2.0, sum.bits()).unwrap().error_bound();
        assert!((&round.value - &exact).iter().all(|error| error.abs() <= bound));
        let report = round.report();
        found.push((report.ciphertexts, bytes_a_value(report, 10, 2040)));
    }
    let (ciphertexts, bytes): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    // One of them is for the counts of clipped clients.
    assert_eq!(ciphertexts, [38, 21, 13]);
    for (found, documented) in bytes.iter().zip([9.56, 5.30, 3.29]) {
        assert!(close(*found, documented, 0.01), "{bytes:?}");
    }
}

#[test]
fn weights_count_in_a_mean_as_their_sum_counts_them() {
    // A step of the weights is 16. They are rounded equally in both sums, so the mean of equal
    // values does not change.
    for executor in both() {
        for (lower, upper) in [(0.0, 1000.0), (10.0, 1000.0), (3.0, 5.0)] {
            let weights = SecureClippingSum::floats(lower, upper).unwrap().with_bits(6).unwrap();
            for products in [None, Some(40)] {
                let values = SecureClippingSum::floats_up_to(1000.0).unwrap();
                let values = products.map_or(values, |bits| values.with_bits(bits).unwrap());
                let mut process = WeightedProcess::new(Mean::new(MeanSums { values, weights }));
                for weights in [[100.0, 7.0, 999.0], [1.0, 1.0, 1.0], [1e9, 1e9, 1e9], [4.3, 4.9, 1.0]] {
                    let round = process.run(&executor, [0.5_f64; 3], weights);
                    let found = match round {
                        Err(error) if error.root() == Error::Tensor(tensor::Error::ZeroTotalWeight) => {
                            assert!(lower == 0.0 && weights[0] < 8.0, "[{lower}, {upper}], {weights:?}");
                            continue;
                        }
                        round => round.unwrap().value,
                    };
                    assert!(close(found, 0.5, 1e-6), "[{lower}, {upper}], {weights:?}: {found}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Outside the clients' values by at most half a step of the products for each client, divided
    /// by the total weight.
    #[test]
    fn means_are_within_the_values_of_their_clients(
        clients in prop::collection::vec((-1.0..1.0_f64, 0.0..9.0_f64), 1..6),
        (products, weights) in (2..48_u32, 2..48_u32),
    ) {
        let (values, raw): (Vec<f64>, Vec<f64>) = clients.iter().copied().unzip();
        let bits = |sum: SecureClippingSum<_>, bits| sum.with_bits(bits).unwrap();
        let weights_sum = bits(SecureClippingSum::floats(0.0, 9.0).unwrap(), weights);
        let sums = MeanSums { values: bits(SecureClippingSum::floats(-9.0, 9.0).unwrap(), products), weights: weights_sum };
        let mean = match WeightedProcess::new(Mean::new(sums)).run(&clear_for_one(), values.clone(), raw.clone()) {
            Err(error) if error.root() == Error::Tensor(tensor::Error::ZeroTotalWeight) => return Ok(()),
            round => round.unwrap().value,
        };
        let quantizer = Quantizer::new(0.0, 9.0, weights).unwrap();
        let counted = |weight: f64| (weight / quantizer.step()).round() * quantizer.step();
        let total: f64 = raw.iter().map(|weight| counted(*weight)).sum();
        let half_steps = raw.len() as f64 * Quantizer::symmetric(9.0, products).unwrap().error_bound();
        let slack = half_steps / total * 1.01 + 1e-9;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(min - slack <= mean && mean <= max + slack, "{mean} of {values:?}, slack {slack}");
    }
}

#[test]
fn compositions_around_it_work_as_before() {
    let inner = || SecureClippingSum::floats_up_to(2.0).unwrap().with_bits(20).unwrap();
    let count = || SecureClippingSum::integers(0, 1).unwrap();
    for executor in both() {
        let clipped = Clipping::new(fixed(2.0), inner());
        let round = Process::new(clipped).run(&executor, [1.0_f32, 3.0, 5.0]).unwrap();
        assert!(close(round.value.into(), 5.0, 1e-5), "{}", round.value);
        assert_eq!(round.measurements.clipped_count, 2);

        let zeroed = Zeroing::new(fixed(2.5), NormOrder::LInf, inner());
        let round = Process::new(zeroed).run(&executor, [1.0_f32, 1.5, 5.0]).unwrap();
        assert!(close(round.value.into(), 2.5, 1e-5), "{}", round.value);

        let mean = UnweightedMean::new(inner(), count());
        let round = Process::new(mean).run(&executor, [1.0_f32, 1.5, 2.0]).unwrap();
        assert!(close(round.value.into(), 1.5, 1e-5), "{}", round.value);

        // Weights of a mean that are clipped, and then summed with bits.
        let weights = Clipping::new(fixed(1.0), inner());
        let mut mean = WeightedProcess::new(Mean::new(MeanSums { values: Sum, weights }));
        let found = mean.run(&executor, [1.0_f64, -1.0], [3.0, 0.5]).unwrap().value;
        assert!(close(found, 1.0 / 3.0, 1e-5), "{found}");

        // Weights with zero noise, products with bits.
        let weights = CentralDpSum::new(fixed(100.0), 0.0).unwrap();
        let mut mean = WeightedProcess::new(Mean::new(MeanSums { values: inner(), weights }));
        let found = mean.run(&executor, [1.0_f64, -1.0], [1.5, 0.5]).unwrap().value;
        assert!(close(found, 0.5, 1e-5), "{found}");

        // A norm with noise around it, and its count with noise.
        let noisy = Clipping::new(geometric(2.0).with_noise(0.5).unwrap(), inner());
        let mut process = Process::new(noisy.counted_by(NoisyCount::new(0.5).unwrap()));
        for _ in 0..2 {
            assert!(process.run(&executor, [0.25_f64, 0.5]).unwrap().value.is_finite());
        }
        assert_eq!(process.epsilon(1e-5), Ok(f64::INFINITY), "an exact sum has no finite cost");
    }
}

#[test]
fn the_secure_aggregator_has_bits() {
    let updates = || (0..4).map(|i| Array1::from_shape_fn(6, |j| ((i * 6 + j) as f32).cos() * 0.1));
    let weights = [1.0, 2.0, 0.5, 3.0];
    let mut processes =
        [secure_aggregator(), secure_aggregator_with_bits(24).unwrap()].map(WeightedProcess::new);
    for round in 0..4 {
        let [as_it_is, with_bits] =
            processes.each_mut().map(|process| process.run(&clear(), updates(), weights).unwrap().value);
        let worst = (as_it_is - with_bits).iter().fold(0.0_f32, |worst, x| worst.max(x.abs()));
        // Half a step of products between -100 and 100 for each client, divided by the total
        // weight.
        assert!(
            worst > 0.0 && worst < 4.0 * 0.5 * 200.0 / f32::powi(2.0, 24) / 6.5 + 1e-6,
            "round {round}: {worst}"
        );
    }
    for bits in [0, 1, 49] {
        let error = secure_aggregator_with_bits(bits).unwrap_err();
        assert_eq!(error, Error::Packing(packing::Error::QuantizerBits { bits }));
    }
}

#[test]
fn bits_and_bounds_that_no_quantizer_has_are_refused() {
    for bits in [0, 1, 49, u32::MAX] {
        let expected = packing::Error::QuantizerBits { bits };
        assert_eq!(SecureClippingSum::floats_up_to(2.0).unwrap().with_bits(bits).unwrap_err(), expected);
        assert_eq!(SecureClippingSum::adaptive(geometric(1.0)).with_bits(bits).unwrap_err(), expected);
    }
    // Fixed bounds end a run, before any client works.
    for (lower, upper, bits) in [(1.0, 1.0, 16), (1.0, 1.0 + 1e-12, 16), (1.0, 2.0, 48)] {
        let sum = SecureClippingSum::floats(lower, upper).unwrap().with_bits(bits).unwrap();
        let error = Process::new(sum).run(&clear_for_one(), [3.0_f64]).unwrap_err();
        let expected = Quantizer::new(lower, upper, bits).unwrap_err();
        assert_eq!(error, Error::Packing(expected));
    }
    // It does not accept NaN either.
    for executor in both() {
        let mut sum = Process::new(SecureClippingSum::floats_up_to(2.0).unwrap().with_bits(16).unwrap());
        let error = sum.run(&executor, [array![0.5_f32, 0.0], array![1.0, f32::NAN]]).unwrap_err();
        assert!(matches!(error, Error::Client { client: 1, .. }), "{error}");
    }
}
