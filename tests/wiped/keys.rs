//! Keys, encryption and masks alone.

use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
use cipherfold::{
    backend::BackendChoice,
    diagnostics::Masks,
    federated::{
        Digest, Party, SessionId,
        channel::{BoxChannel, BoxSecretKey, Channel, Envelope, HpkeChannel, Identity, SessionKeys},
    },
    paillier::{Encryptor, Plaintext, SecretKey, exposed},
};

use super::{Small, number, scanner::Watch, seed, stream};

pub(super) fn watch_primes(watch: &mut Watch, key: &SecretKey<Small>) {
    let (p, q) = key.expose_primes_be();
    watch.bytes("prime", &p);
    watch.bytes("prime", &q);
    for prime in [p, q] {
        let mut less_one = prime.to_vec();
        *less_one.last_mut().unwrap() -= 1;
        watch.bytes("prime less one", &less_one);
        for bytes in [less_one, prime.to_vec()] {
            let mut text = vec![0; 2 * bytes.len()];
            watch.bytes("prime in text", base16ct::lower::encode(&bytes, &mut text).unwrap());
        }
    }
}

/// A key in a program's file.
#[derive(serde::Serialize, serde::Deserialize)]
struct File(#[serde(with = "exposed")] SecretKey<Small>);

#[test]
fn keys_are_made_exported_and_imported() {
    let seed = seed();
    let rng = || ChaCha20Rng::from_seed(seed);
    let key = SecretKey::<Small>::generate(&mut rng()).unwrap();
    let mut watch = Watch::new();
    watch_primes(&mut watch, &key);
    watch.bytes("seed", &seed);
    watch.bytes("stream", &stream(seed, 512));
    watch.clean(|| {
        let key = SecretKey::<Small>::generate(&mut rng()).unwrap();
        let (p, q) = key.expose_primes_be();
        drop(SecretKey::<Small>::from_primes_be_vartime(&q, &p).unwrap());
        let bytes = key.expose_bytes();
        let copy = SecretKey::<Small>::from_bytes_vartime(&bytes).unwrap();
        for choice in [BackendChoice::Portable, BackendChoice::Avx2, BackendChoice::Ifma] {
            drop(copy.with_backend(choice));
        }
        assert!(SecretKey::<Small>::from_primes_be_vartime(&p, &p).is_err());
        assert!(SecretKey::<Small>::from_bytes_vartime(&bytes[..bytes.len() - 1]).is_err());
        assert!(SecretKey::<Small>::from_bytes_vartime([&bytes[..20], &q, &p].concat().leak()).is_err());

        // Written to an existing buffer of the caller.
        let file = File(key);
        let room = vec![0; 1000].leak();
        serde_json::to_writer(room, &file).unwrap();
        let text = serde_json::to_string(&file.0.public_key()).unwrap();
        drop(text);
        let mut buffer = [0; 1000];
        let binary = postcard::to_slice(&file, &mut buffer).unwrap();
        drop(postcard::from_bytes::<File>(binary).unwrap());
    });
    let text = serde_json::to_string(&File(key)).unwrap();
    watch.clean(|| {
        drop(serde_json::from_str::<File>(&text).unwrap());
        serde_json::from_str::<File>(&text.to_uppercase().leak()[..]).map(drop).unwrap_err();
    });
}

#[test]
fn plaintexts_exponents_and_masks() {
    let secret = SecretKey::<Small>::generate(&mut ChaCha20Rng::from_seed(seed())).unwrap();
    let numbers: Vec<u64> = (0..7 * 40).map(number).collect();
    let plaintexts = || numbers.chunks(7).map(|words| Plaintext::<Small>::from_words(words).unwrap());
    for choice in [BackendChoice::Portable, BackendChoice::Avx2, BackendChoice::Ifma] {
        if choice.backend_name().is_err() {
            continue;
        }
        let (seed, mut watch) = (seed(), Watch::new());
        watch_primes(&mut watch, &secret);
        watch.words("plaintext", &numbers);
        watch.bytes("stream", &stream(seed, 20_000));
        watch.clean(|| {
            let mut rng = ChaCha20Rng::from_seed(seed);
            let secret = secret.with_backend(choice).unwrap();
            let public = secret.public_key();
            let encryptor = Encryptor::new(public, &mut rng).unwrap();
            let short = Encryptor::with_base_and_short_exponents(public, encryptor.base().clone()).unwrap();
            let mut ms = Vec::with_capacity(40);
            ms.extend(plaintexts());
            let batch = encryptor.encrypt_batch(&ms, &mut rng).unwrap();
            let there = encryptor.encrypt_resident(&ms, &mut rng).unwrap();
            assert_eq!(secret.decrypt_batch(&there.fetch()).unwrap(), ms);
            drop(there);
            let one = encryptor.encrypt(&ms[0], &mut rng).unwrap();
            assert_eq!(secret.decrypt(&one).unwrap(), ms[0]);

            let batch_of_short = short.encrypt_batch(&ms, &mut rng).unwrap();
            short.rerandomize_batch(&batch_of_short, &mut rng).unwrap();
            drop(short.encrypt_resident(&ms, &mut rng).unwrap());
            drop(short.randomizers(3, &mut rng));

            let mut randomizers = encryptor.randomizers(49, &mut rng);
            drop(randomizers.split_off(40));
            public.encrypt_batch_with(&ms, randomizers).unwrap();
            public.encrypt_with(&ms[1], public.randomizer_full_range(&mut rng).unwrap()).unwrap();
            encryptor.rerandomize_batch(&batch, &mut rng).unwrap();
            public.add_plain_batch(&batch, &ms).unwrap();
            public.mul_plain_batch(&batch, &ms, 512).unwrap();
            public.mul_plain(&one, &ms[2]).unwrap();

            let masks = Masks::new(public, batch.len(), &mut rng).unwrap();
            let hidden = masks.hide(&encryptor, &batch, &mut rng).unwrap();
            assert_eq!(masks.remove(secret.decrypt_batch(&hidden).unwrap()).unwrap(), ms);
        });
    }
}

#[test]
fn box_keys_and_contents_of_boxes_are_wiped() {
    let message: Vec<u8> = (0..30).flat_map(|i| number(i).to_le_bytes()).collect();
    let keys = [(); 2].map(|()| seed());
    let mut watch = Watch::new();
    watch.bytes("message", &message);
    for key in &keys {
        watch.bytes("box key", key);
    }
    watch.clean(|| {
        let [client, aggregator] = keys.map(BoxSecretKey::from_bytes);
        drop(client.expose_bytes());
        let channel =
            BoxChannel::new().with_key(Party::Client(3), client).with_key(Party::Aggregator, aggregator);
        let mut rng = ChaCha20Rng::from_seed(seed());
        let session = SessionId::random(&mut rng);
        let (from, to) = (Party::Client(3), Party::Aggregator);
        let envelope = Envelope { session, round: 0, sequence: 0, from, to, context: Digest::NONE };
        let mut wire = channel.seal(&envelope, &message, &mut rng).unwrap();
        assert_eq!(*channel.open_expected(&envelope, &wire).unwrap(), message);
        wire[50] ^= 1;
        assert!(channel.open_expected(&Envelope { sequence: 1, ..envelope }, &wire).is_err());
    });
}

#[test]
fn session_keys_and_contents_of_their_boxes_are_wiped() {
    // Separate numbers: other tests create theirs while this one searches.
    let message: Vec<u8> = (0..30).flat_map(|i| number(1 << 50 | i).to_le_bytes()).collect();
    let keys = [(); 2].map(|()| seed());
    let (identity, random) = (seed(), seed());
    let mut watch = Watch::new();
    watch.bytes("message", &message);
    for key in &keys {
        watch.bytes("session key", key);
    }
    watch.bytes("identity", &identity);
    watch.bytes("seed", &random);
    watch.bytes("stream", &stream(random, 512));
    watch.clean(|| {
        let session = SessionId::from_bytes([1; 16]);
        let (from, to) = (Party::Client(3), Party::Aggregator);
        let envelope = Envelope { session, round: 0, sequence: 0, from, to, context: Digest::NONE };
        let mut rng = ChaCha20Rng::from_seed(random);
        let identity = Identity::from_bytes(&identity);
        let [client, aggregator] = [(from, keys[0]), (to, keys[1])]
            .map(|(party, key)| SessionKeys::from_secret_key(session, party, BoxSecretKey::from_bytes(key)));
        let announced = [&client, &aggregator]
            .map(|keys| keys.announce(&identity).verify(&identity.key(), session, keys.party()).unwrap());
        let sender = HpkeChannel::for_party(client).with_peer(to, announced[1]);
        let receiver = HpkeChannel::for_party(aggregator).with_peer(from, announced[0]);
        let mut wire = sender.seal(&envelope, &message, &mut rng).unwrap();
        assert_eq!(*receiver.open_expected(&envelope, &wire).unwrap(), message);
        let last = wire.len() - 1;
        wire[last] ^= 1;
        assert!(receiver.open_expected(&envelope, &wire).is_err());
        receiver.end_session(session);
        sender.end_session(session);

        // Keys that the simulation prepares, uses and ends, and one that it never uses.
        let simulation = HpkeChannel::new();
        for session in [2, 3].map(|byte| SessionId::from_bytes([byte; 16])) {
            for party in [Party::Aggregator, Party::Server] {
                simulation.prepare(party, &mut rng);
            }
            simulation.seal(&Envelope { session, ..envelope }, &message, &mut rng).unwrap();
            simulation.end_session(session);
        }
    });
}
