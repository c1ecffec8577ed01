//! A process that is stored and resumed goes on as if nothing had happened.

use cipherfold::{
    federated::aggregation::{
        Aggregation, CentralGaussian, Clipping, DistributedGaussian, IgnoringWeights, Quantile, Schedule,
        SecureSum, UnweightedMean, WeightedAggregation, WeightedProcess, secure_aggregator,
    },
    privacy::{DistributedParameters, QuantileEstimator},
};
use ndarray::Array1;

use super::support::clear;

/// Whether a process that is stored as JSON and resumed after each round ends where one that was not does.
fn resumes<A>(aggregation: impl Fn() -> A)
where
    A: WeightedAggregation<Array1<f32>, Result = Array1<f32>>,
{
    let updates = |round: usize| {
        (0..4).map(move |i| Array1::from_shape_fn(6, |j| ((i + j * 3 + round) as f32).cos() * (1 + i) as f32))
    };
    // Equal generators, so that noise is equal too.
    let executors = [clear(), clear()];
    let mut whole = WeightedProcess::new(aggregation());
    let mut state = serde_json::to_string(&aggregation().initialize()).unwrap();
    let mut seen = Vec::new();
    for round in 0..5 {
        let expected = whole.run(&executors[0], updates(round), [1.0, 2.0, 0.5, 3.0]).unwrap();
        let mut resumed = WeightedProcess::resume(aggregation(), serde_json::from_str(&state).unwrap());
        let found = resumed.run(&executors[1], updates(round), [1.0, 2.0, 0.5, 3.0]).unwrap();
        assert_eq!(found.result, expected.result, "round {round}");
        assert_eq!(format!("{:?}", found.measurements), format!("{:?}", expected.measurements));
        assert_eq!(format!("{:?}", resumed.state()), format!("{:?}", whole.state()));
        state = serde_json::to_string(resumed.state()).unwrap();
        seen.push(state.clone());
    }
    seen.dedup();
    assert_eq!(seen.len(), 5, "states change from round to round");
}

fn unweighted<A>(aggregation: impl Fn() -> A)
where
    A: Aggregation<Array1<f32>, Result = Array1<f32>>,
{
    resumes(|| IgnoringWeights(aggregation()));
}

fn quantile() -> Quantile {
    Quantile::new(QuantileEstimator::geometric(1.0, 0.55, 0.3).unwrap())
}

#[test]
fn learned_norms_and_bounds() {
    resumes(secure_aggregator);
    let mean = || UnweightedMean::new(SecureSum::adaptive(quantile()), SecureSum::integers(0, 1).unwrap());
    unweighted(|| Clipping::new(Schedule::new(|round| 1.0 + round as f64), mean()));
}

#[test]
fn accounts() {
    unweighted(|| CentralGaussian::fixed(1.0, 1.5).unwrap());
    unweighted(|| CentralGaussian::fixed(1.0, 1.5).unwrap().sampled(0.1).unwrap());
    unweighted(|| CentralGaussian::new(quantile().with_noise(2.0, 4).unwrap(), 1.5).unwrap());
    let parameters = DistributedParameters { clip: 1.0, ..DistributedParameters::new(0.5, 4, 6) };
    let distributed = || DistributedGaussian::new(Array1::zeros(6), parameters).unwrap();
    unweighted(distributed);
    unweighted(|| distributed().with_norm(quantile().with_noise(2.0, 4).unwrap()));
}
