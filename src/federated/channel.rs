//! The guarded way between two parties.
//!
//! A [`Channel`] turns a payload into wire bytes and back. Whatever the channel, a receiver states which message it
//! expects, and [`ReplayGuard`] refuses every other one. What stands behind that refusal differs: a box proves who
//! sealed the envelope, [`PlaintextChannel`] takes the sender's word.

mod box_channel;
mod grid;
pub(super) mod message;
pub(super) mod network;
pub(super) mod payload;

pub use box_channel::{BoxChannel, BoxPublicKey, BoxSecretKey};
pub use grid::ChannelGrid;
pub use message::{Contribution, EncryptedSum, MaskedSum, MaskedTotals, Message, PublicKeyMessage};
pub use payload::Payload;

use core::fmt::Debug;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Envelope, EnvelopeMismatch, Party, SessionId};
use crate::{Error, Result};

/// A way to send messages from one party to another.
///
/// One value serves both ends and any number of threads at the same time.
pub trait Channel: Send + Sync + Debug {
    /// The channel's name in reports: `plaintext`, `box`.
    fn name(&self) -> &'static str;

    /// Bytes of a wire message beyond those of its payload.
    fn overhead(&self) -> usize;

    /// Bytes of public keys that this channel has exchanged so far, over all pairs of parties.
    fn setup_bytes(&self) -> u64;

    /// Makes what `party` needs to send and receive, such as a key pair, unless it is there.
    ///
    /// Called for server and aggregator before the first message, so that what they are given does not depend on which
    /// client comes first. A channel must do without the call, too; by default it does nothing.
    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        let _ = (party, rng);
    }

    /// Forgets what the channel knows of a session that is over, such as which messages have arrived.
    ///
    /// From then on no receiver may expect a message of that session: an old one could be taken for it. By default this
    /// does nothing.
    fn end_session(&self, session: SessionId) {
        let _ = session;
    }

    /// The wire bytes that carry `payload` from `envelope.from` to `envelope.to`.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`], or whatever keeps this channel from sealing as that sender for that receiver.
    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>>;

    /// The payload of `wire`, if that is the message that the receiver expects: the one of `envelope`.
    ///
    /// The payload is wiped when dropped.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`]; [`Error::WireLength`] for a message too short to be one; [`Error::WrongEnvelope`] or
    /// [`Error::Replayed`] for a message that is not the expected one (see [`ReplayGuard::accept`]); further ones that
    /// are the channel's own. A message that is refused changes nothing: the expected one can still be opened.
    fn open(&self, envelope: &Envelope, wire: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
}

/// Sends everything in the clear: the envelope, then the payload.
///
/// **No protection.** Whoever relays a message reads it and can write another one with any envelope. That
/// [`Channel::open`] refuses a message of another sender, receiver, session or round, and a repeated one, catches
/// mistakes, not attackers. It is for what every party may see, such as a public key or a result that is published.
///
/// ```
/// use cipherfold::federated::{Channel, Envelope, Party, PlaintextChannel, SessionId};
///
/// let channel = PlaintextChannel::new();
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let envelope = Envelope {
///     session: SessionId::random(&mut rng),
///     round: 0,
///     sequence: 0,
///     from: Party::Aggregator,
///     to: Party::Server,
/// };
/// let wire = channel.seal(&envelope, b"the sum", &mut rng)?;
/// assert_eq!(channel.open(&envelope, &wire)?.as_slice(), b"the sum");
/// assert!(channel.open(&envelope, &wire).is_err(), "a second time is a replay");
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct PlaintextChannel {
    pub(super) guard: ReplayGuard,
}

impl PlaintextChannel {
    /// A channel on which nothing was sent yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Channel for PlaintextChannel {
    fn name(&self) -> &'static str {
        "plaintext"
    }

    fn overhead(&self) -> usize {
        Envelope::ENCODED_LEN
    }

    fn setup_bytes(&self) -> u64 {
        0
    }

    fn end_session(&self, session: SessionId) {
        self.guard.end_session(session);
    }

    fn seal(&self, envelope: &Envelope, payload: &[u8], _rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        envelope.check_ends()?;
        Ok([&envelope.to_bytes(), payload].concat())
    }

    fn open(&self, envelope: &Envelope, wire: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        envelope.check_ends()?;
        let Some((header, payload)) = wire.split_first_chunk() else {
            return Err(Error::WireLength {
                from: envelope.from,
                to: envelope.to,
                minimum: self.overhead(),
                found: wire.len(),
            });
        };
        self.guard.accept(envelope, &Envelope::from_bytes(header)?)?;
        Ok(Zeroizing::new(payload.to_vec()))
    }
}

/// Remembers, for a channel's receivers, what has arrived: each message is accepted once, and in order.
///
/// For each session, sender and receiver the pair `(round, sequence)` must grow from one accepted message to the next.
/// Only the last accepted pair is kept, so memory grows with the number of those triples, never with the number of
/// messages, and what belongs to a session goes when the session [ends](Self::end_session). Restarting the guard within a
/// session would admit old messages again.
#[derive(Debug, Default)]
pub struct ReplayGuard {
    sessions: Mutex<HashMap<SessionId, Accepted>>,
}

/// Round and sequence number of the last accepted message of a session, by sender and receiver.
type Accepted = HashMap<(Party, Party), (u64, u64)>;

impl ReplayGuard {
    /// A guard that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts the message with the envelope `found` as the one `expected`, and remembers it.
    ///
    /// Call it once authentication has succeeded: a forged message must not use up the place of a true one. Comparing
    /// and remembering are one step, so of several threads with the same message exactly one succeeds.
    ///
    /// # Errors
    ///
    /// [`Error::WrongEnvelope`] if session, sender or receiver differ; then [`Error::Replayed`] if `found` is not
    /// later than the last accepted message of that direction; then [`Error::WrongEnvelope`] if round or sequence
    /// number differ.
    pub fn accept(&self, expected: &Envelope, found: &Envelope) -> Result<()> {
        use EnvelopeMismatch::{Receiver, Round, Sender, Sequence, Session};

        macro_rules! compare {
            ($mismatch:ident, $field:ident) => {
                if expected.$field != found.$field {
                    let (expected, found) = (expected.$field, found.$field);
                    let mismatch = $mismatch { expected, found };
                    return Err(Error::WrongEnvelope { mismatch });
                }
            };
        }

        compare!(Session, session);
        compare!(Sender, from);
        compare!(Receiver, to);

        // Nothing below can leave the map half changed, so a lock poisoned elsewhere is as good as any.
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let direction = (found.from, found.to);
        let number = (found.round, found.sequence);
        let seen = sessions.get(&found.session).and_then(|session| session.get(&direction));
        if seen.is_some_and(|&last| number <= last) {
            return Err(Error::Replayed {
                from: found.from,
                to: found.to,
                round: found.round,
                sequence: found.sequence,
            });
        }
        compare!(Round, round);
        compare!(Sequence, sequence);
        sessions.entry(found.session).or_default().insert(direction, number);
        Ok(())
    }

    /// Forgets a session that is over. The guard would accept its messages again, so that no receiver may expect one.
    pub fn end_session(&self, session: SessionId) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    /// Sessions that messages were accepted of, and directions in all of them.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        (sessions.len(), sessions.values().map(HashMap::len).sum())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    pub(in crate::federated) fn rng(seed: u64) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(seed)
    }

    pub(in crate::federated) fn envelope(round: u64, sequence: u64) -> Envelope {
        Envelope {
            session: SessionId::from_bytes([1; 16]),
            round,
            sequence,
            from: Party::Client(1),
            to: Party::Aggregator,
        }
    }

    /// What every channel owes its users; `channel` is fresh.
    pub(in crate::federated) fn honours_envelopes(channel: &dyn Channel) {
        let mut rng = rng(1);
        let sent = envelope(3, 5);
        let mut seal = |envelope: &Envelope| channel.seal(envelope, b"payload", &mut rng).unwrap();
        let wire = seal(&sent);
        assert_eq!(wire.len(), b"payload".len() + channel.overhead());
        // Keys of every pair named below exist, so that a refusal is the envelope's doing.
        for (from, to) in [
            (Party::Aggregator, Party::Client(1)),
            (Party::Client(2), Party::Aggregator),
            (Party::Client(1), Party::Server),
        ] {
            seal(&Envelope { from, to, ..sent });
        }

        let expect_other = |expected: Envelope, error: Option<EnvelopeMismatch>| {
            let found = channel.open(&expected, &wire).unwrap_err();
            match error {
                Some(mismatch) => assert_eq!(found, Error::WrongEnvelope { mismatch }),
                None => assert!(
                    matches!(found, Error::BoxOpen { from, to } if (from, to) == (expected.from, expected.to))
                        || matches!(found, Error::WrongEnvelope { .. }),
                    "{found:?}"
                ),
            }
        };
        let session = SessionId::from_bytes([2; 16]);
        expect_other(
            Envelope { session, ..sent },
            Some(EnvelopeMismatch::Session { expected: session, found: sent.session }),
        );
        expect_other(Envelope { round: 4, ..sent }, Some(EnvelopeMismatch::Round { expected: 4, found: 3 }));
        expect_other(
            Envelope { sequence: 4, ..sent },
            Some(EnvelopeMismatch::Sequence { expected: 4, found: 5 }),
        );
        // One key serves both directions of a pair, so it is the envelope that tells them apart.
        expect_other(
            Envelope { from: sent.to, to: sent.from, ..sent },
            Some(EnvelopeMismatch::Sender { expected: sent.to, found: sent.from }),
        );
        expect_other(Envelope { from: Party::Client(2), ..sent }, None);
        expect_other(Envelope { to: Party::Server, ..sent }, None);

        // None of the refusals has used up the message.
        assert_eq!(channel.open(&sent, &wire).unwrap().as_slice(), b"payload");
        let replayed = Error::Replayed { from: sent.from, to: sent.to, round: 3, sequence: 5 };
        assert_eq!(channel.open(&sent, &wire), Err(replayed.clone()));
        // Also when the receiver already waits for the next one.
        assert_eq!(channel.open(&envelope(3, 6), &wire), Err(replayed));
    }

    /// Messages out of order, on a fresh channel.
    pub(in crate::federated) fn refuses_reordered_messages(channel: &dyn Channel) {
        let mut rng = rng(2);
        let mut wires = Vec::new();
        for (round, sequence) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
            let envelope = envelope(round, sequence);
            wires.push((envelope, channel.seal(&envelope, b"", &mut rng).unwrap()));
        }
        let open = |i: usize| channel.open(&wires[i].0, &wires[i].1).map(|_| ());
        assert_eq!(open(0), Ok(()));
        assert_eq!(open(2), Ok(()), "a number may be left out");
        for late in [0, 1, 2] {
            assert!(matches!(open(late), Err(Error::Replayed { round: 0, .. })));
        }
        assert_eq!(open(3), Ok(()), "a new round counts from zero again");
        assert!(matches!(open(1), Err(Error::Replayed { round: 0, sequence: 1, .. })));
    }

    /// Messages that no one sends, on a fresh channel.
    pub(in crate::federated) fn refuses_short_messages_and_equal_ends(channel: &dyn Channel) {
        let mut rng = rng(3);
        let sent = envelope(0, 0);
        let wire = channel.seal(&sent, b"", &mut rng).unwrap();
        assert_eq!(wire.len(), channel.overhead());
        for found in 0..wire.len() {
            let expected =
                Error::WireLength { from: sent.from, to: sent.to, minimum: channel.overhead(), found };
            assert_eq!(channel.open(&sent, &wire[..found]), Err(expected));
        }
        assert!(channel.open(&sent, &wire).unwrap().is_empty());

        let same = Envelope { to: sent.from, ..sent };
        let error = Error::SameParty { party: sent.from };
        assert_eq!(channel.seal(&same, b"", &mut rng), Err(error.clone()));
        assert_eq!(channel.open(&same, &wire), Err(error));
    }

    #[test]
    fn plaintext_honours_envelopes() {
        honours_envelopes(&PlaintextChannel::new());
    }

    #[test]
    fn plaintext_refuses_reordered_messages() {
        refuses_reordered_messages(&PlaintextChannel::new());
    }

    #[test]
    fn plaintext_refuses_short_messages_and_equal_ends() {
        refuses_short_messages_and_equal_ends(&PlaintextChannel::new());
    }

    #[test]
    fn plaintext_refuses_every_change_of_the_header() {
        let channel = PlaintextChannel::new();
        let sent = envelope(6, 7);
        let wire = channel.seal(&sent, b"payload", &mut rng(4)).unwrap();
        for i in 0..Envelope::ENCODED_LEN {
            let mut altered = wire.clone();
            altered[i] ^= 0x80;
            assert!(channel.open(&sent, &altered).is_err(), "byte {i}");
        }
        assert_eq!(channel.open(&sent, &wire).unwrap().as_slice(), b"payload");
    }

    #[test]
    fn one_of_many_threads_gets_the_message() {
        let guard = ReplayGuard::new();
        let accepted = std::sync::atomic::AtomicUsize::new(0);
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    if guard.accept(&envelope(0, 0), &envelope(0, 0)).is_ok() {
                        accepted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(accepted.into_inner(), 1);
    }

    #[test]
    fn memory_does_not_grow_with_messages() {
        let guard = ReplayGuard::new();
        for sequence in 0..1000 {
            guard.accept(&envelope(0, sequence), &envelope(0, sequence)).unwrap();
        }
        assert_eq!(guard.counts(), (1, 1));
    }

    #[test]
    fn sessions_that_are_over_are_forgotten() {
        let guard = ReplayGuard::new();
        let other = Envelope { session: SessionId::from_bytes([2; 16]), ..envelope(0, 0) };
        for client in 0..10 {
            for envelope in [envelope(0, 0), other] {
                let envelope = Envelope { from: Party::Client(client), ..envelope };
                guard.accept(&envelope, &envelope).unwrap();
            }
        }
        assert_eq!(guard.counts(), (2, 20));
        guard.end_session(other.session);
        assert_eq!(guard.counts(), (1, 10));
        let late = Envelope { from: Party::Client(3), ..envelope(0, 0) };
        assert!(matches!(guard.accept(&late, &late), Err(Error::Replayed { .. })), "this one goes on");
        // A late message of the session that is over, where another one is expected.
        assert!(matches!(guard.accept(&envelope(0, 0), &other), Err(Error::WrongEnvelope { .. })));
        assert_eq!(guard.counts(), (1, 10));
    }

    #[test]
    fn sessions_are_counted_apart() {
        let guard = ReplayGuard::new();
        let other = Envelope { session: SessionId::from_bytes([2; 16]), ..envelope(0, 0) };
        guard.accept(&envelope(5, 5), &envelope(5, 5)).unwrap();
        guard.accept(&other, &other).unwrap();
        assert!(guard.accept(&envelope(5, 5), &envelope(5, 5)).is_err());
    }
}
