//! The encodings of messages, envelopes, and other data of a round.

use std::{collections::BTreeSet, sync::Arc};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, KeyHolding, Party, SessionId,
        channel::{self, Envelope, Message, Payload, PlaintextChannel},
        round::{
            self, Aggregator, Client, EncryptionKey, KeyOwner, PartialSum, RoundParameters, RoundSpec,
            SessionOffer, SessionParameters, SumSpec, TensorSpec, Update,
        },
        tensor::{DType, Encoding, MaxWeight, Structure},
    },
    packing::{IntegerRange, Modular, QuantizedSum, Quantizer},
    paillier,
};
use ndarray::Array1;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::one_encoding;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn owner(key_holding: KeyHolding) -> KeyOwner {
    let parameters = SessionParameters {
        session: SessionId::from_bytes([0xab; 16]),
        key_bits: 512,
        key_holding,
        roster: Digest::from_bytes([0xcd; 32]),
        backend: BackendChoice::Auto,
    };
    KeyOwner::generate(parameters, &mut rng(1)).unwrap()
}

fn declare(owner: &KeyOwner, sums: Vec<SumSpec>) -> RoundSpec {
    RoundSpec::new(RoundParameters {
        session: owner.offer().session(),
        round: u64::MAX,
        key_bits: 512,
        key_holding: owner.offer().key_holding(),
        offer: owner.offer().digest(),
        sums,
        max_clients: 5,
        min_clients: 2,
        chunk_ciphertexts: 1,
    })
    .unwrap()
}

#[test]
fn offers_have_one_encoding() {
    for holding in [KeyHolding::Server, KeyHolding::KeyHolder] {
        let offer = owner(holding).offer().clone();
        let bytes = offer.to_bytes();
        assert_eq!(Message::to_bytes(&offer).unwrap(), bytes);
        one_encoding::check(&bytes, SessionOffer::from_bytes, SessionOffer::to_bytes);
        one_encoding::check(&bytes, <SessionOffer as Message>::from_bytes, SessionOffer::to_bytes);
        // A party that pins an offer refuses all other valid ones.
        let readable = (0..8 * bytes.len()).filter(|bit| {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let Ok(altered) = SessionOffer::from_bytes(&altered) else { return false };
            let found = EncryptionKey::new(&altered, offer.digest(), BackendChoice::Auto).unwrap_err();
            assert_eq!(found, round::Error::PinMismatch { pinned: offer.digest(), found: altered.digest() });
            true
        });
        assert!(readable.count() > 1000);
    }
}

#[test]
fn specifications_have_one_encoding() {
    let owner = owner(KeyHolding::KeyHolder);
    let tensor = |dtype, encoding| Structure::leaf(TensorSpec::new(dtype, [2, 3], encoding));
    let quantizer = Quantizer::symmetric(1.5, 12).unwrap();
    let mixed = Structure::named([
        ("integers", tensor(DType::I16, Encoding::Integers(IntegerRange::new(-7, 900).unwrap()))),
        ("modular", tensor(DType::I64, Encoding::Modular(Modular::symmetric(1001).unwrap()))),
        (
            "quantised",
            Structure::tuple([
                tensor(DType::I32, Encoding::QuantizedI32(QuantizedSum::new(-5, 1 << 20).unwrap())),
                tensor(DType::F64, Encoding::QuantizedF64(QuantizedSum::new(-0.5, 0.5).unwrap())),
                Structure::tuple([]).unwrap(),
            ])
            .unwrap(),
        ),
    ])
    .unwrap();
    let floats = Structure::tuple([
        tensor(DType::F32, Encoding::Mean(quantizer)),
        tensor(DType::F64, Encoding::Sum(quantizer.stochastic())),
    ])
    .unwrap();
    let sums = vec![
        SumSpec::new(mixed),
        SumSpec::new(floats.clone()).weighted(300),
        SumSpec::new(floats).weighted(MaxWeight::new(1).no_nan_division()),
    ];
    for sums in [sums, Vec::new()] {
        let spec = declare(&owner, sums);
        let bytes = spec.to_bytes();
        one_encoding::check(&bytes, RoundSpec::from_bytes, RoundSpec::to_bytes);
        // Specifications that differ in one bit have different digests.
        let mut names = BTreeSet::from([spec.digest()]);
        for bit in 0..8 * bytes.len() {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = RoundSpec::from_bytes(&altered) {
                assert!(names.insert(other.digest()), "bit {bit}");
                assert_ne!(other, spec);
            }
        }
        assert!(names.len() > 100);
    }
}

/// A partial sum of three messages; the second one is over different clients. The encoding of a
/// partial sum: the round, sets of clients, and ciphertexts by message and set.
type Wire = ([u8; 32], Vec<BTreeSet<u32>>, Vec<(u64, u32, Vec<u8>)>);

#[test]
fn partial_sums_have_one_encoding() {
    let owner = owner(KeyHolding::Server);
    let key = owner.encryption_key();
    let tensor = TensorSpec::new(DType::U8, [120], Encoding::Integers(IntegerRange::of::<u8>()));
    let spec = declare(&owner, vec![SumSpec::new(Structure::leaf(tensor))]);
    let channel = Arc::new(PlaintextChannel::new());
    let update = Array1::from_elem(120, 9_u8);
    let part = |messages: std::ops::Range<u64>, clients: &[u32]| {
        let aggregator = Aggregator::for_messages(&spec, key, channel.clone(), messages.clone()).unwrap();
        for client in clients {
            let sender = Client::new(*client, &spec, key, channel.clone()).unwrap();
            let encoded = sender.encode(&[Update::new(&update).unwrap()]).unwrap();
            for number in messages.clone() {
                let wire = sender.message(&encoded, number, &mut rng(u64::from(*client))).unwrap();
                let _ = aggregator.accept(*client, &wire).unwrap();
            }
            aggregator.commit(*client).unwrap();
        }
        aggregator.close().unwrap()
    };
    let read = |bytes: &[u8]| PartialSum::from_bytes(&spec, key, bytes)?.into_bytes();
    let check = |partial: PartialSum| one_encoding::check(&partial.into_bytes().unwrap(), read, Clone::clone);

    let mut partial = part(0..1, &[1, 4]);
    partial.merge(part(1..2, &[4])).unwrap();
    partial.merge(part(2..3, &[1, 4])).unwrap();
    assert!(check(partial) > 1000, "other ciphertexts and other clients");
    check(part(0..3, &[]));

    // Other encodings of the same sums: in another order, with sets of clients in another order,
    // twice, or unused.
    let bytes = part(0..2, &[1, 4]).into_bytes().unwrap();
    let Payload((digest, clients, sums)) = Payload::<Wire>::from_bytes(&bytes[1..]).unwrap();
    let rewritten = |clients: Vec<BTreeSet<u32>>, entries: [(usize, u32); 2]| {
        let entry = |(number, set): (usize, u32)| (number as u64, set, sums[number].2.clone());
        let wire = Payload((digest, clients, entries.map(entry).to_vec())).to_bytes().unwrap();
        read(&[&bytes[..1], &wire].concat())
    };
    assert_eq!((clients.len(), sums.len()), (1, 2));
    let (own, other) = (clients[0].clone(), BTreeSet::from([2]));
    assert_eq!(rewritten(vec![own.clone()], [(0, 0), (1, 0)]).unwrap(), bytes);
    assert!(rewritten(vec![own.clone(), other.clone()], [(0, 0), (1, 1)]).is_ok());
    for (sets, sums) in [
        (vec![own.clone()], [(1, 0), (0, 0)]),
        (vec![own.clone()], [(0, 0), (0, 0)]),
        (vec![own.clone()], [(0, 0), (1, 1)]),
        (vec![own.clone()], [(0, 0), (1, u32::MAX)]),
        (vec![own.clone(), other.clone()], [(0, 0), (1, 0)]),
        (vec![other, own.clone()], [(0, 1), (1, 0)]),
        (vec![own.clone(), own], [(0, 0), (1, 1)]),
    ] {
        let error = rewritten(sets, sums).unwrap_err();
        assert!(
            matches!(
                error,
                round::Error::Channel(channel::Error::PayloadDecoding { type_name: "PartialSum", .. })
            ),
            "{error}"
        );
    }
    assert_eq!(
        rewritten(vec![BTreeSet::new()], [(0, 0), (1, 0)]).unwrap_err(),
        round::Error::Paillier(paillier::Error::EmptySum)
    );
    let many = BTreeSet::from([0, 1, 2, 3, 4, 5]);
    let error = rewritten(vec![many], [(0, 0), (1, 0)]).unwrap_err();
    assert_eq!(error, round::Error::TooManyClients { limit: 5, found: 6 });
}

#[test]
fn envelopes_have_one_encoding() {
    let parties = [Party::Client(u32::MAX), Party::Server, Party::Aggregator, Party::KeyHolder];
    for from in parties {
        for to in parties {
            let envelope = Envelope {
                session: SessionId::from_bytes([0xab; 16]),
                round: u64::MAX,
                sequence: 0,
                from,
                to,
                context: Digest::from_bytes([0xcd; 32]),
            };
            let read = |bytes: &[u8]| Envelope::from_bytes(bytes.try_into().map_err(|_| ())?).map_err(|_| ());
            one_encoding::check(&envelope.to_bytes(), read, |envelope| envelope.to_bytes().to_vec());
        }
    }
}
