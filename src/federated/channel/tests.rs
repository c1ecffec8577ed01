//! Properties that every channel must have.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::federated::Digest;

pub(in crate::federated) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The bytes with these hexadecimal digits.
pub(in crate::federated) fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(in crate::federated) fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().unwrap()
}

pub(in crate::federated) fn envelope(round: u64, sequence: u64) -> Envelope {
    Envelope {
        session: SessionId::from_bytes([1; 16]),
        round,
        sequence,
        from: Party::Client(1),
        to: Party::Aggregator,
        context: Digest::from_bytes([9; 32]),
    }
}

/// Receivers get the envelope bound to a message, and refuse unexpected messages. `channel` is
/// fresh.
pub(in crate::federated) fn honours_envelopes(channel: &dyn Channel) {
    let mut rng = rng(1);
    let sent = envelope(3, 5);
    let mut seal = |envelope: &Envelope| channel.seal(envelope, b"payload", &mut rng).unwrap();
    let wire = seal(&sent);
    assert_eq!(wire.len(), b"payload".len() + channel.overhead());
    // Keys of every pair below exist, so that only the envelope can cause a refusal.
    for (from, to) in [
        (Party::Aggregator, Party::Client(1)),
        (Party::Client(2), Party::Aggregator),
        (Party::Client(1), Party::Server),
    ] {
        seal(&Envelope { from, to, ..sent });
    }

    let expect_other = |expected: Envelope, error: Option<EnvelopeMismatch>| {
        let found = channel.open_expected(&expected, &wire).unwrap_err();
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
    let context = Digest::NONE;
    expect_other(
        Envelope { context, ..sent },
        Some(EnvelopeMismatch::Context { expected: context, found: sent.context }),
    );
    // One key serves both directions of a pair, so only the envelope distinguishes them.
    expect_other(
        Envelope { from: sent.to, to: sent.from, ..sent },
        Some(EnvelopeMismatch::Sender { expected: sent.to, found: sent.from }),
    );
    expect_other(Envelope { from: Party::Client(2), ..sent }, None);
    expect_other(Envelope { to: Party::Server, ..sent }, None);
    for (from, to) in [(sent.to, sent.from), (Party::Client(2), sent.to), (sent.from, Party::Server)] {
        assert!(channel.open(from, to, &wire).is_err(), "{from} to {to}");
    }

    assert_eq!(channel.open_expected(&sent, &wire).unwrap().as_slice(), b"payload");
    let (found, payload) = channel.open(sent.from, sent.to, &wire).unwrap();
    assert_eq!((found, payload.as_slice()), (sent, &b"payload"[..]));
}

/// Opens messages of two rounds in any order, and repeatedly. `channel` is fresh.
pub(in crate::federated) fn opens_in_any_order_and_again(channel: &dyn Channel) {
    let mut rng = rng(2);
    let wires: Vec<_> = [(0, 0), (0, 1), (1, 0), (7, 3)]
        .map(|(round, sequence)| {
            let envelope = envelope(round, sequence);
            let payload = [round, sequence].map(|n| u8::try_from(n).unwrap());
            (envelope, payload, channel.seal(&envelope, &payload, &mut rng).unwrap())
        })
        .into();
    let ids: std::collections::BTreeSet<_> =
        wires.iter().map(|(.., wire)| channel.message_id(wire)).collect();
    assert_eq!(ids.len(), wires.len());
    for i in [3, 0, 2, 1, 1, 0, 3, 2] {
        let (envelope, payload, wire) = &wires[i];
        let (found, opened) = channel.open(envelope.from, envelope.to, wire).unwrap();
        assert_eq!((&found, opened.as_slice()), (envelope, &payload[..]), "message {i}");
    }
}

/// Refuses messages that are too short, and equal ends. `channel` is fresh.
pub(in crate::federated) fn refuses_short_messages_and_equal_ends(channel: &dyn Channel) {
    let mut rng = rng(3);
    let sent = envelope(0, 0);
    let wire = channel.seal(&sent, b"", &mut rng).unwrap();
    assert_eq!(wire.len(), channel.overhead());
    for found in 0..wire.len() {
        let expected = Error::WireLength { from: sent.from, to: sent.to, minimum: channel.overhead(), found };
        assert_eq!(channel.open_expected(&sent, &wire[..found]), Err(expected));
    }
    assert!(channel.open_expected(&sent, &wire).unwrap().is_empty());

    let same = Envelope { to: sent.from, ..sent };
    let error = Error::SameParty { party: sent.from };
    assert_eq!(channel.seal(&same, b"", &mut rng), Err(error.clone()));
    assert_eq!(channel.open_expected(&same, &wire), Err(error));
}

/// Refuses every altered byte and every truncation of a message, before and after the true message
/// has arrived. `channel` is fresh.
///
/// The box protects all bytes. The first `claimed` bytes may be refused for their meaning, before
/// the box is opened.
pub(in crate::federated) fn refuses_alterations(channel: &dyn Channel, claimed: usize) {
    let sent = envelope(0, 0);
    let payload = [0x5a; 40];
    let wire = channel.seal(&sent, &payload, &mut rng(5)).unwrap();
    let open = |wire: &[u8]| channel.open(sent.from, sent.to, wire).map(|(_, opened)| opened);
    let refused = Err(Error::BoxOpen { from: sent.from, to: sent.to });
    for arrived in [false, true] {
        for i in 0..wire.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut altered = wire.clone();
                altered[i] ^= flip;
                let found = open(&altered);
                let good = if i < claimed { found.is_err() } else { found == refused };
                assert!(good, "byte {i}, the true message has arrived: {arrived}: {found:?}");
            }
        }
        for length in channel.overhead()..wire.len() {
            assert_eq!(open(&wire[..length]), refused, "{length} bytes");
        }
        assert_eq!(open(&[&wire[..], &[0]].concat()), refused);
        assert_eq!(open(&wire).unwrap().as_slice(), payload);
    }
}

/// Two processes, a client and the aggregator. Each has its own channel with its own secret key and
/// the other's public key.
pub(in crate::federated) fn ends_reach_each_other([client, aggregator]: [&dyn Channel; 2]) {
    let sent = envelope(0, 0);
    let back = Envelope { from: sent.to, to: sent.from, ..sent };
    let wire = client.seal(&sent, b"hello", &mut rng(9)).unwrap();
    assert_eq!(aggregator.open_expected(&sent, &wire).unwrap().as_slice(), b"hello");
    let wire = aggregator.seal(&back, b"hello yourself", &mut rng(9)).unwrap();
    assert_eq!(client.open_expected(&back, &wire).unwrap().as_slice(), b"hello yourself");
    assert_eq!((client.setup_bytes(), aggregator.setup_bytes()), (64, 64));
}

/// The channel of a client that has only the aggregator's public key.
pub(in crate::federated) fn refuses_a_party_whose_secret_is_elsewhere(client: &dyn Channel) {
    let sent = envelope(0, 0);
    let back = Envelope { from: sent.to, to: sent.from, ..sent };
    // A shared key would suffice once it exists, but the channel lacks the party's own key.
    let wire = client.seal(&sent, b"", &mut rng(10)).unwrap();
    let refused = Error::MissingSecretKey { party: sent.to };
    assert_eq!(client.seal(&back, b"", &mut rng(10)), Err(refused.clone()));
    assert_eq!(client.open_expected(&sent, &wire), Err(refused.clone()));
    assert_eq!(refused.to_string(), "this channel does not have the secret box key of aggregator");
}
