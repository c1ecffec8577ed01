//! Updates that are passed message by message.

use cipherfold::{
    federated::{
        round::{self, Client, Piece, RoundSpec, StreamedUpdate, SumSpec, TensorSpec, Update},
        tensor::{self, DType, Encoding, Structure, Tensor, TensorType, TensorView},
    },
    packing::{self, IntegerRange, Quantizer},
};
use ndarray::{Array1, ArrayD};

use super::support::{MESSAGES, Session, VALUES, assert_bytes, bytes, rng, view};

/// Matrices of two encodings with weights, an empty tensor, and a sum of bytes without weights.
pub(crate) fn sums() -> Vec<SumSpec> {
    let float = |shape: &[usize], bits| {
        let encoding = Encoding::Mean(Quantizer::symmetric(1.0, bits).unwrap());
        Structure::leaf(TensorSpec::new(DType::F32, shape, encoding))
    };
    let model = [
        ("w", float(&[9, 11], 16)),
        ("none", float(&[0, 3], 16)),
        ("b", float(&[70], 9)),
        ("c", float(&[], 16)),
    ];
    let mut sums = vec![SumSpec::new(Structure::named(model).unwrap()).weighted(7)];
    sums.extend(bytes());
    sums
}

/// All tensors of a client, in order.
pub(crate) fn tensors(client: u32) -> [Vec<Tensor>; 2] {
    let float = |shape: &[usize]| {
        let len: usize = shape.iter().product();
        let values = (0..len).map(|i| ((i as f32 + client as f32) * 0.37).sin());
        Tensor::F32(ArrayD::from_shape_vec(shape, values.collect()).unwrap())
    };
    let model = [&[9, 11][..], &[0, 3], &[70], &[]].map(float);
    [model.to_vec(), vec![Tensor::U8(ArrayD::from_elem(vec![VALUES], client as u8))]]
}

fn parts(spec: &RoundSpec, weight: u32) -> Vec<(Structure<TensorType>, Option<u32>)> {
    let weight = |sum: &SumSpec| sum.max_weight().map(|_| weight);
    spec.sums().iter().map(|sum| (sum.structure(), weight(sum))).collect()
}

/// The elements of a piece.
fn cut(tensors: &[Vec<Tensor>; 2], piece: &Piece) -> Tensor {
    let elements = piece.elements.clone();
    match &tensors[piece.sum][piece.tensor] {
        Tensor::F32(array) => Array1::from(array.as_slice().unwrap()[elements].to_vec()).into_dyn().into(),
        Tensor::U8(array) => Array1::from(array.as_slice().unwrap()[elements].to_vec()).into_dyn().into(),
        _ => unreachable!("there are no others"),
    }
}

fn message(
    client: &Client,
    update: &StreamedUpdate,
    tensors: &[Vec<Tensor>; 2],
    number: u64,
    seed: u64,
) -> Vec<u8> {
    let pieces: Vec<_> = update.pieces(number).unwrap().iter().map(|piece| cut(tensors, piece)).collect();
    let views: Vec<_> = pieces.iter().map(Tensor::view).collect();
    update.check(number, &views).unwrap();
    client.streamed_message(update, number, &views, &mut rng(seed)).unwrap().0
}

#[test]
fn messages_are_those_of_the_whole_update() {
    let session = Session::new(71);
    let spec = RoundSpec::new(session.parameters(0, sums())).unwrap();
    let client = session.client(1, &spec);
    let tensors = tensors(1);
    let views = |sum: usize| {
        let mut views = tensors[sum].iter().map(Tensor::view);
        spec.sums()[sum].structure().map(|_| views.next().unwrap())
    };
    let whole = [Update::of_views(views(0)).weighted(5), Update::of_views(views(1))];
    let whole = client.encode(&whole).unwrap();
    let streamed = client.stream(&parts(&spec, 5)).unwrap();
    assert_eq!(streamed.messages(), whole.messages());
    for number in 0..whole.messages() {
        let expected = client.message(&whole, number, &mut rng(number)).unwrap();
        assert!(message(&client, &streamed, &tensors, number, number) == expected, "message {number}");
    }
}

#[test]
fn pieces_cover_every_element_once() {
    let session = Session::new(72);
    let spec = RoundSpec::new(session.parameters(0, sums())).unwrap();
    let update = session.client(0, &spec).stream(&parts(&spec, 1)).unwrap();
    let mut covered = [vec![0, 0, 0, 0], vec![0]];
    for number in 0..update.messages() {
        for Piece { sum, tensor, elements } in update.pieces(number).unwrap() {
            assert_eq!(elements.start, covered[sum][tensor], "in order");
            covered[sum][tensor] = elements.end;
        }
    }
    assert_eq!(covered, [vec![99, 0, 70, 1], vec![VALUES]]);
    let messages = update.messages();
    let beyond = round::Error::MessageNumber { number: messages, messages };
    assert_eq!(update.pieces(messages), Err(beyond));
}

#[test]
fn a_round_of_a_streamed_and_a_whole_update() {
    let session = Session::new(73);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    session.contribute(&aggregator, 0);
    let client = session.client(1, &spec);
    let update = client.stream(&parts(&spec, 1)).unwrap();
    for number in 0..MESSAGES {
        let wire = message(&client, &update, &[tensors(20)[1].clone(), vec![]], number, 9);
        let _ = aggregator.accept(1, &wire).unwrap();
    }
    aggregator.commit(1).unwrap();
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1], 1 + 20);
}

#[test]
fn pieces_that_do_not_fit_are_refused() {
    let session = Session::new(74);
    let spec = RoundSpec::new(session.parameters(0, sums())).unwrap();
    let client = session.client(1, &spec);
    let stream = |parts: &[_]| client.stream(parts).unwrap_err();
    let fitting = parts(&spec, 7);
    assert_eq!(stream(&fitting[..1]), round::Error::SumCount { expected: 2, found: 1 });
    assert_eq!(stream(&parts(&spec, 8)), round::Error::WeightTooLarge { max: 7 });
    let mut unweighted = fitting.clone();
    unweighted[0].1 = None;
    assert_eq!(stream(&unweighted), round::Error::WeightExpected { expected: true });
    let mut swapped = fitting.clone();
    swapped.swap(0, 1);
    assert!(matches!(
        stream(&swapped),
        round::Error::Tensor(tensor::Error::StructureMismatch { .. } | tensor::Error::TensorCount { .. })
    ));

    let update = client.stream(&fitting).unwrap();
    let last = update.messages() - 1;
    let len = update.pieces(last).unwrap()[0].elements.len();
    let check = |pieces: &[TensorView<'_>]| {
        let found = update.check(last, pieces).unwrap_err();
        let sent = client.streamed_message(&update, last, pieces, &mut rng(1)).unwrap_err();
        assert_eq!(found, sent);
        found
    };
    assert_eq!(check(&[]), round::Error::PieceCount { expected: 1, found: 0 });
    let (short, other) = (ArrayD::<u8>::zeros(vec![len - 1]), ArrayD::<u16>::zeros(vec![len]));
    let piece = |found: String| round::Error::Piece { piece: 0, expected: format!("u8[{len}]"), found };
    assert_eq!(check(&[view(&short)]), piece(format!("u8[{}]", len - 1)));
    assert_eq!(check(&[view(&other)]), piece(format!("u16[{len}]")));

    let other = session.client(1, &session.bytes(0));
    let refused = other.streamed_message(&update, 0, &[], &mut rng(1)).unwrap_err();
    assert!(matches!(refused, round::Error::OtherRound { .. }), "{refused:?}");
}

#[test]
fn an_element_that_cannot_be_encoded_is_named_by_its_place_in_its_tensor() {
    let session = Session::new(75);
    let tensor = TensorSpec::new(DType::U8, [VALUES], Encoding::Integers(IntegerRange::up_to(9)));
    let spec = RoundSpec::new(session.parameters(0, vec![SumSpec::new(Structure::leaf(tensor))])).unwrap();
    let client = session.client(1, &spec);
    let update = client.stream(&parts(&spec, 1)).unwrap();
    let elements = update.pieces(1).unwrap()[0].elements.clone();
    let mut values = ArrayD::<u8>::zeros(vec![elements.len()]);
    values[[3]] = 10;
    let source = packing::Error::ValueOutOfRange { index: elements.start + 3, min: 0, max: 9 };
    let expected = round::Error::Tensor(tensor::Error::Tensor { tensor: 0, source: Box::new(source.into()) });
    assert_eq!(update.check(1, &[view(&values)]), Err(expected.clone()));
    let sent = client.streamed_message(&update, 1, &[view(&values)], &mut rng(1));
    assert_eq!(sent.unwrap_err(), expected);
}
