//! Aggregations around aggregations.

use std::collections::BTreeMap;

use cipherfold::federated::{
    Structure,
    aggregation::{
        Clipping, Fixed, IgnoringWeights, Mean, MeanSums, ModularClippingSum, Norm, Process,
        SecureModularSum, SecureSum, Sum, UnweightedMean, WeightedProcess, Zeroing, secure_aggregator,
    },
};
use ndarray::{Array1, Array2, array};

use super::support::{both, builder, clear, close, encrypted};

fn fixed(value: f64) -> Fixed {
    Fixed::new(value).unwrap()
}

#[test]
fn clipping_around_zeroing_around_a_secure_mean() {
    type Model = (Array2<f64>, Array1<f64>);
    // Norms 3, 5 and 130. Clipping to 4, then zeroing above 3.5: this zeroes the last two.
    let model = |factor: f64| -> Model { (array![[1.0, 2.0]] * factor, array![2.0] * factor) };
    let mean = || {
        Mean::new(MeanSums {
            values: SecureSum::floats_up_to(50.0).unwrap(),
            weights: SecureSum::floats(0.0, 10.0).unwrap(),
        })
    };
    let zeroing = || Zeroing::new(fixed(3.5), Norm::L2, mean());
    for executor in both() {
        let clients = [model(1.0), model(5.0 / 3.0), model(130.0 / 3.0)];
        let mut process = WeightedProcess::new(Clipping::new(fixed(4.0), zeroing()));
        let round = process.run(&executor, clients.clone(), [1.0, 2.0, 5.0]).unwrap();
        assert!(close(round.value.0[[0, 1]], 2.0 / 8.0, 1e-6), "{:?}", round.value);
        assert!(close(round.value.1[0], 2.0 / 8.0, 1e-6));
        let outer = round.measurements;
        assert_eq!((outer.clipped_count, outer.clipping_norm), (2, 4.0));
        assert_eq!((outer.inner.zeroed_count, outer.inner.zeroing_norm), (2, 3.5));
        assert_eq!(outer.inner.inner.mean_value.secure_upper_threshold, 50.0);
        assert_eq!(outer.inner.inner.mean_weight.secure_upper_clipped_count, 0);
        assert_eq!(round.rounds.len(), 1, "all of it goes through one round");

        // In the opposite order: 5 is zeroed, and 3 is not clipped.
        let mut process =
            WeightedProcess::new(Zeroing::new(fixed(3.5), Norm::L2, Clipping::new(fixed(4.0), mean())));
        let round = process.run(&executor, clients, [1.0, 2.0, 5.0]).unwrap();
        assert_eq!((round.measurements.zeroed_count, round.measurements.inner.clipped_count), (2, 0));
    }
}

#[test]
fn encrypted_and_in_the_clear_agree_to_the_last_bit() {
    let [encrypted, clear] = both().map(|executor| {
        let mut process = WeightedProcess::<Array1<f32>, _>::new(secure_aggregator());
        (0..4)
            .map(|round| {
                let updates =
                    (0..5).map(move |i| Array1::from_shape_fn(7, |j| ((i * j + round) as f32).sin() * 3.0));
                let round = process.run(&executor, updates, (1..=5).map(f64::from)).unwrap();
                (round.value, round.measurements, process.state().clone())
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(encrypted, clear);
}

/// Every number of TFF's recommended composition, against a short model in `f64`.
#[test]
fn the_secure_aggregator_matches_a_model() {
    let executor = clear();
    let mut process = WeightedProcess::<Array1<f64>, _>::new(secure_aggregator());
    let updates = [array![0.3, 0.4], array![-6.0, 8.0], array![25.0, 0.0], array![0.0, -12.0]];
    let weights = [1.0, 20.0, 300.0, 2_000_000.0];
    let (mut zeroing, mut clipping, mut bound) = (10.0_f64, 1.0_f64, 50.0_f64);
    for _ in 0..12 {
        let round = process.run(&executor, updates.clone(), weights).unwrap();
        let (mut sum, mut below) = (array![0.0, 0.0], [0.0; 3]);
        let (mut zeroed, mut clipped, mut total_weight) = (0, 0, 0.0);
        for (update, weight) in updates.iter().zip(weights) {
            let largest = update.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            below[0] += f64::from(largest <= zeroing);
            let is_zeroed = largest > 2.0 * zeroing + 1.0;
            zeroed += u64::from(is_zeroed);
            let update = update * f64::from(!is_zeroed);
            let norm = update.dot(&update).sqrt();
            below[1] += f64::from(norm <= clipping);
            clipped += u64::from(norm > clipping);
            // The weight counts as clipped in both sums.
            let weight = weight.min(f64::from((1 << 20) - 1));
            let update = if norm > clipping { update * clipping / norm } else { update } * weight;
            below[2] += f64::from(update.iter().fold(0.0_f64, |a, b| a.max(b.abs())) <= bound);
            sum += &update.mapv(|x: f64| x.clamp(-2.0 * bound, 2.0 * bound));
            total_weight += weight;
        }
        let found = &round.measurements;
        assert!(close(found.zeroing_norm, 2.0 * zeroing + 1.0, 1e-9 * zeroing));
        assert!(close(found.inner.clipping_norm, clipping, 1e-9 * clipping));
        assert!(close(found.inner.inner.mean_value.secure_upper_threshold, 2.0 * bound, 1e-9 * bound));
        assert_eq!((found.zeroed_count, found.inner.clipped_count), (zeroed, clipped));
        assert_eq!(found.inner.inner.mean_weight.secure_upper_clipped_count, 1);
        let step = (4.0 * bound + f64::from(1 << 20)) / f64::from(u32::MAX);
        let error = (&round.value * total_weight - &sum).mapv(f64::abs);
        assert!(error.iter().all(|error| *error <= 5.0 * step), "{} for {}", round.value, sum / total_weight);
        zeroing *= (-10.0_f64.ln() * (below[0] / 4.0 - 0.98)).exp();
        clipping *= (-0.2 * (below[1] / 4.0 - 0.8)).exp();
        bound *= (-(below[2] / 4.0 - 0.95)).exp();
    }
    assert!(clipping > 1.0 && bound > 50.0 && zeroing > 10.0);
}

#[test]
fn all_structures_of_floats_keep_their_type() {
    type Named = BTreeMap<String, Vec<Array1<f32>>>;
    let named =
        |x: f32| Named::from([("b".into(), vec![array![x], array![]]), ("a".into(), vec![array![2.0 * x]])]);
    let tree = |x: f64| Structure::named([("w", Structure::leaf(x)), ("b", Structure::leaf(-x))]).unwrap();
    let sum = || Clipping::new(fixed(100.0), SecureSum::floats_up_to(10.0).unwrap());
    for executor in both() {
        let result: Named = Process::new(sum()).run(&executor, [named(1.0), named(-3.0)]).unwrap().value;
        assert!((result["a"][0][0] + 4.0).abs() < 1e-6 && (result["b"][0][0] + 2.0).abs() < 1e-6);
        assert!(result["b"][1].is_empty());
        let result: Structure<f64> =
            Process::new(sum()).run(&executor, [tree(1.0), tree(2.5)]).unwrap().value;
        assert!(result.zip_with(&tree(3.5), |a, b| (a - b).abs() < 1e-6).unwrap().iter().all(|close| *close));
    }
}

#[test]
fn clients_are_counted_once_however_many_elements_they_have() {
    for executor in both() {
        let mut process = Process::new(SecureSum::integers(-1, 1).unwrap());
        let clients = [array![5_i8, -5, 5, 0], array![2, 2, 2, 2], array![1, -1, 0, 1], array![-2, 0, 0, 0]];
        let round = process.run(&executor, clients).unwrap();
        assert_eq!(round.value, array![2_i64, -1, 2, 2]);
        let found = round.measurements;
        assert_eq!((found.secure_upper_clipped_count, found.secure_lower_clipped_count), (2, 2));
        assert_eq!((found.secure_upper_threshold, found.secure_lower_threshold), (1, -1));
    }
}

#[test]
fn nan_is_zeroed() {
    for order in [Norm::L2, Norm::LInf] {
        for executor in both() {
            let mut process =
                Process::new(Zeroing::new(fixed(5.0), order, SecureSum::floats_up_to(9.0).unwrap()));
            let clients = [
                array![4.0_f32, 3.0],
                array![f32::NAN, 0.0],
                array![1.0, f32::NEG_INFINITY],
                array![0.0, 5.5],
            ];
            let round = process.run(&executor, clients).unwrap();
            assert_eq!(round.measurements.zeroed_count, 3, "{order:?}");
            assert!((round.value - array![4.0, 3.0]).iter().all(|error| error.abs() < 1e-6));
        }
    }
}

#[test]
fn the_order_of_the_norm_decides() {
    // L2 norm 5, maximum magnitude 4. Only values strictly above a bound are changed.
    for (order, norm, zeroed) in
        [(Norm::L2, 5.0, 0), (Norm::L2, 4.9, 1), (Norm::LInf, 4.0, 0), (Norm::LInf, 3.9, 1)]
    {
        let mut process = Process::new(Zeroing::new(fixed(norm), order, Sum).counted_by(Sum));
        let round = process.run(&clear(), [array![3.0_f32, -4.0]]).unwrap();
        assert_eq!(round.measurements.zeroed_count, zeroed, "{order:?} {norm}");
        assert_eq!(round.value, if zeroed == 0 { array![3.0, -4.0] } else { array![0.0, 0.0] });
    }
}

#[test]
fn weights_can_be_ignored() {
    let mean =
        || UnweightedMean::new(SecureSum::floats_up_to(9.0).unwrap(), SecureSum::integers(0, 1).unwrap());
    for executor in both() {
        let mut process = WeightedProcess::new(Clipping::new(fixed(2.0), IgnoringWeights(mean())));
        let round = process.run(&executor, [1.0_f32, 2.0, 8.0], [100.0, 1.0, 0.0]).unwrap();
        assert!((round.value - 5.0 / 3.0).abs() < 1e-6);
    }
}

#[test]
fn modular_sums_wrap_within_wrapped_ones() {
    for executor in both() {
        let inner = SecureModularSum::new(1 << 40).unwrap();
        let mut process = Process::new(ModularClippingSum::new(-8, 8, inner).unwrap());
        let clients = [array![7_i64, i64::MIN], array![7, i64::MAX], array![7, 100]];
        assert_eq!(process.run(&executor, clients).unwrap().value, array![5, 3]);
    }
}

#[test]
fn clients_that_drop_out_are_in_no_sum_and_no_count() {
    for executor in
        [builder(), builder().in_the_clear()].map(|builder| builder.min_clients(1).build().unwrap())
    {
        let mean =
            UnweightedMean::new(SecureSum::floats_up_to(9.0).unwrap(), SecureSum::integers(0, 1).unwrap());
        let mut process = Process::<f32, _>::new(Clipping::new(fixed(2.0), mean));
        let round = process.run(&executor, [Some(1.0), None, Some(5.0), None]).unwrap();
        assert!((round.value - 1.5).abs() < 1e-6);
        assert_eq!(round.measurements.clipped_count, 1);
        assert_eq!(round.rounds[0].clients, 2);

        let mut process = WeightedProcess::<f32, _>::new(Mean::default());
        let round = process.run(&executor, [Some(1.0), None, Some(5.0)], [1.0, 100.0, 3.0]).unwrap();
        assert_eq!(round.value, 4.0);
    }
}

#[test]
fn one_ciphertext_serves_many_small_sums() {
    // A value, two flags and a count of clipping: a few slots, and 512 bits hold a dozen of 34
    // bits.
    let mut process = Process::new(Clipping::new(fixed(2.0), SecureSum::floats_up_to(9.0).unwrap()));
    let round = process.run(&encrypted(), [1.0_f32, 5.0]).unwrap();
    assert!(round.rounds[0].ciphertexts <= 2, "{}", round.rounds[0]);
}
