//! Decoding of opened sums, chunk by chunk.

use zeroize::Zeroizing;

use super::{
    super::{
        RoundSpec, SumSpec,
        chunking::{Chunk, Place},
        client::Piece,
        keys::Plaintexts,
    },
    streamed::DecodedPiece,
};
use crate::federated::{
    round::error::{Error, Result},
    tensor::{self, DType, Encoding, MaxWeight, Structure, Tensor, erased::Decode},
};

/// The result of one secure sum.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SumResult {
    /// Sums or means, in the declared structure.
    pub tensors: Structure<Tensor>,
    /// The total weight of the clients. Without weights, it is their number.
    pub total_weight: u64,
}

/// Unpacks the sums in the slots of a chunk.
pub(super) fn unpack(chunk: &Chunk, opened: &dyn Plaintexts) -> Result<Zeroizing<Vec<u128>>> {
    let mut sums = Zeroizing::new(vec![0; chunk.values()]);
    let mut words = Zeroizing::new(vec![0; chunk.layout.words()]);
    for (index, sums) in sums.chunks_mut(chunk.layout.slots()).enumerate() {
        opened.write_words(index, &mut words);
        if !chunk.layout.is_zero_beyond(sums.len(), &words) {
            return Err(Error::UnusedBits { number: chunk.index as u64 });
        }
        chunk.layout.unpack(&words, sums);
    }
    Ok(sums)
}

/// Decodes the sums of a round, chunk by chunk, in any order.
pub(in crate::federated) struct Decoder {
    spec: RoundSpec,
    results: Results,
    /// Total weights by sum, if already known. Without weights, the number of clients.
    weights: Vec<Option<u64>>,
    /// Chunks for which the weight of their sum is not known yet.
    waiting: Vec<(Chunk, Zeroizing<Vec<u128>>)>,
    decoded: usize,
}

/// Decoded values.
enum Results {
    /// Whole tensors.
    Tensors(Vec<Box<dyn Decode>>),
    /// The pieces that were decoded last, and the element types and encodings of all tensors.
    Pieces { tensors: Vec<(DType, Encoding)>, decoded: Vec<DecodedPiece> },
}

impl Results {
    /// Decodes the sums of some elements of the tensor with this index in the round. `Err(i)` if
    /// the i-th of them is out of range.
    fn put(&mut self, index: usize, piece: Piece, sums: &[u128], weight: u64) -> Result<(), usize> {
        match self {
            Self::Tensors(tensors) => tensors[index].put(piece.elements.start, sums, weight),
            Self::Pieces { tensors, decoded } => {
                let (dtype, encoding) = tensors[index];
                let mut decoder = encoding.decoder(dtype, vec![sums.len()]).expect(TYPES);
                decoder.put(0, sums, weight)?;
                decoded.push(DecodedPiece { piece, values: decoder.finish() });
                Ok(())
            }
        }
    }
}

const TYPES: &str = "the specification accepts its own types";

impl Decoder {
    /// A decoder that gives whole tensors.
    pub(in crate::federated) fn new(spec: &RoundSpec) -> Self {
        let tensors = spec.sums().iter().flat_map(|sum| sum.tensors().iter()).map(|tensor| {
            tensor.encoding.decoder(tensor.tensor.dtype, tensor.tensor.shape.clone()).expect(TYPES)
        });
        Self::with(spec, Results::Tensors(tensors.collect()))
    }

    /// A decoder that gives pieces of tensors.
    pub(super) fn in_pieces(spec: &RoundSpec) -> Self {
        let tensors = spec.sums().iter().flat_map(|sum| sum.tensors().iter());
        let tensors = tensors.map(|tensor| (tensor.tensor.dtype, tensor.encoding)).collect();
        Self::with(spec, Results::Pieces { tensors, decoded: Vec::new() })
    }

    fn with(spec: &RoundSpec, results: Results) -> Self {
        let weights = vec![None; spec.sums().len()];
        Self { spec: spec.clone(), results, weights, waiting: Vec::new(), decoded: 0 }
    }

    /// Decodes the sums in the slots of a chunk, over this number of clients.
    pub(in crate::federated) fn decode(
        &mut self,
        chunk: &Chunk,
        sums: Zeroizing<Vec<u128>>,
        clients: u64,
    ) -> Result<()> {
        let waits = chunk
            .weighted
            .is_some_and(|sum| self.weights[sum].is_none() && !chunk.has_weight(self.spec.chunking()));
        if waits {
            self.waiting.push((chunk.clone(), sums));
            return Ok(());
        }
        self.put(chunk, &sums, clients)?;
        if chunk.has_weight(self.spec.chunking()) {
            let known = |(waiting, _): &mut (Chunk, _)| waiting.weighted == chunk.weighted;
            for (waiting, sums) in self.waiting.extract_if(.., known).collect::<Vec<_>>() {
                self.put(&waiting, &sums, clients)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, chunk: &Chunk, sums: &[u128], clients: u64) -> Result<()> {
        let spec = self.spec.clone();
        let chunking = spec.chunking();
        for (range, place) in chunking.places(chunk) {
            match place {
                Place::Weight { sum } => {
                    let limit = chunk.layout.total_weight();
                    let weight = u64::try_from(sums[range.start]).ok().filter(|weight| *weight <= limit);
                    let weight = weight.ok_or(Error::TotalWeightOutOfRange { limit })?;
                    let max = chunking.sums()[sum].max_weight;
                    if weight == 0 && !max.is_some_and(MaxWeight::allows_zero_total) {
                        return Err(tensor::Error::ZeroTotalWeight.into());
                    }
                    self.weights[sum] = Some(weight);
                }
                Place::Tensor { index, from } => {
                    let (sum, tensor) = chunking.place_of(index);
                    let weight = match chunking.sums()[sum].max_weight {
                        Some(_) => self.weights[sum].expect("a chunk is decoded after its weight"),
                        None => clients,
                    };
                    let piece = Piece { sum, tensor, elements: from..from + range.len() };
                    self.results
                        .put(index, piece, &sums[range], weight)
                        .map_err(|at| Error::SumOutOfRange { tensor, index: from + at })?;
                }
            }
        }
        self.decoded += 1;
        Ok(())
    }

    /// The pieces that were decoded since the last call.
    pub(super) fn take_pieces(&mut self) -> Vec<DecodedPiece> {
        match &mut self.results {
            Results::Tensors(_) => Vec::new(),
            Results::Pieces { decoded, .. } => core::mem::take(decoded),
        }
    }

    pub(super) fn missing(&self) -> usize {
        self.spec.chunking().chunk_count() - self.decoded
    }

    /// The total weight of each sum, over this number of clients.
    pub(super) fn total_weights(&self, clients: u64) -> Result<Vec<u64>> {
        if self.missing() > 0 {
            return Err(Error::MissingPart { number: self.decoded as u64 });
        }
        Ok(self.weights.iter().map(|weight| weight.unwrap_or(clients)).collect())
    }

    /// The results, over this number of clients.
    pub(in crate::federated) fn finish(self, clients: u64) -> Result<Vec<SumResult>> {
        let weights = self.total_weights(clients)?;
        let tensors = match self.results {
            Results::Tensors(tensors) => tensors,
            Results::Pieces { .. } => unreachable!("pieces were given out"),
        };
        let mut tensors = tensors.into_iter().map(Decode::finish);
        let sums = self.spec.sums().iter().zip(weights);
        let result = |(sum, total_weight): (&SumSpec, u64)| {
            let tensors =
                sum.tensors().as_ref().map(|_| tensors.next().expect("there is one result for each tensor"));
            SumResult { tensors, total_weight }
        };
        Ok(sums.map(result).collect())
    }
}
