//! Operations from the clients to the server in the clear: the server sees every client's value.

use std::sync::Arc;

use super::Value;
use crate::federated::{
    Clients, Result, Server,
    computation::{
        graph::Operation,
        operation::{FederatedAggregate, Steps, Transferable, Wire},
    },
};

/// In the clear: **the server sees every client's value.**
/// [`Computation::leaks`](crate::federated::computation::Computation::leaks) lists such operations, and an
/// executor that is [`secure_only`](crate::federated::LocalExecutorBuilder::secure_only) refuses
/// them.
impl<T: Send + Sync + 'static> Value<T, Clients> {
    /// All clients' values, in the clients' order (TFF's `federated_collect`).
    ///
    /// The values of clients that did not take part are missing.
    pub fn collect(&self) -> Value<Vec<T>, Server>
    where
        T: Transferable,
    {
        self.federated_aggregate("collect", Vec::new, collected, joined, Ok)
    }

    /// Combines all clients' values two by two; `zero` if there are none (TFF's
    /// `federated_reduce`).
    ///
    /// Values are combined in the clients' order, `op(…op(op(zero, x₀), x₁)…, xₙ)`. If the executor
    /// has a [`max_fanout`](crate::federated::LocalExecutorBuilder::max_fanout), groups of this
    /// size are combined first, each starting from `zero`, and then the groups with each other.
    /// `op` must then be associative, and `zero` must be its neutral element.
    pub fn reduce(&self, zero: T, op: impl Fn(T, T) -> T + Send + Sync + 'static) -> Value<T, Server>
    where
        T: Transferable + Clone,
    {
        let op = Arc::new(op);
        let merge = Arc::clone(&op);
        self.federated_aggregate(
            "reduce",
            move || zero.clone(),
            move |a, b| Ok(op(a, b)),
            move |a, b| Ok(merge(a, b)),
            Ok,
        )
    }

    /// Accumulates all clients' values, merges the accumulators, and reports the last one (TFF's
    /// `federated_aggregate`).
    ///
    /// Values are accumulated in the clients' order. Without a
    /// [`max_fanout`](crate::federated::LocalExecutorBuilder::max_fanout), all values go into one
    /// accumulator, and `merge` is not called. With it, each group of this size has its own
    /// accumulator, which starts from `zero`. The same number of accumulators is merged into one,
    /// and so on up to the root. `report` is called once.
    ///
    /// ```
    /// use cipherfold::federated::{Clients, LocalExecutor, computation::{Computation, Inputs, Value}};
    /// use cipherfold::paillier::Bits2048;
    ///
    /// let words = Value::<String, Clients>::input("word");
    /// let longest = words.aggregate(
    ///     0,
    ///     |longest, word| word.len().max(longest),
    ///     |a, b| a.max(b),
    ///     |longest| format!("{longest} letters"),
    /// );
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let inputs = Inputs::new().clients(&words, ["fold", "cipher"].map(String::from));
    /// assert_eq!(executor.run(&Computation::new(longest), inputs)?.value, "6 letters");
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn aggregate<A, R>(
        &self,
        zero: A,
        accumulate: impl Fn(A, T) -> A + Send + Sync + 'static,
        merge: impl Fn(A, A) -> A + Send + Sync + 'static,
        report: impl Fn(A) -> R + Send + Sync + 'static,
    ) -> Value<R, Server>
    where
        T: Transferable,
        A: Clone + Send + Sync + 'static,
        R: Send + Sync + 'static,
    {
        self.federated_aggregate(
            "aggregate",
            move || zero.clone(),
            move |a, value| Ok(accumulate(a, value)),
            move |a, b| Ok(merge(a, b)),
            move |a| Ok(report(a)),
        )
    }

    pub(super) fn federated_aggregate<A, R>(
        &self,
        name: &'static str,
        zero: impl Fn() -> A + Send + Sync + 'static,
        accumulate: impl Fn(A, T) -> Result<A> + Send + Sync + 'static,
        merge: impl Fn(A, A) -> Result<A> + Send + Sync + 'static,
        report: impl Fn(A) -> Result<R> + Send + Sync + 'static,
    ) -> Value<R, Server>
    where
        T: Transferable,
        A: Send + 'static,
        R: Send + Sync + 'static,
    {
        let steps = Arc::new(Steps {
            zero: Box::new(zero),
            accumulate: Box::new(accumulate),
            merge: Box::new(merge),
            report: Box::new(report),
        });
        let aggregate = FederatedAggregate { name, wire: Wire::of::<T>(), steps };
        Value::of(vec![self.node()], Operation::Plain(Box::new(aggregate)))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a step of an accumulation")]
fn collected<T>(mut values: Vec<T>, value: T) -> Result<Vec<T>> {
    values.push(value);
    Ok(values)
}

#[expect(clippy::unnecessary_wraps, reason = "a step of an accumulation")]
fn joined<T>(mut values: Vec<T>, mut others: Vec<T>) -> Result<Vec<T>> {
    values.append(&mut others);
    Ok(values)
}
