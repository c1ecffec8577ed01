//! The aggregator's work on several processes.

use std::{collections::BTreeSet, num::NonZeroU32, thread};

use cipherfold::{backend::BackendChoice, federated::Party};
use cipherfold_service::{
    Error,
    inspect::audit,
    objects::{Key, Outcome, RefusalReason, RoundKey, WorkerIndex},
    progress::Silent,
    roles::{self, Aggregation, Ended},
    round::{Declaration, OpenRound, unix_time},
};

use crate::support::{World, aggregation, assert_is_mean, read_mean, timeout};

fn worker(world: &World, round: &OpenRound, index: u32, count: u32) -> cipherfold_service::Result<()> {
    let index = WorkerIndex::new(index, count).unwrap();
    roles::fold_shards(&world.aggregator, round, index, (BackendChoice::Auto, timeout()), &Silent).map(drop)
}

/// Runs the aggregator with `workers` workers.
fn with_workers(world: &World, round: &OpenRound, count: u32) -> cipherfold_service::Result<Ended> {
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..count).map(|index| scope.spawn(move || worker(world, round, index, count))).collect();
        let aggregation = Aggregation { workers: NonZeroU32::new(count), ..aggregation() };
        let ended = roles::aggregate(&world.aggregator, round, aggregation, &Silent);
        for worker in workers {
            let done = worker.join().unwrap();
            assert_eq!(done.err(), ended.as_ref().err().cloned());
        }
        ended
    })
}

#[test]
fn workers_write_the_sums_of_one_process() {
    let world = World::in_memory(3);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    // The same round again, by one process. Only the names of objects differ.
    let ended = with_workers(&world, &round, 2).unwrap();
    let sum = |shard| world.store.get(&round.key(RoundKey::Sum(shard)), u64::MAX).unwrap().unwrap();
    let by_workers: Vec<_> = (0..3).map(sum).collect();
    for key in [RoundKey::Done, RoundKey::Sum(0), RoundKey::Sum(1), RoundKey::Sum(2)] {
        world.store.remove(&round.key(key)).unwrap();
    }
    assert_eq!(world.aggregate(&round).unwrap(), ended, "the same digests");
    assert_eq!((0..3).map(sum).collect::<Vec<_>>(), by_workers);
    let out = world.path("mean.safetensors");
    world.pull(&round, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 1, 2]);
    let aggregator = Some((&world.aggregator, BackendChoice::Auto));
    let report = audit(&world.store, &world.consortium, session.id(), aggregator, &Silent).unwrap();
    assert_eq!((&report.findings[..], report.recomputed), (&[][..], 1));
}

#[test]
fn more_workers_than_shards_and_workers_that_come_late() {
    let world = World::in_memory(2);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    with_workers(&world, &round, 5).unwrap();
    world.pull(&round, &world.path("mean.safetensors")).unwrap();
    // A second run finds the objects of the first one.
    worker(&world, &round, 3, 5).unwrap();
}

#[test]
fn a_client_that_one_worker_refuses_is_in_no_sum() {
    let world = World::in_memory(3);
    let session = world.session();
    let declaration = Declaration { deadline: unix_time() + 2, ..world.declaration() };
    let round = world.open(&session, &declaration).unwrap();
    world.submit_all(&round);
    // Only the worker with the last shard detects that it is missing.
    let gone = round.key(RoundKey::Part { client: 1, attempt: 1, shard: 2 });
    world.store.remove(&gone).unwrap();
    let ended = with_workers(&world, &round, 3).unwrap();
    assert_eq!(ended.participants, [0, 2]);
    assert_eq!(ended.refused[0].reason, RefusalReason::MissingPart { shard: 2 });
    let out = world.path("mean.safetensors");
    world.pull(&round, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 2]);
}

#[test]
fn an_aggregator_without_its_workers_waits_and_another_one_continues() {
    let world = World::in_memory(2);
    let session = world.session();
    let declaration = Declaration { deadline: unix_time(), ..world.declaration() };
    let round = world.open(&session, &declaration).unwrap();
    world.submit_all(&round);
    let short = roles::Timeout::of(std::time::Duration::from_millis(100));
    let aggregation = Aggregation { workers: NonZeroU32::new(2), timeout: short, ..aggregation() };
    let waiting = roles::aggregate(&world.aggregator, &round, aggregation, &Silent).unwrap_err();
    assert!(matches!(waiting, Error::Waiting { .. }), "{waiting}");
    assert_eq!(round.end().unwrap(), None);
    assert_eq!(world.aggregate(&round).unwrap().participants, [0, 1], "without workers");
}

/// A worker that has counted a client that the end does not list computes its sums again.
#[test]
fn a_worker_follows_the_end() {
    let world = World::in_memory(3);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    let worker = roles::Worker::new(&world.aggregator, &round, BackendChoice::Auto).unwrap();
    let mut fold = worker.fold(0..round.shards()).unwrap();
    for client in 0..3 {
        assert!(fold.count_committed(client).unwrap().is_ok());
    }
    // The aggregator closes without client 2.
    let own = Key::Announcement(session.id(), Party::Client(2));
    world.store.remove(&own).unwrap();
    world.store.remove(&round.key(RoundKey::Commit(2))).unwrap();
    let end = {
        let participants = [0, 1].map(|client| cipherfold_service::objects::Participant {
            client,
            commit: round.commit(client).unwrap().unwrap().digest(),
        });
        let end = cipherfold_service::objects::End {
            open: round.declared().digest(),
            outcome: Outcome::Closed(participants.to_vec()),
            refused: Vec::new(),
        };
        let key = round.key(RoundKey::End);
        let signed = cipherfold_service::objects::sign(world.aggregator.identity(), &key, &end);
        world.store.put(&key, signed).unwrap();
        round.end().unwrap().unwrap()
    };
    assert_eq!(fold.counted(), [0, 1, 2]);
    let server = session.announced(Party::Server).unwrap().unwrap();
    let sums = fold.close(&end, server, &Silent).unwrap();
    assert_eq!(sums.len(), 3);
    world.aggregate(&round).unwrap();
    let written: BTreeSet<Vec<u8>> = (0..3)
        .map(|shard| world.store.get(&round.key(RoundKey::Sum(shard)), u64::MAX).unwrap().unwrap().to_vec())
        .collect();
    assert_eq!(sums.into_iter().map(|(_, sum)| sum).collect::<BTreeSet<_>>(), written);
    let out = world.path("mean.safetensors");
    world.pull(&round, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 1]);
}

/// Without the session's key, a copy of the aggregator's home would treat every contribution as
/// broken.
#[test]
fn a_worker_without_the_sessions_key_refuses_nobody() {
    let world = World::in_memory(2);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    let copy = world.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for name in ["identity", "consortium.toml", "pin"] {
        std::fs::copy(world.aggregator.directory().join(name), copy.join(name)).unwrap();
    }
    let home = cipherfold_service::Home::open(&copy).unwrap();
    let index = WorkerIndex::new(0, 1).unwrap();
    let other = Error::OtherBoxKey { party: Party::Aggregator };
    let folded = roles::fold_shards(&home, &round, index, (BackendChoice::Auto, timeout()), &Silent);
    assert_eq!(folded.unwrap_err(), other);
    let aggregator = Some((&home, BackendChoice::Auto));
    assert_eq!(
        audit(&world.store, &world.consortium, session.id(), aggregator, &Silent).err(),
        None,
        "no end yet"
    );
    world.aggregate(&round).unwrap();
    assert_eq!(audit(&world.store, &world.consortium, session.id(), aggregator, &Silent).err(), Some(other));
}
