//! How the tensors of an update are spread over plaintexts and messages. Public, and the same for every party.

use core::ops::Range;

use super::{Structure, TensorType, column::Column};
use crate::{Result, packing::Layout};

/// Tensors, their places in packed plaintexts, and the messages that carry those.
#[derive(Debug)]
pub(super) struct Plan {
    /// The first client's tensors, which all have.
    structure: Structure<TensorType>,
    tensors: Vec<Tensor>,
    segments: Vec<Segment>,
    chunks: Vec<Chunk>,
    /// Largest weight of a client, if clients have weights.
    pub(super) max_weight: Option<u32>,
}

#[derive(Debug)]
struct Tensor {
    len: usize,
    value_bits: u32,
}

/// Tensors with the same layout, one after the other, without gaps.
#[derive(Debug)]
struct Segment {
    layout: Layout,
    /// Indices of tensors.
    tensors: Vec<usize>,
    /// Whether a client's weight goes before its values, so that the server learns the total first.
    starts_with_weight: bool,
    values: usize,
}

/// Part of a segment that travels as one message.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    segment: usize,
    pub(super) layout: Layout,
    /// Values of the segment.
    values: Range<usize>,
    pub(super) plaintexts: usize,
}

impl Chunk {
    pub(super) fn values(&self) -> usize {
        self.values.len()
    }
}

/// Where some values of a chunk belong.
pub(super) enum Place {
    Weight,
    Tensor { index: usize, from: usize },
}

impl Plan {
    /// A plan for updates like the one with this structure and these columns.
    pub(super) fn new(
        structure: Structure<TensorType>,
        columns: &[Box<dyn Column + '_>],
        clients: u32,
        max_weight: Option<u32>,
        capacity_bits: u32,
        chunk_ciphertexts: usize,
    ) -> Result<Self> {
        let tensors: Vec<_> = columns
            .iter()
            .map(|column| Tensor { len: column.len(), value_bits: column.value_bits() })
            .collect();
        let layout = |bits| Layout::new(capacity_bits, bits, clients, max_weight.unwrap_or(1));
        let mut segments: Vec<Segment> = Vec::new();
        if max_weight.is_some() {
            // Weights want a segment even where there are no values.
            let bits = tensors.first().map_or(1, |tensor| tensor.value_bits);
            let layout = layout(bits)?;
            segments.push(Segment { layout, tensors: Vec::new(), starts_with_weight: true, values: 1 });
        }
        for (index, tensor) in tensors.iter().enumerate() {
            let layout = layout(tensor.value_bits)?;
            let known = segments.iter_mut().find(|segment| segment.layout == layout);
            let segment = if let Some(segment) = known {
                segment
            } else {
                segments.push(Segment { layout, tensors: Vec::new(), starts_with_weight: false, values: 0 });
                segments.last_mut().expect("just pushed")
            };
            segment.tensors.push(index);
            segment.values += tensor.len;
        }
        let chunks = segments
            .iter()
            .enumerate()
            .flat_map(|(index, segment)| {
                // Any number may be given, for `all at once` say.
                let step = chunk_ciphertexts.saturating_mul(segment.layout.slots());
                (0..segment.values).step_by(step).map(move |from| {
                    let values = from..segment.values.min(from.saturating_add(step));
                    let plaintexts = segment.layout.plaintexts(values.len());
                    Chunk { segment: index, layout: segment.layout, values, plaintexts }
                })
            })
            .collect();
        Ok(Self { structure, tensors, segments, chunks, max_weight })
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Ciphertexts of one client.
    pub(super) fn ciphertexts(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.plaintexts).sum()
    }

    /// Values of one client, its weight not counted.
    pub(super) fn values(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.len).sum()
    }

    /// The parts of a chunk, each with its range in the chunk's values, in order.
    pub(super) fn places(&self, chunk: &Chunk) -> Vec<(Range<usize>, Place)> {
        let segment = &self.segments[chunk.segment];
        let weight = segment.starts_with_weight.then_some((1, None));
        let tensors = segment.tensors.iter().map(|index| (self.tensors[*index].len, Some(*index)));
        let mut places = Vec::new();
        let mut start = 0;
        for (len, tensor) in weight.into_iter().chain(tensors) {
            let from = chunk.values.start.max(start);
            let to = chunk.values.end.min(start + len);
            if from < to {
                let place = tensor.map_or(Place::Weight, |index| Place::Tensor { index, from: from - start });
                places.push((from - chunk.values.start..to - chunk.values.start, place));
            }
            start += len;
        }
        places
    }

    /// The first client's tensors, which all have.
    pub(super) fn structure(&self) -> &Structure<TensorType> {
        &self.structure
    }
}
