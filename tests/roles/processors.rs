//! The same bytes on every processor, whatever its byte order and the size of its words: parties on
//! different machines take part in one round.

use std::{collections::BTreeMap, sync::Arc};

use cipherfold::{
    federated::{
        Digest,
        round::{Aggregator, RoundSpec, SumSpec, TensorSpec, Update},
        tensor::{DType, Encoding, Structure, Tensor},
    },
    packing::{IntegerRange, Modular, QuantizedSum, Quantizer},
};
use ndarray::{Array1, Array2};
use sha2::{Digest as _, Sha256};

use super::support::{Session, rng, view};

/// SHA-256 of all that the parties of this round write, computed on x86-64. A change of a format, or
/// of the order in which random numbers are drawn, needs new digests here.
const WRITTEN: [(&str, &str); 11] = [
    ("0 offer", "a8fdcf863c0e7c8708b8d838d2257be48e0eaa93767ab8849b7b74526f8bbd82"),
    ("1 specification", "bde0626d70e392d553a5964438900d4fd1a65b411a54e9dc52ab94154f730737"),
    ("2 messages of client 0", "f20a6de1d7613c2c21f688f977035cd7be5547616a18c377d4e4c4a5c1b5911e"),
    ("3 messages of client 1", "155c957ffcb7f7ed9b3aee6eae7121395db2464db06c95a343893446180b8cf8"),
    ("4 state of the aggregator", "380860a1e322bbf6e3a627276451fe9e3419a25f2ac1acce7b8fa6c46f046910"),
    ("5 sums", "0b33361b1e41eaf5f92a32b81ab5d6233940634362d01f067925ae9e4849d23a"),
    ("6 questions", "1eeddd11c467b65968cce4fe2175a0f3c4021cebed608d9f3cf8a41a91bbdcad"),
    ("7 answers", "8d3558ab5cf405277c846ccae59fc09f42e19629b89898bbc836b4aa494bc129"),
    ("8 state of the key holder", "21d28cecd2e9865680e82251b5a67860a469cfc552e5c067d45cd5ab57b0d681"),
    ("9 result", "22eda64eb6f1ab2c41e765e744a3b2659b45a9113a65e11d163dd4cfcd4b4b63"),
    ("secret key", "59f039807f901119ef749a2c01f7de8e25a395f71e8a12de93828db45d89be82"),
];

fn sums() -> Vec<SumSpec> {
    let leaf = |dtype, shape: &[usize], encoding| Structure::leaf(TensorSpec::new(dtype, shape, encoding));
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let integers = Structure::tuple([
        leaf(DType::I16, &[70], Encoding::Integers(IntegerRange::signed_bits(9).unwrap())),
        leaf(DType::I64, &[7], Encoding::Modular(Modular::new(1009).unwrap())),
        leaf(DType::I32, &[2], Encoding::QuantizedI32(QuantizedSum::new(-1000, 1000).unwrap())),
    ]);
    let floats = Structure::named([
        ("gradient", leaf(DType::F64, &[5], Encoding::Sum(quantizer.stochastic()))),
        ("model", leaf(DType::F32, &[3, 40], Encoding::Mean(quantizer))),
    ]);
    vec![SumSpec::new(integers.unwrap()), SumSpec::new(floats.unwrap()).weighted(100)]
}

/// All messages of a client. Its data are exact: the functions of floating-point numbers differ from
/// system to system.
fn send(session: &Session, spec: &RoundSpec, client: u32) -> Vec<Vec<u8>> {
    let c = f64::from(client);
    let counts = Array1::from_shape_fn(70, |i| (i as f64 * (3.0 * c - 1.0)) as i16).into_dyn();
    let residues = Array1::from_shape_fn(7, |i| (i as f64 * 3e5 - 2e6 - c) as i64).into_dyn();
    let levels = Array1::from_shape_fn(2, |i| (i as f64 * 900.0 - c) as i32).into_dyn();
    let gradient = Array1::from_shape_fn(5, |i| (i as f64 - c) / 8.0 + 1e-5).into_dyn();
    let model =
        Array2::from_shape_fn((3, 40), |(i, j)| (i as f32 - 1.0) * (j as f32 + c as f32) / 32.0).into_dyn();
    let leaf = Structure::leaf;
    let integers = Structure::tuple([leaf(view(&counts)), leaf(view(&residues)), leaf(view(&levels))]);
    let floats = Structure::named([("gradient", leaf(view(&gradient))), ("model", leaf(view(&model)))]);
    let updates =
        [Update::of_views(integers.unwrap()), Update::of_views(floats.unwrap()).weighted(10 * client + 3)];
    session.send(client, spec, &updates)
}

#[test]
fn parties_on_all_processors_write_the_same_bytes() {
    let session = Session::with_key_holder(60);
    let spec = RoundSpec::new(session.parameters(5, sums())).unwrap();
    let mut written = BTreeMap::new();
    let mut write = |name: &'static str, parts: &[Vec<u8>]| {
        let digest = Digest::from_bytes(Sha256::digest(parts.concat()).into());
        written.insert(name, digest.to_string());
    };
    write("0 offer", &[session.owner.offer().to_bytes()]);
    write("1 specification", &[spec.to_bytes()]);
    write("secret key", &[session.owner.expose_bytes().to_vec()]);

    let sent = [0, 1].map(|client| send(&session, &spec, client));
    write("2 messages of client 0", &sent[0]);
    write("3 messages of client 1", &sent[1]);
    let mut aggregator = session.aggregator(&spec);
    for (client, messages) in (0..).zip(&sent) {
        for message in messages {
            let _ = aggregator.accept(client, message).unwrap();
        }
        aggregator.commit(client).unwrap();
    }
    let state = aggregator.to_bytes().unwrap();
    write("4 state of the aggregator", core::slice::from_ref(&state));
    let restored =
        Aggregator::from_bytes(&spec, session.key(), Arc::clone(&session.channel), &state).unwrap();
    let summed = session.for_server(restored.close().unwrap().for_server().unwrap(), 61);
    write("5 sums", &summed);

    let (mut server, holder) = (session.server(&spec), session.key_holder());
    let mut rng = rng(62);
    let asked: Vec<_> = summed.iter().map(|sum| server.mask(sum, &mut rng).unwrap()).collect();
    write("6 questions", &asked);
    let answered: Vec<_> =
        asked.iter().map(|question| holder.decrypt_masked(&spec, question, &mut rng).unwrap()).collect();
    write("7 answers", &answered);
    write("8 state of the key holder", &[session.owner.opened_rounds()]);
    for answer in &answered {
        server.unmask(answer).unwrap();
    }
    let result = server.finish().unwrap();
    let leaves = result.sums.iter().flat_map(|sum| sum.tensors.iter());
    let text = |tensor: &Tensor| format!("{tensor:?}").into_bytes();
    write("9 result", &leaves.map(text).collect::<Vec<_>>());

    let expected = WRITTEN.map(|(name, digest)| (name, digest.to_owned()));
    assert_eq!(written, BTreeMap::from(expected));
}
