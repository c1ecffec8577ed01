//! Messages in boxes that libsodium opens: X25519, XSalsa20-Poly1305.
//!
//! Boxes are those of `NaCl` (Bernstein, "Cryptography in `NaCl`", 2009) laid out as libsodium's `crypto_box_easy`:
//!
//! ```text
//! wire = nonce (24 bytes) ‖ MAC (16 bytes) ‖ ciphertext of (envelope ‖ payload)
//! ```
//!
//! What a box promises: nobody but the two parties reads it or makes one that opens, provided that each has the true
//! public key of the other. It is deniable, not signed: the receiver could have made it as well. A box has no
//! additional data, so the [`Envelope`] travels inside and is compared after the box has opened.

use core::fmt::{self, Debug};
use core::hint::black_box;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crypto_box::aead::AeadInPlace;
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey, Tag};
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::check_ends;
use crate::federated::party::write_hex;
use crate::federated::{Channel, Envelope, Opened, Party};
use crate::{Error, Result};

/// Sends every message in a box that only its receiver opens.
///
/// Key pairs are made when a party first takes part in [`Channel::seal`] or is [prepared](Channel::prepare), once each, whatever the number of threads,
/// and stay for the life of the channel. This is a simulation of parties in one process: their public keys pass from
/// one to the other without a relay that could replace them. Where a party lives elsewhere, bring its public key with
/// [`BoxChannel::with_peer`], and see to it that it is the true one: an active relay that swaps public keys reads
/// everything.
///
/// Two parties agree on a key once; after that, a message costs no scalar multiplication.
///
/// Nonces are random and fresh, 192 bits each, taken from the generator given to [`Channel::seal`]. A generator that
/// repeats itself, say two clones of a seeded one, opens both messages to whoever sees them.
///
/// ```
/// use cipherfold::federated::{BoxChannel, Channel, Digest, Envelope, Party, SessionId};
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
/// assert_eq!(channel.setup_bytes(), 64); // one public key each way
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Default)]
pub struct BoxChannel {
    identities: OnceMap<Party, Identity>,
    /// By pair in ascending order: the agreed key is the same from both ends.
    agreements: OnceMap<(Party, Party), SalsaBox>,
    exchanges: AtomicU64,
}

impl BoxChannel {
    /// A channel without keys: each party's are made when first needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// This channel, with `key` as the key pair of `party`.
    ///
    /// Meant for a channel not yet used. Keys that `party` had before are forgotten, and boxes under them do not open.
    #[must_use]
    pub fn with_key(self, party: Party, key: BoxSecretKey) -> Self {
        self.with_identity(party, Identity { public: key.public_key(), secret: Some(key), imported: true })
    }

    /// This channel, with `key` as the public key of `party`, whose secret key lives elsewhere.
    ///
    /// Boxes can then be sealed for `party` and opened from it, not sealed from it or opened as it. Keys that `party`
    /// had before are forgotten.
    #[must_use]
    pub fn with_peer(self, party: Party, key: BoxPublicKey) -> Self {
        self.with_identity(party, Identity { public: key, secret: None, imported: true })
    }

    fn with_identity(mut self, party: Party, identity: Identity) -> Self {
        self.identities.insert(party, identity);
        self.agreements.retain(|&(a, b)| a != party && b != party);
        self
    }

    /// The public key of `party`, if there is one yet.
    pub fn public_key(&self, party: Party) -> Option<BoxPublicKey> {
        Some(self.identities.get(&party)?.get()?.public)
    }

    /// The key that sender and receiver share. Makes what is missing of their key pairs.
    fn agree_to_seal(&self, envelope: &Envelope, rng: &mut dyn CryptoRng) -> Result<Agreement> {
        let from = self.identities.slot(envelope.from);
        let secret = from.get_or_init(|| Identity::generate(rng)).secret(envelope.from)?;
        let to = self.identities.slot(envelope.to);
        let public = &to.get_or_init(|| Identity::generate(rng)).public;
        Ok(self.agree(pair(envelope.from, envelope.to), public, secret))
    }

    /// The key that sender and receiver share. Makes no key pairs: without one, nothing can have been sealed.
    fn agree_to_open(&self, from: Party, to: Party) -> Result<Agreement> {
        let no_exchange = Error::NoKeyExchange { from, to };
        let (sender, receiver) = (self.identities.get(&from), self.identities.get(&to));
        let (Some(sender), Some(receiver)) =
            (sender.as_ref().and_then(|s| s.get()), receiver.as_ref().and_then(|r| r.get()))
        else {
            return Err(no_exchange);
        };
        let secret = receiver.secret(to)?;
        // Two parties whose keys were made here meet in `seal`. With one from elsewhere, that may have happened there.
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
            secret.agree(public)
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

    /// Counts 64 bytes, a public key each way, for each pair of parties that has agreed on a key.
    fn setup_bytes(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed) * 2 * BoxPublicKey::LEN as u64
    }

    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        self.identities.slot(party).get_or_init(|| Identity::generate(rng));
    }

    /// See [`Channel::seal`].
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`], and [`Error::MissingSecretKey`] if the sender's secret key lives elsewhere.
    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        envelope.check_ends()?;
        let agreement = self.agree_to_seal(envelope, rng)?;
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        Ok(seal_parts(agreement.key(), nonce, &[&envelope.to_bytes(), payload]))
    }

    /// See [`Channel::open`].
    ///
    /// # Errors
    ///
    /// As there, and: [`Error::NoKeyExchange`] if the two parties have no keys of each other;
    /// [`Error::MissingSecretKey`] if the receiver's secret key lives elsewhere; [`Error::BoxOpen`] if the box does
    /// not open, whatever the cause.
    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, Opened)> {
        check_ends(from, to)?;
        if wire.len() < self.overhead() {
            return Err(Error::WireLength { from, to, minimum: self.overhead(), found: wire.len() });
        }
        let agreement = self.agree_to_open(from, to)?;
        let message = open_box(agreement.key(), wire).ok_or(Error::BoxOpen { from, to })?;
        let header = message.first_chunk().expect("the length of the wire was checked");
        let envelope = Envelope::from_bytes(header)?;
        envelope.check_between(from, to)?;
        Ok((envelope, Opened::new(message, Envelope::ENCODED_LEN)))
    }
}

/// Names the parties that have keys, and nothing of the keys.
impl Debug for BoxChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxChannel")
            .field("parties", &self.identities.keys())
            .field("exchanges", &self.exchanges)
            .finish_non_exhaustive()
    }
}

/// The secret half of a party's box key pair: 32 bytes, any.
///
/// Wiped when dropped, compared in constant time, not shown by `Debug`.
pub struct BoxSecretKey(Zeroizing<[u8; Self::LEN]>);

impl BoxSecretKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A fresh key.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// The key with these bytes, as libsodium's `crypto_box_keypair` writes them.
    ///
    /// Wiping the caller's copy is the caller's part.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes of the key, for storing it. **They are the secret**; the copy is wiped when dropped.
    pub fn expose_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        self.0.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> BoxPublicKey {
        BoxPublicKey(self.lend(|key| key.public_key().to_bytes()))
    }

    /// The key shared with the owner of `public`, ready for use. Wiped when dropped.
    fn agree(&self, public: &BoxPublicKey) -> SalsaBox {
        let public = PublicKey::from_bytes(public.0);
        self.lend(|key| SalsaBox::new(&public, key))
    }

    /// Runs `function` on the key in the form that arithmetic needs.
    fn lend<T>(&self, function: impl FnOnce(&SecretKey) -> T) -> T {
        let mut key = SecretKey::from_bytes(*self.0);
        let result = function(&key);
        // crypto_box 0.9.1 wipes the scalar of a dropped key, but not the bytes it came from. Another key over it
        // does both; `black_box` keeps the write, which nobody would read.
        key = SecretKey::from_bytes([0; Self::LEN]);
        black_box(&key);
        result
    }
}

impl ConstantTimeEq for BoxSecretKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(other.0.as_slice())
    }
}

impl PartialEq for BoxSecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for BoxSecretKey {}

impl Debug for BoxSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSecretKey").finish_non_exhaustive()
    }
}

/// The public half of a party's box key pair: a point of Curve25519 as X25519 encodes it (RFC 7748, section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoxPublicKey([u8; Self::LEN]);

impl BoxPublicKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The key with these bytes, if an honest party can have published it.
    ///
    /// ```
    /// use cipherfold::federated::{BoxPublicKey, BoxSecretKey};
    ///
    /// let key = BoxSecretKey::from_bytes([7; 32]).public_key();
    /// assert_eq!(BoxPublicKey::from_bytes(key.to_bytes())?, key);
    /// // Zero is a point of order two: every agreement with it gives a key that everybody knows.
    /// assert!(BoxPublicKey::from_bytes([0; 32]).is_err());
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::BoxPublicKey`] for a u-coordinate that is not below 2²⁵⁵ − 19. RFC 7748 has its receivers clear the top bit
    /// and reduce; here every key has one encoding, so that keys that compare as unequal have different owners. X25519
    /// writes reduced ones only.
    ///
    /// [`Error::BoxPublicKey`] unless the point lies in the group of prime order ℓ that the base point generates.
    /// Public keys made by X25519 do. The points of low order that libsodium refuses do not, nor do points with a
    /// component of low order and those of the twist. These must be refused here because `crypto_box` 0.9.1 reduces
    /// its scalars modulo ℓ, so that the factor 8 by which X25519 takes low orders out is lost.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self> {
        let key = Self(bytes);
        if key.is_reduced() && key.is_in_prime_group() { Ok(key) } else { Err(Error::BoxPublicKey) }
    }

    /// The bytes of the key.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// Whether u < 2²⁵⁵ − 19.
    fn is_reduced(self) -> bool {
        let [low, middle @ .., high] = self.0;
        high < 0x7f || (high == 0x7f && (low < 0xed || middle.iter().any(|byte| *byte != 0xff)))
    }

    /// Compares s·P with (8ℓ − s)·P for s = 2²⁵⁴, by the boxes they give, since the points are not to be had.
    ///
    /// Both numbers survive the clamping of X25519 and are then reduced modulo ℓ to some a and ℓ − a. Equal
    /// u-coordinates mean (ℓ − a)·P = ±a·P, that is ℓ·P = 0 or (ℓ − 2a)·P = 0. Point orders on curve and twist divide
    /// 8ℓ and 4ℓ', ℓ' > ℓ an odd prime, and ℓ − 2a is odd and below ℓ in size: the second case leaves P = 0 only.
    /// X25519 writes u = 0 both for 0 and for the point (0, 0) of order two, which is why that one is told apart.
    fn is_in_prime_group(self) -> bool {
        // The MAC of an empty message is a fingerprint of the agreed key. Everything here is public.
        let fingerprint = |secret, public| {
            let agreed = BoxSecretKey::from_bytes(secret).agree(&public);
            let mut mac = [0; TAG_LEN];
            mac.copy_from_slice(&seal_parts(&agreed, [0; NONCE_LEN], &[])[NONCE_LEN..]);
            mac
        };
        let one_way = fingerprint(TWO_POW_254, self);
        let other_way = fingerprint(EIGHT_ELL_MINUS_TWO_POW_254, self);
        let zero = fingerprint(TWO_POW_254, Self([0; Self::LEN]));
        one_way == other_way && one_way != zero
    }
}

impl Debug for BoxPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxPublicKey(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// What the channel knows of a party.
struct Identity {
    public: BoxPublicKey,
    /// Absent when it lives elsewhere.
    secret: Option<BoxSecretKey>,
    /// Brought by the caller, not made here.
    imported: bool,
}

impl Identity {
    fn generate(rng: &mut dyn CryptoRng) -> Self {
        let secret = BoxSecretKey::generate(rng);
        Self { public: secret.public_key(), secret: Some(secret), imported: false }
    }

    fn secret(&self, party: Party) -> Result<&BoxSecretKey> {
        self.secret.as_ref().ok_or(Error::MissingSecretKey { party })
    }
}

/// The slot of a pair that has agreed.
struct Agreement(Arc<OnceLock<SalsaBox>>);

impl Agreement {
    fn key(&self) -> &SalsaBox {
        self.0.get().expect("made after the slot was filled")
    }
}

/// Values that are each made once, by whichever thread comes first; the others wait for that one value alone.
struct OnceMap<K, V>(RwLock<BTreeMap<K, Arc<OnceLock<V>>>>);

// The map's own operations run no code of others, so a poisoned lock guards a good map.
impl<K: Ord + Copy, V> OnceMap<K, V> {
    fn get(&self, key: &K) -> Option<Arc<OnceLock<V>>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.get(key).cloned()
    }

    fn slot(&self, key: K) -> Arc<OnceLock<V>> {
        self.get(&key).unwrap_or_else(|| {
            let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(map.entry(key).or_default())
        })
    }

    fn insert(&mut self, key: K, value: V) {
        let map = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        map.insert(key, Arc::new(OnceLock::from(value)));
    }

    fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let map = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        map.retain(|key, _| keep(key));
    }

    fn keys(&self) -> Vec<K> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.keys().copied().collect()
    }
}

impl<K, V> Default for OnceMap<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

/// A pair of parties in ascending order.
fn pair(a: Party, b: Party) -> (Party, Party) {
    (a.min(b), a.max(b))
}

/// `nonce ‖ MAC ‖ ciphertext` of the parts, one after the other.
fn seal_parts(key: &SalsaBox, nonce: [u8; NONCE_LEN], parts: &[&[u8]]) -> Vec<u8> {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    // Room for all from the start: growing would leave a copy of the plaintext behind.
    let mut wire = Vec::with_capacity(NONCE_LEN + TAG_LEN + payload);
    wire.extend_from_slice(&nonce);
    wire.extend_from_slice(&[0; TAG_LEN]);
    for part in parts {
        wire.extend_from_slice(part);
    }
    let (head, message) = wire.split_at_mut(NONCE_LEN + TAG_LEN);
    let tag = key
        .encrypt_in_place_detached(&Nonce::from(nonce), b"", message)
        .expect("fails only on additional data, and there is none");
    head[NONCE_LEN..].copy_from_slice(&tag);
    wire
}

/// What is inside `nonce ‖ MAC ‖ ciphertext`, if the MAC is right.
fn open_box(key: &SalsaBox, wire: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = wire.split_first_chunk::<NONCE_LEN>()?;
    let (tag, ciphertext) = rest.split_first_chunk::<TAG_LEN>()?;
    let mut message = Zeroizing::new(ciphertext.to_vec());
    key.decrypt_in_place_detached(&Nonce::from(*nonce), b"", &mut message, &Tag::from(*tag)).ok()?;
    Some(message)
}

const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// 2²⁵⁴, little-endian.
const TWO_POW_254: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[31] = 0x40;
    bytes
};

/// 8ℓ − 2²⁵⁴, little-endian, with ℓ = 2²⁵² + 27742317777372353535851937790883648493.
const EIGHT_ELL_MINUS_TWO_POW_254: [u8; 32] = {
    let mut bytes = TWO_POW_254;
    let low = (8 * 27_742_317_777_372_353_535_851_937_790_883_648_493_u128).to_le_bytes();
    let mut i = 0;
    while i < low.len() {
        bytes[i] = low[i];
        i += 1;
    }
    bytes
};

#[cfg(test)]
mod tests;
