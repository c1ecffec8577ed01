//! Rounds over stores that fail, answer late, and return old or broken objects: acknowledged
//! objects count.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cipherfold::backend::BackendChoice;
use cipherfold_service::{
    Error, Result, Store,
    inspect::audit,
    objects::{self, RefusalReason},
    progress::Silent,
    roles::{self, NewSession},
    round::{Declaration, OpenRound, OpenSession, unix_time},
    store,
};
use object_store::path::Path;

use crate::support::{
    World, aggregation, assert_is_mean,
    faulty_store::{Faults, Faulty},
    read_mean, submission, timeout,
};

/// Starts a role again until it succeeds, as those do who run it. Some errors are final: they would
/// be a loss.
fn again<T>(what: &str, mut role: impl FnMut() -> Result<T>) -> T {
    let start = Instant::now();
    loop {
        let error = match role() {
            Ok(done) => return done,
            Err(error) => error,
        };
        let lost = matches!(
            error,
            Error::Refused { .. }
                | Error::RoundOver { .. }
                | Error::Aborted { .. }
                | Error::Store(store::Error::Conflict { .. })
        );
        assert!(!lost && start.elapsed() < Duration::from_secs(120), "{what}: {error}");
    }
}

/// Time enough for all clients.
const LONG: Duration = Duration::from_secs(600);

/// A round of three clients over a store with faults. Every command finds its session and round by
/// itself, as processes do.
fn round_over(faults: Faults, seed: u64, deadline: Duration) {
    let objects = Arc::new(Faulty::new(faults, seed));
    let store = Store::over(objects.clone(), Path::default(), "faulty".to_owned());
    let world = World::over(tempfile::tempdir().unwrap(), store, 3);
    let new = NewSession { key_bits: 2048, min_clients: 2, backend: BackendChoice::Auto };
    let id = again("session", || roles::new_session(&world.server, &world.store, new, &Silent));
    let session = || OpenSession::find(&world.store, &world.consortium, Some(id));
    let declaration = Declaration { deadline: unix_time() + deadline.as_secs(), ..world.declaration() };
    again("open", || world.open(&session()?, &declaration));
    let round = || session()?.round(Some(0));
    again("announce", || roles::announce(&world.aggregator, &session()?));
    let out = world.path("mean.safetensors");
    let ended = thread::scope(|scope| {
        let (world, round) = (&world, &round);
        for client in 0..3 {
            scope.spawn(move || {
                let (home, update) = (&world.clients[client as usize], world.update(client));
                again("submit", || roles::submit(home, &round()?, submission(&update), &Silent));
                again("wait", || roles::wait_for_end(home, &round()?, timeout()));
            });
        }
        let aggregate = || roles::aggregate(&world.aggregator, &round()?, aggregation(), &Silent);
        let ended = again("aggregate", aggregate);
        again("pull", || world.pull(&round()?, &out));
        ended
    });
    assert_eq!((ended.participants, ended.refused), (vec![0, 1, 2], vec![]), "{faults:?}, seed {seed}");
    assert_is_mean(&read_mean(&out), &[0, 1, 2]);
    let aggregator = Some((&world.aggregator, BackendChoice::Auto));
    let report = audit(&objects.without_faults(), &world.consortium, id, aggregator, &Silent).unwrap();
    assert_eq!((&report.findings[..], report.recomputed), (&[][..], 1), "{faults:?}, seed {seed}");
}

fn rounds_over(faults: Faults, deadline: Duration) {
    let seeds = std::env::var("CIPHERFOLD_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        println!("seed {seed}: {faults:?}");
        round_over(faults, seed, deadline);
    }
}

#[test]
fn a_store_that_fails_loses_nothing() {
    rounds_over(Faults { errors: 60, ..Faults::default() }, LONG);
}

#[test]
fn a_store_that_loses_its_answers_loses_nothing() {
    rounds_over(Faults { lost_answers: 200, stale_reads: 50, ..Faults::default() }, LONG);
}

#[test]
fn a_store_that_gives_broken_bytes_for_a_while_loses_nothing() {
    rounds_over(Faults { cut_reads: 40, broken_reads: 20, stale_reads: 20, ..Faults::default() }, LONG);
}

/// At the deadline no list has any commitment yet.
#[test]
fn a_store_that_is_late_loses_nothing() {
    let (delay, lists_lag) = (Duration::from_millis(20), Duration::from_secs(60));
    round_over(Faults { lists_lag, delay, ..Faults::default() }, 0, Duration::from_secs(15));
}

#[test]
fn all_faults_at_once() {
    let faults = Faults {
        errors: 20,
        lost_answers: 40,
        cut_reads: 15,
        broken_reads: 10,
        stale_reads: 15,
        lists_lag: Duration::from_secs(1),
        delay: Duration::from_millis(5),
    };
    rounds_over(faults, LONG);
}

/// Bytes that stay wrong: the error of every reader names their object.
#[test]
fn wrong_bytes_are_named() {
    let world = World::new(2);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    world.aggregate(&round).unwrap();
    let out = world.path("mean.safetensors");
    let pull = |_: &OpenRound| -> Result<()> {
        let round = OpenSession::find(&world.store, &world.consortium, Some(session.id()))?.round(Some(0))?;
        world.pull(&round, &out).map(drop)
    };
    let id = session.id();
    for name in ["session", "0/open", "0/end", "0/done", "0/sum/1", "key/aggregator"]
        .map(|name| format!("{id}/{name}"))
    {
        let path = world.object(&name);
        let good = std::fs::read(&path).unwrap();
        let mut changed = good.clone();
        changed[good.len() / 2] ^= 4;
        for wrong in [&changed[..], &good[..good.len() / 2], &[]] {
            std::fs::write(&path, wrong).unwrap();
            let error = pull(&round).unwrap_err();
            assert!(
                matches!(error, Error::Object(_)) && error.to_string().starts_with(&name),
                "{name}: {error}"
            );
        }
        std::fs::write(&path, good).unwrap();
    }
    pull(&round).unwrap();
}

/// A part that stays wrong counts as the client's own fault: it is refused by its number, and the
/// others count.
#[test]
fn a_part_that_stays_wrong_is_refused_by_its_number() {
    let world = World::new(3);
    let session = world.session();
    let declaration = Declaration { deadline: unix_time() + 1, ..world.declaration() };
    let round = world.open(&session, &declaration).unwrap();
    world.submit_all(&round);
    let path = world.object(&format!("{}/0/in/client-1/1/2", session.id()));
    let mut part = std::fs::read(&path).unwrap();
    part[100] ^= 1;
    std::fs::write(&path, part).unwrap();
    let ended = world.aggregate(&round).unwrap();
    assert_eq!(ended.participants, [0, 2]);
    let refusal = objects::Refusal { client: 1, reason: RefusalReason::PartDigest { shard: 2 } };
    assert_eq!(ended.refused, [refusal]);
}
