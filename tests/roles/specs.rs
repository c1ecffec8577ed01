//! Costs of a round, known before anything runs, and invalid rounds.

use core::time::Duration;

use cipherfold::{
    federated::{
        Digest, KeyHolding, SessionId,
        round::{self, Rates, RoundParameters, RoundSpec, SumSpec, TensorSpec, Update},
        tensor::{DType, Encoding, Structure},
    },
    packing::{self, IntegerRange, Modular, QuantizedSum, Quantizer},
};
use ndarray::ArrayD;

use super::support::{Session, bytes, view};

fn leaf(dtype: DType, shape: impl Into<Vec<usize>>, encoding: Encoding) -> Structure<TensorSpec> {
    Structure::leaf(TensorSpec::new(dtype, shape, encoding))
}

fn mean(bits: u32) -> Encoding {
    Encoding::Mean(Quantizer::symmetric(1.0, bits).unwrap())
}

fn parameters(sums: Vec<SumSpec>) -> RoundParameters {
    RoundParameters {
        session: SessionId::from_bytes([1; 16]),
        round: 0,
        key_bits: 2048,
        key_holding: KeyHolding::Server,
        offer: Digest::NONE,
        sums,
        max_clients: 1000,
        min_clients: 2,
        chunk_ciphertexts: 512,
    }
}

/// 78 slots of 26 bits in 2047 bits; nothing of this size is allocated.
#[test]
fn a_thousand_million_values_are_declared_without_allocating_them() {
    let sum = SumSpec::new(leaf(DType::F32, [1_000_000_000], mean(16)));
    let spec = RoundSpec::new(parameters(vec![sum])).unwrap();
    let costs = spec.costs();
    assert_eq!((costs.values, costs.ciphertexts), (1_000_000_000, 12_820_513));
    assert_eq!(costs.messages, 12_820_513_u64.div_ceil(512));
    assert_eq!(costs.update_bytes, 12_820_513 * 512 + costs.messages * 28);
    assert!((costs.update_bytes as f64 / 1e9 - 6.56).abs() < 0.01, "{}", costs.update_bytes);
    assert!((costs.bytes_per_value() - 6.56).abs() < 0.01);
    assert_eq!((costs.round_bytes, costs.max_clients), (1000 * costs.update_bytes, 1000));
    assert!(spec.to_bytes().len() < 200);
    let time = costs.time(Rates { encryptions: 12_820.513, additions: 12_820_513.0, decryptions: 1e-30 });
    let near = |time: Duration, seconds: f64| (time.as_secs_f64() - seconds).abs() < 1e-6 * seconds;
    assert!(near(time.client, 1000.0) && near(time.aggregator, 1000.0), "{time:?}");
    assert_eq!(time.key_owner, Duration::MAX);
    for rate in [0.0, -1.0, f64::NAN] {
        let rates = Rates { encryptions: rate, additions: 1.0, decryptions: 1.0 };
        assert_eq!(costs.time(rates).client, Duration::MAX);
    }
}

/// The stated bytes are exactly the sent bytes, for all tensors, keys, weights and sizes of
/// messages.
#[test]
fn costs_are_those_of_a_real_round() {
    let session = Session::new(1);
    let integers = |bits, shape: &[usize]| {
        leaf(DType::I32, shape, Encoding::Integers(IntegerRange::signed_bits(bits).unwrap()))
    };
    let pair = |a, b| Structure::tuple([a, b]).unwrap();
    let cases: Vec<Vec<SumSpec>> = vec![
        vec![],
        bytes(),
        vec![SumSpec::new(integers(5, &[]))],
        vec![SumSpec::new(pair(integers(5, &[50]), integers(5, &[0, 3]))), SumSpec::new(integers(5, &[51]))],
        vec![
            SumSpec::new(pair(integers(5, &[300]), integers(20, &[7, 11]))),
            SumSpec::new(integers(5, &[51])),
        ],
        vec![SumSpec::new(integers(9, &[200])).weighted(1000), SumSpec::new(integers(9, &[200])).weighted(7)],
    ];
    for (round, sums) in (0..).zip(cases) {
        for chunk_ciphertexts in [1, 2, 3, 1000, u32::MAX] {
            let parameters = RoundParameters { chunk_ciphertexts, ..session.parameters(round, sums.clone()) };
            let spec = RoundSpec::new(parameters).unwrap();
            let costs = spec.costs();
            // An update of zeros for each sum.
            let zeros: Vec<Zeros> = sums
                .iter()
                .map(|sum| {
                    let tensors = sum.tensors().iter();
                    let zeros = tensors.map(|spec| {
                        let shape = spec.tensor.shape.clone();
                        (spec.tensor.dtype, ArrayD::zeros(shape.clone()), ArrayD::zeros(shape))
                    });
                    zeros.collect()
                })
                .collect();
            let updates = sums.iter().zip(&zeros).map(|(sum, zeros)| {
                let mut zeros = zeros.iter();
                let tensors = sum.tensors().as_ref().map(|_| {
                    let (dtype, integers, bytes) = zeros.next().unwrap();
                    if *dtype == DType::U8 { view(bytes) } else { view(integers) }
                });
                let update = Update::of_views(tensors);
                if sum.max_weight().is_some() { update.weighted(1) } else { update }
            });
            let sent = session.send(0, &spec, &updates.collect::<Vec<_>>());
            assert_eq!(sent.len() as u64, costs.messages, "case {round}");
            let payloads: usize = sent.iter().map(|wire| wire.len() - session.channel.overhead()).sum();
            assert_eq!(payloads as u64, costs.update_bytes, "case {round}");
            assert_eq!(costs.round_bytes, 4 * costs.update_bytes);
            let values: u64 = zeros.iter().flatten().map(|(_, integers, _)| integers.len() as u64).sum();
            assert_eq!(costs.values, values);
            let ciphertexts = (payloads as u64 - 28 * costs.messages) / 128;
            assert_eq!(costs.ciphertexts, ciphertexts);
        }
    }
}

/// One client's zeros for each tensor, in the tensor's type.
type Zeros = Vec<(DType, ArrayD<i32>, ArrayD<u8>)>;

#[test]
fn invalid_rounds_are_refused_with_the_numbers() {
    let good = || parameters(vec![SumSpec::new(leaf(DType::F32, [10], mean(16)))]);
    let refused = |parameters| RoundSpec::new(parameters).unwrap_err();
    assert_eq!(refused(RoundParameters { key_bits: 1024, ..good() }), round::Error::KeyBits { found: 1024 });
    for (setting, parameters) in [
        ("max_clients", RoundParameters { max_clients: 0, ..good() }),
        ("min_clients", RoundParameters { min_clients: 0, ..good() }),
        ("chunk_ciphertexts", RoundParameters { chunk_ciphertexts: 0, ..good() }),
    ] {
        assert_eq!(refused(parameters), round::Error::Setting { setting, minimum: 1 });
    }
    let many = RoundParameters { min_clients: 11, max_clients: 10, ..good() };
    assert_eq!(refused(many), round::Error::TooManyClients { limit: 10, found: 11 });

    let with = |tensors, max_weight: Option<u32>| {
        let sum = SumSpec::new(tensors);
        let sum = if let Some(max_weight) = max_weight { sum.weighted(max_weight) } else { sum };
        parameters(vec![SumSpec::new(Structure::tuple([]).unwrap()), sum])
    };
    assert_eq!(
        refused(with(leaf(DType::F32, [10], mean(40)), Some(1 << 30))),
        round::Error::Packing(packing::Error::WeightedValueTooWide { value_bits: 40, max_weight: 1 << 30 })
    );
    assert_eq!(
        refused(with(leaf(DType::F32, [10], mean(16)), Some(0))),
        round::Error::Packing(packing::Error::LayoutEmpty {
            value_bits: 16,
            max_summands: 1000,
            max_weight: 0
        })
    );
    let total =
        RoundParameters { max_clients: u32::MAX, ..with(leaf(DType::F32, [10], mean(16)), Some(u32::MAX)) };
    assert!(matches!(
        refused(total),
        round::Error::Packing(packing::Error::TotalWeightTooLarge {
            max_summands: u32::MAX,
            max_weight: u32::MAX,
            ..
        })
    ));

    // Elements that an encoding does not accept. The error names the tensor by its index in its
    // sum.
    let pair = |encoding| {
        Structure::tuple([leaf(DType::F32, [1], mean(8)), leaf(DType::I32, [1], encoding)]).unwrap()
    };
    let range = Encoding::Integers(IntegerRange::of::<i32>());
    assert!(RoundSpec::new(with(pair(range), None)).is_ok());
    let quantized = Encoding::QuantizedI64(QuantizedSum::new(-1_i64, 1).unwrap());
    for encoding in [mean(8), quantized] {
        let error = round::Error::EncodingType { tensor: 1, dtype: DType::I32 };
        assert_eq!(refused(with(pair(encoding), None)), error);
    }
    let modular = Encoding::Modular(Modular::new(7).unwrap());
    let floats = leaf(DType::F64, [1], modular);
    assert_eq!(refused(with(floats, None)), round::Error::EncodingType { tensor: 0, dtype: DType::F64 });

    // More values than can be counted, alone or together, also where a product of lengths
    // overflows.
    let most = if usize::BITS == 64 { 1 << 44 } else { usize::MAX >> 1 };
    let root = 1 << (usize::BITS / 2 + 8);
    let shapes: [&[usize]; 5] = [&[usize::MAX], &[usize::MAX, 2], &[root, root], &[most, 2], &[most + 1]];
    for shape in shapes {
        let error = refused(with(leaf(DType::F32, shape, mean(16)), None));
        assert!(matches!(error, round::Error::RoundTooLarge { .. }), "{shape:?}: {error}");
    }
    let half = || leaf(DType::F32, [most / 4 * 3], mean(16));
    let error = refused(with(Structure::tuple([half(), half()]).unwrap(), None));
    assert_eq!(error, round::Error::RoundTooLarge { maximum: most as u64 });
    // A length of zero makes the product zero, for any other lengths.
    let empty = RoundSpec::new(with(leaf(DType::F32, [usize::MAX, 0, 2], mean(16)), None)).unwrap();
    assert_eq!((empty.costs().values, empty.costs().bytes_per_value()), (0, 0.0));
}

#[test]
fn error_bounds_follow_clients_and_weights() {
    let grid = Quantizer::symmetric(1.0, 8).unwrap();
    let tensors = |names: [&'static str; 6]| {
        let encodings = [
            (DType::U8, Encoding::Integers(IntegerRange::of::<u8>())),
            (DType::I64, Encoding::Modular(Modular::new(9).unwrap())),
            (DType::F32, Encoding::Mean(grid)),
            (DType::F64, Encoding::Sum(grid.stochastic())),
            (DType::F32, Encoding::QuantizedF32(QuantizedSum::new(-1.0_f32, 1.0).unwrap())),
            (DType::I64, Encoding::QuantizedI64(QuantizedSum::new(0_i64, i64::from(u32::MAX) * 3).unwrap())),
        ];
        let named = names
            .into_iter()
            .zip(encodings)
            .map(|(name, (dtype, encoding))| (name, leaf(dtype, [2], encoding)));
        Structure::named(named).unwrap()
    };
    let names = ["a", "b", "c", "d", "e", "f"];
    let sums = vec![SumSpec::new(tensors(names)), SumSpec::new(tensors(names)).weighted(50)];
    let spec = RoundSpec::new(parameters(sums)).unwrap();
    let bounds = spec.error_bounds();
    for (bounds, weight) in bounds.iter().zip([1000.0, 50_000.0]) {
        let at = |name: &str| *bounds.get(name).unwrap().as_leaf().unwrap();
        assert_eq!((at("a"), at("b")), (0.0, 0.0));
        assert!((at("c") - grid.error_bound()).abs() < 1e-12, "a mean's bound does not grow");
        assert!((at("d") - grid.stochastic().error_bound() * weight).abs() < 1e-9);
        assert!((at("e") - weight / f64::from(u32::MAX)).abs() < 1e-9);
        assert!(at("f") >= weight * 2.0, "steps of three or four");
    }
}

/// The worst-case values, between two points of the grid, with the maximum weights.
#[test]
fn error_bounds_hold_in_the_worst_case() {
    let session = Session::new(2);
    let grid = Quantizer::symmetric(1.0, 4).unwrap();
    let sum = |encoding| SumSpec::new(leaf(DType::F64, [1], encoding)).weighted(9);
    for (round, stochastic) in [(0, false), (1, true)] {
        let grid = if stochastic { grid.stochastic() } else { grid };
        let spec = RoundSpec::new(
            session.parameters(round, vec![sum(Encoding::Sum(grid)), sum(Encoding::Mean(grid))]),
        );
        let spec = spec.unwrap();
        let value = ArrayD::from_elem(vec![1], grid.step() * 0.499);
        let aggregator = session.aggregator(&spec);
        for client in 0..4 {
            let update = || Update::of_views(Structure::leaf(view(&value))).weighted(9);
            for wire in session.send(client, &spec, &[update(), update()]) {
                let _ = aggregator.accept(client, &wire).unwrap();
            }
            aggregator.commit(client).unwrap();
        }
        let result = session.open(&spec, aggregator.close().unwrap().for_server().unwrap()).unwrap();
        let found =
            |sum: usize| result.sums[sum].tensors.as_leaf().unwrap().clone().into_array::<f64>().unwrap()[0];
        let bound = |sum: usize| *spec.error_bounds()[sum].as_leaf().unwrap();
        let (total, mean) = (found(0) - 36.0 * value[0], found(1) - value[0]);
        assert!(total.abs() <= bound(0) && mean.abs() <= bound(1), "{total} and {mean}");
        if !stochastic {
            assert!(total.abs() > 0.99 * bound(0), "{total}: the bound is no larger than it has to be");
        }
    }
}
