//! HPKE agreements between sender and receiver, and messages under them.

use chacha20::ChaCha20Rng;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256};
use rand_core::{CryptoRng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

use crate::federated::channel::boxes::nonce::{NONCE_LEN, NonceKey};
use crate::federated::channel::route::Route;
use crate::federated::channel::{BoxPublicKey, BoxSecretKey, Envelope, OpenedPayload};

type Kem = hpke::kem::X25519HkdfSha256;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;

/// An encapsulated key: a public key that the sender makes for one agreement.
pub(super) type Encapsulated = [u8; ENCAPSULATED_LEN];

pub(super) const ENCAPSULATED_LEN: usize = 32;

/// Bytes of a message beyond those of its payload: envelope, encapsulated key, nonce,
/// authenticator.
pub(super) const OVERHEAD: usize = Envelope::ENCODED_LEN + ENCAPSULATED_LEN + NONCE_LEN + TAG_LEN;

const TAG_LEN: usize = 16;

/// The key pair of one end and the public key of the other.
pub(super) struct Ends<'a> {
    pub(super) own: &'a BoxSecretKey,
    pub(super) own_public: &'a BoxPublicKey,
    pub(super) peer: &'a BoxPublicKey,
}

/// The shared state of both ends of a route, after encapsulation and decapsulation.
pub(super) struct Agreement {
    encapsulated: Encapsulated,
    /// Wiped when dropped, like the nonce key.
    cipher: XChaCha20Poly1305,
    nonces: NonceKey,
}

impl Agreement {
    /// The sender's part: a fresh key for the receiver.
    pub(super) fn encapsulate(route: &Route, ends: &Ends<'_>, rng: &mut dyn CryptoRng) -> Self {
        let info = info(route);
        let mut rng = hedged(&info, ends, rng);
        let own = (private_key(ends.own), public_key(ends.own_public));
        let (encapsulated, context) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Auth(own),
            &public_key(ends.peer),
            &info,
            &mut rng,
        )
        .expect("encapsulation fails only for a zero agreement, and box public keys have prime order");
        Self::new(encapsulated.to_bytes().into(), |label, out| context.export(label, out))
    }

    /// The receiver's part; `None` if no honest sender has made that key.
    pub(super) fn decapsulate(route: &Route, ends: &Ends<'_>, encapsulated: &Encapsulated) -> Option<Self> {
        let key = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Auth(public_key(ends.peer)),
            &private_key(ends.own),
            &key,
            &info(route),
        )
        .ok()?;
        Some(Self::new(*encapsulated, |label, out| context.export(label, out)))
    }

    fn new(
        encapsulated: Encapsulated,
        export: impl Fn(&[u8], &mut [u8]) -> Result<(), hpke::HpkeError>,
    ) -> Self {
        let secret = |label| {
            let mut secret = Zeroizing::new([0; 32]);
            export(label, &mut *secret).expect("HKDF can export 32 bytes");
            secret
        };
        let mut key = (*secret(MESSAGES)).into();
        let cipher = XChaCha20Poly1305::new(&key);
        key.as_mut_slice().zeroize();
        Self { encapsulated, cipher, nonces: NonceKey::derive(&[&*secret(NONCES)]) }
    }

    pub(super) fn encapsulated(&self) -> &Encapsulated {
        &self.encapsulated
    }

    /// `envelope ‖ encapsulated key ‖ nonce ‖ authenticator ‖ ciphertext`.
    pub(super) fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
        let envelope = envelope.to_bytes();
        let nonce = self.nonces.nonce(&envelope, payload, rng);
        // The full capacity is reserved first: growing would leave a copy of the payload behind.
        let mut wire = Vec::with_capacity(OVERHEAD + payload.len());
        wire.extend_from_slice(&envelope);
        wire.extend_from_slice(&self.encapsulated);
        wire.extend_from_slice(&nonce);
        wire.extend_from_slice(&[0; TAG_LEN]);
        wire.extend_from_slice(payload);
        let (head, message) = wire.split_at_mut(OVERHEAD);
        let tag = self
            .cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &envelope, message.into())
            .expect("payloads in memory are shorter than 256 GiB");
        head[OVERHEAD - TAG_LEN..].copy_from_slice(&tag);
        wire
    }

    /// The content of a message, if it was sealed under this agreement.
    pub(super) fn open(&self, message: &Sealed<'_>) -> Option<OpenedPayload> {
        let mut payload = Zeroizing::new(message.ciphertext.to_vec());
        self.cipher
            .decrypt_inout_detached(
                &XNonce::from(*message.nonce),
                message.envelope,
                payload.as_mut_slice().into(),
                &Tag::from(*message.tag),
            )
            .ok()?;
        Some(OpenedPayload::new(payload, 0))
    }
}

/// The `info` of HPKE. All parts have fixed lengths.
fn info(route: &Route) -> Vec<u8> {
    let (from, to) = (route.from.to_bytes(), route.to.to_bytes());
    [INFO, &route.session.to_bytes(), &route.round.to_be_bytes(), &from, &to].concat()
}

/// The parts of a message.
pub(super) struct Sealed<'a> {
    pub(super) envelope: &'a [u8; Envelope::ENCODED_LEN],
    pub(super) encapsulated: &'a Encapsulated,
    nonce: &'a [u8; NONCE_LEN],
    tag: &'a [u8; TAG_LEN],
    ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// The parts of a message, unless it is too short to have them.
    pub(super) fn split(wire: &'a [u8]) -> Option<Self> {
        let (envelope, rest) = wire.split_first_chunk()?;
        let (encapsulated, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (tag, ciphertext) = rest.split_first_chunk()?;
        Some(Self { envelope, encapsulated, nonce, tag, ciphertext })
    }
}

/// A generator for one encapsulation, seeded by a keyed hash of the sender's secret key, the
/// route, the receiver and 32 fresh random bytes. If `rng` repeats itself, the seeds for
/// different routes are still independent.
fn hedged(info: &[u8], ends: &Ends<'_>, rng: &mut dyn CryptoRng) -> ChaCha20Rng {
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *random);
    let mut hasher = blake3::Hasher::new_derive_key("cipherfold 2026-11 encapsulated keys");
    hasher.update(&*ends.own.expose_bytes()).update(&*random);
    hasher.update(&ends.peer.to_bytes()).update(info);
    let mut hash = hasher.finalize();
    let rng = ChaCha20Rng::from_seed(*hash.as_bytes());
    hash.zeroize();
    hasher.zeroize();
    rng
}

fn private_key(key: &BoxSecretKey) -> PrivateKey {
    PrivateKey::from_bytes(&*key.expose_bytes()).expect("any 32 bytes are a key")
}

fn public_key(key: &BoxPublicKey) -> PublicKey {
    PublicKey::from_bytes(&key.to_bytes()).expect("any 32 bytes are a key")
}

const INFO: &[u8] = b"cipherfold HpkeChannel 1";
const MESSAGES: &[u8] = b"messages";
const NONCES: &[u8] = b"nonces";
