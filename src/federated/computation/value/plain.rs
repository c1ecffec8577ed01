//! From the clients to the server in the clear: the server sees every client's value.

use std::sync::Arc;

use super::{
    super::{
        aggregation::{Aggregation, Steps},
        node::Operation,
        wire::Wire,
    },
    Portable, Value,
};
use crate::federated::{Clients, Result, Server};

/// In the clear: **the server sees every client's value.** [`Computation::leaks`](crate::federated::Computation::leaks)
/// lists such operations, and an executor that is [`secure_only`](crate::federated::LocalExecutorBuilder::secure_only)
/// refuses them.
impl<T: Send + Sync + 'static> Value<T, Clients> {
    /// All clients' values, in the clients' order (TFF's `federated_collect`).
    ///
    /// Clients that did not take part are left out.
    pub fn collect(&self) -> Value<Vec<T>, Server>
    where
        T: Portable,
    {
        self.aggregation("collect", Vec::new, collected, joined, Ok)
    }

    /// All clients' values combined two by two, `zero` where there are none (TFF's `federated_reduce`).
    ///
    /// Values are combined in the clients' order, `op(…op(op(zero, x₀), x₁)…, xₙ)`. Where the executor has a
    /// [`max_fanout`](crate::federated::LocalExecutorBuilder::max_fanout), groups of so many are combined by themselves, each
    /// from `zero`, and then with each other: `op` must be associative then, and `zero` change nothing.
    pub fn reduce(&self, zero: T, op: impl Fn(T, T) -> T + Send + Sync + 'static) -> Value<T, Server>
    where
        T: Portable + Clone,
    {
        let op = Arc::new(op);
        let merge = Arc::clone(&op);
        self.aggregation(
            "reduce",
            move || zero.clone(),
            move |a, b| Ok(op(a, b)),
            move |a, b| Ok(merge(a, b)),
            Ok,
        )
    }

    /// All clients' values accumulated, accumulators merged, the last one reported (TFF's `federated_aggregate`).
    ///
    /// Values are accumulated in the clients' order. Without a
    /// [`max_fanout`](crate::federated::LocalExecutorBuilder::max_fanout) all go into one accumulator, and `merge` is not
    /// called. With it, each group of so many goes into an accumulator of its own, which starts from `zero`; as many of
    /// these are merged into one, and so on up to the root, and `report` is called once.
    ///
    /// ```
    /// use cipherfold::federated::{Clients, Computation, Inputs, LocalExecutor, Value};
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
        T: Portable,
        A: Clone + Send + Sync + 'static,
        R: Send + Sync + 'static,
    {
        self.aggregation(
            "aggregate",
            move || zero.clone(),
            move |a, value| Ok(accumulate(a, value)),
            move |a, b| Ok(merge(a, b)),
            move |a| Ok(report(a)),
        )
    }

    pub(super) fn aggregation<A, R>(
        &self,
        name: &'static str,
        zero: impl Fn() -> A + Send + Sync + 'static,
        accumulate: impl Fn(A, T) -> Result<A> + Send + Sync + 'static,
        merge: impl Fn(A, A) -> Result<A> + Send + Sync + 'static,
        report: impl Fn(A) -> Result<R> + Send + Sync + 'static,
    ) -> Value<R, Server>
    where
        T: Portable,
        A: Send + 'static,
        R: Send + Sync + 'static,
    {
        let steps = Arc::new(Steps {
            zero: Box::new(zero),
            accumulate: Box::new(accumulate),
            merge: Box::new(merge),
            report: Box::new(report),
        });
        let aggregation = Aggregation { name, wire: Wire::of::<T>(), steps };
        Value::of(vec![self.node()], Operation::Plain(Box::new(aggregation)))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a step of an aggregation")]
fn collected<T>(mut values: Vec<T>, value: T) -> Result<Vec<T>> {
    values.push(value);
    Ok(values)
}

#[expect(clippy::unnecessary_wraps, reason = "a step of an aggregation")]
fn joined<T>(mut values: Vec<T>, mut others: Vec<T>) -> Result<Vec<T>> {
    values.append(&mut others);
    Ok(values)
}
