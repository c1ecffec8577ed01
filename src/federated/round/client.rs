//! The client of a round: encodes, packs, encrypts and seals. It knows its update, its weights and
//! the public key.

mod streamed;

pub use streamed::{Piece, StreamedUpdate};

use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    EncryptionKey, RoundSpec, SumSpec,
    chunking::{Chunk, Place},
    confidential::check_confidential,
    keys::Packed,
};
use crate::federated::{
    Party, PlacementKind,
    channel::{self, Channel},
    round::error::{Error, Result},
    tensor::{self, Structure, TensorTree, TensorType, TensorView, erased::Encode},
};

/// A client of one round: it turns an update into sealed messages for the aggregator.
///
/// It works on the rayon pool of the calling thread. It sends no part of an update before all of it
/// is checked. It refuses values out of range, a structure that differs from the declared one, and
/// a weight above the maximum. The duration of these checks does not depend on values that are in
/// range.
#[derive(Clone, Debug)]
pub struct Client {
    number: u32,
    spec: RoundSpec,
    key: EncryptionKey,
    channel: Arc<dyn Channel>,
}

/// One client's contribution to one secure sum: tensors in their structure, and a weight if the sum
/// has weights.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    structure: Structure<TensorType>,
    tensors: Vec<TensorView<'a>>,
    weight: Option<u32>,
}

impl<'a> Update<'a> {
    /// An update of these tensors.
    ///
    /// # Errors
    ///
    /// [`tensor::Error::StructureDepth`].
    pub fn new<T: TensorTree + ?Sized>(tensors: &'a T) -> Result<Self> {
        Ok(Self { structure: tensors.structure()?, tensors: tensors.erased(), weight: None })
    }

    /// An update of tensors with dynamic types, in their structure.
    pub fn of_views(tensors: Structure<TensorView<'a>>) -> Self {
        let structure = tensors.as_ref().map(TensorView::tensor_type);
        let mut views = Vec::new();
        tensors.map(|tensor| views.push(tensor));
        Self { structure, tensors: views, weight: None }
    }

    /// The same update with a weight.
    #[must_use]
    pub fn weighted(self, weight: u32) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Names, nesting, element types and shapes.
    pub fn structure(&self) -> &Structure<TensorType> {
        &self.structure
    }
}

impl Client {
    /// The client with this number, in a round under this key. Its messages travel through the
    /// channel, which has the client's key pair and the aggregator's public key.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`] if the round was declared for other keys;
    /// [`channel::Error::OpenChannel`] if a key holder has the secret key and the channel is not
    /// confidential.
    pub fn new(
        number: u32,
        spec: &RoundSpec,
        key: &EncryptionKey,
        channel: Arc<dyn Channel>,
    ) -> Result<Self> {
        spec.check_key(key)?;
        check_confidential(spec, (PlacementKind::Clients, PlacementKind::Aggregator), &*channel)?;
        Ok(Self { number, spec: spec.clone(), key: key.clone(), channel })
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// Checks an update, one part for each secure sum of the round, and prepares it for sending.
    ///
    /// # Errors
    ///
    /// For an update that does not fit the round: [`Error::SumCount`],
    /// [`tensor::Error::TensorCount`], [`tensor::Error::TensorShape`],
    /// [`tensor::Error::StructureMismatch`]; [`tensor::Error::Tensor`] with a value that cannot be
    /// encoded; [`Error::WeightTooLarge`], [`Error::WeightExpected`]. Only the client should see
    /// these errors: they may show facts about its data.
    pub fn encode<'a>(&self, updates: &[Update<'a>]) -> Result<EncodedUpdate<'a>> {
        EncodedUpdate::new(&self.spec, updates)
    }

    /// The message with this number, below [`EncodedUpdate::messages`]: encoded, encrypted, and
    /// sealed for the aggregator. Messages may be made and sent in any order, and sent again. A
    /// message which is created again is a different message.
    ///
    /// # Errors
    ///
    /// [`Error::MessageNumber`]; those of the channel.
    pub fn message(
        &self,
        update: &EncodedUpdate<'_>,
        number: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        let chunk = self.spec.chunk(number)?;
        let (slots, _) = update.slots(&chunk, rng)?;
        self.message_of(&chunk, slots, rng)
    }

    /// The message with these slots, which are wiped as soon as they are packed.
    pub(super) fn message_of(
        &self,
        chunk: &Chunk,
        slots: Zeroizing<Vec<u64>>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        let packed = self.pack(chunk, &slots);
        drop(slots);
        let contribution = self.encrypt(packed, rng)?;
        Ok(self.seal(chunk, &contribution, rng)?)
    }

    pub(in crate::federated) fn pack(&self, chunk: &Chunk, slots: &[u64]) -> Box<dyn Packed> {
        self.key.ops().pack(slots, &chunk.layout)
    }

    pub(in crate::federated) fn encrypt(
        &self,
        packed: Box<dyn Packed>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        self.key.ops().encrypt(packed, rng)
    }

    pub(in crate::federated) fn seal(
        &self,
        chunk: &Chunk,
        contribution: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        let envelope = self.spec.envelope(chunk.index, Party::Client(self.number), Party::Aggregator);
        self.channel.seal(&envelope, contribution, rng)
    }
}

/// An update that was checked against its round.
pub struct EncodedUpdate<'a> {
    spec: RoundSpec,
    /// The encoders of all sums, in order.
    encoders: Vec<Box<dyn Encode + 'a>>,
    /// One for each sum.
    weights: Vec<Option<u32>>,
}

impl<'a> EncodedUpdate<'a> {
    pub(in crate::federated) fn new(spec: &RoundSpec, updates: &[Update<'a>]) -> Result<Self> {
        let sums = spec.sums();
        check_structures(spec, updates.iter().map(|update| &update.structure))?;
        let mut encoders = Vec::with_capacity(spec.chunking().tensor_count());
        let mut weights = Vec::with_capacity(sums.len());
        for (update, sum) in updates.iter().zip(sums) {
            for (tensor, (view, spec)) in update.tensors.iter().zip(sum.tensors().iter()).enumerate() {
                let encoder = spec.encoding.encoder(view).expect("the specification accepts its own types");
                encoder.check().map_err(|error| error.of_tensor(tensor))?;
                encoders.push(encoder);
            }
            check_weight(sum, update.weight)?;
            weights.push(update.weight);
        }
        Ok(Self { spec: spec.clone(), encoders, weights })
    }

    /// Number of its messages.
    pub fn messages(&self) -> u64 {
        self.spec.chunking().chunk_count() as u64
    }

    /// The values of a chunk, encoded and weighted, one for each slot, and the number of clipped
    /// values.
    pub(in crate::federated) fn slots(
        &self,
        chunk: &Chunk,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Zeroizing<Vec<u64>>, u64)> {
        fill_slots(&self.spec, chunk, &self.weights, |index, from, values| {
            self.encoders[index].encode(from, values, rng)
        })
    }
}

/// Refuses structures, one for each secure sum, that differ from the declared ones.
pub(super) fn check_structures<'s>(
    spec: &RoundSpec,
    structures: impl ExactSizeIterator<Item = &'s Structure<TensorType>>,
) -> Result<()> {
    let sums = spec.sums();
    if structures.len() != sums.len() {
        return Err(Error::SumCount { expected: sums.len(), found: structures.len() });
    }
    let check = |(sum, structure): (&SumSpec, _)| sum.structure().check(structure);
    Ok(sums.iter().zip(structures).try_for_each(check)?)
}

/// Refuses a weight above the maximum, a weight that was not declared, and a missing weight.
pub(super) fn check_weight(sum: &SumSpec, weight: Option<u32>) -> Result<()> {
    match (weight, sum.max_weight()) {
        (Some(weight), Some(max)) if weight > max.get() => Err(Error::WeightTooLarge { max: max.get() }),
        (Some(_), Some(_)) | (None, None) => Ok(()),
        (_, max) => Err(Error::WeightExpected { expected: max.is_some() }),
    }
}

/// The values of a chunk, one for each slot, and the number of clipped values. `encode` receives
/// the index of a tensor in the round, the index of its first element, and the slots to fill.
pub(super) fn fill_slots(
    spec: &RoundSpec,
    chunk: &Chunk,
    weights: &[Option<u32>],
    mut encode: impl FnMut(usize, usize, &mut [u64]) -> Result<usize, tensor::Error>,
) -> Result<(Zeroizing<Vec<u64>>, u64)> {
    let chunking = spec.chunking();
    let mut clipped = 0;
    let mut values = Zeroizing::new(vec![0; chunk.values()]);
    for (range, place) in chunking.places(chunk) {
        let values = &mut values[range];
        match place {
            Place::Weight { .. } => values[0] = 1,
            Place::Tensor { index, from } => {
                let (_, tensor) = chunking.place_of(index);
                let encoded = encode(index, from, values).map_err(|error| error.of_tensor(tensor));
                clipped += encoded? as u64;
            }
        }
    }
    if let Some(weight) = chunk.weighted.and_then(|sum| weights[sum]) {
        // The layout fits every value times the maximum weight into a word.
        values.iter_mut().for_each(|value| *value *= u64::from(weight));
    }
    Ok((values, clipped))
}
