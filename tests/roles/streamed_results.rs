//! Sums that are sent part by part, and results that are given message by message.

use std::sync::Arc;

use cipherfold::federated::{
    KeyHolding,
    round::{self, ClosedSum, DecodedPiece, PartialSum, RoundResult, RoundSpec, StreamedServer, Update},
    tensor::Tensor,
};

use super::{
    streamed::{sums, tensors},
    support::{MESSAGES, Session, VALUES, rng},
};

/// A round of several tensors, with its messages, as an aggregator's bytes.
fn closed(session: &Session) -> (RoundSpec, Vec<u8>) {
    let spec = RoundSpec::new(session.parameters(0, sums())).unwrap();
    let aggregator = session.aggregator(&spec);
    for client in [1, 2, 3] {
        let tensors = tensors(client);
        let update = |sum: usize| {
            let mut views = tensors[sum].iter().map(Tensor::view);
            Update::of_views(spec.sums()[sum].structure().map(|_| views.next().unwrap()))
        };
        for wire in session.send(client, &spec, &[update(0).weighted(client), update(1)]) {
            let _ = aggregator.accept(client, &wire).unwrap();
        }
        aggregator.commit(client).unwrap();
    }
    (spec, aggregator.close().unwrap().into_bytes().unwrap())
}

fn partial(session: &Session, spec: &RoundSpec, bytes: &[u8]) -> PartialSum {
    PartialSum::from_bytes(spec, session.key(), bytes).unwrap()
}

/// All messages of a sum, in parts of two messages.
fn in_parts(session: &Session, spec: &RoundSpec, bytes: &[u8]) -> Vec<Vec<u8>> {
    let count = spec.costs().messages;
    let mut wires = Vec::new();
    for start in (0..count).step_by(2) {
        let range = start..count.min(start + 2);
        let mut part: ClosedSum = partial(session, spec, bytes).part_for_server(range.clone()).unwrap();
        assert_eq!((part.numbers(), part.messages()), (range.clone(), range.end - range.start));
        assert_eq!(part.participants(), [1, 2, 3]);
        for number in range {
            wires.push(part.message(number, &*session.channel, &mut rng(number)).unwrap());
        }
    }
    wires
}

/// Puts pieces into tensors of zeros.
fn assemble(result: &RoundResult, pieces: &[DecodedPiece]) -> Vec<Vec<Tensor>> {
    let zeros = |tensor: &Tensor| match tensor {
        Tensor::F32(array) => Tensor::F32(array * 0.0),
        Tensor::U64(array) => Tensor::U64(array.mapv(|_| 0)),
        other => unreachable!("{other:?}"),
    };
    let mut all: Vec<Vec<Tensor>> =
        result.sums.iter().map(|sum| sum.tensors.iter().map(zeros).collect()).collect();
    for DecodedPiece { piece, values, .. } in pieces {
        match (&mut all[piece.sum][piece.tensor], values) {
            (Tensor::F32(to), Tensor::F32(from)) => {
                to.as_slice_mut().unwrap()[piece.elements.clone()].copy_from_slice(from.as_slice().unwrap());
            }
            (Tensor::U64(to), Tensor::U64(from)) => {
                to.as_slice_mut().unwrap()[piece.elements.clone()].copy_from_slice(from.as_slice().unwrap());
            }
            other => unreachable!("{other:?}"),
        }
    }
    all
}

fn assert_same(expected: &RoundResult, pieces: &[DecodedPiece]) {
    let tensors: Vec<Vec<Tensor>> =
        expected.sums.iter().map(|sum| sum.tensors.iter().cloned().collect()).collect();
    assert_eq!(assemble(expected, pieces), tensors);
    let elements: usize = pieces.iter().map(|part| part.piece.elements.len()).sum();
    assert_eq!(elements, 99 + 70 + 1 + VALUES, "each element once");
}

#[test]
fn a_result_in_pieces_has_the_values_of_the_whole_one() {
    let session = Session::new(81);
    let (spec, bytes) = closed(&session);
    let whole = partial(&session, &spec, &bytes).for_server().unwrap();
    let expected = session.open(&spec, whole).unwrap();
    let wires = in_parts(&session, &spec, &bytes);
    for reversed in [false, true] {
        let mut server = StreamedServer::new(&spec, &session.owner, Arc::clone(&session.channel)).unwrap();
        let mut pieces = Vec::new();
        let mut order: Vec<_> = wires.iter().collect();
        if reversed {
            order.reverse();
        }
        for wire in order {
            pieces.extend(server.open(wire).unwrap());
            assert_eq!(server.open(wire).unwrap(), [], "again");
        }
        assert_eq!(server.missing(), 0);
        assert_same(&expected, &pieces);
        if !reversed {
            let mut of_first = pieces.iter().filter(|part| (part.piece.sum, part.piece.tensor) == (0, 0));
            assert!(of_first.clone().count() > 1, "several messages have elements of this tensor");
            assert!(of_first.all(|part| part.values.view().len() == part.piece.elements.len()));
        }
        let totals = server.finish().unwrap();
        assert_eq!((totals.total_weights, totals.participants), (vec![6, 3], vec![1, 2, 3]));
    }
}

#[test]
fn a_streamed_result_misses_nothing_silently() {
    let session = Session::new(82);
    let (spec, bytes) = closed(&session);
    let wires = in_parts(&session, &spec, &bytes);
    let mut server = StreamedServer::new(&spec, &session.owner, Arc::clone(&session.channel)).unwrap();
    for wire in &wires[1..] {
        server.open(wire).unwrap();
    }
    assert!(server.missing() > 0);
    assert!(matches!(server.finish(), Err(round::Error::MissingPart { .. })));
}

#[test]
fn a_part_has_its_own_messages_only() {
    let session = Session::new(83);
    let spec = session.bytes(0);
    let bytes = || {
        let aggregator = session.aggregator(&spec);
        for client in [0, 1] {
            session.contribute(&aggregator, client);
        }
        aggregator.close().unwrap()
    };
    let mut part = bytes().part_for_server(1..2).unwrap();
    for number in [0, 2, 3] {
        let refused = round::Error::MessageNumber { number, messages: MESSAGES };
        assert_eq!(part.message(number, &*session.channel, &mut rng(1)).unwrap_err(), refused);
    }
    assert!(part.message(1, &*session.channel, &mut rng(1)).is_ok());
    let used = round::Error::MessageNumber { number: 1, messages: MESSAGES };
    assert_eq!(part.message(1, &*session.channel, &mut rng(1)).unwrap_err(), used, "each once");
    #[expect(clippy::reversed_empty_ranges, reason = "refused")]
    for range in [0..4, 4..4, 2..1, 0..u64::MAX] {
        let refused = round::Error::MessageNumber { number: range.end, messages: MESSAGES };
        assert_eq!(bytes().part_for_server(range).err(), Some(refused));
    }
    assert_eq!(bytes().part_for_server(3..3).unwrap().messages(), 0);
}

#[test]
fn a_part_needs_its_sums_and_the_minimum_of_clients() {
    let session = Session::new(84);
    let spec = session.bytes(0);
    let over = |messages: core::ops::Range<u64>, clients: &[u32]| {
        let channel = Arc::clone(&session.channel);
        let aggregator =
            round::Aggregator::for_messages(&spec, session.key(), channel, messages.clone()).unwrap();
        for client in clients {
            let sent = session.send_bytes(*client, &spec, 1);
            for number in messages.clone() {
                let _ = aggregator.accept(*client, &sent[usize::try_from(number).unwrap()]).unwrap();
            }
            aggregator.commit(*client).unwrap();
        }
        aggregator.close().unwrap()
    };
    let missing = round::Error::MissingPart { number: 2 };
    assert_eq!(over(0..2, &[0, 1]).part_for_server(1..3).err(), Some(missing.clone()));
    let few = round::Error::TooFewClients { minimum: 2, found: 1, absent: Vec::new() };
    assert_eq!(over(1..2, &[3]).part_for_server(1..2).err(), Some(few));
    // The rest of the round may be over other clients here; the server compares them.
    let mut mixed = over(0..2, &[0, 1, 2]);
    mixed.merge(over(2..3, &[0, 1])).unwrap();
    assert_eq!(mixed.part_for_server(0..3).err(), Some(missing));
    let mut server = StreamedServer::new(&spec, &session.owner, Arc::clone(&session.channel)).unwrap();
    let mut part = over(0..2, &[0, 1, 2]).part_for_server(0..2).unwrap();
    server.open(&part.message(0, &*session.channel, &mut rng(1)).unwrap()).unwrap();
    let mut other = over(2..3, &[0, 1]).part_for_server(2..3).unwrap();
    let other = other.message(2, &*session.channel, &mut rng(2)).unwrap();
    assert_eq!(server.open(&other).unwrap_err(), round::Error::Participants);
}

/// A server that is started again between its requests and their answers.
#[test]
fn a_mask_is_drawn_again_without_a_request() {
    let session = Session::with_key_holder(85);
    let (spec, bytes) = closed(&session);
    let wires = in_parts(&session, &spec, &bytes);
    let holder = session.key_holder();
    let new = || {
        let channel = || Arc::clone(&session.channel);
        StreamedServer::with_key_holder(&spec, session.key(), channel(), channel()).unwrap()
    };
    let mut first = new();
    let answers: Vec<_> = (0..)
        .zip(&wires)
        .map(|(seed, wire)| {
            let request = first.mask(wire, &mut rng(seed)).unwrap();
            holder.decrypt_masked(&spec, &request, &mut rng(99)).unwrap()
        })
        .collect();
    let mut expected = Vec::new();
    for answer in &answers {
        expected.extend(first.unmask(answer).unwrap());
    }

    let (mut second, mut found) = (new(), Vec::new());
    assert!(
        matches!(second.unmask(&answers[0]), Err(round::Error::MessageNumber { number: 0, .. })),
        "no mask yet"
    );
    for (seed, (wire, answer)) in (0..).zip(wires.iter().zip(&answers)) {
        second.mask_again(wire, &mut rng(seed)).unwrap();
        second.mask_again(wire, &mut rng(1000)).unwrap(); // changes nothing
        let number = round::Error::MessageNumber { number: seed, messages: spec.costs().messages };
        assert_eq!(second.mask(wire, &mut rng(seed)).unwrap_err(), number, "its request was made elsewhere");
        found.extend(second.unmask(answer).unwrap());
    }
    assert_eq!(found, expected);
    assert_eq!(second.finish().unwrap(), first.finish().unwrap());

    // With another seed, removing the mask gives no sum.
    let mut wrong = new();
    wrong.mask_again(&wires[0], &mut rng(1000)).unwrap();
    let refused = wrong.unmask(&answers[0]).unwrap_err();
    assert!(
        matches!(refused, round::Error::UnusedBits { .. } | round::Error::TotalWeightOutOfRange { .. }),
        "{refused}"
    );
}

#[test]
fn a_server_with_the_key_masks_nothing() {
    let session = Session::new(86);
    let (spec, bytes) = closed(&session);
    let wire = &in_parts(&session, &spec, &bytes)[0];
    let mut server = StreamedServer::new(&spec, &session.owner, Arc::clone(&session.channel)).unwrap();
    let holding = round::Error::KeyHolding { holder: KeyHolding::Server.party() };
    assert_eq!(server.mask_again(wire, &mut rng(1)).unwrap_err(), holding);
    assert_eq!(server.mask(wire, &mut rng(1)).unwrap_err(), holding);
    assert!(server.open(wire).is_ok(), "nothing was received before");
}
