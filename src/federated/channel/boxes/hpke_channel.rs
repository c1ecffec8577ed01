//! Messages in boxes under HPKE keys that last for a session: the default channel.
//!
//! Sender and receiver agree on keys by HPKE (RFC 9180) in its authenticated mode, with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. The sender encapsulates a key
//! once for each session, round, sender and receiver.
//!
//! ```text
//! info = "cipherfold HpkeChannel 1" ‖ session ‖ round ‖ sender ‖ receiver
//! wire = envelope ‖ encapsulated key (32 bytes) ‖ nonce (24 bytes) ‖ authenticator (16 bytes) ‖ ciphertext of the payload
//! ```
//!
//! HPKE numbers the messages of an agreement in order. Here messages may arrive in any order. So
//! two secrets are exported from the agreement (labels `messages` and `nonces`). The first is the
//! key of XChaCha20-Poly1305, which is ChaCha20-Poly1305 (RFC 8439) with 24-byte nonces that travel
//! with the message. The second makes the nonces. The encoded [`Envelope`] is the additional data.
//!
//! After the first message of a round, a message needs no scalar multiplication. To measure its
//! cost:
//!
//! ```text
//! cargo bench --bench channels
//! ```
//!
//! The ciphers select AVX2 at run time. With `RUSTFLAGS="--cfg chacha20_avx512"` they can also
//! select AVX-512, which makes `ChaCha20` more than twice as fast on a CPU that has it.

mod agreement;
mod session;

use core::fmt::{self, Debug};
use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use rand_core::CryptoRng;

use self::agreement::{OVERHEAD, Sealed};
use self::session::{PartyKeys, SessionState};
use crate::federated::channel::error::{Error, Result};
use crate::federated::channel::{check_ends, id_of};
use crate::federated::{
    Party, SessionId,
    channel::{BoxPublicKey, BoxSecretKey, Channel, Envelope, OpenedPayload, SessionKeys},
};

/// Sends every message in a box that only its receiver opens, under keys that last for a session.
///
/// Only the two parties can read a box or make one that opens, provided that each has the true
/// public key of the other. A box is deniable, not signed: the receiver could have made it. A thief
/// of a receiver's session key can also make boxes for that receiver that seem to come from any
/// sender.
///
/// # Forward secrecy
///
/// Key pairs belong to a session. [`Channel::end_session`] wipes them and all keys derived from
/// them. From then on no remaining key opens a message of the session, not even the long-term
/// [`Identity`](crate::federated::channel::Identity) keys of both ends. Identities only sign
/// session keys.
///
/// # One party in this process
///
/// [`HpkeChannel::for_party`] is one party's end, for the session of its keys. The public keys of
/// the other parties come from their [announcements](crate::federated::channel::Announcement).
///
/// ```
/// use cipherfold::federated::{Digest, Party, SessionId, channel::{Channel, Envelope, HpkeChannel, Identity, SessionKeys}};
///
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let session = SessionId::random(&mut rng);
/// let (client, aggregator) = (Party::Client(3), Party::Aggregator);
///
/// // Each party, in its own process, announces a key for the session.
/// let [client_identity, aggregator_identity] = [(); 2].map(|()| Identity::generate(&mut rng));
/// let client_keys = SessionKeys::new(session, client, &mut rng);
/// let aggregator_keys = SessionKeys::new(session, aggregator, &mut rng);
/// let from_client = client_keys.announce(&client_identity);
/// let from_aggregator = aggregator_keys.announce(&aggregator_identity);
///
/// let aggregator_key = from_aggregator.verify(&aggregator_identity.key(), session, aggregator)?;
/// let at_client = HpkeChannel::for_party(client_keys).with_peer(aggregator, aggregator_key);
/// let client_key = from_client.verify(&client_identity.key(), session, client)?;
/// let at_aggregator = HpkeChannel::for_party(aggregator_keys).with_peer(client, client_key);
///
/// let envelope =
///     Envelope { session, round: 0, sequence: 0, from: client, to: aggregator, context: Digest::NONE };
/// let wire = at_client.seal(&envelope, b"a ciphertext", &mut rng)?;
/// let (found, payload) = at_aggregator.open(client, aggregator, &wire)?;
/// assert_eq!((found, payload.as_slice()), (envelope, &b"a ciphertext"[..]));
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// # All parties in this process
///
/// [`HpkeChannel::new`] is for the simulation. It makes a key pair for each party in each session
/// when needed.
///
/// # Nonces
///
/// A nonce is a keyed hash of envelope, payload and 32 fresh random bytes. If the generator given
/// to [`Channel::seal`] repeats itself, messages that differ in envelope or payload still have
/// different nonces, and messages that are equal in both have equal bytes. So a repeated generator
/// shows only that two messages are equal. Encapsulated keys are hedged in the same way, with the
/// sender's secret key.
///
/// Key pairs are only as good as the generator that makes them: two parties that draw the same
/// bytes have the same session key.
pub struct HpkeChannel {
    sessions: RwLock<BTreeMap<SessionId, Arc<SessionState>>>,
    /// Public keys of parties in other processes, for sessions that begin here.
    peers: BTreeMap<Party, BoxPublicKey>,
    /// Key pairs made in advance, each for the next session of its party. `None` if this is one
    /// party's end.
    next: Option<Mutex<BTreeMap<Party, BoxSecretKey>>>,
    /// Number of pairs that had agreed on keys in ended sessions.
    pairs: AtomicU64,
}

impl HpkeChannel {
    /// A channel for the simulation, which makes the keys of all parties.
    pub fn new() -> Self {
        Self::with_sessions(BTreeMap::new(), Some(Mutex::default()))
    }

    /// One party's end: the channel of the owner of these keys, in their session. It knows no other
    /// keys yet.
    pub fn for_party(keys: SessionKeys) -> Self {
        let (session, party, secret) = keys.into_parts();
        let mut state = SessionState::default();
        state.replace(party, PartyKeys::new(secret));
        Self::with_sessions(BTreeMap::from([(session, Arc::new(state))]), None)
    }

    fn with_sessions(
        sessions: BTreeMap<SessionId, Arc<SessionState>>,
        next: Option<Mutex<BTreeMap<Party, BoxSecretKey>>>,
    ) -> Self {
        Self { sessions: RwLock::new(sessions), peers: BTreeMap::new(), next, pairs: AtomicU64::new(0) }
    }

    /// This channel, with `key` as the session key of `party`, which is in another process.
    ///
    /// Verify the announcement that contains the key. Earlier keys of `party` are deleted.
    #[must_use]
    pub fn with_peer(mut self, party: Party, key: BoxPublicKey) -> Self {
        self.peers.insert(party, key);
        for session in self.sessions.get_mut().unwrap_or_else(PoisonError::into_inner).values_mut() {
            let session = Arc::get_mut(session).expect("a moved channel has no other users");
            session.replace(party, PartyKeys::elsewhere(key));
        }
        self
    }

    /// Adds the session key of a party in another process. Works on a channel in use.
    ///
    /// # Errors
    ///
    /// [`Error::NoSessionKeys`] if the channel is not in this session; [`Error::OtherSessionKey`]
    /// if `party` has another key in it.
    pub fn add_peer(&self, session: SessionId, party: Party, key: BoxPublicKey) -> Result<()> {
        let state = self.session(session).ok_or(Error::NoSessionKeys { session })?;
        let slot = state.keys(party, || PartyKeys::elsewhere(key));
        if slot.get().is_some_and(|keys| keys.public == key) {
            Ok(())
        } else {
            Err(Error::OtherSessionKey { session, party })
        }
    }

    /// The public key of `party` in a session, if it exists already.
    pub fn public_key(&self, session: SessionId, party: Party) -> Option<BoxPublicKey> {
        self.session(session)?.public_key(party)
    }

    fn session(&self, session: SessionId) -> Option<Arc<SessionState>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).get(&session).cloned()
    }

    /// The session, with keys for both ends. In the simulation, the session and missing keys are
    /// made here.
    fn session_to_seal(&self, envelope: &Envelope, rng: &mut dyn CryptoRng) -> Result<Arc<SessionState>> {
        let Envelope { session, from, to, .. } = *envelope;
        let found = self.session(session);
        let Some(next) = &self.next else { return found.ok_or(Error::NoSessionKeys { session }) };
        let found = found.unwrap_or_else(|| {
            let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sessions.entry(session).or_default())
        });
        for party in [from, to] {
            found.keys(party, || {
                if let Some(key) = self.peers.get(&party) {
                    return PartyKeys::elsewhere(*key);
                }
                let prepared = next.lock().unwrap_or_else(PoisonError::into_inner).remove(&party);
                PartyKeys::new(prepared.unwrap_or_else(|| BoxSecretKey::generate(rng)))
            });
        }
        Ok(found)
    }
}

impl Default for HpkeChannel {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel for HpkeChannel {
    fn name(&self) -> &'static str {
        "hpke"
    }

    fn is_confidential(&self) -> bool {
        true
    }

    fn overhead(&self) -> usize {
        OVERHEAD
    }

    /// Counts 64 bytes, one public key in each direction, for each pair of parties that has agreed
    /// on a key in a session.
    fn setup_bytes(&self) -> u64 {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let open: u64 = sessions.values().map(|session| session.pairs() as u64).sum();
        (self.pairs.load(Ordering::Relaxed) + open) * 2 * BoxPublicKey::LEN as u64
    }

    /// Makes a key pair for the next session of `party`, unless one is ready.
    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        if let Some(next) = &self.next
            && !self.peers.contains_key(&party)
        {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            next.entry(party).or_insert_with(|| BoxSecretKey::generate(rng));
        }
    }

    /// Wipes the session's keys: from now on, no key opens its messages.
    fn end_session(&self, session: SessionId) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(over) = sessions.remove(&session) {
            self.pairs.fetch_add(over.pairs() as u64, Ordering::Relaxed);
        }
    }

    /// See [`Channel::seal`].
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`]. On one party's end: [`Error::NoSessionKeys`] for a session other than
    /// that of the keys, and after its end; [`Error::NoKeyExchange`] if the key of one of the two
    /// is missing; [`Error::MissingSecretKey`] if the sender is another party.
    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        envelope.check_ends()?;
        self.session_to_seal(envelope, rng)?.seal(envelope, payload, rng)
    }

    fn message_id(&self, wire: &[u8]) -> [u8; 16] {
        // Without the keys, no other message that opens with this nonce and authenticator can be
        // made.
        id_of(&wire[..OVERHEAD.min(wire.len())])
    }

    /// See [`Channel::open`].
    ///
    /// # Errors
    ///
    /// Those of [`Channel::open`]; [`Error::NoSessionKeys`] for a session that is unknown or ended;
    /// [`Error::NoKeyExchange`] if the two parties do not have each other's keys;
    /// [`Error::MissingSecretKey`] if the receiver's secret key is elsewhere; [`Error::BoxOpen`] if
    /// the box does not open, whatever the cause. Only `BoxOpen` depends on the content of the box;
    /// the other errors, [`Error::WrongEnvelope`] included, depend on the envelope's fields.
    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload)> {
        check_ends(from, to)?;
        let Some(message) = Sealed::split(wire) else {
            return Err(Error::WireLength { from, to, minimum: OVERHEAD, found: wire.len() });
        };
        let envelope = Envelope::from_bytes(message.envelope)?;
        envelope.check_between(from, to)?;
        let session = envelope.session;
        let state = self.session(session).ok_or(Error::NoSessionKeys { session })?;
        Ok((envelope, state.open(&envelope, &message)?))
    }
}

/// Shows which parties have keys, and nothing of the keys.
impl Debug for HpkeChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let parties: BTreeMap<_, _> = sessions.iter().map(|(id, session)| (id, session.parties())).collect();
        f.debug_struct("HpkeChannel").field("sessions", &parties).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
