//! Results that are given message by message.

use std::sync::Arc;

use rand_core::CryptoRng;

use super::{
    super::{EncryptionKey, KeyOwner, RoundSpec, client::Piece},
    Decoder, Server,
};
use crate::federated::{channel::Channel, round::error::Result, tensor::Tensor};

/// The server of one round that gives the result message by message, and keeps no values.
///
/// [`Server`] holds the whole result. Use this type to write a result to a file. It needs the memory
/// of one message, if the messages arrive in order. If a message of a weighted sum arrives before
/// the first message of this sum, its values wait for the total weight.
///
/// ```
/// # use cipherfold::federated::{Digest, KeyHolding, SessionId, channel::{Channel, PlaintextChannel}, tensor::{DType, Encoding, Structure, Tensor}};
/// # use cipherfold::federated::round::{Aggregator, Client, KeyOwner, RoundParameters, RoundSpec, SessionParameters, SumSpec, TensorSpec, Update};
/// use cipherfold::federated::round::{DecodedPiece, RoundTotals, StreamedServer};
/// # use cipherfold::{backend::BackendChoice, packing::IntegerRange};
/// # use std::sync::Arc;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let session = SessionId::random(&mut rng);
/// # let (key_bits, key_holding) = (2048, KeyHolding::Server);
/// # let parameters = SessionParameters { session, key_bits, key_holding, roster: Digest::NONE, backend: BackendChoice::Auto };
/// # let owner = KeyOwner::generate(parameters, &mut rng)?;
/// # let tensor = TensorSpec::new(DType::U8, [600], IntegerRange::of::<u8>());
/// # let spec = RoundSpec::new(RoundParameters {
/// #     session, round: 0, key_bits, key_holding, offer: owner.offer().digest(), max_clients: 2, min_clients: 2,
/// #     sums: vec![SumSpec::new(Structure::leaf(tensor))], chunk_ciphertexts: 1,
/// # })?;
/// # let channel: Arc<dyn Channel> = Arc::new(PlaintextChannel::new());
/// # let aggregator = Aggregator::new(&spec, owner.encryption_key(), Arc::clone(&channel))?;
/// # let values = ndarray::Array1::from_elem(600, 3_u8);
/// # for number in 0..2 {
/// #     let client = Client::new(number, &spec, owner.encryption_key(), Arc::clone(&channel))?;
/// #     let update = client.encode(&[Update::new(&values)?])?;
/// #     for message in 0..update.messages() {
/// #         aggregator.accept(number, &client.message(&update, message, &mut rng)?)?;
/// #     }
/// #     aggregator.commit(number)?;
/// # }
/// # let mut sum = aggregator.close()?.for_server()?;
/// let mut server = StreamedServer::new(&spec, &owner, Arc::clone(&channel))?;
/// let mut file: Vec<u64> = Vec::new();
/// for number in sum.numbers() {
///     for DecodedPiece { piece, values, .. } in server.open(&sum.message(number, &*channel, &mut rng)?)? {
///         assert_eq!(piece.elements.start, file.len());
///         let Tensor::U64(values) = values else { unreachable!("sums of bytes") };
///         file.extend(&values);
///     }
/// }
/// let RoundTotals { total_weights, participants, .. } = server.finish()?;
/// assert_eq!((file, total_weights, participants), (vec![6; 600], vec![2], vec![0, 1]));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct StreamedServer(Server);

/// Decoded elements of one tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DecodedPiece {
    /// The tensor, and the elements.
    pub piece: Piece,
    /// Their sums or means: one dimension.
    pub values: Tensor,
}

/// The result of a round without its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTotals {
    /// The total weight of each secure sum of the round. Without weights, it is the number of
    /// clients.
    pub total_weights: Vec<u64>,
    /// The clients in the sums, in ascending order.
    pub participants: Vec<u32>,
}

impl StreamedServer {
    /// The server of a round, with the session's secret key.
    ///
    /// # Errors
    ///
    /// Those of [`Server::new`].
    pub fn new(spec: &RoundSpec, owner: &KeyOwner, aggregator: Arc<dyn Channel>) -> Result<Self> {
        Ok(Self::over(Server::new(spec, owner, aggregator)?))
    }

    /// The server of a round in which a key holder has the secret key.
    ///
    /// # Errors
    ///
    /// Those of [`Server::with_key_holder`].
    pub fn with_key_holder(
        spec: &RoundSpec,
        key: &EncryptionKey,
        aggregator: Arc<dyn Channel>,
        key_holder: Arc<dyn Channel>,
    ) -> Result<Self> {
        Ok(Self::over(Server::with_key_holder(spec, key, aggregator, key_holder)?))
    }

    fn over(server: Server) -> Self {
        let decoder = Decoder::in_pieces(server.spec());
        Self(Server { decoder, ..server })
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        self.0.spec()
    }

    /// Opens a message of the aggregator with the secret key, and gives the values that are known
    /// now. A repeated message gives none.
    ///
    /// # Errors
    ///
    /// Those of [`Server::open`].
    pub fn open(&mut self, wire: &[u8]) -> Result<Vec<DecodedPiece>> {
        let opened = self.0.open(wire);
        self.pieces(opened)
    }

    /// Masks a message of the aggregator, and seals it for the key holder.
    ///
    /// # Errors
    ///
    /// Those of [`Server::mask`].
    pub fn mask(&mut self, wire: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        self.0.mask(wire, rng)
    }

    /// Draws the mask of a message again, as [`Server::mask_again`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Server::mask_again`].
    pub fn mask_again(&mut self, wire: &[u8], rng: &mut dyn CryptoRng) -> Result<()> {
        self.0.mask_again(wire, rng)
    }

    /// Removes the mask from an answer of the key holder, and gives the values that are known now.
    ///
    /// # Errors
    ///
    /// Those of [`Server::unmask`].
    pub fn unmask(&mut self, wire: &[u8]) -> Result<Vec<DecodedPiece>> {
        let opened = self.0.unmask(wire);
        self.pieces(opened)
    }

    /// The pieces of a message. If a message is refused after some of its values were decoded,
    /// these are dropped.
    fn pieces(&mut self, opened: Result<()>) -> Result<Vec<DecodedPiece>> {
        let pieces = self.0.decoder.take_pieces();
        opened.map(|()| pieces)
    }

    /// Number of messages that are not decoded yet.
    pub fn missing(&self) -> u64 {
        self.0.missing()
    }

    /// Total weights and clients of the round.
    ///
    /// # Errors
    ///
    /// [`Error::MissingPart`](crate::federated::round::Error::MissingPart) if messages are missing.
    pub fn finish(self) -> Result<RoundTotals> {
        let participants = self.0.clients.unwrap_or_default();
        let total_weights = self.0.decoder.total_weights(participants.len() as u64)?;
        Ok(RoundTotals { total_weights, participants: participants.into_iter().collect() })
    }
}
