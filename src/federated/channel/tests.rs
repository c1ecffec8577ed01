//! What every channel owes its users.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::federated::Digest;

pub(in crate::federated) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The bytes that these hexadecimal digits stand for.
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

/// Receivers get what was bound to a message, and refuse what they do not expect; `channel` is fresh.
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
    // One key serves both directions of a pair, so it is the envelope that tells them apart.
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

/// Messages of two rounds in any order, and more than once; `channel` is fresh.
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

/// Messages that no one sends, on a fresh channel.
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
