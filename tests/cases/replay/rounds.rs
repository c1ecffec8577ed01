//! Aggregation processes, which run round by round.

use cipherfold::federated::{
    Outcome, Result,
    aggregation::{AggregationFactory, Process, WeightedAggregationFactory, WeightedProcess},
};
use serde::Serialize;

use super::prelude::*;

/// The results of each round: the aggregate, and the measurements.
pub type Rounds = Vec<(Tree, Json)>;

/// The results of rounds of an aggregation over the same clients.
pub fn run<T, A>(
    parties: &Parties,
    make: impl Fn() -> Result<A>,
    clients: &[T],
    rounds: usize,
) -> core::result::Result<Rounds, Stop>
where
    T: Clone + Send + Sync + 'static,
    A: AggregationFactory<T, Result: AsTree>,
{
    let start = || Ok(Process::new(make()?));
    play(parties, rounds, start, |process, executor| process.run(executor, clients.to_vec()))
}

/// The same for an aggregation with weights.
pub fn run_weighted<T, A>(
    parties: &Parties,
    make: impl Fn() -> Result<A>,
    (clients, weights): (&[T], &[f64]),
    rounds: usize,
) -> core::result::Result<Rounds, Stop>
where
    T: Clone + Send + Sync + 'static,
    A: WeightedAggregationFactory<T, Result: AsTree>,
{
    let start = || Ok(WeightedProcess::new(make()?));
    play(parties, rounds, start, |process, executor| {
        process.run(executor, clients.to_vec(), weights.to_vec())
    })
}

fn play<P, R: AsTree, M: Serialize>(
    parties: &Parties,
    rounds: usize,
    start: impl Fn() -> Result<P>,
    round: impl Fn(&mut P, &Executor) -> Result<Outcome<R, M>>,
) -> core::result::Result<Rounds, Stop> {
    parties.agree(|executor| {
        let mut process = start()?;
        let results = |_| {
            let Outcome { value, measurements, .. } = round(&mut process, executor)?;
            let measured = serde_json::to_value(&measurements).expect("measurements are plain data");
            Ok((value.tree(), measured))
        };
        (0..rounds).map(results).collect()
    })
}

/// A result, in the common form.
pub trait AsTree {
    fn tree(&self) -> Tree;
}

impl<T: Element> AsTree for Tensors<T> {
    fn tree(&self) -> Tree {
        self.as_ref().map(Tensor::of)
    }
}

/// The results of rounds in the form of a case: a list if it states the number of rounds.
pub fn found(rounds: core::result::Result<Rounds, Refusal>, stated: Option<usize>) -> Found {
    let (answer, measurements) = match rounds {
        Err(refusal) => (Err(refusal), Vec::new()),
        Ok(rounds) => {
            let (results, measurements): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
            let mut answers: Vec<_> = results.into_iter().map(Answer::Value).collect();
            let answer = if stated.is_some() { Answer::List(answers) } else { answers.remove(0) };
            (Ok(answer), measurements)
        }
    };
    Found { measurements, ..answer.into() }
}

/// The number of rounds.
pub fn number(stated: Option<usize>) -> core::result::Result<usize, Stop> {
    match stated {
        Some(0) => Err(Stop::not_understood("no rounds")),
        stated => Ok(stated.unwrap_or(1)),
    }
}

/// The common element type of a value, if it is one of those that an aggregation takes.
pub fn element_type(shape: &Shape, takes: fn(Dtype) -> bool) -> core::result::Result<Dtype, Rule> {
    let mut dtypes = shape.iter().map(|leaf| leaf.dtype);
    let first = dtypes.next().ok_or(Rule::NoElement)?;
    if dtypes.any(|dtype| dtype != first) {
        return Err(Rule::ManyElementTypes);
    }
    match (first.is_integer() || first.is_real(), takes(first)) {
        (false, _) => Err(Rule::NoElement),
        (true, false) => Err(Rule::BoundsOfOtherType),
        (true, true) => Ok(first),
    }
}
