//! How the tensors of a round are spread over plaintexts and messages. Public, and the same for every party.

use core::ops::Range;

use crate::federated::{
    Codec, MaxWeight, PerTensor, Structure, TensorType, Tensors,
    tensor::column::{Column, columns},
};
use crate::{
    Error, Result,
    packing::{Layout, LayoutParameters},
};

/// What one client contributes to one secure sum.
pub(in crate::federated) struct Group<'a> {
    /// What it multiplies its values by. The server learns the total.
    pub(in crate::federated) weight: Option<Weight>,
    /// The maximum number of clients that the result is sized for, if there is one.
    max_clients: Option<u32>,
    /// An error if the update has no structure, or the codecs are not for it.
    tensors: Result<TypedColumns<'a>>,
}

/// The type of an update, and its tensors.
struct TypedColumns<'a> {
    structure: Structure<TensorType>,
    columns: Vec<Box<dyn Column + 'a>>,
}

impl<'a> Group<'a> {
    pub(in crate::federated) fn new<U: Tensors + ?Sized, C: Codec<U::Scalar>>(
        update: &'a U,
        codecs: &PerTensor<C>,
        weight: Option<Weight>,
    ) -> Self {
        let tensors = update.structure().and_then(|structure| {
            let columns = columns(update, &structure, codecs)?;
            Ok(TypedColumns { structure, columns })
        });
        Self { weight, max_clients: None, tensors }
    }

    /// A sum that no more clients than these may take part in.
    pub(in crate::federated) fn of_at_most(self, max_clients: Option<u32>) -> Self {
        Self { max_clients, ..self }
    }

    fn tensors(&self) -> Result<&TypedColumns<'a>> {
        self.tensors.as_ref().map_err(Clone::clone)
    }

    /// One for each tensor.
    ///
    /// # Errors
    ///
    /// Those of [`columns`].
    pub(in crate::federated) fn columns(&self) -> Result<&[Box<dyn Column + 'a>]> {
        Ok(&self.tensors()?.columns)
    }
}

/// A client's weight, and the largest that any client may have.
#[derive(Clone, Copy, Debug)]
pub(in crate::federated) struct Weight {
    pub(in crate::federated) value: u32,
    pub(in crate::federated) max: MaxWeight,
}

/// Tensors, their places in packed plaintexts, and the messages that carry those.
#[derive(Debug)]
pub(in crate::federated) struct Plan {
    groups: Vec<GroupPlan>,
    /// Number of values of each tensor.
    tensors: Vec<usize>,
    segments: Vec<Segment>,
    chunks: Vec<Chunk>,
}

/// One secure sum's tensors, which follow one another.
#[derive(Debug)]
pub(in crate::federated) struct GroupPlan {
    /// The first client's tensors, which all have.
    structure: Structure<TensorType>,
    pub(in crate::federated) tensors: Range<usize>,
    /// Largest weight of a client, if clients have weights.
    pub(in crate::federated) max_weight: Option<MaxWeight>,
    max_clients: Option<u32>,
}

/// Tensors with the same layout, one after the other, without gaps. Unweighted groups share segments.
#[derive(Debug)]
struct Segment {
    layout: Layout,
    /// The group whose weights go into the values, if any.
    weighted: Option<usize>,
    /// Indices of tensors, each with its place among the values.
    tensors: Vec<(usize, usize)>,
    /// Whether a client's weight goes before its values, so that the server learns the total first.
    starts_with_weight: bool,
    values: usize,
}

/// Part of a segment that travels as one message.
#[derive(Clone, Debug)]
pub(in crate::federated) struct Chunk {
    segment: usize,
    pub(in crate::federated) layout: Layout,
    /// The group whose weights go into the values, if any.
    pub(in crate::federated) weighted: Option<usize>,
    /// Values of the segment.
    values: Range<usize>,
    pub(in crate::federated) plaintexts: usize,
}

impl Chunk {
    pub(in crate::federated) fn values(&self) -> usize {
        self.values.len()
    }
}

/// Where some values of a chunk belong.
pub(in crate::federated) enum Place {
    Weight { group: usize },
    Tensor { index: usize, from: usize },
}

impl Plan {
    /// A plan for clients like the one with these groups, at most so many of them.
    pub(in crate::federated) fn new(
        groups: &[Group<'_>],
        clients: u32,
        capacity_bits: u32,
        chunk_ciphertexts: usize,
    ) -> Result<Self> {
        let mut plan =
            Self { groups: Vec::new(), tensors: Vec::new(), segments: Vec::new(), chunks: Vec::new() };
        for (number, group) in groups.iter().enumerate() {
            let columns = group.columns()?;
            let max_weight = group.weight.map(|weight| weight.max);
            let largest = max_weight.map_or(1, MaxWeight::get);
            let layout = |bits| {
                Layout::new(LayoutParameters {
                    capacity_bits,
                    value_bits: bits,
                    max_summands: clients,
                    max_weight: largest,
                })
            };
            let weighted = max_weight.map(|_| number);
            if weighted.is_some() {
                // Weights want a segment even where there are no values.
                let layout = layout(columns.first().map_or(1, |column| column.value_bits()))?;
                plan.segments.push(Segment {
                    layout,
                    weighted,
                    tensors: Vec::new(),
                    starts_with_weight: true,
                    values: 1,
                });
            }
            let first = plan.tensors.len();
            for column in columns {
                plan.add(column.as_ref(), layout(column.value_bits())?, weighted);
            }
            plan.groups.push(GroupPlan {
                structure: group.tensors()?.structure.clone(),
                tensors: first..plan.tensors.len(),
                max_weight,
                max_clients: group.max_clients,
            });
        }
        plan.chunks = plan.cut(chunk_ciphertexts);
        Ok(plan)
    }

    /// Puts a tensor into the segment with its layout.
    fn add(&mut self, column: &dyn Column, layout: Layout, weighted: Option<usize>) {
        let index = self.tensors.len();
        let known =
            self.segments.iter_mut().find(|other| other.layout == layout && other.weighted == weighted);
        let segment = if let Some(segment) = known {
            segment
        } else {
            let (tensors, starts_with_weight) = (Vec::new(), false);
            self.segments.push(Segment { layout, weighted, tensors, starts_with_weight, values: 0 });
            self.segments.last_mut().expect("just pushed")
        };
        segment.tensors.push((index, segment.values));
        segment.values += column.len();
        self.tensors.push(column.len());
    }

    fn cut(&self, chunk_ciphertexts: usize) -> Vec<Chunk> {
        let chunks_of = |(index, segment): (usize, &Segment)| {
            let Segment { layout, weighted, values, .. } = *segment;
            // Any number may be given, for `all at once` say.
            let step = chunk_ciphertexts.saturating_mul(layout.slots());
            (0..values).step_by(step).map(move |from| {
                let values = from..values.min(from.saturating_add(step));
                let plaintexts = layout.plaintexts(values.len());
                Chunk { segment: index, layout, weighted, values, plaintexts }
            })
        };
        self.segments.iter().enumerate().flat_map(chunks_of).collect()
    }

    pub(in crate::federated) fn groups(&self) -> &[GroupPlan] {
        &self.groups
    }

    pub(in crate::federated) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Ciphertexts of one client.
    pub(in crate::federated) fn ciphertexts(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.plaintexts).sum()
    }

    /// Values of one client, its weights not counted.
    pub(in crate::federated) fn values(&self) -> usize {
        self.tensors.iter().sum()
    }

    /// The group of a tensor, and the tensor's place in it.
    pub(in crate::federated) fn place_of(&self, tensor: usize) -> (usize, usize) {
        let group = self.groups.partition_point(|group| group.tensors.end <= tensor);
        (group, tensor - self.groups[group].tensors.start)
    }

    /// The parts of a chunk, each with its range in the chunk's values, in order.
    pub(in crate::federated) fn places(&self, chunk: &Chunk) -> Vec<(Range<usize>, Place)> {
        let segment = &self.segments[chunk.segment];
        let mut places = Vec::new();
        if let Some(group) =
            segment.weighted.filter(|_| segment.starts_with_weight && chunk.values.start == 0)
        {
            places.push((0..1, Place::Weight { group }));
        }
        // The tensors of one chunk, not of all, so that the work for all chunks is linear in the tensors.
        let first = segment.tensors.partition_point(|(_, start)| *start <= chunk.values.start);
        for &(index, start) in &segment.tensors[first.saturating_sub(1)..] {
            if start >= chunk.values.end {
                break;
            }
            let from = chunk.values.start.max(start);
            let to = chunk.values.end.min(start + self.tensors[index]);
            if from < to {
                let range = from - chunk.values.start..to - chunk.values.start;
                places.push((range, Place::Tensor { index, from: from - start }));
            }
        }
        places
    }

    /// Refuses more clients than one of the sums is sized for.
    pub(in crate::federated) fn check_clients(&self, found: u32) -> Result<()> {
        match self.groups.iter().filter_map(|group| group.max_clients).min() {
            Some(expected) if found > expected => Err(Error::MoreClientsThanExpected { expected, found }),
            _ => Ok(()),
        }
    }

    /// Checks that a client has the planned tensors, values that can be encoded, and weights within bounds.
    pub(in crate::federated) fn check(&self, groups: &[Group<'_>]) -> Result<()> {
        assert_eq!(groups.len(), self.groups.len(), "one group for each secure sum of the round");
        for (group, planned) in groups.iter().zip(&self.groups) {
            planned.structure.check(&group.tensors()?.structure)?;
        }
        for (group, planned) in groups.iter().zip(&self.groups) {
            for (tensor, column) in group.columns()?.iter().enumerate() {
                column.check().map_err(|source| Error::Tensor { tensor, source: Box::new(source) })?;
            }
            let max = planned.max_weight.map_or(1, MaxWeight::get);
            if group.weight.is_some_and(|weight| weight.value > max) {
                return Err(Error::WeightTooLarge { max });
            }
        }
        Ok(())
    }
}
