//! Session keys: the party that makes them, the offer that announces them, and the checks of an
//! offer.

use core::fmt;
use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::opened::{MessageId, OpenedRounds};
use crate::{
    backend::BackendChoice,
    federated::{
        Digest, Party, SessionId, channel,
        channel::message::{Message, sealed},
        round::error::{Error, Result},
        round::keys::{self, Generated, PublicOps, SecretOps},
    },
    paillier::{self, Ciphertext, Exponents, Fingerprint, KeySize, PublicKey, SecretKey},
};

/// The party that holds a session's secret key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyHolding {
    /// The server, which decrypts the sum itself. Server and aggregator must not collude.
    #[default]
    Server,
    /// A separate party. It decrypts masked sums; the server adds and removes the masks. Key holder
    /// and aggregator must not collude. Server and aggregator together still see only sums.
    KeyHolder,
}

impl KeyHolding {
    /// The party that holds the key.
    pub const fn party(self) -> Party {
        match self {
            Self::Server => Party::Server,
            Self::KeyHolder => Party::KeyHolder,
        }
    }
}

/// The parameters with which a [`KeyOwner`] begins a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionParameters {
    /// The session's identifier.
    pub session: SessionId,
    /// Bits of the key: 2048, 3072 or 4096.
    pub key_bits: u32,
    /// The party that holds the secret key.
    pub key_holding: KeyHolding,
    /// The digest of the roster of all parties, or [`Digest::NONE`].
    pub roster: Digest,
    /// The backend that computes.
    pub backend: BackendChoice,
}

/// A session's public announcement: n, a base for encryption, and the party that holds the secret
/// key.
///
/// All parties use the offer whose [digest](Self::digest) they have pinned. Without the pin, a
/// relay that substitutes its own n could read everything.
///
/// An offer does not fix the length of the exponents of encryption. Each client chooses it
/// ([`EncryptionKey::with_short_exponents`]), because the secrecy of its update depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOffer {
    session: SessionId,
    key_bits: u32,
    key_holding: KeyHolding,
    roster: Digest,
    key: Vec<u8>,
    base: Vec<u8>,
}

impl SessionOffer {
    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Bits of the key.
    pub fn key_bits(&self) -> u32 {
        self.key_bits
    }

    /// The party that holds the secret key.
    pub fn key_holding(&self) -> KeyHolding {
        self.key_holding
    }

    /// The digest of the roster for which the offer was made.
    pub fn roster(&self) -> Digest {
        self.roster
    }

    /// The digest of the whole offer: the fingerprint that parties compare out of band.
    pub fn digest(&self) -> Digest {
        Digest::of("cipherfold session offer", &[&self.to_bytes()])
    }

    /// The canonical encoding: a version, the fields in order, n, and the base.
    pub fn to_bytes(&self) -> Vec<u8> {
        let holder = [u8::from(self.key_holding == KeyHolding::KeyHolder)];
        let parts: [&[u8]; 7] = [
            &[VERSION],
            &self.session.to_bytes(),
            &self.key_bits.to_be_bytes(),
            &holder,
            &self.roster.to_bytes(),
            &self.key,
            &self.base,
        ];
        parts.concat()
    }

    /// The offer with this encoding. The keys in it are checked by [`EncryptionKey::new`].
    ///
    /// # Errors
    ///
    /// [`channel::Error::EncodedLength`], [`channel::Error::EncodingVersion`], [`Error::KeyBits`];
    /// [`channel::Error::PayloadDecoding`] for an unknown key holder.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        match Self::split(bytes)? {
            (offer, []) => Ok(offer),
            (_, rest) => Err(wrong_length(bytes.len() - rest.len(), bytes.len())),
        }
    }

    /// The offer at the start of these bytes, and the remaining bytes.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (header, rest) =
            bytes.split_first_chunk::<HEADER>().ok_or_else(|| wrong_length(HEADER, bytes.len()))?;
        let (version, header) = header.split_first().expect("the length of the header was checked");
        if *version != VERSION {
            return Err(channel::Error::EncodingVersion { expected: VERSION, found: *version }.into());
        }
        let (session, header) = header.split_first_chunk().expect("the length of the header was checked");
        let (bits, header) = header.split_first_chunk().expect("the length of the header was checked");
        let (holder, roster) = header.split_first().expect("the length of the header was checked");
        let key_bits = u32::from_be_bytes(*bits);
        let (key_len, base_len) = keys::encoded_lengths(key_bits)?;
        let keys = rest.split_at_checked(key_len + base_len);
        let (keys, rest) = keys.ok_or_else(|| wrong_length(HEADER + key_len + base_len, bytes.len()))?;
        let key_holding = match holder {
            0 => KeyHolding::Server,
            1 => KeyHolding::KeyHolder,
            found => {
                let reason = format!("unknown key holder {found}");
                return Err(channel::Error::PayloadDecoding { type_name: "SessionOffer", reason }.into());
            }
        };
        let (key, base) = keys.split_at(key_len);
        let offer = Self {
            session: SessionId::from_bytes(*session),
            key_bits,
            key_holding,
            roster: Digest::from_bytes(roster.try_into().expect("the length of the header was checked")),
            key: key.to_vec(),
            base: base.to_vec(),
        };
        Ok((offer, rest))
    }
}

fn wrong_length(expected: usize, found: usize) -> Error {
    channel::Error::EncodedLength { what: "session offer", expected, found }.into()
}

impl sealed::MessageOfTheProtocol for SessionOffer {}

impl Message for SessionOffer {
    fn ciphertexts(&self) -> usize {
        0 // the base is not a ciphertext of a client
    }

    fn to_bytes(&self) -> Result<Vec<u8>, channel::Error> {
        Ok(self.to_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, channel::Error> {
        Self::from_bytes(bytes).map_err(|error| match error {
            Error::Channel(error) => error,
            error => channel::Error::PayloadDecoding { type_name: "SessionOffer", reason: error.to_string() },
        })
    }
}

/// First byte of every encoding of an offer, and of an owner.
const VERSION: u8 = 1;
const OWNER_VERSION: u8 = 1;
const HEADER: usize = 1 + SessionId::LEN + 4 + 1 + Digest::LEN;

/// A session's public key, checked against its pin and ready for use. Cheap to clone.
///
/// Encryption needs a table of some megabytes. It is made when first needed, and shared by all
/// clones.
///
/// Exponents have half the length of n unless [`with_short_exponents`](Self::with_short_exponents)
/// was called. The party that encrypts makes this choice for its own messages. No message contains
/// it, and clients of one round may choose differently.
#[derive(Clone)]
pub struct EncryptionKey(Arc<Inner>);

struct Inner {
    offer: SessionOffer,
    digest: Digest,
    ops: Arc<dyn PublicOps>,
}

impl EncryptionKey {
    /// The key of an offer, if the offer has the pinned digest.
    ///
    /// # Errors
    ///
    /// [`Error::PinMismatch`]; those of [`PublicKey::from_bytes`], and of its base.
    pub fn new(offer: &SessionOffer, pinned: Digest, backend: BackendChoice) -> Result<Self> {
        let found = offer.digest();
        if found != pinned {
            return Err(Error::PinMismatch { pinned, found });
        }
        let ops = keys::public(offer.key_bits, &offer.key, &offer.base, backend)?;
        Ok(Self::of(offer.clone(), ops))
    }

    fn of(offer: SessionOffer, ops: Arc<dyn PublicOps>) -> Self {
        let digest = offer.digest();
        Self(Arc::new(Inner { offer, digest, ops }))
    }

    /// The same key, but it encrypts with short exponents. This is about four times as fast,
    /// **under a further assumption**, which [`Exponents`] states in full. The result has its own
    /// table, which its clones share.
    #[must_use = "the key itself is unchanged"]
    pub fn with_short_exponents(&self) -> Self {
        let Inner { offer, digest, ops } = &*self.0;
        let ops = ops.with_exponents(Exponents::Short);
        Self(Arc::new(Inner { offer: offer.clone(), digest: *digest, ops }))
    }

    /// The length of the exponents for encryption.
    pub fn exponents(&self) -> Exponents {
        self.ops().exponents()
    }

    /// The offer of the key.
    pub fn offer(&self) -> &SessionOffer {
        &self.0.offer
    }

    /// The digest of the offer.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The fingerprint of n, which every ciphertext carries.
    pub fn fingerprint(&self) -> Fingerprint {
        self.ops().fingerprint()
    }

    /// The name of the backend that batches run on.
    pub fn backend_name(&self) -> &'static str {
        self.ops().backend_name()
    }

    /// Makes the table for encryption now, not with the first message.
    ///
    /// # Errors
    ///
    /// Those of [`Encryptor::with_base`](crate::paillier::Encryptor::with_base).
    pub fn prepare(&self) -> Result<()> {
        self.ops().prepare()
    }

    /// The typed key, if it has this size.
    pub fn public_key<S: KeySize>(&self) -> Option<PublicKey<S>> {
        keys::typed_public_key(self.ops())
    }

    /// The typed base, if the key has this size.
    pub fn base<S: KeySize>(&self) -> Option<Ciphertext<S>> {
        self.public_key::<S>()?.ciphertext_from_bytes(&self.0.offer.base).ok()
    }

    pub(in crate::federated) fn ops(&self) -> &dyn PublicOps {
        &*self.0.ops
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey")
            .field("key_bits", &self.0.offer.key_bits)
            .field("fingerprint", &self.fingerprint())
            .field("exponents", &self.exponents())
            .finish_non_exhaustive()
    }
}

/// The party that makes a session's keys and keeps the secret key: the server, or the key holder.
/// Clones share their state.
///
/// It records which rounds were opened with its key, so that no round is opened twice with
/// different sums.
#[derive(Clone)]
pub struct KeyOwner {
    encryption: EncryptionKey,
    secret: Arc<dyn SecretOps>,
    opened: Arc<Mutex<OpenedRounds>>,
}

impl KeyOwner {
    /// Makes the keys of a session.
    ///
    /// # Errors
    ///
    /// [`Error::KeyBits`],
    /// [`paillier::Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator); those of
    /// [`BackendChoice::backend_name`].
    pub fn generate(parameters: SessionParameters, rng: &mut dyn CryptoRng) -> Result<Self> {
        let generated = keys::generate(parameters.key_bits, parameters.backend, rng)?;
        Ok(Self::of(parameters, generated))
    }

    /// A session with a given secret key, whose size is that of the parameters.
    ///
    /// # Errors
    ///
    /// [`paillier::Error::KeySizeMismatch`](crate::paillier::Error::KeySizeMismatch); those of
    /// [`generate`](Self::generate).
    pub fn with_secret_key<S: KeySize>(
        parameters: SessionParameters,
        key: &SecretKey<S>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        if parameters.key_bits != S::BITS {
            let expected = parameters.key_bits;
            return Err(paillier::Error::KeySizeMismatch { expected, found: S::BITS }.into());
        }
        Self::supplied(parameters, key, rng)
    }

    /// A session with a type-erased secret key, which must have the size of the parameters.
    pub(in crate::federated) fn supplied(
        parameters: SessionParameters,
        key: &(dyn Any + Send + Sync),
        rng: &mut dyn CryptoRng,
    ) -> Result<Self> {
        let supplied = keys::supplied(parameters.key_bits, key, parameters.backend, rng)?;
        Ok(Self::of(parameters, supplied))
    }

    fn of(parameters: SessionParameters, generated: Generated) -> Self {
        let SessionParameters { session, key_bits, key_holding, roster, .. } = parameters;
        let Generated { secret, public, key, base } = generated;
        let offer = SessionOffer { session, key_bits, key_holding, roster, key, base };
        Self { encryption: EncryptionKey::of(offer, public), secret, opened: Arc::default() }
    }

    /// The same owner, whose own [`encryption_key`](Self::encryption_key) has [short
    /// exponents](EncryptionKey::with_short_exponents). The offer does not change.
    #[must_use = "the original owner is unchanged"]
    pub fn with_short_exponents(self) -> Self {
        Self { encryption: self.encryption.with_short_exponents(), ..self }
    }

    /// The offer that announces the session.
    pub fn offer(&self) -> &SessionOffer {
        self.encryption.offer()
    }

    /// The public key, ready for use.
    pub fn encryption_key(&self) -> &EncryptionKey {
        &self.encryption
    }

    /// The typed secret key, if it has this size.
    pub fn secret_key<S: KeySize>(&self) -> Option<&SecretKey<S>> {
        self.secret.as_any().downcast_ref()
    }

    /// The state with which the owner continues in another process, as bytes: the session's offer,
    /// the opened rounds, and the secret key. **They are secret**; the buffer is wiped when
    /// dropped.
    pub fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (offer, opened) = (self.offer().to_bytes(), self.opened_rounds());
        let secret = self.secret.expose_bytes();
        // The full capacity is reserved first: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + offer.len() + secret.len() + opened.len()));
        bytes.push(OWNER_VERSION);
        for part in [&offer, &*secret, &opened] {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// The owner with the bytes from [`expose_bytes`](Self::expose_bytes). **Time depends on the
    /// key**, while its primes are tested.
    ///
    /// A copy of the bytes that is older than the last opened sum does not contain this sum, and
    /// would allow another sum in its place. So store the bytes after each opening, before the sum
    /// leaves the process.
    ///
    /// # Errors
    ///
    /// [`channel::Error::EncodingVersion`], [`channel::Error::EncodedLength`]; those of
    /// [`SessionOffer::from_bytes`] and [`SecretKey::from_bytes_vartime`];
    /// [`paillier::Error::KeyMismatch`](crate::paillier::Error::KeyMismatch) if the offer belongs
    /// to another key; [`channel::Error::PayloadDecoding`]; those of
    /// [`BackendChoice::backend_name`].
    pub fn from_bytes_vartime(bytes: &[u8], backend: BackendChoice) -> Result<Self> {
        let (version, rest) = bytes.split_first().unwrap_or((&0, &[]));
        if *version != OWNER_VERSION {
            return Err(channel::Error::EncodingVersion { expected: OWNER_VERSION, found: *version }.into());
        }
        let (offer, rest) = SessionOffer::split(rest)?;
        let length = keys::secret_length(offer.key_bits)?;
        let (secret, opened) = rest.split_at_checked(length).ok_or(channel::Error::EncodedLength {
            what: "owner of a session's keys",
            expected: bytes.len() - rest.len() + length,
            found: bytes.len(),
        })?;
        let opened = OpenedRounds::from_bytes(opened)?;
        let Generated { secret, public, .. } =
            keys::restored_vartime(offer.key_bits, secret, (&offer.key, &offer.base), backend)?;
        let opened = Arc::new(Mutex::new(opened));
        Ok(Self { encryption: EncryptionKey::of(offer, public), secret, opened })
    }

    /// The opened rounds, as bytes. A process must store them in addition to the secret key.
    pub fn opened_rounds(&self) -> Vec<u8> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).to_bytes()
    }

    /// Adds the rounds from [`opened_rounds`](Self::opened_rounds) of an earlier process.
    ///
    /// # Errors
    ///
    /// [`channel::Error::PayloadDecoding`]; [`Error::AlreadyOpened`] if another sum of the same
    /// round was opened here. On an error, nothing changes.
    pub fn restore_opened_rounds(&self, bytes: &[u8]) -> Result<()> {
        let restored = OpenedRounds::from_bytes(bytes)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).merge(restored)
    }

    pub(in crate::federated::round) fn secret(&self) -> &dyn SecretOps {
        &*self.secret
    }

    /// Records a sum that is about to be opened. Refuses another sum in its place.
    pub(in crate::federated::round) fn opens(
        &self,
        round: u64,
        spec: Digest,
        part: u64,
        message: MessageId,
    ) -> Result<()> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).open(round, spec, part, message)
    }
}

impl fmt::Debug for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOwner").field("encryption", &self.encryption).finish_non_exhaustive()
    }
}
