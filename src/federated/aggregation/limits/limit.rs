//! The common part of clipping and zeroing: the clients whose norm is above a limit, and their
//! number.

use serde::{Deserialize, Serialize};

use crate::federated::{
    Clients, Server,
    aggregation::{
        self,
        estimation::Estimation,
        factory::{AggregationFactory, Step},
        floats::Floats,
        privacy_cost::PrivacyCost,
    },
    computation::Value,
};

/// State of a [`Clipping`](super::Clipping) or a [`Zeroing`](super::Zeroing).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LimitState<N, C, A> {
    /// State of the norm's estimation.
    pub norm: N,
    /// State of the count of clients above the norm.
    pub count: C,
    /// State of the inner aggregation.
    pub inner: A,
}

/// A limit on norms, and the count of clients above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit<N, C> {
    pub(super) norm: N,
    pub(super) counts: C,
}

/// The rule of clipping or zeroing.
pub(super) struct LimitRule<T> {
    /// For the operations' names.
    pub(super) name: &'static str,
    pub(super) norm: fn(&T) -> f64,
    /// Whether a norm, the first number, is above the limit.
    pub(super) is_above: fn(f64, f64) -> bool,
    /// The values after the limit is applied, given their norm and the limit. They do not change
    /// unless the norm is above the limit.
    pub(super) apply: fn(&T, f64, f64) -> T,
}

pub(super) type StateOf<N, C, A> =
    LimitState<<N as Estimation>::State, <C as AggregationFactory<u32>>::State, A>;

impl<N: Estimation, C> Limit<N, C> {
    /// The limit of a round. A learned limit below zero counts as zero, so that it can grow again
    /// later.
    fn limit(&self, state: &Value<N::State, Server>) -> Value<f64, Server> {
        let fixed = self.norm.fixed().is_some();
        self.norm.report(state).fallible("limit", move |&limit| {
            if limit >= 0.0 || limit < 0.0 && !fixed {
                Ok(limit.max(0.0))
            } else {
                Err(aggregation::Error::NormLimit { limit }.into())
            }
        })
    }

    /// The clients' values as the inner aggregation receives them.
    pub(super) fn apply_limit<T: Floats>(
        &self,
        rule: &LimitRule<T>,
        state: &Value<N::State, Server>,
        values: &Value<T, Clients>,
    ) -> Value<T, Clients> {
        let LimitRule { norm, apply, .. } = *rule;
        let limit = self.limit(state).broadcast();
        let limited = values.zip(&limit).keeping_structure();
        limited.map(move |(values, limit)| apply(values, norm(values), *limit)).keeping_structure()
    }
}

impl<N: Estimation, C: AggregationFactory<u32, Result = u64>> Limit<N, C> {
    pub(super) fn initialize<A>(&self, inner: A) -> StateOf<N, C, A> {
        LimitState { norm: self.norm.initialize(), count: self.counts.initialize(), inner }
    }

    /// Applies the limit to the clients' values, passes them to the inner aggregation, and adds
    /// limit and count to its measurements.
    pub(super) fn next<T, A, R, M, O>(
        &self,
        rule: &LimitRule<T>,
        state: &Value<StateOf<N, C, A>, Server>,
        values: &Value<T, Clients>,
        inner: impl FnOnce(&Value<A, Server>, &Value<T, Clients>) -> Step<A, R, M>,
        measurements: fn(u64, f64, M) -> O,
    ) -> Step<StateOf<N, C, A>, R, O>
    where
        T: Floats,
        A: Clone + Send + Sync + 'static,
        M: Clone + Send + Sync + 'static,
        O: Send + Sync + 'static,
    {
        let LimitRule { name, norm, is_above, apply } = *rule;
        let norm_state = state.map(|state| state.norm.clone());
        let limit = self.limit(&norm_state);
        let norms = values.map(norm).named("norm");
        let broadcast = limit.broadcast();
        let above = norms.zip(&broadcast).map(move |&(norm, limit)| u32::from(is_above(norm, limit)));
        let count = self.counts.next(&state.map(|state| state.count.clone()), &above.named(name));
        let values = Value::from((values.clone(), norms.clone(), broadcast)).keeping_structure();
        let values =
            values.map(move |(values, norm, limit)| apply(values, *norm, *limit)).keeping_structure();
        let inner = inner(&state.map(|state| state.inner.clone()), &values.named(name));
        let next = Value::from((self.norm.next(&norm_state, &norms), count.state, inner.state));
        let next = next.map(|(norm, count, inner)| LimitState {
            norm: norm.clone(),
            count: count.clone(),
            inner: inner.clone(),
        });
        let measurements = Value::from((count.result, limit, inner.measurements))
            .map(move |(count, limit, inner)| measurements(*count, *limit, inner.clone()));
        // The measured count, the next limits, and the releases of the inner aggregation.
        let cost = PrivacyCost::of_all([self.norm.cost().into(), count.cost, inner.cost]);
        Step::new(next, inner.result, measurements).with_cost(cost)
    }
}
