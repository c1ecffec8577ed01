//! What the server does with the sums: decode them. It sees no single update.

use crate::federated::{
    MaxWeight,
    round::plan::{Chunk, Group, Place, Plan},
    tensor::column::{Decode, Decoded},
};
use crate::{Error, Result};

/// The result of a run in progress.
pub(in crate::federated) struct Decoder<'a> {
    plan: &'a Plan,
    tensors: Vec<Box<dyn Decode>>,
    clients: u64,
    /// Total weight by group: the number of clients, unless they have weights, which are learned from the sums.
    weights: Vec<Option<u64>>,
}

/// The sums of one group.
#[derive(Debug)]
pub(in crate::federated) struct GroupSum {
    /// The number of clients, where there are no weights.
    pub(in crate::federated) total_weight: u64,
    pub(in crate::federated) tensors: Vec<Decoded>,
}

impl<'a> Decoder<'a> {
    /// A decoder for each tensor of clients like the one with these groups.
    pub(in crate::federated) fn tensors(groups: &[Group<'_>]) -> Result<Vec<Box<dyn Decode>>> {
        let mut decoders = Vec::new();
        for group in groups {
            decoders.extend(group.columns()?.iter().map(|column| column.decoder()));
        }
        Ok(decoders)
    }

    /// For sums over so many clients.
    pub(in crate::federated) fn new(plan: &'a Plan, tensors: Vec<Box<dyn Decode>>, clients: u64) -> Self {
        let unweighted = |max: Option<MaxWeight>| max.is_none().then_some(clients);
        let weights = plan.groups().iter().map(|group| unweighted(group.max_weight)).collect();
        Self { plan, tensors, clients, weights }
    }

    /// Refuses a sum that does not consist of all clients' contributions.
    pub(in crate::federated) fn check(&self, contributions: u64) -> Result<()> {
        if contributions != self.clients {
            return Err(Error::Contributions { expected: self.clients, found: contributions });
        }
        Ok(())
    }

    /// Decodes the sums in the slots of a chunk. Chunks come in order.
    pub(in crate::federated) fn decode(&mut self, chunk: &Chunk, sums: &[u128]) -> Result<()> {
        for (range, place) in self.plan.places(chunk) {
            match place {
                Place::Weight { group } => {
                    let limit = chunk.layout.total_weight();
                    let weight = u64::try_from(sums[range.start]).ok().filter(|weight| *weight <= limit);
                    let weight = weight.ok_or(Error::TotalWeightOutOfRange { limit })?;
                    let max = self.plan.groups()[group].max_weight;
                    if weight == 0 && !max.is_some_and(MaxWeight::allows_zero_total) {
                        return Err(Error::ZeroTotalWeight);
                    }
                    self.weights[group] = Some(weight);
                }
                Place::Tensor { index, from } => {
                    let (group, tensor) = self.plan.place_of(index);
                    let weight = self.weights[group].expect("the weight comes first");
                    self.tensors[index]
                        .push(&sums[range], weight)
                        .map_err(|at| Error::SumOutOfRange { tensor, index: from + at })?;
                }
            }
        }
        Ok(())
    }

    pub(in crate::federated) fn finish(self) -> Vec<GroupSum> {
        let mut tensors = self.tensors.into_iter().map(Decode::finish);
        let groups = self.plan.groups().iter().zip(self.weights);
        groups
            .map(|(group, weight)| GroupSum {
                total_weight: weight.expect("every group's weight is in its first chunk"),
                tensors: tensors.by_ref().take(group.tensors.len()).collect(),
            })
            .collect()
    }
}
