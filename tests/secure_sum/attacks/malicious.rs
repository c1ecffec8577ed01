//! Relays and parties that interfere: a run fails with the right error, and never gives a wrong sum
//! without an error.
//!
//! The protocol's model is passive. These tests therefore do not cover every attack. They cover the
//! attacks that boxes, envelopes and the checks of sums detect.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Barrier, Mutex, OnceLock},
};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, Error, KeyHolding, Party,
        PlacementKind::{self, Aggregator, Clients, Server},
        SessionId,
        channel::{self, BoxChannel, ChannelGrid, Envelope, EnvelopeMismatch, PlaintextChannel},
        round::{self, EncryptionKey, KeyOwner, SessionOffer, SessionParameters},
        tensor,
    },
    packing::{IntegerRange, Layout, LayoutParameters, Quantizer},
    paillier::{self, CiphertextBatch, Encryptor, Plaintext, PublicKey, SecretKey},
};
use ndarray::{Array1, array};

use crate::support::{
    EncryptedSum, Executor, Key, Sent, Spy, builder, ciphertexts, contributions_through, failed_round, rng,
    within_a_minute,
};

fn range() -> IntegerRange {
    IntegerRange::of::<u8>()
}

/// Three clients, one after the other, in messages of one ciphertext: three each.
fn with_channel(a: PlacementKind, b: PlacementKind, channel: Arc<Spy>) -> Executor {
    let grid = ChannelGrid::default().with(a, b, channel).unwrap();
    builder().channels(grid).max_concurrent_clients(1).chunk_ciphertexts(1).build().unwrap()
}

fn sum(executor: &Executor) -> cipherfold::federated::Result<Array1<u64>> {
    let clients = (1..4_u8).map(|i| Array1::from_elem(140, i));
    executor.secure_sum(clients, range()).map(|sum| sum.value)
}

fn blamed(error: Error) -> (u32, Error) {
    let Error::Client { client, source } = error else { panic!("no client is blamed: {error}") };
    (client, *source)
}

fn does_not_open(client: u32) -> (u32, Error) {
    (client, Error::Channel(channel::Error::BoxOpen { from: Party::Client(client), to: Party::Aggregator }))
}

/// A relay that interferes with one message and remembers all.
fn relay_on_boxes(interfere: impl Fn(&Sent, &[Sent]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Arc<Spy> {
    let seen = Mutex::new(Vec::new());
    Spy::with_relay(BoxChannel::new(), move |sent| {
        let mut seen = seen.lock().unwrap();
        let delivered = interfere(sent, &seen).unwrap_or_else(|| sent.wire.clone());
        seen.push(sent.clone());
        delivered
    })
}

fn is_from(sent: &Sent, client: u32, sequence: u64) -> bool {
    let Envelope { from, sequence: found, .. } = sent.envelope;
    from == Party::Client(client) && found == sequence
}

// --- relays between clients and aggregator ---

#[test]
fn altered_boxes_do_not_open() {
    // Nonce, authenticator, envelope, payload.
    for byte in [0, 23, 24, 39, 40, 70, 79, 120, 200] {
        let channel = relay_on_boxes(move |sent, _| {
            let mut wire = sent.wire.clone();
            wire[byte] ^= 0x10;
            (is_from(sent, 1, 1) && sent.envelope.round == 0).then_some(wire)
        });
        let executor = with_channel(Clients, Aggregator, channel);
        assert_eq!(blamed(sum(&executor).unwrap_err()), does_not_open(1), "byte {byte}");
        // The next round is another one, and works.
        assert_eq!(sum(&executor).unwrap(), Array1::from_elem(140, 6));
    }
}

#[test]
fn truncated_and_extended_boxes_do_not_open() {
    let minimum = 40 + Envelope::ENCODED_LEN;
    for length in [0, 39, minimum - 1, minimum, minimum + 1, 10_000] {
        let channel = relay_on_boxes(move |sent, _| {
            let mut wire = sent.wire.clone();
            wire.resize(length, 0);
            is_from(sent, 0, 2).then_some(wire)
        });
        let error = blamed(sum(&with_channel(Clients, Aggregator, channel)).unwrap_err());
        if length < minimum {
            let (from, to) = (Party::Client(0), Party::Aggregator);
            assert_eq!(
                error,
                (0, Error::Channel(channel::Error::WireLength { from, to, minimum, found: length }))
            );
        } else {
            assert_eq!(error, does_not_open(0));
        }
    }
}

/// Repeats the first message of a client in place of its third. For the aggregator it is the same
/// message: it has no effect, and the third one is missing.
#[test]
fn a_repeated_message_does_not_stand_for_another_one() {
    let channel = relay_on_boxes(|sent, seen| {
        let first = seen.iter().find(|other| is_from(other, 2, 0));
        is_from(sent, 2, 2).then(|| first.unwrap().wire.clone())
    });
    let error = sum(&with_channel(Clients, Aggregator, channel)).unwrap_err();
    assert_eq!(blamed(error), (2, Error::Round(round::Error::IncompleteUpdate { client: 2, missing: 1 })));
}

#[test]
fn messages_of_an_earlier_round_are_refused() {
    for sequence in 0..3 {
        let channel = relay_on_boxes(move |sent, seen| {
            let old = seen.iter().find(|other| is_from(other, 1, sequence) && other.envelope.round == 0);
            (sent.envelope.round == 1)
                .then(|| old.filter(|old| old.envelope.from == sent.envelope.from))
                .flatten()
                .map(|old| old.wire.clone())
        });
        let executor = with_channel(Clients, Aggregator, channel);
        assert_eq!(sum(&executor).unwrap(), Array1::from_elem(140, 6));
        let mismatch = EnvelopeMismatch::Round { expected: 1, found: 0 };
        assert_eq!(
            blamed(sum(&executor).unwrap_err()),
            (1, Error::Channel(channel::Error::WrongEnvelope { mismatch }))
        );
        assert_eq!(sum(&executor).unwrap(), Array1::from_elem(140, 6), "a third round is left alone");
    }
}

#[test]
fn a_message_held_back_in_a_failed_round_is_of_no_use_later() {
    // The receiver never accepted it, so it is not a repetition. It still belongs to another round.
    let held = Arc::new(Mutex::new(None::<Vec<u8>>));
    let keep = Arc::clone(&held);
    let channel = relay_on_boxes(move |sent, _| {
        let mut held = keep.lock().unwrap();
        match (sent.envelope.round, is_from(sent, 1, 0), &*held) {
            (0, true, None) => {
                *held = Some(sent.wire.clone());
                Some(vec![0; 200])
            }
            (1, _, Some(wire)) if sent.envelope.from == Party::Client(1) => Some(wire.clone()),
            _ => None,
        }
    });
    let executor = with_channel(Clients, Aggregator, channel);
    assert_eq!(blamed(sum(&executor).unwrap_err()), does_not_open(1));
    let mismatch = EnvelopeMismatch::Round { expected: 1, found: 0 };
    assert_eq!(
        blamed(sum(&executor).unwrap_err()),
        (1, Error::Channel(channel::Error::WrongEnvelope { mismatch }))
    );
    assert_eq!(sum(&executor).unwrap(), Array1::from_elem(140, 6));
}

#[test]
fn messages_of_another_client_are_refused() {
    let channel = relay_on_boxes(|sent, seen| {
        let others = seen.iter().find(|other| is_from(other, 0, 0));
        is_from(sent, 1, 0).then(|| others.unwrap().wire.clone())
    });
    assert_eq!(blamed(sum(&with_channel(Clients, Aggregator, channel)).unwrap_err()), does_not_open(1));
}

#[test]
fn messages_of_another_session_are_refused() {
    let recorded = Arc::new(Mutex::new(Vec::<Sent>::new()));
    let channel = {
        let recorded = Arc::clone(&recorded);
        Spy::with_relay(BoxChannel::new(), move |sent| {
            let mut recorded = recorded.lock().unwrap();
            recorded.push(sent.clone());
            let same = |other: &&Sent| {
                other.envelope.session != sent.envelope.session
                    && (other.envelope.from, other.envelope.sequence)
                        == (sent.envelope.from, sent.envelope.sequence)
            };
            recorded.iter().find(same).map_or_else(|| sent.wire.clone(), |other| other.wire.clone())
        })
    };
    let first = with_channel(Clients, Aggregator, Arc::clone(&channel));
    let second = with_channel(Clients, Aggregator, channel);
    assert_eq!(sum(&first).unwrap(), Array1::from_elem(140, 6));
    let mismatch = EnvelopeMismatch::Session { expected: second.session(), found: first.session() };
    assert_eq!(
        blamed(sum(&second).unwrap_err()),
        (0, Error::Channel(channel::Error::WrongEnvelope { mismatch }))
    );
}

/// Two clients work at the same time, and the relay delivers the first message of each as that of
/// the other.
fn swapping_relay(inner: impl channel::Channel + 'static) -> Arc<Spy> {
    let (both, table) = (Barrier::new(2), Mutex::new(BTreeMap::<Party, Vec<u8>>::new()));
    Spy::with_relay(inner, move |sent| {
        if sent.envelope.sequence > 0 || sent.envelope.round > 0 {
            return sent.wire.clone();
        }
        table.lock().unwrap().insert(sent.envelope.from, sent.wire.clone());
        both.wait();
        let table = table.lock().unwrap();
        table.iter().find(|(party, _)| **party != sent.envelope.from).unwrap().1.clone()
    })
}

#[test]
fn swapped_messages_are_refused() {
    within_a_minute(|| {
        let with = |channel| {
            let grid = contributions_through(channel);
            builder().channels(grid).max_concurrent_clients(2).chunk_ciphertexts(1).build().unwrap()
        };
        let run = |executor: &Executor| {
            let clients = [Array1::from_elem(140, 1_u8), Array1::from_elem(140, 2)];
            executor.secure_sum(&clients, range()).map(|sum| sum.value)
        };
        let boxed = with(swapping_relay(BoxChannel::new()));
        assert_eq!(blamed(run(&boxed).unwrap_err()), does_not_open(0));
        assert_eq!(run(&boxed).unwrap(), Array1::from_elem(140, 3));

        let plain = with(swapping_relay(PlaintextChannel::new()));
        let mismatch = EnvelopeMismatch::Sender { expected: Party::Client(0), found: Party::Client(1) };
        assert_eq!(
            blamed(run(&plain).unwrap_err()),
            (0, Error::Channel(channel::Error::WrongEnvelope { mismatch }))
        );
        assert_eq!(run(&plain).unwrap(), Array1::from_elem(140, 3));
    });
}

// --- clients that send invalid messages ---

/// A plaintext relay that rewrites contents.
fn rewriting(rewrite: impl Fn(&Envelope, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Arc<Spy> {
    Spy::with_relay(PlaintextChannel::new(), move |sent| {
        let payload = rewrite(&sent.envelope, &sent.payload).unwrap_or_else(|| sent.payload.clone());
        [&sent.envelope.to_bytes()[..], &payload].concat()
    })
}

#[test]
fn contributions_of_a_wrong_length_are_refused() {
    let channel = rewriting(|_, payload| Some(payload[..payload.len() - 1].to_vec()));
    let (client, error) = blamed(sum(&with_channel(Clients, Aggregator, channel)).unwrap_err());
    assert!(
        client == 0 && matches!(error, Error::Paillier(paillier::Error::EncodedLength { .. })),
        "{error}"
    );

    let channel = rewriting(|envelope, payload| {
        let batch = ciphertexts(payload);
        let mut twice = batch.clone();
        twice.append(batch).unwrap();
        (envelope.from == Party::Client(1)).then(|| twice.to_bytes())
    });
    let error = sum(&with_channel(Clients, Aggregator, channel)).unwrap_err();
    assert_eq!(blamed(error), (1, Error::Paillier(paillier::Error::BatchLength { expected: 1, found: 2 })));
}

#[test]
fn contributions_that_are_not_ciphertexts_are_refused() {
    for fill in [0, 0xff] {
        let channel = rewriting(move |envelope, payload| {
            let mut payload = payload.to_vec();
            let start = payload.len() - 128;
            payload[start..].fill(fill);
            (envelope.from == Party::Client(2)).then_some(payload)
        });
        let (client, error) = blamed(sum(&with_channel(Clients, Aggregator, channel)).unwrap_err());
        assert_eq!(client, 2);
        match fill {
            0 => assert_eq!(error, Error::Paillier(paillier::Error::CiphertextZero { index: 0 })),
            _ => assert_eq!(error, Error::Paillier(paillier::Error::CiphertextRange { index: 0 })),
        }
    }
}

#[test]
fn contributions_under_another_key_are_refused() {
    let other = SecretKey::<Key>::generate(&mut rng(5)).unwrap();
    let encryptor = Encryptor::new(other.public_key(), &mut rng(6)).unwrap();
    let channel = rewriting(move |_, _| {
        Some(encryptor.encrypt_batch(&[Plaintext::from(1_u64)], &mut rng(7)).unwrap().to_bytes())
    });
    let (client, error) = blamed(sum(&with_channel(Clients, Aggregator, channel)).unwrap_err());
    assert!(client == 0 && matches!(error, Error::Paillier(paillier::Error::KeyMismatch { .. })), "{error}");
}

// --- relays that distribute another public key ---

/// The offer of a relay with its own keys, for the session that it relays.
fn offer_of_a_relay(session: SessionId, key_holding: KeyHolding) -> SessionOffer {
    let backend = BackendChoice::Auto;
    let parameters = SessionParameters { session, key_bits: 512, key_holding, roster: Digest::NONE, backend };
    KeyOwner::generate(parameters, &mut rng(8)).unwrap().offer().clone()
}

/// A relay that replaces the offers to some parties by its own.
fn substituting(holding: KeyHolding, for_party: impl Fn(Party) -> bool + Send + Sync + 'static) -> Arc<Spy> {
    rewriting(move |envelope, _| {
        let offer = envelope.from == holding.party() && for_party(envelope.to);
        offer.then(|| offer_of_a_relay(envelope.session, holding).to_bytes())
    })
}

/// The relay could read the updates if it could open the boxes. A party that receives its key
/// refuses it, because it does not match the pin.
#[test]
fn a_public_key_of_the_relay_is_refused_where_it_arrives() {
    let holding = KeyHolding::Server;
    let pins = |executor: &Executor, error| {
        let Error::Round(round::Error::PinMismatch { pinned, found }) = error else { panic!("{error}") };
        assert_eq!(found, offer_of_a_relay(executor.session(), holding).digest());
        assert_ne!(pinned, found);
    };
    // To one client.
    let executor = with_channel(Clients, Server, substituting(holding, |to| to == Party::Client(1)));
    let (client, error) = blamed(sum(&executor).unwrap_err());
    assert_eq!(client, 1);
    pins(&executor, error);
    // To the aggregator, before any client works.
    let executor = with_channel(Aggregator, Server, substituting(holding, |to| to == Party::Aggregator));
    pins(&executor, sum(&executor).unwrap_err());
    // To all parties.
    let grid = ChannelGrid::default()
        .with(Clients, Server, substituting(holding, |_| true))
        .unwrap()
        .with(Aggregator, Server, substituting(holding, |_| true))
        .unwrap();
    let executor = builder().channels(grid).build().unwrap();
    pins(&executor, sum(&executor).unwrap_err());
}

#[test]
fn an_invalid_offer_is_refused() {
    let channel = rewriting(|_, payload| Some(payload[..payload.len() - 1].to_vec()));
    let (client, error) = blamed(sum(&with_channel(Clients, Server, channel)).unwrap_err());
    assert!(client == 0 && matches!(error, Error::Channel(channel::Error::EncodedLength { .. })), "{error}");
    let channel = rewriting(|_, payload| Some([&[0], &payload[1..]].concat()));
    let error = blamed(sum(&with_channel(Clients, Server, channel)).unwrap_err());
    assert_eq!(error, (0, Error::Channel(channel::Error::EncodingVersion { expected: 1, found: 0 })));
    // A base that hides nothing, the ciphertext 1, in an otherwise correct offer: it does not match
    // the pin.
    let channel = rewriting(|_, payload| {
        let key = public_key(payload);
        let one = key.ciphertext_from_integer(&[1]).unwrap().to_bytes();
        Some([&payload[..payload.len() - one.len()], &one].concat())
    });
    let (client, error) = blamed(sum(&with_channel(Clients, Server, channel)).unwrap_err());
    assert!(client == 0 && matches!(error, Error::Round(round::Error::PinMismatch { .. })), "{error}");
}

// --- aggregators that depart from the protocol ---

/// The key in an offer, read without a pin, as by an attacker.
fn public_key(offer: &[u8]) -> PublicKey<Key> {
    let offer = SessionOffer::from_bytes(offer).unwrap();
    EncryptionKey::new(&offer, offer.digest(), BackendChoice::Auto).unwrap().public_key().unwrap()
}

/// An aggregator that sends the server other sums, by the number of the message. It knows the
/// public key.
fn forging(
    forge: impl Fn(u64, EncryptedSum, &PublicKey<Key>) -> EncryptedSum + Send + Sync + 'static,
) -> Executor {
    let key = OnceLock::new();
    let channel = rewriting(move |envelope, payload| {
        if envelope.from == Party::Server {
            let _ = key.set(public_key(payload));
            return None;
        }
        let sum = EncryptedSum::from_bytes(payload);
        Some(forge(envelope.sequence, sum, key.get().unwrap()).to_bytes())
    });
    with_channel(Aggregator, Server, channel)
}

fn encrypted(key: &PublicKey<Key>, words: &[u64]) -> CiphertextBatch<Key> {
    let plaintext = Plaintext::from_words(words).unwrap();
    let ciphertext = key.encrypt_with(&plaintext, key.randomizer_full_range(&mut rng(4)).unwrap()).unwrap();
    CiphertextBatch::from_ciphertexts(key.fingerprint(), [ciphertext]).unwrap()
}

/// A sum over fewer clients than requested, or over more, is not opened.
#[test]
fn a_sum_over_fewer_or_more_clients_is_refused_before_it_is_opened() {
    for clients in [0..0, 0..2, 1..3, 0..4, 0..1000_u32] {
        let found = clients.len() as u32;
        let clients: BTreeSet<_> = clients.collect();
        let executor = forging(move |_, sum, _| EncryptedSum { clients: clients.clone(), ..sum });
        let (report, error) = failed_round(sum(&executor).unwrap_err());
        let expected = if found < 3 {
            Error::Round(round::Error::TooFewClients { minimum: 3, found, absent: Vec::new() })
        } else {
            Error::Round(round::Error::TooManyClients { limit: 3, found })
        };
        assert_eq!(error, expected);
        assert_eq!(report.operations.decryptions, 0);
    }
}

/// The right number of clients, but not the counted ones: in one message, or in all.
#[test]
fn a_sum_over_other_clients_is_refused() {
    let others = BTreeSet::from([0, 1, 7]);
    for number in [0, 1, 2] {
        let others = others.clone();
        let executor =
            forging(
                move |found, sum, _| {
                    if found == number { EncryptedSum { clients: others.clone(), ..sum } } else { sum }
                },
            );
        assert_eq!(
            failed_round(sum(&executor).unwrap_err()).1,
            Error::Round(round::Error::Participants),
            "message {number}"
        );
    }
    let executor = forging(move |_, sum, _| EncryptedSum { clients: others.clone(), ..sum });
    assert_eq!(failed_round(sum(&executor).unwrap_err()).1, Error::Round(round::Error::Participants));
}

#[test]
fn a_sum_of_a_wrong_length_is_refused() {
    let executor = forging(|_, sum, key| EncryptedSum {
        ciphertexts: CiphertextBatch::from_ciphertexts(key.fingerprint(), []).unwrap(),
        ..sum
    });
    let (_, error) = failed_round(sum(&executor).unwrap_err());
    assert_eq!(error, Error::Paillier(paillier::Error::BatchLength { expected: 1, found: 0 }));
}

#[test]
fn a_sum_that_no_honest_clients_can_reach_is_refused() {
    // As wide as the slots of 8 bits and three clients, and without its own limit.
    let layout =
        Layout::new(LayoutParameters { capacity_bits: 511, value_bits: 10, max_summands: 1, max_weight: 1 })
            .unwrap();
    // 3·255 is the maximum; slots can hold 2¹⁰ − 1.
    for (value, fits) in [(765, true), (766, false), (1023, false)] {
        let executor = forging(move |_, sum, key| {
            let mut words = vec![0; layout.words()];
            layout.pack(&[5, 6, value], &mut words);
            EncryptedSum { ciphertexts: encrypted(key, &words), ..sum }
        });
        match sum(&executor) {
            Ok(sum) => assert!(fits && sum[2] == value && sum[52] == 6, "{value}"),
            Err(error) => {
                assert!(!fits, "{value}");
                let (report, error) = failed_round(error);
                assert_eq!(report.participants().collect::<Vec<_>>(), [0, 1, 2]);
                assert_eq!(error, Error::Round(round::Error::SumOutOfRange { tensor: 0, index: 2 }));
            }
        }
    }
}

#[test]
fn a_mean_that_no_honest_clients_can_reach_is_refused() {
    // 16 bits: 2¹⁶ − 1 grid points, encoded as 0 to 2¹⁶ − 2. Slots of three clients have 18 bits.
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let layout =
        Layout::new(LayoutParameters { capacity_bits: 511, value_bits: 18, max_summands: 1, max_weight: 1 })
            .unwrap();
    for (value, fits) in [(3 * 65534, true), (3 * 65534 + 1, false), ((1 << 18) - 1, false)] {
        let executor = forging(move |_, sum, key| {
            let mut words = vec![0; layout.words()];
            layout.pack(&[5, value], &mut words);
            EncryptedSum { ciphertexts: encrypted(key, &words), ..sum }
        });
        let mean = executor.secure_mean(vec![array![0.0_f64, 0.0]; 3], quantizer).map(|mean| mean.value[1]);
        if fits {
            assert!((mean.unwrap() - 1.0).abs() <= quantizer.error_bound());
        } else {
            let (_, error) = failed_round(mean.unwrap_err());
            assert_eq!(error, Error::Round(round::Error::SumOutOfRange { tensor: 0, index: 1 }), "{value}");
        }
    }
}

#[test]
fn a_total_weight_that_no_honest_clients_can_reach_is_refused() {
    let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
    let layout =
        Layout::new(LayoutParameters { capacity_bits: 511, value_bits: 8, max_summands: 3, max_weight: 10 })
            .unwrap();
    let mean = |weight: u64, value: u64| {
        let executor = forging(move |_, sum, key| {
            let mut words = vec![0; layout.words()];
            layout.pack(&[weight, value], &mut words);
            EncryptedSum { ciphertexts: encrypted(key, &words), ..sum }
        });
        executor.secure_weighted_mean(vec![(5, array![0.0_f64]); 3], 10, quantizer).map(|mean| mean.value[0])
    };
    assert!((mean(30, 30 * 254).unwrap() - 1.0).abs() < 1e-9);
    let refused = |weight, value| failed_round(mean(weight, value).unwrap_err()).1;
    assert_eq!(refused(0, 0), Error::Tensor(tensor::Error::ZeroTotalWeight));
    assert_eq!(refused(31, 30 * 254), Error::Round(round::Error::TotalWeightOutOfRange { limit: 30 }));
    assert_eq!(refused(29, 30 * 254), Error::Round(round::Error::SumOutOfRange { tensor: 0, index: 0 }));
}

/// Bits that no honest client sets: in slots beyond the values, and above all slots.
#[test]
fn a_sum_with_bits_outside_of_its_values_is_refused() {
    // Slots of 10 bits, 51 in a plaintext of 511 bits: bit 510 is above all of them. The second
    // message has 51 values, the third 38, the first 51.
    for (number, bit, used) in
        [(0, 509, true), (0, 510, false), (2, 379, true), (2, 380, false), (2, 510, false)]
    {
        let executor = forging(move |found, sum, key| {
            if found != number {
                return sum;
            }
            let mut words = [0; 8];
            words[bit / 64] |= 1 << (bit % 64);
            EncryptedSum { ciphertexts: encrypted(key, &words), ..sum }
        });
        // A bit of a value is one of its sum: the top bit of ten makes 512, which three clients
        // reach.
        match sum(&executor) {
            Ok(sum) => assert!(used && sum[51 * number as usize + bit / 10] == 512, "bit {bit}"),
            Err(error) => {
                assert!(!used, "bit {bit}");
                assert_eq!(failed_round(error).1, Error::Round(round::Error::UnusedBits { number }));
            }
        }
    }
}

#[test]
fn sums_of_the_past_are_refused() {
    let seen = Mutex::new(None::<Vec<u8>>);
    let channel = Spy::with_relay(PlaintextChannel::new(), move |sent| {
        if sent.envelope.to != Party::Server {
            return sent.wire.clone();
        }
        seen.lock().unwrap().get_or_insert_with(|| sent.wire.clone()).clone()
    });
    let executor = with_channel(Aggregator, Server, channel);
    // The first message replaces the other messages of the first round. These are repetitions
    // without an effect, so the server lacks the others.
    for round in 0..2 {
        let (report, error) = failed_round(sum(&executor).unwrap_err());
        let mismatch = EnvelopeMismatch::Round { expected: 1, found: 0 };
        match round {
            0 => assert_eq!(error, Error::Round(round::Error::MissingPart { number: 1 })),
            _ => assert_eq!(error, Error::Channel(channel::Error::WrongEnvelope { mismatch })),
        }
        assert_eq!((report.round, report.clients), (round, 3));
    }
}
