//! Writes seeds (valid inputs) for all targets to the given folder.
//!
//! Run `cargo run --release --example seeds -- seeds` in the folder `fuzz`. Seeds of past faults
//! are in the same folders; they are added by hand, with names that begin with `fault-`.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::Path,
    sync::Arc,
};

use cipherfold::{
    federated::{
        Digest, Party, SessionId,
        aggregation::{Process, Schedule, SecureClippingSum, WeightedProcess, secure_aggregator},
        channel::{
            BoxSecretKey, Channel, Envelope, HpkeChannel, Identity, Message, Organisation, Payload,
            PlaintextChannel, Roster, SessionKeys,
        },
        round::{Aggregator, Client, Server, Update},
        tensor::{Structure, TensorTree},
    },
    paillier::{Encryptor, Plaintext},
    privacy::{Accountant, DistributedParameters, Gaussian, QuantileEstimator, QuantileParameters},
};
use cipherfold_fuzz::{Key, SECRET, messages::ROUND, rng};
use ndarray::{Array1, Array2, ArrayD};
use serde::Serialize;

struct Seeds<'a>(&'a Path);

impl Seeds<'_> {
    fn write(&self, target: &str, name: &str, selector: Option<u8>, data: &[u8]) -> std::io::Result<()> {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), [selector.as_slice(), data].concat())
    }

    /// Writes a state in both formats. The top bit of the first byte selects JSON.
    fn state(&self, name: &str, selector: u8, state: &impl Serialize) -> Result<(), Box<dyn Error>> {
        self.write("states", &format!("{name}.postcard"), Some(selector), &postcard::to_allocvec(state)?)?;
        self.write("states", &format!("{name}.json"), Some(selector | 0x80), &serde_json::to_vec(state)?)?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?;
    let seeds = Seeds(Path::new(&folder));
    let key = SECRET.public_key();
    let encryptor = Encryptor::new(key, &mut rng())?;
    let plaintexts = [1_u64, 2, 3].map(Plaintext::<Key>::from);
    let batch = encryptor.encrypt_batch(&plaintexts, &mut rng())?;
    let one = encryptor.encrypt(&plaintexts[0], &mut rng())?;

    seeds.write("keys", "public", Some(0), &key.to_bytes())?;
    seeds.write("keys", "secret", Some(1), &SECRET.expose_bytes())?;
    seeds.write("keys", "modulus", Some(2), &key.modulus_be())?;
    let (p, q) = SECRET.expose_primes_be();
    seeds.write("keys", "primes", Some(3), &[&p[..], &q[..]].concat())?;
    seeds.write("keys", "box", Some(5), &BoxSecretKey::from_bytes([7; 32]).public_key().to_bytes())?;
    let envelope = Envelope {
        session: SessionId::from_bytes([3; 16]),
        round: 1,
        sequence: 2,
        from: Party::Client(4),
        to: Party::Aggregator,
        context: Digest::from_bytes([5; 32]),
    };
    seeds.write("keys", "envelope", Some(6), &envelope.to_bytes())?;
    let identity = Identity::from_bytes(&[8; 32]);
    let keys = SessionKeys::from_secret_key(envelope.session, envelope.to, BoxSecretKey::from_bytes([7; 32]));
    seeds.write("keys", "announcement", Some(8), &keys.announce(&identity).to_bytes())?;
    let roster =
        Roster::new([Organisation { name: "one".into(), party: Party::Server, key: identity.key() }])?;
    seeds.write("keys", "roster", Some(9), &roster.to_bytes())?;
    let hpke = HpkeChannel::new().seal(&envelope, b"payload", &mut rng())?;
    seeds.write("keys", "hpke", Some(10), &hpke)?;
    seeds.write("keys", "public.json", Some(7), &serde_json::to_vec(key)?)?;
    seeds.write("keys", "fingerprint.json", Some(7), &serde_json::to_vec(&key.fingerprint())?)?;

    seeds.write("ciphertexts", "single", Some(0), &one.to_bytes())?;
    seeds.write("ciphertexts", "batch", Some(1), &batch.to_bytes())?;
    seeds.write("integers", "ciphertext", Some(0), &key.ciphertext_to_integer(&one)?)?;
    seeds.write("integers", "plaintext", Some(1), &key.plaintext_from_i128(-5).to_be_bytes())?;
    seeds.write("integers", "modulus", Some(2), &key.modulus_be())?;

    let (owner, spec) = &*ROUND;
    seeds.write("messages", "offer", Some(0), &owner.offer().to_bytes())?;
    seeds.write("messages", "round", Some(1), &spec.to_bytes())?;
    // Two aggregators, each with one message, and other clients.
    let (key, channel) = (owner.encryption_key(), Arc::new(PlaintextChannel::new()));
    let update = Array1::from_elem(60, 7_u8);
    let part = |number: u64, clients: [u32; 2]| -> cipherfold::Result<_> {
        let aggregator = Aggregator::for_messages(spec, key, channel.clone(), number..number + 1)?;
        for client in clients {
            let sender = Client::new(client, spec, key, channel.clone())?;
            let encoded = sender.encode(&[Update::new(&update)?])?;
            aggregator.accept(client, &sender.message(&encoded, number, &mut rng())?)?;
            aggregator.commit(client)?;
        }
        Ok(aggregator.close()?)
    };
    let mut partial = part(0, [0, 1])?;
    partial.merge(part(1, [0, 3])?)?;
    seeds.write("messages", "partial", Some(2), &partial.into_bytes()?)?;
    let sum = Payload((BTreeSet::from([0_u32, 1]), batch.to_bytes()));
    seeds.write("messages", "sum", Some(3), &sum.to_bytes()?)?;
    let mut whole = part(0, [0, 1])?;
    whole.merge(part(1, [0, 1])?)?;
    let mut whole = whole.for_server()?;
    let mut server = Server::new(spec, owner, channel.clone())?;
    for number in 0..whole.messages() {
        server.open(&whole.message(number, &*channel, &mut rng())?)?;
    }
    seeds.write("messages", "opened-rounds", Some(4), &owner.opened_rounds())?;

    let leaf = |n| Structure::leaf(ArrayD::<f32>::zeros(vec![n, 2]));
    let model =
        Structure::named([("a", leaf(1)), ("b", Structure::tuple([leaf(2), Structure::tuple([])?])?)])?;
    let map =
        BTreeMap::from([("w".to_owned(), Array1::from(vec![1.0_f32])), ("x".to_owned(), Array1::zeros(0))]);
    let types = TensorTree::structure(&model)?;
    for (name, selector, bytes) in [
        ("integer", 0, Payload(300_u64).to_bytes()?),
        ("tuple", 1, Payload((-1_i128, true, Some(9_u16))).to_bytes()?),
        ("text", 2, Payload("text".to_owned()).to_bytes()?),
        ("floats", 3, Payload(vec![1.5_f32, -0.0]).to_bytes()?),
        ("vector", 4, Payload(Array1::from(vec![1.5_f32])).to_bytes()?),
        ("matrix", 5, Payload(Array2::<i64>::ones((2, 3))).to_bytes()?),
        ("map", 7, Payload(map).to_bytes()?),
        ("flags", 8, Payload(BTreeMap::from([(1_u32, true), (2, false)])).to_bytes()?),
        ("model", 9, Payload(model).to_bytes()?),
        ("types", 10, Payload(types).to_bytes()?),
        ("characters", 13, Payload(['a', 'ä', '\u{1f600}', '\0']).to_bytes()?),
    ] {
        seeds.write("payloads", name, Some(selector), &bytes)?;
    }
    let numbers =
        Structure::named([("0", Structure::leaf(1)), ("b", Structure::tuple([Structure::leaf(2)])?)])?;
    let text = [b"b/0\0", &serde_json::to_vec::<Structure<i32>>(&numbers)?[..]].concat();
    seeds.write("structures", "numbers", None, &text)?;

    let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
    seeds.write("files", "floats", None, &file)?;

    let mut accountant = Accountant::new();
    accountant.compose(&Gaussian::new(1.0)?.sampled(0.1)?, 100);
    seeds.state("accountant", 0, &accountant)?;
    seeds.state(
        "quantile",
        1,
        &QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })?,
    )?;
    seeds.state("gaussian", 2, &Gaussian::new(1.0)?.sampled(0.5)?)?;
    seeds.state("range", 3, &(-128_i64, 128_i64))?;
    seeds.state(
        "distributed",
        4,
        &DistributedParameters {
            noise_multiplier: 0.5,
            clients: 3,
            dimension: 2,
            ..DistributedParameters::DEFAULTS
        },
    )?;
    let schedule = SecureClippingSum::adaptive(Schedule::new(|_| 1.0));
    seeds.state("schedule", 5, Process::<f32, _>::new(schedule).state())?;
    seeds.state("aggregator", 6, WeightedProcess::<f32, _>::new(secure_aggregator()).state())?;

    seeds.write("numbers", "bytes", None, &(0..200).collect::<Vec<u8>>())?;
    seeds.write("protocol", "bytes", None, &(0..100).rev().collect::<Vec<u8>>())?;
    Ok(())
}
