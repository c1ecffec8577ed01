//! Aggregators that share a round: different messages of every client, different clients, and both.

use std::{ops::Range, sync::Arc};

use cipherfold::federated::round::{self, Aggregator, PartialSum, RoundParameters, RoundSpec};

use super::support::{MESSAGES, Session, assert_bytes, bytes};

/// The closed sum of an aggregator for some messages of some clients.
fn part(session: &Session, spec: &RoundSpec, messages: Range<u64>, clients: &[u32]) -> PartialSum {
    let channel = Arc::clone(&session.channel);
    let aggregator = Aggregator::for_messages(spec, session.key(), channel, messages.clone()).unwrap();
    for client in clients {
        let sent = session.send_bytes(*client, spec, *client as u8 + 1);
        for number in messages.clone() {
            let receipt = aggregator.accept(*client, &sent[number as usize]).unwrap();
            assert_eq!(receipt.missing, messages.end - 1 - number);
        }
        aggregator.commit(*client).unwrap();
    }
    aggregator.close().unwrap()
}

/// The parts in this order, merged into the first.
fn merged(parts: impl IntoIterator<Item = PartialSum>) -> Result<PartialSum, round::Error> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().unwrap();
    parts.try_for_each(|part| whole.merge(part))?;
    Ok(whole)
}

fn through_bytes(session: &Session, part: PartialSum) -> PartialSum {
    let (spec, bytes) = (part.spec().clone(), part.into_bytes().unwrap());
    PartialSum::from_bytes(&spec, session.key(), &bytes).unwrap()
}

#[test]
fn aggregators_of_different_messages() {
    let session = Session::new(1);
    for (round, cuts) in (0..).zip([[0, 1, 3], [0, 2, 3], [0, 0, 3], [0, 3, 3]]) {
        let spec = session.bytes(round);
        let parts = || cuts.windows(2).map(|cut| part(&session, &spec, cut[0]..cut[1], &[0, 1, 3]));
        for part in parts().filter(|part| part.participants() == [0, 1, 3]) {
            if cuts.contains(&1) || cuts.contains(&2) {
                assert!(
                    matches!(part.for_server().err(), Some(round::Error::MissingPart { .. })),
                    "{cuts:?}"
                );
            }
        }
        let mut all: Vec<_> = parts().collect();
        all.reverse();
        let whole = merged(all).unwrap();
        assert_eq!(whole.participants(), [0, 1, 3]);
        assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &[0, 1, 3], 1 + 2 + 4);
    }
}

#[test]
fn aggregators_of_different_clients() {
    let session = Session::with_key_holder(2);
    let spec = session.bytes(0);
    let whole =
        merged([[0, 3].as_slice(), &[], &[1], &[2]].map(|clients| part(&session, &spec, 0..3, clients)));
    let whole = whole.unwrap();
    assert_eq!(whole.participants(), [0, 1, 2, 3]);
    assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &[0, 1, 2, 3], 10);
}

#[test]
fn parts_travel_as_bytes() {
    let session = Session::new(3);
    let spec = session.bytes(0);
    let grid = || {
        [(0..2, [0, 1].as_slice()), (2..3, &[0, 1]), (0..1, &[3]), (1..3, &[3])]
            .map(|(messages, clients)| part(&session, &spec, messages, clients))
    };
    let bytes = |whole: PartialSum| whole.into_bytes().unwrap();
    let direct = bytes(merged(grid()).unwrap());
    let travelled = merged(grid().map(|part| through_bytes(&session, part))).unwrap();
    assert_eq!(bytes(travelled), direct, "the same, to the bit");
    let mut reversed = grid();
    reversed.reverse();
    assert_eq!(bytes(merged(reversed).unwrap()), direct, "in any order");
    let whole = PartialSum::from_bytes(&spec, session.key(), &direct).unwrap();
    assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &[0, 1, 3], 1 + 2 + 4);
    // One part over no clients.
    let nobody = through_bytes(&session, part(&session, &spec, 0..3, &[]));
    assert!(nobody.participants().is_empty());
    let whole = merged([nobody, part(&session, &spec, 0..3, &[1, 2])]).unwrap();
    assert_eq!(whole.participants(), [1, 2]);
}

/// One part for each client, merged one after the other and as a tree.
#[test]
fn parts_of_single_clients_merge_in_any_shape() {
    let session = Session::new(9);
    let parameters = RoundParameters { max_clients: 12, ..session.parameters(0, bytes()) };
    let spec = RoundSpec::new(parameters).unwrap();
    let parts = || (0..12).map(|client| part(&session, &spec, 0..3, &[client]));
    let in_a_row = merged(parts()).unwrap();
    let mut level: Vec<_> = parts().collect();
    while level.len() > 1 {
        let mut pairs = level.into_iter();
        level = Vec::new();
        while let Some(first) = pairs.next() {
            level.push(merged([first].into_iter().chain(pairs.next())).unwrap());
        }
    }
    let clients: Vec<u32> = (0..12).collect();
    assert_eq!(in_a_row.participants(), clients);
    let (in_a_row, tree) = (in_a_row.into_bytes().unwrap(), level.remove(0).into_bytes().unwrap());
    assert_eq!(in_a_row, tree);
    let whole = PartialSum::from_bytes(&spec, session.key(), &tree).unwrap();
    assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &clients, (1..=12).sum());
}

/// Sets of clients that parts share during a merge, but not afterwards.
#[test]
fn parts_that_share_a_set_of_clients_grow_by_themselves() {
    let session = Session::new(10);
    let spec = session.bytes(0);
    let mut whole = part(&session, &spec, 0..3, &[0, 1]);
    // Only the first two messages of another client, then the last one.
    whole.merge(part(&session, &spec, 0..2, &[2])).unwrap();
    assert_eq!(
        whole.merge(part(&session, &spec, 1..3, &[2])).unwrap_err(),
        round::Error::CountedTwice { client: 2, number: 1 }
    );
    whole.merge(part(&session, &spec, 2..3, &[2])).unwrap();
    assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &[0, 1, 2], 6);
}

#[test]
fn a_client_is_counted_once() {
    let session = Session::new(4);
    let spec = session.bytes(0);
    for second in [[1, 2].as_slice(), &[0], &[0, 1]] {
        let twice = round::Error::CountedTwice { client: u32::from(second[0] == 1), number: 0 };
        let mut whole = part(&session, &spec, 0..3, &[0, 1]);
        assert_eq!(whole.merge(part(&session, &spec, 0..3, second)).unwrap_err(), twice);
        assert_eq!(
            whole.merge(through_bytes(&session, part(&session, &spec, 0..3, second))).unwrap_err(),
            twice
        );
        // Nothing has changed.
        assert_eq!(whole.participants(), [0, 1]);
    }
    // A message in both, and one only in the second: refused, without an effect.
    let mut whole = part(&session, &spec, 0..2, &[0, 1]);
    let overlapping = part(&session, &spec, 1..3, &[0, 1]);
    assert_eq!(whole.merge(overlapping).unwrap_err(), round::Error::CountedTwice { client: 0, number: 1 });
    assert_eq!(whole.for_server().err(), Some(round::Error::MissingPart { number: 2 }));

    let mut whole = part(&session, &spec, 0..2, &[0, 1]);
    whole.merge(part(&session, &spec, 2..3, &[0, 1])).unwrap();
    assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &[0, 1], 3);
}

#[test]
fn parts_over_different_clients_are_not_a_sum() {
    let session = Session::new(5);
    let spec = session.bytes(0);
    // A client unknown to the second aggregator: its first messages are in the sum, its last one is
    // not.
    let whole =
        merged([part(&session, &spec, 0..2, &[0, 1, 2]), part(&session, &spec, 2..3, &[0, 1])]).unwrap();
    assert_eq!(whole.participants(), [0, 1, 2]);
    assert_eq!(whole.for_server().err(), Some(round::Error::MissingPart { number: 2 }));
    let whole = merged([part(&session, &spec, 0..1, &[0, 1]), part(&session, &spec, 2..3, &[0, 1])]).unwrap();
    assert_eq!(whole.for_server().err(), Some(round::Error::MissingPart { number: 1 }));
}

#[test]
fn merged_parts_have_no_more_clients_than_have_room() {
    let session = Session::new(6);
    let spec = session.bytes(0);
    let mut whole = part(&session, &spec, 0..3, &[0, 1, 2]);
    let refused = whole.merge(part(&session, &spec, 0..3, &[4, 5])).unwrap_err();
    assert_eq!(refused, round::Error::TooManyClients { limit: 4, found: 5 });
    whole.merge(part(&session, &spec, 0..3, &[3])).unwrap();
    assert_bytes(&session.open(&spec, whole.for_server().unwrap()).unwrap(), &[0, 1, 2, 3], 10);
}

#[test]
fn parts_of_another_round_are_refused() {
    let session = Session::new(7);
    let (spec, next) = (session.bytes(0), session.bytes(1));
    let parameters = RoundParameters { max_clients: 3, ..session.parameters(0, bytes()) };
    for other in [next, RoundSpec::new(parameters).unwrap()] {
        let expected = round::Error::OtherRound { expected: spec.digest(), found: other.digest() };
        let mut whole = part(&session, &spec, 0..3, &[0]);
        assert_eq!(whole.merge(part(&session, &other, 0..3, &[1])).unwrap_err(), expected);
        let bytes = part(&session, &other, 0..3, &[1]).into_bytes().unwrap();
        assert_eq!(PartialSum::from_bytes(&spec, session.key(), &bytes).err(), Some(expected));
    }
}

#[test]
fn an_aggregator_of_some_messages_takes_no_others() {
    let session = Session::new(8);
    let spec = session.bytes(0);
    let over =
        |messages| Aggregator::for_messages(&spec, session.key(), Arc::clone(&session.channel), messages);
    let sent = session.send_bytes(0, &spec, 1);
    let aggregator = over(1..2).unwrap();
    for number in [0, 2] {
        let refused = round::Error::MessageNumber { number, messages: MESSAGES };
        assert_eq!(aggregator.accept(0, &sent[number as usize]).unwrap_err(), refused);
    }
    assert_eq!(aggregator.accept(0, &sent[1]).unwrap().missing, 0);
    #[expect(clippy::reversed_empty_ranges, reason = "refused")]
    for range in [0..4, 3..4, 4..4, 2..1, 0..u64::MAX] {
        let refused = round::Error::MessageNumber { number: range.end, messages: MESSAGES };
        assert_eq!(over(range).err(), Some(refused));
    }
    assert!(over(3..3).is_ok(), "none of the messages");
}
