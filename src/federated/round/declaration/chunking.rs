//! The assignment of a round's tensors to plaintexts and messages. It is public, and the same for
//! every party.

use core::ops::Range;

use super::sums::{SumSpec, TensorSpec};
use crate::{
    federated::{
        round::error::{Error, Result},
        tensor::MaxWeight,
    },
    packing::{Layout, LayoutParameters},
};

/// Tensors, their places in packed plaintexts, and the messages that carry the plaintexts.
#[derive(Debug)]
pub(in crate::federated) struct Chunking {
    sums: Vec<SumTensors>,
    /// Number of values of each tensor.
    tensors: Vec<usize>,
    segments: Vec<Segment>,
    chunk_ciphertexts: usize,
}

/// The tensors of one secure sum, which are consecutive.
#[derive(Debug)]
pub(in crate::federated) struct SumTensors {
    pub(in crate::federated) tensors: Range<usize>,
    /// Maximum weight of a client, if clients have weights.
    pub(in crate::federated) max_weight: Option<MaxWeight>,
}

/// Consecutive tensors with the same layout, without gaps. Unweighted sums share segments.
#[derive(Debug)]
struct Segment {
    layout: Layout,
    /// The sum whose weights multiply the values, if any.
    weighted: Option<usize>,
    /// Indices of tensors, each with its place among the values.
    tensors: Vec<(usize, usize)>,
    /// Whether a client's weight precedes its values, so that the server learns the total first.
    starts_with_weight: bool,
    values: usize,
    /// The number of the segment's first chunk.
    first_chunk: usize,
}

/// Part of a segment that travels as one message.
#[derive(Clone, Debug)]
pub(in crate::federated) struct Chunk {
    /// Its number in the round.
    pub(in crate::federated) index: usize,
    segment: usize,
    pub(in crate::federated) layout: Layout,
    /// The sum whose weights multiply the values, if any.
    pub(in crate::federated) weighted: Option<usize>,
    /// Its values, as a range of the segment's values.
    values: Range<usize>,
    pub(in crate::federated) plaintexts: usize,
}

impl Chunk {
    pub(in crate::federated) fn values(&self) -> usize {
        self.values.len()
    }

    /// Whether the values begin with a client's weight.
    pub(in crate::federated) fn has_weight(&self, chunking: &Chunking) -> bool {
        self.values.start == 0 && chunking.segments[self.segment].starts_with_weight
    }
}

/// The meaning of some values of a chunk.
pub(in crate::federated) enum Place {
    Weight { sum: usize },
    Tensor { index: usize, from: usize },
}

impl Chunking {
    /// The chunking for this maximum number of clients.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::new`]; [`Error::RoundTooLarge`].
    pub(super) fn new(
        sums: &[SumSpec],
        clients: u32,
        capacity_bits: u32,
        chunk_ciphertexts: usize,
    ) -> Result<Self> {
        let mut chunking =
            Self { sums: Vec::new(), tensors: Vec::new(), segments: Vec::new(), chunk_ciphertexts };
        let mut values = 0_usize;
        for (number, sum) in sums.iter().enumerate() {
            let max_weight = sum.max_weight();
            let largest = max_weight.map_or(1, MaxWeight::get);
            let layout = |value_bits| {
                Layout::new(LayoutParameters {
                    capacity_bits,
                    value_bits,
                    max_summands: clients,
                    max_weight: largest,
                })
            };
            let weighted = max_weight.map(|_| number);
            if weighted.is_some() {
                // A weighted sum needs a segment even if it has no values.
                let first = sum.tensors().iter().next();
                chunking.segments.push(Segment {
                    layout: layout(first.map_or(1, |tensor| tensor.encoding.value_bits()))?,
                    weighted,
                    tensors: Vec::new(),
                    starts_with_weight: true,
                    values: 1,
                    first_chunk: 0,
                });
            }
            let first = chunking.tensors.len();
            for tensor in sum.tensors().iter() {
                let len = tensor.len().filter(|len| *len <= MAX_VALUES);
                let len = len.ok_or(Error::RoundTooLarge { maximum: MAX_VALUES as u64 })?;
                values += len;
                if values > MAX_VALUES {
                    return Err(Error::RoundTooLarge { maximum: MAX_VALUES as u64 });
                }
                chunking.add(tensor, len, layout(tensor.encoding.value_bits())?, weighted);
            }
            chunking.sums.push(SumTensors { tensors: first..chunking.tensors.len(), max_weight });
        }
        let mut first_chunk = 0;
        for segment in &mut chunking.segments {
            segment.first_chunk = first_chunk;
            first_chunk += segment.values.div_ceil(step(chunk_ciphertexts, segment.layout));
        }
        Ok(chunking)
    }

    /// Adds a tensor to the segment with its layout.
    fn add(&mut self, _tensor: &TensorSpec, len: usize, layout: Layout, weighted: Option<usize>) {
        let index = self.tensors.len();
        let known =
            self.segments.iter_mut().find(|other| other.layout == layout && other.weighted == weighted);
        let segment = if let Some(segment) = known {
            segment
        } else {
            let (tensors, starts_with_weight) = (Vec::new(), false);
            self.segments.push(Segment {
                layout,
                weighted,
                tensors,
                starts_with_weight,
                values: 0,
                first_chunk: 0,
            });
            self.segments.last_mut().expect("a segment was just pushed")
        };
        segment.tensors.push((index, segment.values));
        segment.values += len;
        self.tensors.push(len);
    }

    pub(in crate::federated) fn sums(&self) -> &[SumTensors] {
        &self.sums
    }

    /// Number of chunks.
    pub(in crate::federated) fn chunk_count(&self) -> usize {
        let end = |segment: &Segment| {
            segment.first_chunk + segment.values.div_ceil(step(self.chunk_ciphertexts, segment.layout))
        };
        self.segments.last().map_or(0, end)
    }

    /// The chunk with this number, if there is one.
    pub(in crate::federated) fn chunk(&self, index: usize) -> Option<Chunk> {
        // Segments without values have no chunk. Of segments with the same first chunk, the last
        // one has it.
        let number = self.segments.partition_point(|segment| segment.first_chunk <= index).checked_sub(1)?;
        let Segment { layout, weighted, values, first_chunk, .. } = self.segments[number];
        let step = step(self.chunk_ciphertexts, layout);
        let from = (index - first_chunk).checked_mul(step).filter(|from| *from < values)?;
        let values = from..values.min(from.saturating_add(step));
        let plaintexts = layout.plaintexts(values.len());
        Some(Chunk { index, segment: number, layout, weighted, values, plaintexts })
    }

    /// All chunks, in order.
    pub(in crate::federated) fn chunks(&self) -> impl Iterator<Item = Chunk> + '_ {
        (0..self.chunk_count())
            .map(|index| self.chunk(index).expect("the index is below the number of chunks"))
    }

    /// Ciphertexts of one client.
    pub(in crate::federated) fn ciphertexts(&self) -> usize {
        // All chunks of a segment except the last are full, so they can be counted together.
        self.segments.iter().map(|segment| segment.layout.plaintexts(segment.values)).sum()
    }

    /// Values of one client, without its weights.
    pub(in crate::federated) fn values(&self) -> usize {
        self.tensors.iter().sum()
    }

    /// Number of tensors of all sums.
    pub(in crate::federated) fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// The sum of a tensor, and the tensor's index in it.
    pub(in crate::federated) fn place_of(&self, tensor: usize) -> (usize, usize) {
        let sum = self.sums.partition_point(|sum| sum.tensors.end <= tensor);
        (sum, tensor - self.sums[sum].tensors.start)
    }

    /// The parts of a chunk, each with its range in the chunk's values, in order.
    pub(in crate::federated) fn places(&self, chunk: &Chunk) -> Vec<(Range<usize>, Place)> {
        let segment = &self.segments[chunk.segment];
        let mut places = Vec::new();
        if let Some(sum) = segment.weighted.filter(|_| chunk.has_weight(self)) {
            places.push((0..1, Place::Weight { sum }));
        }
        // Reads only the tensors of this chunk, so that the work for all chunks is linear in the
        // tensors.
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
}

/// Values of a full chunk. `chunk_ciphertexts` may be arbitrarily large, for example to put all
/// values into one chunk.
fn step(chunk_ciphertexts: usize, layout: Layout) -> usize {
    chunk_ciphertexts.saturating_mul(layout.slots())
}

/// Maximum number of values of one client: more than any machine holds, and small enough that sums
/// of two such numbers do not overflow. With addresses of 32 bits, it is not more than others hold:
/// a party there takes part in rounds of up to 2³¹ values, message by message.
const MAX_VALUES: usize = if usize::BITS >= 64 { 1 << (usize::BITS - 20) } else { usize::MAX >> 1 };
