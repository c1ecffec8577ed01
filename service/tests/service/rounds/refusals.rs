//! Invalid clients and files: each has its own error, and the others continue.

use std::fs;

use cipherfold::federated::channel::Identity;
use cipherfold_service::{
    Error, Home,
    digest::Sha256,
    objects::{self, Commit, Outcome, PartDigest, RefusalReason, RoundKey, sign},
    parties::{self, IDENTITY_VARIABLE},
    roles,
    round::{Declaration, OpenRound, join, split, unix_time},
};

use crate::support::{World, assert_is_mean, outsider, read_mean, submission, timeout, write_update};

/// A client commits to these objects.
fn commit(world: &World, round: &OpenRound, client: u32, signer: &Identity, change: impl Fn(&mut Commit)) {
    let shards = (0..round.shards()).map(|shard| {
        let key = round.key(RoundKey::Part { client, attempt: 1, shard });
        world
            .store
            .get(&key, u64::MAX)
            .unwrap()
            .map_or_else(|| PartDigest::of(b""), |bytes| PartDigest::of(&bytes))
    });
    let mut commit = Commit { open: round.declared().digest(), attempt: 1, shards: shards.collect() };
    change(&mut commit);
    let key = round.key(RoundKey::Commit(client));
    world.store.put(&key, sign(signer, &key, &commit)).unwrap();
}

/// The contribution of another client of the same round, with valid boxes.
fn parts_of(world: &World, round: &OpenRound, client: u32) -> Vec<Vec<u8>> {
    let part = |shard| round.key(RoundKey::Part { client, attempt: 1, shard });
    (0..round.shards())
        .map(|shard| world.store.get(&part(shard), u64::MAX).unwrap().unwrap().to_vec())
        .collect()
}

fn post(world: &World, round: &OpenRound, client: u32, parts: &[Vec<u8>]) {
    for (shard, part) in (0..).zip(parts) {
        let key = round.key(RoundKey::Part { client, attempt: 1, shard });
        world.store.put(&key, part.clone()).unwrap();
    }
}

/// Two valid clients and one invalid one: the reason that the aggregator signs, and the mean of the
/// two.
fn refused(bad: impl Fn(&World, &OpenRound)) -> RefusalReason {
    let world = World::in_memory(3);
    let session = world.session();
    let declaration = Declaration { deadline: unix_time() + 2, ..world.declaration() };
    let round = world.open(&session, &declaration).unwrap();
    roles::announce(&world.aggregator, &session).unwrap();
    world.submit(&round, 0).unwrap();
    bad(&world, &round);
    world.submit(&round, 2).unwrap();
    let ended = world.aggregate(&round).unwrap();
    assert_eq!(ended.participants, [0, 2]);
    let [refusal] = ended.refused[..] else { panic!("{:?}", ended.refused) };
    assert_eq!(refusal.client, 1);
    let out = world.path("mean.safetensors");
    world.pull(&round, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 2]);
    let told = roles::wait_for_end(&world.clients[1], &round, timeout()).unwrap_err();
    assert_eq!(told, Error::Refused { round: 0, reason: refusal.reason });
    refusal.reason
}

#[test]
fn a_commit_that_is_not_the_clients_is_refused() {
    let own = |world: &World| Identity::from_bytes(&world.clients[1].identity().expose_bytes());
    let reason = refused(|world, round| commit(world, round, 1, &outsider(), |_| ()));
    assert_eq!(reason, RefusalReason::Commit);
    let reason =
        refused(|world, round| commit(world, round, 1, &own(world), |commit| commit.open = Sha256::of(b"")));
    assert_eq!(reason, RefusalReason::Commit);
    let reason =
        refused(|world, round| commit(world, round, 1, &own(world), |commit| commit.shards.truncate(2)));
    assert_eq!(reason, RefusalReason::Commit);
}

#[test]
fn a_client_without_a_key_is_refused() {
    let reason = refused(|world, round| {
        post(world, round, 1, &parts_of(world, round, 0));
        commit(world, round, 1, world.clients[1].identity(), |_| ());
    });
    assert_eq!(reason, RefusalReason::Announcement);
}

#[test]
fn parts_that_are_not_a_contribution_are_refused() {
    let announced = |world: &World, round: &OpenRound, parts: Vec<Vec<u8>>| {
        roles::announce(&world.clients[1], round.session()).unwrap();
        post(world, round, 1, &parts);
        commit(world, round, 1, world.clients[1].identity(), |_| ());
    };
    // Another client's boxes.
    let reason = refused(|world, round| announced(world, round, parts_of(world, round, 0)));
    assert_eq!(reason, RefusalReason::Part { shard: 0 });
    let reason = refused(|world, round| announced(world, round, vec![b"junk".to_vec(), vec![], vec![]]));
    assert_eq!(reason, RefusalReason::Part { shard: 0 });
    let reason = refused(|world, round| announced(world, round, vec![vec![]]));
    assert_eq!(reason, RefusalReason::Part { shard: 0 });
    let reason = refused(|world, round| {
        roles::announce(&world.clients[1], round.session()).unwrap();
        commit(world, round, 1, world.clients[1].identity(), |_| ());
    });
    assert_eq!(reason, RefusalReason::MissingPart { shard: 0 });
}

#[test]
fn parts_that_differ_from_their_commit_are_refused() {
    let reason = refused(|world, round| {
        // Good parts of client 1, and a commit that names others.
        let submitted = World::submit(world, round, 1);
        let commit_key = round.key(RoundKey::Commit(1));
        submitted.unwrap();
        world.store.remove(&commit_key).unwrap();
        commit(world, round, 1, world.clients[1].identity(), |commit| {
            commit.shards[2].digest = Sha256::of(b"other bytes");
        });
    });
    assert_eq!(reason, RefusalReason::PartDigest { shard: 2 });
}

/// Good parts, except that the last one has one message twice and lacks another.
#[test]
fn messages_that_are_repeated_do_not_stand_for_missing_ones() {
    let reason = refused(|world, round| {
        World::submit(world, round, 1).unwrap();
        let key = round.key(RoundKey::Part { client: 1, attempt: 1, shard: 2 });
        let part = world.store.get(&key, u64::MAX).unwrap().unwrap();
        let messages = split(&part).unwrap();
        assert!(messages.len() > 1);
        let repeated: Vec<Vec<u8>> = messages.iter().map(|_| messages[0].to_vec()).collect();
        world.store.remove(&key).unwrap();
        world.store.put(&key, join(&repeated)).unwrap();
        world.store.remove(&round.key(RoundKey::Commit(1))).unwrap();
        commit(world, round, 1, world.clients[1].identity(), |_| ());
    });
    assert_eq!(reason, RefusalReason::Part { shard: 2 });
}

#[test]
fn files_that_do_not_fit_are_named_before_anything_is_sent() {
    let world = World::in_memory(2);
    let session = world.session();
    let round = world.round(&session, 0);
    roles::announce(&world.aggregator, &session).unwrap();
    let objects = world.store.list("").unwrap();
    let path = world.path("other.safetensors");
    let submit = |values: [Vec<f32>; 2]| {
        write_update(&path, &values);
        roles::submit(&world.clients[0], &round, submission(&path), &cipherfold_service::progress::Silent)
            .unwrap_err()
    };
    let error = submit([vec![0.5; 299], vec![0.5; 40]]).to_string();
    assert!(error.contains("tensor `w` is F32 [299], but F32 [300]"), "{error}");
    let mut beyond = vec![0.5; 300];
    beyond[7] = 1.5;
    beyond[9] = -2.0;
    let clipping = Error::Clipping { tensor: "w".into(), count: 2, bound: 1.0 };
    assert_eq!(submit([beyond, vec![0.5; 40]]), clipping);
    let error = submit([vec![0.5; 300], vec![f32::NAN; 40]]).to_string();
    assert!(error.contains("tensor `b` has NaN"), "{error}");
    assert_eq!(world.store.list("").unwrap(), objects, "nothing was sent");
    let weighted = world.submit_weighted(&round, 0, Some(3)).unwrap_err();
    assert_eq!(weighted.to_string(), "the sum has no weights");
}

/// 0.1 as `f32` is a little above 0.1. It counts as the bound itself; the next number is beyond it.
#[test]
fn a_value_at_the_bound_is_not_clipped() {
    let world = World::in_memory(2);
    let session = world.session();
    let round = world.open(&session, &Declaration { clip: 0.1, ..world.declaration() }).unwrap();
    roles::announce(&world.aggregator, &session).unwrap();
    let path = world.path("bound.safetensors");
    let submit = |client: usize, first: f32| {
        let mut values = vec![-0.1; 300];
        values[0] = first;
        write_update(&path, &[values, vec![0.1; 40]]);
        let silent = &cipherfold_service::progress::Silent;
        roles::submit(&world.clients[client], &round, submission(&path), silent)
    };
    assert_eq!(submit(0, 0.1).unwrap().clipped, 0);
    let clipping = Error::Clipping { tensor: "w".into(), count: 1, bound: 0.1 };
    assert_eq!(submit(1, 0.1_f32.next_up()).unwrap_err(), clipping);
}

#[test]
fn a_command_of_another_role_is_refused() {
    use cipherfold::federated::Party::{Aggregator, Client, Server};

    let world = World::in_memory(2);
    let session = world.session();
    let round = world.round(&session, 0);
    let wrong = |expected, found| Error::from(parties::Error::WrongRole { expected, found });
    let aggregating = roles::aggregate(
        &world.server,
        &round,
        crate::support::aggregation(),
        &cipherfold_service::progress::Silent,
    );
    assert_eq!(aggregating.unwrap_err(), wrong(Aggregator, Server));
    let update = world.update(0);
    let submitting =
        roles::submit(&world.server, &round, submission(&update), &cipherfold_service::progress::Silent);
    assert_eq!(submitting.unwrap_err(), Error::NotAClient { found: Server });
    let opening = roles::open_round(
        &world.clients[0],
        &session,
        &world.declaration(),
        &cipherfold::files::UpdateFile::open(&update).unwrap(),
        cipherfold::backend::BackendChoice::Auto,
    );
    assert_eq!(opening.unwrap_err(), wrong(Server, Client(0)));
}

fn is_object(error: &Error, is: impl Fn(&objects::Error) -> bool) -> bool {
    if let Error::Object(error) = error { is(error) } else { false }
}

#[test]
fn a_session_of_another_consortium_is_refused() {
    let world = World::in_memory(2);
    let session = world.session();
    let other = World::in_memory(2);
    let found =
        cipherfold_service::round::OpenSession::find(&world.store, &other.consortium, Some(session.id()));
    let error = found.unwrap_err();
    assert!(is_object(&error, |error| matches!(error, objects::Error::Signature { .. })), "{error}");
}

#[test]
fn an_end_with_wrong_participants_is_refused() {
    let world = World::in_memory(3);
    let session = world.session();
    let round = world.round(&session, 0);
    let participants = [2, 1].map(|client| objects::Participant { client, commit: Sha256::of(b"") });
    for participants in [participants.to_vec(), participants[..1].to_vec()] {
        let end = objects::End {
            open: round.declared().digest(),
            outcome: Outcome::Closed(participants),
            refused: Vec::new(),
        };
        let key = round.key(RoundKey::End);
        world.store.put(&key, sign(world.aggregator.identity(), &key, &end)).unwrap();
        let error = round.end().unwrap_err();
        assert!(is_object(&error, |error| matches!(error, objects::Error::Contents { .. })), "{error}");
        world.store.remove(&key).unwrap();
    }
}

#[test]
fn a_second_home_of_the_same_party_is_detected() {
    let world = World::new(2);
    let session = world.session();
    roles::announce(&world.clients[0], &session).unwrap();
    roles::announce(&world.clients[0], &session).unwrap();
    // The same identity, restored without the session's key.
    let directory = world.path("restored");
    fs::create_dir(&directory).unwrap();
    for name in ["identity", "consortium.toml", "pin"] {
        fs::copy(world.clients[0].directory().join(name), directory.join(name)).unwrap();
    }
    assert!(std::env::var(IDENTITY_VARIABLE).is_err());
    let error = roles::announce(&Home::open(&directory).unwrap(), &session).unwrap_err();
    assert_eq!(error, Error::OtherBoxKey { party: cipherfold::federated::Party::Client(0) });
}
