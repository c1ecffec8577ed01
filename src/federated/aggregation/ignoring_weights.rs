//! An adapter that makes a weighted aggregation of one without weights.

use super::factory::{AggregationFactory, Step, WeightedAggregationFactory};
use crate::federated::{Clients, Server, computation::Value};

/// An aggregation that ignores weights (TFF: `as_weighted_aggregator`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoringWeights<A>(pub A);

impl<T, A: AggregationFactory<T>> WeightedAggregationFactory<T> for IgnoringWeights<A> {
    type State = A::State;
    type Result = A::Result;
    type Measurements = A::Measurements;

    fn initialize(&self) -> A::State {
        self.0.initialize()
    }

    fn next(
        &self,
        state: &Value<A::State, Server>,
        values: &Value<T, Clients>,
        _: &Value<f64, Clients>,
    ) -> Step<A::State, A::Result, A::Measurements> {
        self.0.next(state, values)
    }
}
