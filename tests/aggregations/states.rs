//! A process that is stored and resumed gives the same results.

use cipherfold::{
    federated::aggregation::{
        AggregationFactory, Bounds, CentralDpSum, Clipping, DistributedDpSum, Fixed, IgnoringWeights, Mean,
        NoisyCount, NormOrder, ProcessState, Quantile, Schedule, SecureClippingSum, Sum, UnweightedMean,
        WeightedAggregationFactory, WeightedProcess, Zeroing, secure_aggregator,
    },
    privacy::{DistributedParameters, QuantileEstimator, QuantileParameters},
};
use ndarray::Array1;

use super::support::clear;

/// Writes a state and reads it back.
type Format<S> = fn(&S) -> S;

/// Checks that a process that is stored and resumed after each round gives the same results as one
/// that is not, in all formats.
fn resumes<A>(aggregation: impl Fn() -> A)
where
    A: WeightedAggregationFactory<Array1<f32>, Result = Array1<f32>>,
{
    resumes_from(&aggregation, |state: &ProcessState<A::State>| {
        serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
    });
    resumes_from(&aggregation, |state: &ProcessState<A::State>| {
        postcard::from_bytes(&postcard::to_stdvec(state).unwrap()).unwrap()
    });
}

fn resumes_from<A>(aggregation: &impl Fn() -> A, stored: Format<ProcessState<A::State>>)
where
    A: WeightedAggregationFactory<Array1<f32>, Result = Array1<f32>>,
{
    let updates = |round: usize| {
        (0..4).map(move |i| Array1::from_shape_fn(6, |j| ((i + j * 3 + round) as f32).cos() * (1 + i) as f32))
    };
    // Equal generators give equal noise.
    let executors = [clear(), clear()];
    let mut whole = WeightedProcess::new(aggregation());
    let mut state = stored(whole.state());
    let mut seen = Vec::new();
    for round in 0..4 {
        let expected = whole.run(&executors[0], updates(round), [1.0, 2.0, 0.5, 3.0]).unwrap();
        let mut resumed = WeightedProcess::resume(aggregation(), state);
        let found = resumed.run(&executors[1], updates(round), [1.0, 2.0, 0.5, 3.0]).unwrap();
        assert_eq!(found.value, expected.value, "round {round}");
        assert_eq!(format!("{:?}", found.measurements), format!("{:?}", expected.measurements));
        assert_eq!(format!("{:?}", resumed.state()), format!("{:?}", whole.state()));
        assert_eq!(resumed.epsilon(1e-5), whole.epsilon(1e-5));
        state = stored(resumed.state());
        seen.push(serde_json::to_string(&state).unwrap());
    }
    seen.dedup();
    assert!(
        seen.len() == 4 || whole.epsilon(1e-5) == Ok(f64::INFINITY),
        "accounts change from round to round"
    );
}

fn unweighted<A>(aggregation: impl Fn() -> A)
where
    A: AggregationFactory<Array1<f32>, Result = Array1<f32>>,
{
    resumes(|| IgnoringWeights(aggregation()));
}

fn quantile() -> Quantile {
    Quantile::new(
        QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 0.55, learning_rate: 0.3 })
            .unwrap(),
    )
}

#[test]
fn learned_norms_and_bounds() {
    resumes(secure_aggregator);
    let mean = || {
        UnweightedMean::new(
            SecureClippingSum::adaptive(quantile()),
            SecureClippingSum::integers(0, 1).unwrap(),
        )
    };
    unweighted(|| Clipping::new(Schedule::new(|round| 1.0 + round as f64), mean()));
    let between = || {
        SecureClippingSum::adaptive_between(Bounds { lower: Fixed::new(-1.0).unwrap(), upper: quantile() })
    };
    unweighted(|| Zeroing::new(quantile(), NormOrder::LInf, between()));
    unweighted(|| Sum);
    resumes(Mean::default);
}

#[test]
fn accounts() {
    let fixed = || CentralDpSum::new(Fixed::new(1.0).unwrap(), 1.5).unwrap();
    unweighted(fixed);
    let noisy = || quantile().with_noise(2.0).unwrap();
    unweighted(|| CentralDpSum::new(noisy(), 1.5).unwrap());
    unweighted(|| Clipping::new(noisy(), fixed()).counted_by(NoisyCount::new(3.0).unwrap()));
    let parameters = DistributedParameters {
        clip: 1.0,
        noise_multiplier: 0.5,
        clients: 4,
        dimension: 6,
        ..DistributedParameters::DEFAULTS
    };
    let distributed = || DistributedDpSum::new(Array1::zeros(6), parameters).unwrap();
    unweighted(distributed);
    unweighted(|| distributed().with_norm(noisy()));
}
