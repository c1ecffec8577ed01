//! Rounds from their declaration to the mean.

use std::{fs, thread};

use cipherfold::{federated::LocalExecutor, ndarray::Array1, packing::Quantizer, paillier::Bits2048};
use cipherfold_service::{
    Error,
    objects::AbortReason,
    roles,
    round::{Declaration, State, unix_time},
    store,
};

use crate::support::{World, assert_is_mean, read_mean, values};

#[test]
fn the_mean_has_the_bits_of_the_simulation() {
    let world = World::in_memory(3);
    let session = world.session();
    let round = world.open(&session, &Declaration { max_weight: Some(9), ..world.declaration() }).unwrap();
    let weights = [1, 9, 4];
    roles::announce(&world.aggregator, &session).unwrap();
    for (client, weight) in (0..).zip(weights) {
        world.submit_weighted(&round, client, Some(weight)).unwrap();
    }
    assert_eq!(world.aggregate(&round).unwrap().participants, [0, 1, 2]);
    let out = world.path("mean.safetensors");
    let pulled = world.pull(&round, &out).unwrap();
    assert_eq!((pulled.participants, pulled.total_weight, pulled.values), (vec![0, 1, 2], 14, 340));

    let executor = LocalExecutor::<Bits2048>::builder().in_the_clear().build().unwrap();
    let updates =
        (0..).zip(weights).map(|(client, weight)| (weight, values(client).map(Array1::from).to_vec()));
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let simulated = executor.secure_weighted_mean(updates.take(3), 9, quantizer).unwrap();
    let simulated: Vec<Vec<f32>> = simulated.value.iter().map(|tensor| tensor.to_vec()).collect();
    assert_eq!(read_mean(&out).to_vec(), simulated);
}

#[test]
fn every_step_can_be_repeated() {
    let world = World::new(2);
    let session = world.session();
    let round = world.round(&session, 0);
    assert_eq!(round.state().unwrap(), State::Open);
    world.submit_all(&round);
    let again = world.submit(&round, 0).unwrap();
    assert!(again.earlier && again.attempt == 1, "{again:?}");
    let ended = world.aggregate(&round).unwrap();
    assert_eq!(world.aggregate(&round).unwrap(), ended);
    assert_eq!(round.state().unwrap(), State::Done);

    let (out, again) = (world.path("mean.safetensors"), world.path("again.safetensors"));
    let pulled = world.pull(&round, &out).unwrap();
    let objects = world.store.list("").unwrap();
    assert_eq!(world.pull(&round, &again).unwrap(), pulled);
    assert_eq!(fs::read(&out).unwrap(), fs::read(&again).unwrap());
    assert_eq!(world.store.list("").unwrap(), objects);
    assert_eq!(round.state().unwrap(), State::Saved);
    assert_is_mean(&read_mean(&out), &[0, 1]);

    // The next round of the same session.
    let next = world.round(&session, 1);
    world.submit_all(&next);
    world.aggregate(&next).unwrap();
    world.pull(&next, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 1]);
    assert_eq!(session.rounds().unwrap(), [0, 1]);
}

#[test]
fn at_the_deadline_a_round_closes_over_those_who_have_committed() {
    let world = World::in_memory(3);
    let session = world.session();
    let declaration = Declaration { deadline: unix_time() + 3, ..world.declaration() };
    let round = world.open(&session, &declaration).unwrap();
    roles::announce(&world.aggregator, &session).unwrap();
    for client in [0, 2] {
        world.submit(&round, client).unwrap();
    }
    assert_eq!(world.aggregate(&round).unwrap().participants, [0, 2]);
    assert!(unix_time() >= declaration.deadline);
    assert_eq!(world.submit(&round, 1).unwrap_err(), Error::RoundOver { round: 0 });
    let out = world.path("mean.safetensors");
    world.pull(&round, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 2]);
    roles::wait_for_end(&world.clients[0], &round, crate::support::timeout()).unwrap();
    let late = roles::wait_for_end(&world.clients[1], &round, crate::support::timeout());
    assert_eq!(late, Err(Error::RoundOver { round: 0 }));
}

#[test]
fn a_round_with_too_few_clients_has_no_sum() {
    let world = World::in_memory(3);
    let session = world.session();
    let declaration = Declaration { deadline: unix_time() + 1, ..world.declaration() };
    let round = world.open(&session, &declaration).unwrap();
    roles::announce(&world.aggregator, &session).unwrap();
    world.submit(&round, 1).unwrap();
    let reason = AbortReason::TooFewClients { minimum: 2, found: 1 };
    let aborted = Error::Aborted { round: 0, reason };
    assert_eq!(world.aggregate(&round).unwrap_err(), aborted);
    assert_eq!(world.aggregate(&round).unwrap_err(), aborted, "again");
    assert_eq!(world.pull(&round, &world.path("mean.safetensors")).unwrap_err(), aborted);
    assert_eq!(round.state().unwrap(), State::Aborted);
    let names = world.store.list(&format!("{}/0/sum", session.id())).unwrap();
    assert_eq!(names, []);
    assert_eq!(roles::wait_for_end(&world.clients[1], &round, crate::support::timeout()), Err(aborted));
}

#[test]
fn aggregators_that_race_write_the_same_sums() {
    let world = World::in_memory(3);
    let session = world.session();
    for number in 0..3 {
        let round = world.round(&session, number);
        world.submit_all(&round);
        let ended = thread::scope(|scope| {
            let running: Vec<_> = (0..3).map(|_| scope.spawn(|| world.aggregate(&round))).collect();
            running.into_iter().map(|aggregator| aggregator.join().unwrap().unwrap()).collect::<Vec<_>>()
        });
        assert!(ended.iter().all(|other| *other == ended[0]), "{ended:?}");
        let out = world.path("mean.safetensors");
        world.pull(&round, &out).unwrap();
        assert_is_mean(&read_mean(&out), &[0, 1, 2]);
    }
}

#[test]
fn a_declared_round_stays_as_it_is() {
    let world = World::in_memory(2);
    let session = world.session();
    let declaration = world.declaration();
    world.open(&session, &declaration).unwrap();
    world.open(&session, &declaration).unwrap();
    let other = Declaration { bits: 12, ..declaration.clone() };
    let conflict = world.open(&session, &other).unwrap_err();
    assert!(matches!(conflict, Error::Store(store::Error::Conflict { .. })), "{conflict}");
    let alone = Declaration { round: 1, min_clients: 1, ..declaration };
    assert_eq!(world.open(&session, &alone).unwrap_err(), Error::SessionMinimum { minimum: 2, found: 1 });
}
