//! The specification of a round, declared before any client works.

pub(in crate::federated) mod chunking;
mod costs;
mod sums;

pub use costs::{Rates, RoundCosts, RoundTime};
pub use sums::{SumSpec, TensorSpec};

use core::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::chunking::{Chunk, Chunking};
use super::{EncryptionKey, KeyHolding};
use crate::federated::{
    Digest, Party, SessionId,
    channel::{self, Envelope, payload},
    round::error::{Error, Result},
    tensor::{EncodingParameters, MaxWeight, Structure, TensorType},
};

/// The specification of a round. The server announces it before any client works, and it is the
/// same for every party.
///
/// Layouts, messages and costs follow from it. An impossible round, for example one whose sum does
/// not fit into a plaintext, is refused with an error when it is declared.
///
/// Clients' contributions, partial sums and answers are bound to the round's
/// [digest](Self::digest). So every party refuses objects that were made under another
/// specification.
///
/// ```
/// use cipherfold::federated::{Digest, KeyHolding, SessionId, tensor::{DType, Encoding, Structure}};
/// use cipherfold::federated::round::{RoundParameters, RoundSpec, SumSpec, TensorSpec};
/// use cipherfold::packing::Quantizer;
///
/// let encoding = Encoding::Mean(Quantizer::symmetric(1.0, 16)?);
/// let model = Structure::named([
///     ("w", Structure::leaf(TensorSpec::new(DType::F32, [1000, 1000], encoding))),
///     ("b", Structure::leaf(TensorSpec::new(DType::F32, [1000], encoding))),
/// ])?;
/// let spec = RoundSpec::new(RoundParameters {
///     session: SessionId::from_bytes([7; 16]),
///     round: 3,
///     key_bits: 2048,
///     key_holding: KeyHolding::Server,
///     offer: Digest::from_bytes([0; 32]), // of the session's keys
///     sums: vec![SumSpec::new(model)],
///     max_clients: 100,
///     min_clients: 2,
///     chunk_ciphertexts: 512,
/// })?;
/// let costs = spec.costs();
/// assert_eq!((costs.values, costs.ciphertexts), (1_001_000, 11_248));
/// assert!(costs.bytes_per_value() < 5.8);
/// assert_eq!(RoundSpec::from_bytes(&spec.to_bytes())?.digest(), spec.digest());
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone)]
pub struct RoundSpec(Arc<Inner>);

struct Inner {
    parameters: RoundParameters,
    chunking: Chunking,
    digest: Digest,
}

/// The parameters of a [`RoundSpec`].
#[derive(Clone, Debug, PartialEq)]
pub struct RoundParameters {
    /// The session, which has one key pair.
    pub session: SessionId,
    /// The round's number in the session.
    pub round: u64,
    /// Bits of the session's key: 2048, 3072 or 4096.
    pub key_bits: u32,
    /// The party that decrypts.
    pub key_holding: KeyHolding,
    /// The digest of the [session's offer](super::SessionOffer::digest), which fixes the keys.
    pub offer: Digest,
    /// All secure sums of the round.
    pub sums: Vec<SumSpec>,
    /// The maximum number of clients that contribute. Slots have room for the sum of this number.
    pub max_clients: u32,
    /// The minimum number of clients that contribute. With fewer, nothing is opened. A sum over one
    /// client is that client's update, so use 1 only if the server may see single updates.
    pub min_clients: u32,
    /// Ciphertexts in one message from a client. [`EncryptionKey::suggested_chunk_ciphertexts`]
    /// gives a suitable number.
    pub chunk_ciphertexts: u32,
}

impl RoundSpec {
    /// Declares a round.
    ///
    /// # Errors
    ///
    /// - [`Error::KeyBits`] for an unsupported key size.
    /// - [`Error::Setting`] for a number that is zero; [`Error::TooManyClients`] for a minimum
    ///   number of clients above the maximum.
    /// - [`Error::EncodingType`] for elements of a type that their encoding does not support.
    /// - [`Error::RoundTooLarge`] for too many values.
    /// - Those of [`Layout::new`](crate::packing::Layout::new) for sums that do not fit into a
    ///   plaintext.
    pub fn new(parameters: RoundParameters) -> Result<Self> {
        let RoundParameters { key_bits, max_clients, min_clients, chunk_ciphertexts, .. } = parameters;
        super::keys::check_key_bits(key_bits)?;
        for (setting, value) in [
            ("max_clients", max_clients),
            ("min_clients", min_clients),
            ("chunk_ciphertexts", chunk_ciphertexts),
        ] {
            if value == 0 {
                return Err(Error::Setting { setting, minimum: 1 });
            }
        }
        if min_clients > max_clients {
            return Err(Error::TooManyClients { limit: max_clients, found: min_clients });
        }
        for sum in &parameters.sums {
            for (tensor, spec) in sum.tensors.iter().enumerate() {
                let dtype = spec.tensor.dtype;
                if !spec.encoding.takes(dtype) {
                    return Err(Error::EncodingType { tensor, dtype });
                }
            }
        }
        let chunk = usize::try_from(chunk_ciphertexts).unwrap_or(usize::MAX);
        let chunking = Chunking::new(&parameters.sums, max_clients, key_bits - 1, chunk)?;
        let digest = Digest::of("cipherfold round specification", &[&to_bytes(&parameters)]);
        Ok(Self(Arc::new(Inner { parameters, chunking, digest })))
    }

    /// The parameters of its declaration.
    pub fn parameters(&self) -> &RoundParameters {
        &self.0.parameters
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.0.parameters.session
    }

    /// The round's number in the session.
    pub fn round(&self) -> u64 {
        self.0.parameters.round
    }

    /// All secure sums of the round.
    pub fn sums(&self) -> &[SumSpec] {
        &self.0.parameters.sums
    }

    /// The digest of the specification, which identifies the round.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The costs of the round, known before anything runs. Clients that encrypt with short
    /// exponents need less time, but send as many bytes ([`Rates`](super::Rates)).
    pub fn costs(&self) -> RoundCosts {
        let RoundParameters { key_bits, max_clients, .. } = self.0.parameters;
        RoundCosts::of(self.chunking(), key_bits, max_clients)
    }

    /// The maximum error that encoding adds to an element of each tensor of each sum, for the
    /// maximum number of clients with the maximum weight:
    /// [`Encoding::error_bound`](crate::federated::tensor::Encoding::error_bound).
    pub fn error_bounds(&self) -> Vec<Structure<f64>> {
        let clients = u64::from(self.0.parameters.max_clients);
        let bounds = |sum: &SumSpec| {
            let weight = clients * sum.max_weight.map_or(1, |weight| u64::from(weight.get()));
            sum.tensors.as_ref().map(|tensor| tensor.encoding.error_bound(weight))
        };
        self.sums().iter().map(bounds).collect()
    }

    /// Refuses keys for which the round was not declared.
    pub(super) fn check_key(&self, key: &EncryptionKey) -> Result<()> {
        let expected = self.0.parameters.offer;
        if key.digest() == expected {
            Ok(())
        } else {
            Err(Error::OtherOffer { expected, found: key.digest() })
        }
    }

    /// Refuses a message of another session, round or specification.
    pub(super) fn check_envelope(&self, found: &Envelope) -> Result<(), channel::Error> {
        let expected =
            Envelope { session: self.session(), round: self.round(), context: self.digest(), ..*found };
        expected.check(found)
    }

    /// The part of an update in the message with this number.
    pub(in crate::federated) fn chunk(&self, number: u64) -> Result<Chunk> {
        let chunk = usize::try_from(number).ok().and_then(|index| self.chunking().chunk(index));
        chunk.ok_or_else(|| Error::MessageNumber { number, messages: self.chunking().chunk_count() as u64 })
    }

    /// The envelope of a message of this round.
    pub(in crate::federated) fn envelope(&self, number: usize, from: Party, to: Party) -> Envelope {
        Envelope {
            session: self.session(),
            round: self.round(),
            sequence: number as u64,
            context: self.digest(),
            from,
            to,
        }
    }

    /// The maximum number of clients whose sum may be opened: the number for which one of the sums
    /// is sized, or for which slots have room.
    pub(in crate::federated) fn sized_for(&self) -> Option<u32> {
        self.sums().iter().filter_map(|sum| sum.max_clients).min()
    }

    pub(in crate::federated) fn chunking(&self) -> &Chunking {
        &self.0.chunking
    }

    /// The canonical encoding: a version, and all parameters.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&self.0.parameters)
    }

    /// The specification with this encoding.
    ///
    /// # Errors
    ///
    /// [`channel::Error::EncodingVersion`]; [`channel::Error::PayloadDecoding`] for bytes that
    /// [`to_bytes`](Self::to_bytes) does not write; those of [`new`](Self::new).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (version, rest) = bytes.split_first().unwrap_or((&0, &[]));
        if *version != VERSION {
            return Err(channel::Error::EncodingVersion { expected: VERSION, found: *version }.into());
        }
        let spec = Self::new(payload::decode::<Wire>(rest)?.try_into()?)?;
        // Different encodings may have the same meaning, but each specification has one encoding.
        if spec.to_bytes() != bytes {
            let reason = "the bytes are not the canonical encoding".to_owned();
            return Err(channel::Error::PayloadDecoding { type_name: "RoundSpec", reason }.into());
        }
        Ok(spec)
    }
}

impl PartialEq for RoundSpec {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for RoundSpec {}

impl fmt::Debug for RoundSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundSpec")
            .field("parameters", &self.0.parameters)
            .field("digest", &self.0.digest)
            .finish_non_exhaustive()
    }
}

/// First byte of every encoding.
const VERSION: u8 = 1;

/// The encoded form, after the version.
#[derive(Serialize, Deserialize)]
struct Wire {
    session: [u8; SessionId::LEN],
    round: u64,
    key_bits: u32,
    key_holder: bool,
    offer: [u8; Digest::LEN],
    sums: Vec<WireSum>,
    max_clients: u32,
    min_clients: u32,
    chunk_ciphertexts: u32,
}

#[derive(Serialize, Deserialize)]
struct WireSum {
    tensors: Structure<(TensorType, EncodingParameters)>,
    /// The maximum weight, and whether a total of zero is allowed.
    weights: Option<(u32, bool)>,
    max_clients: Option<u32>,
}

fn to_bytes(parameters: &RoundParameters) -> Vec<u8> {
    let sum = |sum: &SumSpec| WireSum {
        tensors: sum.tensors.as_ref().map(|tensor| (tensor.tensor.clone(), (&tensor.encoding).into())),
        weights: sum.max_weight.map(|weight| (weight.get(), weight.allows_zero_total())),
        max_clients: sum.max_clients,
    };
    let wire = Wire {
        session: parameters.session.to_bytes(),
        round: parameters.round,
        key_bits: parameters.key_bits,
        key_holder: parameters.key_holding == KeyHolding::KeyHolder,
        offer: parameters.offer.to_bytes(),
        sums: parameters.sums.iter().map(sum).collect(),
        max_clients: parameters.max_clients,
        min_clients: parameters.min_clients,
        chunk_ciphertexts: parameters.chunk_ciphertexts,
    };
    let encoded = payload::encode(&wire).expect("numbers and texts can be encoded");
    [&[VERSION], &encoded[..]].concat()
}

impl TryFrom<Wire> for RoundParameters {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let sum = |sum: WireSum| {
            let tensors = sum.tensors.try_map(|(tensor, parameters)| {
                Ok::<_, Error>(TensorSpec { tensor, encoding: parameters.try_into()? })
            })?;
            let max_weight = sum.weights.map(|(max, zero_total)| {
                let weight = MaxWeight::new(max);
                if zero_total { weight.no_nan_division() } else { weight }
            });
            Ok::<_, Error>(SumSpec { tensors, max_weight, max_clients: sum.max_clients })
        };
        Ok(Self {
            session: SessionId::from_bytes(wire.session),
            round: wire.round,
            key_bits: wire.key_bits,
            key_holding: if wire.key_holder { KeyHolding::KeyHolder } else { KeyHolding::Server },
            offer: Digest::from_bytes(wire.offer),
            sums: wire.sums.into_iter().map(sum).collect::<Result<_>>()?,
            max_clients: wire.max_clients,
            min_clients: wire.min_clients,
            chunk_ciphertexts: wire.chunk_ciphertexts,
        })
    }
}
