//! Aggregation processes, which run round by round, and bounds that may change from round to round.

use core::num::NonZeroUsize;

use cipherfold::federated::{
    Outcome, Result as CrateResult,
    aggregation::{
        AggregationFactory, Fixed, IgnoringWeights, Schedule, WeightedAggregationFactory, WeightedProcess,
    },
};
use serde::Deserialize;

use super::prelude::*;

/// The results of each round: the aggregate, and the measurements.
pub type Rounds = Vec<(Tree, Json)>;

/// The results of rounds of an aggregation over the same clients.
pub fn run<T: Clone + Send + Sync + 'static, A, R: Element>(
    parties: &Parties,
    make: impl Fn() -> CrateResult<A>,
    (clients, weights): (&[T], &[f64]),
    rounds: Option<NonZeroUsize>,
) -> Result<Rounds, Stop>
where
    A: WeightedAggregationFactory<T, Result = Tensors<R>>,
{
    parties.agree(|executor| {
        let mut process = WeightedProcess::new(make()?);
        let results = |_| {
            let Outcome { value, measurements, .. } =
                process.run(executor, clients.to_vec(), weights.to_vec())?;
            let measured = serde_json::to_value(&measurements).expect("measurements are plain data");
            Ok((value.as_ref().map(Tensor::of), measured))
        };
        (0..rounds.map_or(1, NonZeroUsize::get)).map(results).collect()
    })
}

/// The same without weights.
pub fn run_unweighted<T: Element, A, R: Element>(
    parties: &Parties,
    make: impl Fn() -> CrateResult<A>,
    clients: &[Tensors<T>],
    rounds: Option<NonZeroUsize>,
) -> Result<Rounds, Stop>
where
    A: AggregationFactory<Tensors<T>, Result = Tensors<R>>,
{
    let weights = vec![1.0; clients.len()];
    run(parties, || Ok(IgnoringWeights(make()?)), (clients, &weights), rounds)
}

/// The results of rounds in the form of a case: a list if it states the number of rounds.
pub fn found(rounds: Result<Rounds, Refusal>, stated: Option<NonZeroUsize>) -> Found {
    let mut measurements = Vec::new();
    let answer = rounds.map(|rounds| {
        let (mut results, measured): (Vec<Tree>, _) = rounds.into_iter().unzip();
        measurements = measured;
        if stated.is_some() { Answer::list(results) } else { results.remove(0).into() }
    });
    Found { measurements, ..Found::of(answer) }
}

/// A bound or a norm: fixed, or with its changes described in words.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Json")]
pub enum Bound {
    Integer(i128),
    Float(f64),
    /// `starts at 1.0, +1.0 each round`.
    Process {
        start: f64,
        step: f64,
    },
}

impl TryFrom<Json> for Bound {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        let words = || {
            let text = json.as_object().filter(|map| map.len() == 1)?.get("process")?.as_str()?;
            let text = text.strip_prefix("starts at ")?.strip_suffix(" each round")?;
            let (start, step) = text.split_once(", ")?;
            Some(Self::Process { start: start.parse().ok()?, step: step.parse().ok()? })
        };
        let found = match Number::read(&json) {
            Some(Number::Integer(x)) => Some(Self::Integer(x)),
            Some(Number::Float(x)) => Some(Self::Float(x)),
            Some(Number::Bool(_)) | None => words(),
        };
        found.ok_or_else(|| format!("a bound of {json}"))
    }
}

impl Bound {
    pub fn is_process(self) -> bool {
        matches!(self, Self::Process { .. })
    }

    /// The number of each round.
    fn at(self, round: u64) -> f64 {
        match self {
            Self::Integer(x) => x as f64,
            Self::Float(x) => x,
            Self::Process { start, step } => start + step * round as f64,
        }
    }

    pub fn schedule(self) -> Schedule {
        Schedule::new(move |round| self.at(round))
    }

    pub fn fixed(self) -> CrateResult<Fixed> {
        Ok(Fixed::new(self.at(0))?)
    }
}
