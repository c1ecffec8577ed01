//! Updates that the caller supplies message by message.

use core::ops::Range;
use std::sync::Arc;

use rand_core::CryptoRng;

use super::{Client, check_structures, check_weight, fill_slots};
#[cfg(doc)]
use crate::federated::tensor;
use crate::federated::{
    round::{
        RoundSpec,
        chunking::Place,
        error::{Error, Result},
    },
    tensor::{DType, Encoding, Structure, TensorType, TensorView, codec::at, erased::Encode},
};

/// An update whose elements are supplied message by message.
///
/// [`EncodedUpdate`](super::EncodedUpdate) borrows the whole update for as long as the round takes.
/// Use this type for an update in a file, or in memory that other code may write to: it needs only
/// the [pieces](Self::pieces) of one message at a time.
///
/// ```
/// # use cipherfold::federated::{KeyHolding, SessionId, Digest, tensor::{DType, Encoding, Structure, TensorType, TensorView}, channel::PlaintextChannel};
/// # use cipherfold::federated::round::{Client, KeyOwner, RoundParameters, RoundSpec, SessionParameters, SumSpec, TensorSpec};
/// use cipherfold::federated::round::{Piece, StreamedUpdate};
/// # use cipherfold::{backend::BackendChoice, packing::Quantizer};
/// # use std::sync::Arc;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let session = SessionId::random(&mut rng);
/// # let (key_bits, key_holding) = (2048, KeyHolding::Server);
/// # let parameters = SessionParameters { session, key_bits, key_holding, roster: Digest::NONE, backend: BackendChoice::Auto };
/// # let owner = KeyOwner::generate(parameters, &mut rng)?;
/// # let encoding = Encoding::Mean(Quantizer::symmetric(1.0, 16)?);
/// # let spec = RoundSpec::new(RoundParameters {
/// #     session, round: 0, key_bits, key_holding, offer: owner.offer().digest(), max_clients: 2, min_clients: 2,
/// #     sums: vec![SumSpec::new(Structure::leaf(TensorSpec::new(DType::F32, [300], encoding)))], chunk_ciphertexts: 2,
/// # })?;
/// # let client = Client::new(0, &spec, owner.encryption_key(), Arc::new(PlaintextChannel::new()))?;
/// let structure = Structure::leaf(TensorType { dtype: DType::F32, shape: vec![300] });
/// let update: StreamedUpdate = client.stream(&[(structure, None)])?;
/// for number in 0..update.messages() {
///     // For example from a file: 156 elements at a time, for the slots of two ciphertexts.
///     let read = |elements: std::ops::Range<usize>| ndarray::Array1::<f32>::zeros(elements.len());
///     let pieces: Vec<Piece> = update.pieces(number)?;
///     let pieces: Vec<_> = pieces.into_iter().map(|piece| read(piece.elements)).collect();
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
    /// Declares an update: one structure and weight for each secure sum of the round. The elements
    /// follow message by message.
    ///
    /// # Errors
    ///
    /// [`Error::SumCount`], [`tensor::Error::TensorCount`], [`tensor::Error::TensorShape`],
    /// [`tensor::Error::StructureMismatch`]; [`Error::WeightTooLarge`], [`Error::WeightExpected`].
    pub fn stream(&self, parts: &[(Structure<TensorType>, Option<u32>)]) -> Result<StreamedUpdate> {
        StreamedUpdate::new(self.spec(), parts)
    }

    /// The message with this number, made from its [pieces](StreamedUpdate::pieces), and the number
    /// of their elements that were clipped.
    ///
    /// Send no part of an update before [all of it is checked](StreamedUpdate::check). Elements
    /// that changed after the check are refused here, when other messages may already be sent. Then
    /// do not commit the client: only committed clients are in a sum.
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
        let encoders = update.encoders(&update.pieces(number)?, pieces)?;
        let mut encoders = encoders.iter();
        let (slots, clipped) = fill_slots(&update.spec, &chunk, &update.weights, |_, from, values| {
            let encoder = encoders.next().expect("there is one encoder for each piece");
            encoder.encode(0, values, rng).map_err(|error| at(error, from))
        })?;
        Ok((self.message_of(&chunk, slots, rng)?, clipped))
    }
}

impl StreamedUpdate {
    /// Declares an update of this round, as [`Client::stream`] does. Without a client it can be
    /// checked before the aggregator's key is known.
    ///
    /// # Errors
    ///
    /// Those of [`Client::stream`].
    pub fn new(spec: &RoundSpec, parts: &[(Structure<TensorType>, Option<u32>)]) -> Result<Self> {
        check_structures(spec, parts.iter().map(|(structure, _)| structure))?;
        let weights = parts.iter().map(|(_, weight)| *weight);
        spec.sums().iter().zip(weights.clone()).try_for_each(|(sum, weight)| check_weight(sum, weight))?;
        let tensors = spec.sums().iter().flat_map(|sum| sum.tensors().iter());
        let tensors = tensors.map(|tensor| (tensor.tensor.dtype, tensor.encoding)).collect();
        Ok(Self { spec: spec.clone(), tensors, weights: weights.collect() })
    }

    /// Number of its messages.
    pub fn messages(&self) -> u64 {
        self.spec.chunking().chunk_count() as u64
    }

    /// The parts of tensors in the message with this number, in order. A message may carry only a
    /// weight.
    ///
    /// # Errors
    ///
    /// [`Error::MessageNumber`].
    pub fn pieces(&self, number: u64) -> Result<Vec<Piece>> {
        let (chunking, chunk) = (self.spec.chunking(), self.spec.chunk(number)?);
        let piece = |(range, place): (Range<usize>, Place)| match place {
            Place::Weight { .. } => None,
            Place::Tensor { index, from } => {
                let (sum, tensor) = chunking.place_of(index);
                Some(Piece { sum, tensor, elements: from..from + range.len() })
            }
        };
        Ok(chunking.places(&chunk).into_iter().filter_map(piece).collect())
    }

    /// Checks that these elements can be encoded: one tensor of any shape for each
    /// [piece](Self::pieces).
    ///
    /// # Errors
    ///
    /// [`Error::MessageNumber`]; [`Error::PieceCount`], [`Error::Piece`] for pieces that are not
    /// those of the message; [`tensor::Error::Tensor`] with a value that cannot be encoded.
    pub fn check(&self, number: u64, pieces: &[TensorView<'_>]) -> Result<()> {
        let places = self.pieces(number)?;
        for (place, encoder) in places.iter().zip(self.encoders(&places, pieces)?) {
            let check = encoder.check().map_err(|error| at(error, place.elements.start));
            check.map_err(|error| error.of_tensor(place.tensor))?;
        }
        Ok(())
    }

    /// The elements of a message with their codecs, if the pieces have the declared types and
    /// lengths.
    fn encoders<'a>(&self, places: &[Piece], pieces: &[TensorView<'a>]) -> Result<Vec<Box<dyn Encode + 'a>>> {
        if places.len() != pieces.len() {
            return Err(Error::PieceCount { expected: places.len(), found: pieces.len() });
        }
        let encoder = |(piece, (place, view)): (usize, (&Piece, &TensorView<'a>))| {
            let sum = &self.spec.chunking().sums()[place.sum];
            let (dtype, encoding) = &self.tensors[sum.tensors.start + place.tensor];
            let (expected, found) = (place.elements.len(), view.len());
            if view.dtype() != *dtype || found != expected {
                let (expected, found) =
                    (format!("{dtype}[{expected}]"), format!("{}[{found}]", view.dtype()));
                return Err(Error::Piece { piece, expected, found });
            }
            Ok(encoding.encoder(view).expect("the specification accepts its own types"))
        };
        places.iter().zip(pieces).enumerate().map(encoder).collect()
    }
}
