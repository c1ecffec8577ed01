//! Means equal the means of the clipped values, up to the stated error.

use cipherfold::{
    federated::{
        Error, LocalExecutor, round,
        tensor::{self, Scalar},
    },
    packing::{self, Float, Quantizer},
    paillier::Bits2048,
};
use ndarray::{Array1, ArrayD, arr0, array};

use crate::support::{Choices, builder, executor};

/// The tests' requirements for a floating-point number.
trait Number: Float + Scalar {
    /// Largest relative error of a number rounded to this type.
    const ROUNDING: f64;
}

impl Number for f32 {
    const ROUNDING: f64 = f32::EPSILON as f64;
}

impl Number for f64 {
    const ROUNDING: f64 = f64::EPSILON;
}

fn random_quantizer(choices: &mut Choices) -> Quantizer {
    let scale = 10_f64.powi(choices.between(0, 8) as i32 - 4);
    let bits = choices.between(2, 24) as u32;
    let quantizer = match choices.below(3) {
        0 => Quantizer::symmetric(scale, bits),
        1 => Quantizer::new(scale * (choices.unit() - 2.0), scale * choices.unit(), bits),
        _ => Quantizer::new(scale, scale * (1.5 + choices.unit()), bits), // zero is not in the range
    };
    let quantizer = quantizer.unwrap();
    if choices.below(2) == 0 { quantizer } else { quantizer.stochastic() }
}

/// Numbers in the range and some beyond it.
fn random_number<T: Number>(quantizer: &Quantizer, choices: &mut Choices) -> T {
    let (lower, upper) = (quantizer.lower(), quantizer.upper());
    T::from_f64(match choices.below(12) {
        0 => lower,
        1 => upper,
        2 => lower - 1000.0 * choices.unit(),
        3 => upper + 1000.0 * choices.unit(),
        4 => 0.0,
        _ => lower + (upper - lower) * choices.unit(),
    })
}

fn check_random_cases<T: Number>(seed: u64, cases: usize) {
    let executors = [(1, 1), (2, 8), (512, 3)].map(|(chunk, concurrent)| {
        builder().chunk_ciphertexts(chunk).max_concurrent_clients(concurrent).build().unwrap()
    });
    let mut choices = Choices::new(seed);
    for case in 0..cases {
        let weighted = choices.below(2) == 0;
        let tensors = choices.between(usize::from(!weighted), 3);
        let quantizers: Vec<_> = (0..tensors).map(|_| random_quantizer(&mut choices)).collect();
        let shapes: Vec<_> = (0..tensors)
            .map(|_| (0..choices.below(4)).map(|_| choices.below(5)).collect::<Vec<_>>())
            .collect();
        let max_weight = [1, 10, 1000, 1 << 20][choices.below(4)];
        let mut clients: Vec<(u32, Vec<ArrayD<T>>)> = (0..choices.between(2, 20))
            .map(|_| {
                let weight = if weighted { choices.integer(0, max_weight.into()) as u32 } else { 1 };
                let tensor = |(shape, quantizer): (&Vec<usize>, _)| {
                    ArrayD::from_shape_simple_fn(shape.as_slice(), || random_number(quantizer, &mut choices))
                };
                (weight, shapes.iter().zip(&quantizers).map(tensor).collect())
            })
            .collect();
        if weighted {
            clients[0].0 = clients[0].0.max(1);
        }
        let executor = &executors[case % executors.len()];
        let found = if weighted {
            executor.secure_weighted_mean(clients.clone(), max_weight, quantizers.as_slice())
        } else {
            executor.secure_mean(clients.iter().map(|(_, update)| update), quantizers.as_slice())
        };
        let found = found.unwrap_or_else(|error| panic!("{} case {case}: {error}", <T as Scalar>::NAME));

        let total: f64 = clients.iter().map(|(weight, _)| f64::from(*weight)).sum();
        let mut clipped = 0;
        for (i, quantizer) in quantizers.iter().enumerate() {
            let (lower, upper) = (quantizer.lower(), quantizer.upper());
            // Values count as clipped if they are beyond the bounds in their type.
            let [low, high] = [lower, upper].map(|bound| T::from_f64(bound).to_f64());
            let mut mean = ArrayD::<f64>::zeros(shapes[i].as_slice());
            for (weight, update) in &clients {
                mean.zip_mut_with(&update[i], |mean, x| {
                    clipped += u64::from(x.to_f64() < low) + u64::from(x.to_f64() > high);
                    *mean += f64::from(*weight) / total * x.to_f64().clamp(lower, upper);
                });
            }
            let size = lower.abs().max(upper.abs());
            // The result is rounded to the type of the input, and the plain mean has rounding
            // errors too.
            let allowed = quantizer.error_bound() + size * (T::ROUNDING + 100.0 * f64::EPSILON);
            assert_eq!(found.value[i].shape(), shapes[i]);
            for (found, mean) in found.value[i].iter().zip(&mean) {
                let error = (found.to_f64() - mean).abs();
                assert!(
                    error <= allowed,
                    "{} case {case}: {found} is {error:e} from {mean}",
                    <T as Scalar>::NAME
                );
            }
        }
        assert_eq!(found.report().clipped_values, clipped, "{} case {case}", <T as Scalar>::NAME);
    }
}

#[test]
fn random_means_of_f32_stay_within_their_error_bound() {
    check_random_cases::<f32>(11, 100);
}

#[test]
fn random_means_of_f64_stay_within_their_error_bound() {
    check_random_cases::<f64>(12, 100);
}

#[test]
fn a_mean_of_zeros_is_exactly_zero() {
    for quantizer in
        [Quantizer::symmetric(0.3, 16).unwrap(), Quantizer::new(-0.1, 0.7, 9).unwrap().stochastic()]
    {
        let mean = executor().secure_mean(vec![Array1::<f64>::zeros(9); 7], quantizer).unwrap();
        assert_eq!(mean.value, Array1::<f64>::zeros(9));
        assert_eq!(mean.report().clipped_values, 0);
    }
}

#[test]
fn the_mean_of_one_client_is_its_update() {
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let update = array![0.25_f32, -1.0, 7.0];
    let executor = builder().min_clients(1).build().unwrap();
    for mean in [
        executor.secure_mean([&update], quantizer).unwrap(),
        executor.secure_weighted_mean([(1, &update)], 1, quantizer).unwrap(),
        executor.secure_weighted_mean([(12_345, &update)], 1_000_000, quantizer).unwrap(),
    ] {
        let close =
            |(found, expected): (&f32, f32)| f64::from(found - expected).abs() <= quantizer.error_bound();
        assert!(mean.value.iter().zip([0.25, -1.0, 1.0]).all(close), "{:?}", mean.value);
        assert_eq!(mean.report().clipped_values, 1);
    }
}

#[test]
fn clients_of_weight_zero_do_not_count() {
    let quantizer = Quantizer::symmetric(1.0, 20).unwrap();
    let clients = [(0, array![1.0_f64]), (7, array![-0.5]), (0, array![1.0])];
    let mean = executor().secure_weighted_mean(clients, 7, quantizer).unwrap();
    assert!((mean.value[0] + 0.5).abs() <= quantizer.error_bound());

    let clients = [(0, array![1.0_f64]), (0, array![-0.5])];
    assert_eq!(
        executor().secure_weighted_mean(clients, 7, quantizer).unwrap_err().root(),
        Error::Tensor(tensor::Error::ZeroTotalWeight)
    );
    // Also if there are only the weights.
    let clients = [(0, Vec::<ArrayD<f32>>::new()), (0, Vec::new())];
    assert_eq!(
        executor().secure_weighted_mean(clients, 7, quantizer).unwrap_err().root(),
        Error::Tensor(tensor::Error::ZeroTotalWeight)
    );
}

#[test]
fn weights_reach_their_limit_and_no_further() {
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let mean = |weights: [u32; 3], max| {
        let clients = weights.into_iter().zip([1.0_f64, -1.0, -1.0]).map(|(weight, x)| (weight, arr0(x)));
        executor().secure_weighted_mean(clients, max, quantizer).map(|mean| mean.value.into_scalar())
    };
    assert!((mean([1000; 3], 1000).unwrap() + 1.0 / 3.0).abs() <= quantizer.error_bound());
    assert!((mean([u32::MAX; 3], u32::MAX).unwrap() + 1.0 / 3.0).abs() <= quantizer.error_bound());
    let too_large = Error::Client {
        client: 1,
        source: Box::new(Error::Round(round::Error::WeightTooLarge { max: 1000 })),
    };
    assert_eq!(mean([1000, 1001, 1000], 1000), Err(too_large));
    assert_eq!(
        mean([0, 0, 1], 0),
        Err(Error::Packing(packing::Error::LayoutEmpty { value_bits: 16, max_summands: 3, max_weight: 0 }))
    );

    // 48 bits times a weight of 2³² − 1 do not fit a word.
    let wide = Quantizer::symmetric(1.0, 48).unwrap();
    assert_eq!(
        executor().secure_weighted_mean(vec![(1, arr0(0.5_f64)); 2], u32::MAX, wide).unwrap_err(),
        Error::Packing(packing::Error::WeightedValueTooWide { value_bits: 48, max_weight: u32::MAX })
    );
}

#[test]
fn nan_is_refused_at_its_client() {
    let executor = builder().max_concurrent_clients(3).chunk_ciphertexts(1).build().unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut clients = vec![vec![Array1::<f32>::zeros(4), Array1::zeros(700)]; 6];
        clients[4][1][654] = bad;
        clients[4][1][699] = bad;
        let source = Box::new(packing::Error::NotFinite { index: 654 }.into());
        let source = Box::new(Error::Tensor(tensor::Error::Tensor { tensor: 1, source }));
        let expected = Error::Client { client: 4, source };
        let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
        assert_eq!(executor.secure_mean(&clients, quantizer).unwrap_err(), expected);
        let weighted = clients.iter().map(|client| (3, client));
        assert_eq!(executor.secure_weighted_mean(weighted, 3, quantizer.stochastic()).unwrap_err(), expected);
    }
}

#[test]
fn stochastic_rounding_differs_from_round_to_round_and_is_right_on_average() {
    let quantizer = Quantizer::symmetric(1.0, 4).unwrap().stochastic();
    let executor = builder().min_clients(1).build().unwrap();
    let update = Array1::from_elem(2000, 0.1_f64);
    let first = executor.secure_mean([&update], quantizer).unwrap().value;
    let second = executor.secure_mean([&update], quantizer).unwrap().value;
    assert_ne!(first, second);
    // The standard deviation of the mean is below half a step over √2000, a ninetieth of a step.
    assert!((first.mean().unwrap() - 0.1).abs() < quantizer.step() / 18.0);
}

#[test]
fn means_under_a_real_key() {
    let executor = LocalExecutor::<Bits2048>::builder().build().unwrap();
    let quantizer = Quantizer::symmetric(0.1, 16).unwrap();
    let clients = (0..4).map(|i| (i, Array1::from_shape_fn(300, |j| (f64::from(i) - 2.0) * 1e-4 * j as f64)));
    let mean = executor.secure_weighted_mean(clients, 3, quantizer).unwrap();
    // Weights 0 to 3 on −2 to 1: (0 − 1 + 0 + 3) / 6.
    for (j, found) in mean.value.iter().enumerate() {
        assert!((found - 1e-4 * j as f64 / 3.0).abs() <= quantizer.error_bound() + 1e-15);
    }
}
