//! Messages in boxes that libsodium opens: X25519, XSalsa20-Poly1305.
//!
//! Boxes are those of `NaCl` (Bernstein, "Cryptography in `NaCl`", 2009) laid out as libsodium's
//! `crypto_box_easy`:
//!
//! ```text
//! wire = nonce (24 bytes) ‖ MAC (16 bytes) ‖ ciphertext of (envelope ‖ payload)
//! ```
//!
//! Only the two parties can read a box or make one that opens, provided that each has the true
//! public key of the other. A box is deniable, not signed: the receiver could have made it as well.
//! A box has no additional data, so the [`Envelope`] travels inside and is compared after the box
//! has opened.

use core::fmt::{self, Debug};
use core::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crypto_box::aead::AeadInPlace;
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey, Tag};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    nonce::{NONCE_LEN, NonceKey},
    once_map::OnceMap,
};
use crate::federated::channel::error::{Error, Result};
use crate::federated::channel::{check_ends, id_of};
use crate::federated::{
    Party,
    channel::{BoxPublicKey, BoxSecretKey, Channel, Envelope, OpenedPayload},
};

/// Sends every message in a box that only its receiver opens, in the format of libsodium.
///
/// Use it to exchange messages with libsodium.
/// [`HpkeChannel`](crate::federated::channel::HpkeChannel) is faster, and its keys last only for a
/// session.
///
/// The channel makes a party's key pair once, when the party first takes part in [`Channel::seal`]
/// or is [prepared](Channel::prepare), from any thread. The pair stays for the life of the channel.
///
/// The channel simulates parties in one process: their public keys pass from one to the other
/// without a relay that could replace them. If a party is in another process, supply its public key
/// with [`BoxChannel::with_peer`], and verify that it is the true key. An active relay that
/// replaces public keys reads everything.
///
/// Two parties agree on a key once; after that, a message needs no scalar multiplication.
///
/// Nonces of 192 bits are keyed hashes of envelope, payload and fresh randomness. They differ for
/// different messages, even if the generator given to [`Channel::seal`] repeats itself, for example
/// in two clones of a seeded generator. See
/// [`HpkeChannel`](crate::federated::channel::HpkeChannel#nonces).
///
/// ```
/// use cipherfold::federated::{Digest, Party, SessionId, channel::{BoxChannel, Channel, Envelope}};
///
/// let channel = BoxChannel::new();
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let envelope = Envelope {
///     session: SessionId::random(&mut rng),
///     round: 0,
///     sequence: 0,
///     from: Party::Client(3),
///     to: Party::Aggregator,
///     context: Digest::NONE,
/// };
/// let wire = channel.seal(&envelope, b"a ciphertext", &mut rng)?;
/// assert_eq!(channel.open_expected(&envelope, &wire)?.as_slice(), b"a ciphertext");
/// assert_eq!(channel.setup_bytes(), 64); // one public key in each direction
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Default)]
pub struct BoxChannel {
    keys: OnceMap<Party, PartyKeys>,
    /// By pair in ascending order, because the agreed key is the same at both ends.
    agreements: OnceMap<(Party, Party), Agreed>,
    exchanges: AtomicU64,
}

impl BoxChannel {
    /// A channel without keys. It makes each party's keys when they are first needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// This channel, with `key` as the key pair of `party`.
    ///
    /// Call it on a channel that is not yet used. Earlier keys of `party` are deleted, and boxes
    /// under them no longer open.
    #[must_use]
    pub fn with_key(self, party: Party, key: BoxSecretKey) -> Self {
        self.with_party_keys(party, PartyKeys { public: key.public_key(), secret: Some(key), imported: true })
    }

    /// This channel, with `key` as the public key of `party`, whose secret key is elsewhere.
    ///
    /// The channel can then seal boxes for `party` and open boxes from it. It cannot seal or open
    /// as `party`. Earlier keys of `party` are deleted.
    #[must_use]
    pub fn with_peer(self, party: Party, key: BoxPublicKey) -> Self {
        self.with_party_keys(party, PartyKeys { public: key, secret: None, imported: true })
    }

    fn with_party_keys(mut self, party: Party, keys: PartyKeys) -> Self {
        self.keys.insert(party, keys);
        self.agreements.retain(|&(a, b)| a != party && b != party);
        self
    }

    /// The public key of `party`, if it exists already.
    pub fn public_key(&self, party: Party) -> Option<BoxPublicKey> {
        Some(self.keys.get(&party)?.get()?.public)
    }

    /// The key that sender and receiver share. Makes key pairs that are missing.
    fn agree_to_seal(&self, envelope: &Envelope, rng: &mut dyn CryptoRng) -> Result<Agreement> {
        let from = self.keys.slot(envelope.from);
        let secret = from.get_or_init(|| PartyKeys::generate(rng)).secret(envelope.from)?;
        let to = self.keys.slot(envelope.to);
        let public = &to.get_or_init(|| PartyKeys::generate(rng)).public;
        Ok(self.agree(pair(envelope.from, envelope.to), public, secret))
    }

    /// The key that sender and receiver share. Makes no key pairs: without them, no message can
    /// have been sealed.
    fn agree_to_open(&self, from: Party, to: Party) -> Result<Agreement> {
        let no_exchange = Error::NoKeyExchange { from, to };
        let (sender, receiver) = (self.keys.get(&from), self.keys.get(&to));
        let (Some(sender), Some(receiver)) =
            (sender.as_ref().and_then(|s| s.get()), receiver.as_ref().and_then(|r| r.get()))
        else {
            return Err(no_exchange);
        };
        let secret = receiver.secret(to)?;
        // `seal` agrees on a key for two parties whose keys were made here. A party elsewhere may
        // have sealed there.
        let agreed = self.agreements.get(&pair(from, to)).is_some_and(|slot| slot.get().is_some());
        if !agreed && !sender.imported && !receiver.imported {
            return Err(no_exchange);
        }
        Ok(self.agree(pair(from, to), &sender.public, secret))
    }

    fn agree(&self, pair: (Party, Party), public: &BoxPublicKey, secret: &BoxSecretKey) -> Agreement {
        let slot = self.agreements.slot(pair);
        slot.get_or_init(|| {
            self.exchanges.fetch_add(1, Ordering::Relaxed);
            Agreed::new(secret, public)
        });
        Agreement(slot)
    }
}

impl Channel for BoxChannel {
    fn name(&self) -> &'static str {
        "box"
    }

    fn is_confidential(&self) -> bool {
        true
    }

    fn overhead(&self) -> usize {
        NONCE_LEN + TAG_LEN + Envelope::ENCODED_LEN
    }

    /// Counts 64 bytes, one public key in each direction, for each pair of parties that has agreed
    /// on a key.
    fn setup_bytes(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed) * 2 * BoxPublicKey::LEN as u64
    }

    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        self.keys.slot(party).get_or_init(|| PartyKeys::generate(rng));
    }

    /// See [`Channel::seal`].
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`], and [`Error::MissingSecretKey`] if the sender's secret key is
    /// elsewhere.
    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        envelope.check_ends()?;
        let agreement = self.agree_to_seal(envelope, rng)?;
        let Agreed { key, nonces } = agreement.get();
        let envelope = envelope.to_bytes();
        Ok(seal_parts(key, nonces.nonce(&envelope, payload, rng), &[&envelope, payload]))
    }

    fn message_id(&self, wire: &[u8]) -> [u8; 16] {
        // Without the keys, no other message that opens with this nonce and authenticator can be
        // made.
        id_of(&wire[..(NONCE_LEN + TAG_LEN).min(wire.len())])
    }

    /// See [`Channel::open`].
    ///
    /// # Errors
    ///
    /// Those of [`Channel::open`]; [`Error::NoKeyExchange`] if the two parties do not have each
    /// other's keys; [`Error::MissingSecretKey`] if the receiver's secret key is elsewhere;
    /// [`Error::BoxOpen`] if the box does not open, whatever the cause.
    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload)> {
        check_ends(from, to)?;
        if wire.len() < self.overhead() {
            return Err(Error::WireLength { from, to, minimum: self.overhead(), found: wire.len() });
        }
        let agreement = self.agree_to_open(from, to)?;
        let message = open_box(&agreement.get().key, wire).ok_or(Error::BoxOpen { from, to })?;
        let header = message.first_chunk().expect("the length of the wire was checked");
        let envelope = Envelope::from_bytes(header)?;
        envelope.check_between(from, to)?;
        Ok((envelope, OpenedPayload::new(message, Envelope::ENCODED_LEN)))
    }
}

/// Shows which parties have keys, and nothing of the keys.
impl Debug for BoxChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxChannel")
            .field("parties", &self.keys.keys())
            .field("exchanges", &self.exchanges)
            .finish_non_exhaustive()
    }
}

/// The key agreed on by two parties.
struct Agreed {
    key: SalsaBox,
    nonces: NonceKey,
}

impl Agreed {
    /// The key shared with the owner of `public`, ready for use. Wiped when dropped.
    fn new(secret: &BoxSecretKey, public: &BoxPublicKey) -> Self {
        let bytes = secret.expose_bytes();
        let mut scalar = SecretKey::from_bytes(*bytes);
        let key = SalsaBox::new(&PublicKey::from_bytes(public.to_bytes()), &scalar);
        // crypto_box 0.9.1 wipes the scalar of a dropped key, but not the bytes from which it was
        // made. Another key in their place wipes both. `black_box` keeps this write, which the
        // compiler would remove as dead.
        scalar = SecretKey::from_bytes([0; BoxSecretKey::LEN]);
        black_box(&scalar);
        Self { key, nonces: NonceKey::derive(&[bytes.as_slice(), &public.to_bytes()]) }
    }
}

/// The channel's keys of a party.
struct PartyKeys {
    public: BoxPublicKey,
    /// Absent if it is elsewhere.
    secret: Option<BoxSecretKey>,
    /// Supplied by the caller, not made here.
    imported: bool,
}

impl PartyKeys {
    fn generate(rng: &mut dyn CryptoRng) -> Self {
        let secret = BoxSecretKey::generate(rng);
        Self { public: secret.public_key(), secret: Some(secret), imported: false }
    }

    fn secret(&self, party: Party) -> Result<&BoxSecretKey> {
        self.secret.as_ref().ok_or(Error::MissingSecretKey { party })
    }
}

/// The slot of a pair that has agreed on a key.
struct Agreement(Arc<OnceLock<Agreed>>);

impl Agreement {
    fn get(&self) -> &Agreed {
        self.0.get().expect("an Agreement is made only from a filled slot")
    }
}

/// A pair of parties in ascending order.
fn pair(a: Party, b: Party) -> (Party, Party) {
    (a.min(b), a.max(b))
}

/// `nonce ‖ MAC ‖ ciphertext` of the parts, one after the other.
fn seal_parts(key: &SalsaBox, nonce: [u8; NONCE_LEN], parts: &[&[u8]]) -> Vec<u8> {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    // The full capacity is reserved first: growing would leave a copy of the plaintext behind.
    let mut wire = Vec::with_capacity(NONCE_LEN + TAG_LEN + payload);
    wire.extend_from_slice(&nonce);
    wire.extend_from_slice(&[0; TAG_LEN]);
    for part in parts {
        wire.extend_from_slice(part);
    }
    let (head, message) = wire.split_at_mut(NONCE_LEN + TAG_LEN);
    let tag = key
        .encrypt_in_place_detached(&Nonce::from(nonce), b"", message)
        .expect("sealing fails only on additional data, which is absent");
    head[NONCE_LEN..].copy_from_slice(&tag);
    wire
}

/// The content of `nonce ‖ MAC ‖ ciphertext`, if the MAC is right.
fn open_box(key: &SalsaBox, wire: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = wire.split_first_chunk::<NONCE_LEN>()?;
    let (tag, ciphertext) = rest.split_first_chunk::<TAG_LEN>()?;
    let mut message = Zeroizing::new(ciphertext.to_vec());
    key.decrypt_in_place_detached(&Nonce::from(*nonce), b"", &mut message, &Tag::from(*tag)).ok()?;
    Some(message)
}

const TAG_LEN: usize = 16;

#[cfg(test)]
mod tests;
