//! Updates that are handed over message by message, by callers that cannot lend all of an update for as long as a round takes.

use core::ops::Range;
use std::sync::Arc;

use rand_core::CryptoRng;

use super::{
    Client, RoundSpec,
    client::{check_structures, check_weight, fill_slots},
    plan::Place,
};
use crate::federated::{
    DType, Encoding, Error, Result, Structure, TensorType, TensorView,
    tensor::{codec::at, column::Column},
};

/// An update whose elements are handed over message by message.
///
/// [`EncodedUpdate`](super::EncodedUpdate) borrows all of an update. Whoever reads it from a file, or from memory that somebody
/// else may write to, copies the [pieces](Self::pieces) of one message instead.
///
/// ```
/// # use cipherfold::federated::{DType, Encoding, KeyHolding, PlaintextChannel, SessionId, Structure, Digest, TensorType, TensorView};
/// # use cipherfold::federated::round::{Client, KeyOwner, RoundParameters, RoundSpec, SessionParameters, SumSpec, TensorSpec};
/// # use cipherfold::{backend::Choice, packing::Quantizer};
/// # use std::sync::Arc;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let session = SessionId::random(&mut rng);
/// # let (key_bits, key_holding) = (2048, KeyHolding::Server);
/// # let parameters = SessionParameters { session, key_bits, key_holding, roster: Digest::NONE, backend: Choice::Auto };
/// # let owner = KeyOwner::generate(parameters, &mut rng)?;
/// # let encoding = Encoding::Mean(Quantizer::symmetric(1.0, 16)?);
/// # let spec = RoundSpec::new(RoundParameters {
/// #     session, round: 0, key_bits, key_holding, offer: owner.offer().digest(), max_clients: 2, min_clients: 2,
/// #     sums: vec![SumSpec::new(Structure::leaf(TensorSpec::new(DType::F32, [300], encoding)))], chunk_ciphertexts: 2,
/// # })?;
/// # let client = Client::new(0, &spec, owner.encryption_key(), Arc::new(PlaintextChannel::new()))?;
/// let structure = Structure::leaf(TensorType { dtype: DType::F32, shape: vec![300] });
/// let update = client.stream(&[(structure, None)])?;
/// for number in 0..update.messages() {
///     // Read from a file, say: 156 elements at a time, for the slots of two ciphertexts.
///     let read = |elements: std::ops::Range<usize>| ndarray::Array1::<f32>::zeros(elements.len());
///     let pieces: Vec<_> = update.pieces(number)?.into_iter().map(|piece| read(piece.elements)).collect();
///     let views: Vec<_> = pieces.iter().map(|piece| TensorView::from(piece.view().into_dyn())).collect();
///     let (message, clipped) = client.streamed_message(&update, number, &views, &mut rng)?;
///     assert!(message.len() > 512 && clipped == 0);
/// }
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamedUpdate {
    spec: RoundSpec,
    /// Element type and encoding of each tensor of the round.
    tensors: Arc<[(DType, Encoding)]>,
    weights: Vec<Option<u32>>,
}

/// A part of a tensor that travels in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The number of the secure sum in the round.
    pub sum: usize,
    /// The number of the tensor in the sum.
    pub tensor: usize,
    /// Its elements, in row-major order.
    pub elements: Range<usize>,
}

impl Client {
    /// Declares an update, one structure and weight for each secure sum of the round, whose elements follow message by message.
    ///
    /// # Errors
    ///
    /// [`Error::SumCount`], [`Error::TensorCount`], [`Error::TensorShape`], [`Error::StructureMismatch`];
    /// [`Error::WeightTooLarge`], [`Error::WeightExpected`].
    pub fn stream(&self, parts: &[(Structure<TensorType>, Option<u32>)]) -> Result<StreamedUpdate> {
        let spec = self.spec();
        check_structures(spec, parts.iter().map(|(structure, _)| structure))?;
        let weights = parts.iter().map(|(_, weight)| *weight);
        spec.sums().iter().zip(weights.clone()).try_for_each(|(sum, weight)| check_weight(sum, weight))?;
        let tensors = spec.sums().iter().flat_map(|sum| sum.tensors().iter());
        let tensors = tensors.map(|tensor| (tensor.tensor.dtype, tensor.encoding)).collect();
        Ok(StreamedUpdate { spec: spec.clone(), tensors, weights: weights.collect() })
    }

    /// The message with this number, made of its [pieces](StreamedUpdate::pieces), and how many of their elements were clipped.
    ///
    /// Nothing of an update should be sent unless [all of it can be](StreamedUpdate::check): elements that have changed since
    /// they were checked are refused here, when other messages may have been sent. A client that is not committed is in no sum.
    ///
    /// # Errors
    ///
    /// Those of [`StreamedUpdate::check`]; those of the channel.
    pub fn streamed_message(
        &self,
        update: &StreamedUpdate,
        number: u64,
        pieces: &[TensorView<'_>],
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, u64)> {
        if update.spec != *self.spec() {
            return Err(Error::OtherRound { expected: self.spec().digest(), found: update.spec.digest() });
        }
        let chunk = self.spec().chunk(number)?;
        let columns = update.columns(&update.pieces(number)?, pieces)?;
        let mut columns = columns.iter();
        let (slots, clipped) = fill_slots(&update.spec, &chunk, &update.weights, |_, from, values| {
            let column = columns.next().expect("one for each piece, in their order");
            column.encode(0, values, rng).map_err(|error| at(error, from))
        })?;
        Ok((self.message_of(&chunk, slots, rng)?, clipped))
    }
}

impl StreamedUpdate {
    /// Number of messages that it travels in.
    pub fn messages(&self) -> u64 {
        self.spec.plan().chunk_count() as u64
    }

    /// The parts of tensors that the message with this number carries, in order. A message may carry a weight alone.
    ///
    /// # Errors
    ///
    /// [`Error::MessageNumber`].
    pub fn pieces(&self, number: u64) -> Result<Vec<Piece>> {
        let (plan, chunk) = (self.spec.plan(), self.spec.chunk(number)?);
        let piece = |(range, place): (Range<usize>, Place)| match place {
            Place::Weight { .. } => None,
            Place::Tensor { index, from } => {
                let (sum, tensor) = plan.place_of(index);
                Some(Piece { sum, tensor, elements: from..from + range.len() })
            }
        };
        Ok(plan.places(&chunk).into_iter().filter_map(piece).collect())
    }

    /// Whether these elements, one tensor of any shape for each [piece](Self::pieces), can be encoded.
    ///
    /// # Errors
    ///
    /// [`Error::MessageNumber`]; [`Error::PieceCount`], [`Error::Piece`] for other pieces than the message has;
    /// [`Error::Tensor`] with a value that cannot be encoded.
    pub fn check(&self, number: u64, pieces: &[TensorView<'_>]) -> Result<()> {
        let places = self.pieces(number)?;
        for (place, column) in places.iter().zip(self.columns(&places, pieces)?) {
            column.check().map_err(|source| {
                let source = Box::new(at(source, place.elements.start));
                Error::Tensor { tensor: place.tensor, source }
            })?;
        }
        Ok(())
    }

    /// The elements of a message with their codecs, if they are those of its pieces.
    fn columns<'a>(&self, places: &[Piece], pieces: &[TensorView<'a>]) -> Result<Vec<Box<dyn Column + 'a>>> {
        if places.len() != pieces.len() {
            return Err(Error::PieceCount { expected: places.len(), found: pieces.len() });
        }
        let column = |(piece, (place, view)): (usize, (&Piece, &TensorView<'a>))| {
            let sum = &self.spec.plan().sums()[place.sum];
            let (dtype, encoding) = &self.tensors[sum.tensors.start + place.tensor];
            let (expected, found) = (place.elements.len(), view.len());
            if view.dtype() != *dtype || found != expected {
                let (expected, found) =
                    (format!("{dtype}[{expected}]"), format!("{}[{found}]", view.dtype()));
                return Err(Error::Piece { piece, expected, found });
            }
            Ok(encoding.column(view).expect("the specification takes its own types"))
        };
        places.iter().zip(pieces).enumerate().map(column).collect()
    }
}
