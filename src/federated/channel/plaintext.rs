//! Messages in the clear.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::check_ends;
use crate::federated::channel::error::{Error, Result};
use crate::federated::{
    Party,
    channel::{Channel, Envelope, OpenedPayload},
};

/// Sends everything in the clear: the envelope, then the payload.
///
/// **No protection.** Every relay can read a message, and can write another one with any envelope.
/// [`Channel::open_expected`] refuses a message of another sender, receiver, session, round, number
/// or context; this detects mistakes, not attackers. Use this channel for data that every party may
/// see, such as a public key or a published result.
///
/// ```
/// use cipherfold::federated::{Digest, Party, SessionId, channel::{Channel, Envelope, PlaintextChannel}};
///
/// let channel = PlaintextChannel::new();
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let envelope = Envelope {
///     session: SessionId::random(&mut rng),
///     round: 0,
///     sequence: 0,
///     from: Party::Aggregator,
///     to: Party::Server,
///     context: Digest::NONE,
/// };
/// let wire = channel.seal(&envelope, b"the sum", &mut rng)?;
/// let (found, payload) = channel.open(Party::Aggregator, Party::Server, &wire)?;
/// assert_eq!(found, envelope);
/// assert_eq!(payload.as_slice(), b"the sum");
/// let next = Envelope { sequence: 1, ..envelope };
/// assert!(channel.open_expected(&next, &wire).is_err(), "another message is expected");
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PlaintextChannel;

impl PlaintextChannel {
    /// A channel without protection.
    pub const fn new() -> Self {
        Self
    }
}

impl Channel for PlaintextChannel {
    fn name(&self) -> &'static str {
        "plaintext"
    }

    fn is_confidential(&self) -> bool {
        false
    }

    fn overhead(&self) -> usize {
        Envelope::ENCODED_LEN
    }

    fn setup_bytes(&self) -> u64 {
        0
    }

    fn seal(&self, envelope: &Envelope, payload: &[u8], _rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        envelope.check_ends()?;
        Ok([&envelope.to_bytes(), payload].concat())
    }

    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload)> {
        check_ends(from, to)?;
        let Some((header, payload)) = wire.split_first_chunk() else {
            return Err(Error::WireLength { from, to, minimum: self.overhead(), found: wire.len() });
        };
        let envelope = Envelope::from_bytes(header)?;
        envelope.check_between(from, to)?;
        Ok((envelope, OpenedPayload::new(Zeroizing::new(payload.to_vec()), 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::channel::tests::{
        envelope, honours_envelopes, opens_in_any_order_and_again, refuses_short_messages_and_equal_ends, rng,
    };

    #[test]
    fn honours_every_field_of_the_envelope() {
        honours_envelopes(&PlaintextChannel::new());
    }

    #[test]
    fn messages_open_in_any_order() {
        opens_in_any_order_and_again(&PlaintextChannel::new());
    }

    #[test]
    fn short_messages_and_equal_ends_are_refused() {
        refuses_short_messages_and_equal_ends(&PlaintextChannel::new());
    }

    #[test]
    fn refuses_every_change_of_the_header() {
        let channel = PlaintextChannel::new();
        let sent = envelope(6, 7);
        let wire = channel.seal(&sent, b"payload", &mut rng(4)).unwrap();
        for i in 0..Envelope::ENCODED_LEN {
            let mut altered = wire.clone();
            altered[i] ^= 0x80;
            assert!(channel.open_expected(&sent, &altered).is_err(), "byte {i}");
        }
        assert_eq!(channel.open_expected(&sent, &wire).unwrap().as_slice(), b"payload");
    }

    #[test]
    fn payloads_are_readable() {
        let channel = PlaintextChannel::new();
        let wire = channel.seal(&envelope(0, 0), b"payload", &mut rng(5)).unwrap();
        assert!(wire.ends_with(b"payload") && !channel.is_confidential());
    }
}
