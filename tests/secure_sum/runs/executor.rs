//! The executor: the number of clients, the order of work, fresh randomness, and the state after a
//! failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Clients, Digest, Error, KeyHolding, LocalExecutor, LocalExecutorBuilder, Party, Placed, Server,
        channel::{BoxChannel, Envelope},
        computation::{Computation, Inputs, Value},
        report::Phase,
        round::{self, EncryptionKey, KeyOwner, SessionOffer, SessionParameters},
        tensor,
    },
    packing::{IntegerRange, Quantizer},
    paillier::{Bits2048, SecretKey},
};
use ndarray::{ArcArray1, Array1, array};

use crate::support::{
    EncryptedSum, Executor, Key, Sent, builder, contributions_through, executor, failed_round, rng,
    spied_grid, within_a_minute,
};

fn bytes() -> IntegerRange {
    IntegerRange::of::<u8>()
}

/// Shows that an executor works: `clients` clients with a value each.
fn works(executor: &Executor, clients: u8) {
    let sum = executor.secure_sum((0..clients).map(|i| array![i]), bytes()).unwrap();
    assert_eq!(sum.value, array![(0..u64::from(clients)).sum::<u64>()]);
}

// --- the number of clients ---

#[test]
fn the_number_of_clients_is_inferred_or_stated() {
    works(&executor(), 3);
    let stated = builder().clients(3).build().unwrap();
    works(&stated, 3);
    let unknown = || (0_u8..3).filter(|_| true).map(|i| array![i]);
    assert_eq!(stated.secure_sum(unknown(), bytes()).unwrap().value, array![3]);
    assert_eq!(executor().secure_sum(unknown(), bytes()).unwrap_err(), Error::UnknownClientCount);
    // One executor may serve runs of different sizes.
    let executor = executor();
    works(&executor, 3);
    works(&executor, 40);
    works(&executor, 2);
}

/// A sum over one client is that client's update.
#[test]
fn a_sum_over_one_client_has_to_be_asked_for() {
    for configure in [|builder| builder, LocalExecutorBuilder::<Key>::in_the_clear] {
        let executor = configure(builder()).build().unwrap();
        let refused = Error::Round(round::Error::TooFewClients { minimum: 2, found: 1, absent: Vec::new() });
        assert_eq!(executor.secure_sum([array![1_u8]], bytes()).unwrap_err(), refused);
        works(&executor, 2);
        let executor = configure(builder()).min_clients(1).build().unwrap();
        works(&executor, 1);
    }
}

#[test]
fn disagreeing_numbers_of_clients_are_refused() {
    for concurrent in [1, 2, 8] {
        let executor = builder().clients(3).max_concurrent_clients(concurrent).build().unwrap();
        let refused = |found, clients: Vec<Array1<u8>>, hint: bool| {
            let expected = Error::ClientCount { stated: 3, found };
            let error = if hint {
                executor.secure_sum(clients, bytes()).unwrap_err()
            } else {
                executor.secure_sum(clients.into_iter().filter(|_| true), bytes()).unwrap_err()
            };
            assert_eq!(error, expected);
        };
        for hint in [true, false] {
            refused(0, vec![], hint);
            refused(2, vec![array![1]; 2], hint);
            refused(4, vec![array![1]; 4], hint);
        }
        let endless = iter::repeat_with(|| array![1_u8]);
        let error = executor.secure_sum(endless, bytes()).unwrap_err();
        assert_eq!(error, Error::ClientCount { stated: 3, found: 4 });
        works(&executor, 3);
    }
}

/// An iterator that announces a number and yields another.
struct Announces<I>(I, usize);

impl<I: Iterator> Iterator for Announces<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}

#[test]
fn announced_clients_that_do_not_come_are_an_error() {
    let executor = executor();
    for (announced, coming) in [(3, 2), (3, 0), (2, 3), (2, 9)] {
        let clients = Announces(vec![array![1_u8]; coming].into_iter(), announced);
        let error = executor.secure_sum(clients, bytes()).unwrap_err();
        let (stated, found) = (announced as u64, coming.min(announced + 1) as u64);
        assert_eq!(error, Error::ClientCount { stated, found });
    }
    works(&executor, 4);
}

#[test]
fn a_run_without_clients_is_refused() {
    assert_eq!(executor().secure_sum(Vec::<Array1<u8>>::new(), bytes()).unwrap_err(), Error::NoClients);
    assert_eq!(builder().clients(0).build().unwrap_err(), Error::NoClients);
}

#[test]
fn settings_of_zero_are_refused_and_large_ones_accepted() {
    let refused = |setting| Error::Round(round::Error::Setting { setting, minimum: 1 });
    assert_eq!(builder().threads(0).build().unwrap_err(), refused("threads"));
    assert_eq!(builder().max_concurrent_clients(0).build().unwrap_err(), refused("max_concurrent_clients"));
    assert_eq!(builder().chunk_ciphertexts(0).build().unwrap_err(), refused("chunk_ciphertexts"));

    let all_at_once = builder().threads(usize::MAX).max_concurrent_clients(usize::MAX);
    let executor = all_at_once.chunk_ciphertexts(usize::MAX).max_clients(u32::MAX).build().unwrap();
    works(&executor, 9);
    let sum = executor.secure_sum(vec![Array1::<u8>::ones(1000); 3], bytes()).unwrap();
    assert_eq!(sum.value, Array1::from_elem(1000, 3));
}

/// The number of threads depends on the machine, not on the requested number or on the clients.
#[test]
fn threads_follow_the_machine() {
    let executor =
        Executor::builder().threads(2000).max_concurrent_clients(30_000).in_the_clear().build().unwrap();
    let workers = Mutex::new(BTreeSet::new());
    let clients = (0..30_000_u32).map(|_| {
        workers.lock().unwrap().insert(format!("{:?}", thread::current().id()));
        array![1_u8]
    });
    assert_eq!(executor.secure_sum(clients, bytes()).unwrap().value, array![30_000]);
    let machine = thread::available_parallelism().unwrap().get();
    let workers = workers.into_inner().unwrap().len();
    assert!(workers <= 8 * machine, "{workers} threads on a machine of {machine}");
}

/// An announced number needs no memory.
#[test]
fn clients_that_are_only_announced_take_no_memory() {
    let announced = || builder().clients(u32::MAX).max_concurrent_clients(2);
    let expected = Error::ClientCount { stated: u32::MAX.into(), found: 3 };
    for executor in [announced(), announced().in_the_clear(), announced().min_clients(2)] {
        let executor = executor.build().unwrap();
        let clients = || (0..3_u8).filter(|_| true);
        let error = executor.secure_sum(clients().map(|i| array![i]), bytes()).unwrap_err();
        assert_eq!(error, expected);

        let x = Value::<u8, Clients>::input("x");
        let total = x.secure_sum(bytes());
        // The value stays at the clients for another round and for the caller.
        let again = x.zip(&total.broadcast()).map(|(x, _)| *x).secure_sum(bytes());
        let computation = Computation::new((x.clone(), again));
        let inputs = Inputs::new().clients(&x, clients());
        assert_eq!(executor.run(&computation, inputs).unwrap_err(), expected);
    }
    // The same for an iterator that announces more than it yields.
    let executor = builder().build().unwrap();
    let clients = Announces((0..3_u8).map(|i| array![i]), u32::MAX as usize);
    assert_eq!(executor.secure_sum(clients, bytes()).unwrap_err(), expected);
    // More clients than there are numbers for them. With words of 32 bits none can be announced.
    if usize::BITS > u32::BITS {
        let clients = Announces((0..3_u8).map(|i| array![i]), usize::MAX);
        let error = executor.secure_sum(clients, bytes()).unwrap_err();
        assert_eq!(error, Error::ClientCount { stated: u32::MAX.into(), found: usize::MAX as u64 });
    }
}

/// After its end, an iterator may behave arbitrarily. It must not be called again.
#[test]
fn an_iterator_that_has_ended_is_not_asked_again() {
    let executor = builder().clients(3).max_concurrent_clients(3).build().unwrap();
    let mut calls = 0;
    let forgetful = iter::from_fn(|| {
        calls += 1;
        (calls != 4).then(|| array![1_u8])
    });
    assert_eq!(executor.secure_sum(forgetful, bytes()).unwrap().value, array![3]);
    assert_eq!(calls, 4);
}

// --- when clients work ---

#[test]
fn updates_are_made_when_their_client_begins_to_work() {
    for concurrent in [1, 2, 8] {
        let executor = builder().max_concurrent_clients(concurrent).chunk_ciphertexts(1).build().unwrap();
        let mut alive: Vec<ArcArray1<u8>> = Vec::new();
        let mut most = 0;
        let clients = (0..40).map(|_| {
            // A client that no longer shares its values has finished.
            alive = alive.drain(..).filter_map(|update| update.try_into_owned_nocopy().err()).collect();
            most = most.max(alive.len() + 1);
            let update = ArcArray1::<u8>::ones(300);
            alive.push(update.clone());
            update
        });
        let sum = executor.secure_sum(clients, bytes()).unwrap();
        assert_eq!(sum.value, Array1::from_elem(300, 40));
        assert!(most <= concurrent, "{most} updates in memory, {concurrent} clients at a time");
    }
}

#[test]
fn a_client_without_update_is_named_with_its_reason() {
    for concurrent in [1, 4] {
        let executor = builder().max_concurrent_clients(concurrent).build().unwrap();
        for bad in [0, 3, 9] {
            let mut asked = 0;
            let clients = (0..10).map(|i| {
                asked += 1;
                if i == bad { Err(format!("no data at {i}")) } else { Ok(array![1_u8]) }
            });
            let source = Box::new(Error::NoUpdate { reason: format!("no data at {bad}") });
            let error = executor.secure_sum(clients, bytes()).unwrap_err();
            assert_eq!(error, Error::Client { client: bad, source });
            assert!(asked as usize <= bad as usize + concurrent, "{asked} clients were asked");
        }
        works(&executor, 10);
    }
}

#[test]
fn the_first_client_that_fails_is_the_one_reported() {
    let executor = builder().max_concurrent_clients(8).build().unwrap();
    let range = IntegerRange::up_to(1);
    for round in 0..50 {
        let clients = (0..20).map(|i| if i == 19 { Err("late") } else { Ok(array![u8::from(i > 4) * 2]) });
        let Error::Client { client, source } = executor.secure_sum(clients, range).unwrap_err() else {
            panic!("no client is blamed in round {round}")
        };
        assert_eq!(client, 5, "{source}");
    }
    works(&executor, 3);
}

#[test]
fn a_panic_at_a_client_ends_the_run_and_nothing_else() {
    for concurrent in [1, 4] {
        let executor = builder().max_concurrent_clients(concurrent).build().unwrap();
        let asked = AtomicUsize::new(0);
        let clients = (0..1000).map(|i| {
            asked.fetch_add(1, Ordering::Relaxed);
            assert!(i != 7, "client {i} panics");
            array![1_u8]
        });
        let run = catch_unwind(AssertUnwindSafe(|| executor.secure_sum(clients, bytes()).map(drop)));
        let panic = run.unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "client 7 panics");
        assert!(asked.into_inner() < 100, "the other clients stop");
        works(&executor, 5);
    }
}

// --- keys ---

#[test]
fn a_supplied_key_is_the_one_in_use() {
    let key = SecretKey::<Key>::generate(&mut rng(1)).unwrap();
    let copy = {
        let (p, q) = key.expose_primes_be();
        SecretKey::<Key>::from_primes_be_vartime(&p, &q).unwrap()
    };
    let (grid, [_, _, sums]) = spied_grid();
    let executor = builder().secret_key(key).channels(grid).build().unwrap();
    assert_eq!(executor.public_key().unwrap(), *copy.public_key());
    executor.run_at(|here| assert_eq!(**executor.secret_key().unwrap().unwrap().get(here), copy));
    works(&executor, 3);
    assert_eq!(executor.public_key().unwrap(), *copy.public_key());

    // The copy opens the message to the server: 0 + 1 + 2 in the lowest slot.
    let to_server = sums.log().into_iter().find(|sent| sent.envelope.to == Party::Server).unwrap();
    let sum = EncryptedSum::from_bytes(&to_server.payload);
    assert_eq!(sum.clients, BTreeSet::from([0, 1, 2]));
    assert_eq!(copy.decrypt_batch(&sum.ciphertexts).unwrap()[0].to_u64(), Some(3));
}

#[test]
fn keys_are_made_once_however_many_runs_come_first() {
    let (grid, [_, keys, keys_too]) = spied_grid();
    let executor = builder().channels(grid).max_concurrent_clients(3).build().unwrap();
    let start = Barrier::new(8);
    let with_key_generation = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let sum = executor.secure_sum(vec![array![1_u8, 2]; 5], bytes()).unwrap();
                assert_eq!(sum.value, array![5, 10]);
                if !sum.report().time(Phase::KeyGeneration).is_zero() {
                    with_key_generation.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let log = [keys.log(), keys_too.log()].concat();
    let from_server = log.iter().filter(|sent| sent.envelope.from == Party::Server);
    let messages: BTreeSet<_> = from_server.map(|sent| sent.payload.clone()).collect();
    assert_eq!(messages.len(), 1, "all parties got the same key");
    let offer = SessionOffer::from_bytes(messages.first().unwrap()).unwrap();
    let key = EncryptionKey::new(&offer, offer.digest(), BackendChoice::Auto).unwrap();
    assert_eq!(key.public_key::<Key>().unwrap(), executor.public_key().unwrap());
    assert_eq!(with_key_generation.into_inner(), 1);
}

#[test]
fn sessions_have_their_own_keys() {
    assert_ne!(executor().public_key().unwrap(), executor().public_key().unwrap());
    assert_ne!(executor().session(), executor().session());
}

#[test]
fn box_keys_differ_between_clients_however_many_there_are() {
    let channel = Arc::new(BoxChannel::new());
    let executor = builder().channels(contributions_through(Arc::clone(&channel) as _)).build().unwrap();
    works(&executor, 70);
    let parties = (0..70).map(Party::Client).chain([Party::Aggregator]);
    let keys: BTreeSet<_> = parties.map(|party| channel.public_key(party).unwrap()).collect();
    assert_eq!(keys.len(), 71);
    // A round with more clients, then one with fewer: earlier clients keep their keys.
    works(&executor, 80);
    works(&executor, 3);
    let later: BTreeSet<_> = (0..80).map(|i| channel.public_key(Party::Client(i)).unwrap()).collect();
    assert_eq!(later.len(), 80);
    assert_eq!(later.intersection(&keys).count(), 70);
}

// --- fresh randomness ---

fn contributions(log: &[Sent]) -> Vec<&Sent> {
    log.iter().filter(|sent| sent.envelope.to == Party::Aggregator).collect()
}

#[test]
fn equal_updates_are_never_sent_as_equal_bytes() {
    let (grid, [contributed, _, _]) = spied_grid();
    let executor = builder().channels(grid).chunk_ciphertexts(2).build().unwrap();
    let clients = vec![Array1::<u8>::from_elem(400, 9); 35];
    for _ in 0..3 {
        assert_eq!(executor.secure_sum(&clients, bytes()).unwrap().value, Array1::from_elem(400, 9 * 35));
    }
    let log = contributed.log();
    let sent = contributions(&log);
    assert!(sent.len() > 3 * 35);
    let distinct = |part: &dyn Fn(&Sent) -> Vec<Vec<u8>>| {
        let parts: Vec<_> = sent.iter().flat_map(|sent| part(sent)).collect();
        assert_eq!(parts.iter().collect::<BTreeSet<_>>().len(), parts.len());
    };
    distinct(&|sent| vec![sent.wire.clone()]);
    // After the envelope and the encapsulated key.
    let nonce = Envelope::ENCODED_LEN + 32;
    distinct(&|sent| vec![sent.wire[nonce..nonce + 24].to_vec()]);
    distinct(&|sent| vec![sent.wire[nonce + 24..nonce + 40].to_vec()]); // authenticators
    // Every single ciphertext: each is as long as n² under a header that all batches share.
    distinct(&|sent| {
        let body = sent.payload.len() - sent.payload.len() % 128;
        sent.payload[sent.payload.len() - body..].chunks(128).map(<[u8]>::to_vec).collect()
    });
    let envelopes: BTreeSet<_> = sent.iter().map(|sent| sent.envelope.to_bytes()).collect();
    assert_eq!(envelopes.len(), sent.len());
    let rounds: BTreeSet<_> = sent.iter().map(|sent| sent.envelope.round).collect();
    assert_eq!(rounds.len(), 3);
}

/// Everything that three runs send, by envelope.
fn transcript(seed: u64, concurrent: usize) -> BTreeMap<[u8; Envelope::ENCODED_LEN], (Vec<u8>, Vec<u8>)> {
    let (grid, spies) = spied_grid();
    let executor = builder()
        .channels(grid)
        .rng(rng(seed))
        .max_concurrent_clients(concurrent)
        .chunk_ciphertexts(1)
        .build()
        .unwrap();
    let clients: Vec<_> = (0..9_u8).map(|i| Array1::from_elem(100, i)).collect();
    let _ = executor.secure_sum(&clients, bytes()).unwrap();
    let quantizer = Quantizer::symmetric(1.0, 8).unwrap().stochastic();
    let _ = executor.secure_mean(clients.iter().map(|x| x.mapv(f32::from)), quantizer).unwrap();
    works(&executor, 12);
    let log = spies.iter().flat_map(|spy| spy.log());
    log.map(|sent| (sent.envelope.to_bytes(), (sent.payload, sent.wire))).collect()
}

#[test]
fn a_seeded_session_is_replayed_byte_for_byte() {
    for concurrent in [1, 4] {
        let first = transcript(1, concurrent);
        assert!(first.len() > 80);
        for _ in 0..3 {
            // Not `assert_eq!`, which would print all bytes.
            assert!(first == transcript(1, concurrent), "{concurrent} clients at a time");
        }
        let other = transcript(2, concurrent);
        assert_eq!(first.len(), other.len());
        let wires: BTreeSet<_> = first.values().map(|(_, wire)| wire).collect();
        assert!(other.values().all(|(_, wire)| !wires.contains(wire)));
        // The seed determines session identifiers too.
        assert!(first.keys().all(|envelope| !other.contains_key(envelope)));
    }
    assert!(transcript(1, 1) == transcript(1, 4), "how many work at a time changes nothing");
}

// --- progress and cancelling ---

#[test]
fn progress_grows_to_its_total() {
    for (concurrent, chunk) in [(1, 1), (4, 2), (8, 512)] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&log);
        let executor = builder()
            .max_concurrent_clients(concurrent)
            .chunk_ciphertexts(chunk)
            .on_progress(move |progress| {
                seen.lock().unwrap().push(*progress);
                ControlFlow::Continue(())
            })
            .build()
            .unwrap();
        let sum = executor.secure_sum(vec![Array1::<u8>::ones(300); 9], bytes()).unwrap();
        let log = log.lock().unwrap();
        let total = sum.report().ciphertexts * 10;
        assert!(log.iter().all(|progress| progress.total == total));
        assert!(log.is_sorted_by(|a, b| a.done < b.done), "{log:?}");
        assert_eq!(log.last().unwrap().done, total);
        let decrypted = log.iter().skip_while(|progress| progress.phase == Phase::Aggregation);
        assert!(decrypted.clone().all(|progress| progress.phase == Phase::Decryption));
        assert_eq!(decrypted.count() as u64, sum.report().ciphertexts.div_ceil(chunk as u64));
    }
}

#[test]
fn a_run_can_be_cancelled_in_every_phase() {
    for concurrent in [1, 4] {
        let calls = Arc::new(AtomicUsize::new(0));
        let limit = Arc::new(AtomicUsize::new(0));
        let executor = {
            let (calls, limit) = (Arc::clone(&calls), Arc::clone(&limit));
            builder()
                .max_concurrent_clients(concurrent)
                .chunk_ciphertexts(1)
                .on_progress(move |_| {
                    let calls = calls.fetch_add(1, Ordering::Relaxed) + 1;
                    if calls == limit.load(Ordering::Relaxed) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .build()
                .unwrap()
        };
        let clients = vec![Array1::<u8>::ones(150); 5];
        let sum = executor.secure_sum(&clients, bytes()).unwrap();
        let all = calls.swap(0, Ordering::Relaxed);
        assert_eq!(all as u64, sum.report().ciphertexts * 6);
        for stop in 1..=all {
            limit.store(stop, Ordering::Relaxed);
            let error = executor.secure_sum(&clients, bytes()).unwrap_err();
            assert_eq!(error.root(), Error::Cancelled);
            // Whether the server has seen a part of the sums.
            let opened =
                matches!(&error, Error::RoundFailed { report, .. } if report.operations.decryptions > 0);
            assert_eq!(opened, stop as u64 > 5 * sum.report().ciphertexts, "call {stop}");
            assert_eq!(calls.swap(0, Ordering::Relaxed), stop, "no client is asked again");
        }
        limit.store(0, Ordering::Relaxed);
        assert_eq!(executor.secure_sum(&clients, bytes()).unwrap().value, Array1::from_elem(150, 5));
    }
}

// --- one executor, many runs ---

#[test]
fn a_failed_run_does_not_affect_the_next() {
    for concurrent in [1, 4] {
        let executor = builder().max_concurrent_clients(concurrent).chunk_ciphertexts(1).build().unwrap();
        let range = IntegerRange::up_to(9);
        for bad in 0..6 {
            let clients = (0..6).map(|i| {
                let mut update = Array1::<u8>::ones(200);
                update[199] = if i == bad { 10 } else { 9 };
                update
            });
            let error = executor.secure_sum(clients, range).unwrap_err();
            assert!(matches!(error, Error::Client { client, .. } if client == bad), "{error}");
            works(&executor, 6);
            let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
            let zero = executor.secure_weighted_mean(vec![(0, array![1.0_f32]); 6], 5, quantizer);
            let (report, error) = failed_round(zero.unwrap_err());
            assert_eq!((report.clients, error), (6, Error::Tensor(tensor::Error::ZeroTotalWeight)));
            let wrong = executor.secure_sum([array![1_u8], array![1, 2]], range).unwrap_err();
            assert!(matches!(wrong, Error::Client { client: 1, .. }));
            let few = executor.secure_sum(Announces(iter::once(array![1_u8]), 2), range).unwrap_err();
            assert_eq!(few, Error::ClientCount { stated: 2, found: 1 });
            works(&executor, 8);
        }
    }
}

#[test]
fn runs_at_the_same_time_do_not_disturb_each_other() {
    within_a_minute(|| {
        let executor = builder().max_concurrent_clients(3).chunk_ciphertexts(1).build().unwrap();
        let executor = &executor;
        let start = &Barrier::new(6);
        thread::scope(|scope| {
            for i in 0..6_u8 {
                scope.spawn(move || {
                    start.wait();
                    for round in 0..10 {
                        let clients = vec![Array1::from_elem(100, i * 10 + round); 5];
                        let sum = executor.secure_sum(&clients, bytes()).unwrap();
                        assert_eq!(sum.value, Array1::from_elem(100, 5 * u64::from(i * 10 + round)));
                    }
                });
            }
        });
    });
}

#[test]
fn a_run_may_be_part_of_making_an_update_for_another() {
    within_a_minute(|| {
        for concurrent in [1, 3] {
            let executor = builder().max_concurrent_clients(concurrent).build().unwrap();
            let parts = |i: u8| executor.secure_sum([array![i], array![1]], bytes()).unwrap().value;
            let sum = executor.secure_sum((0..4).map(parts), IntegerRange::of::<u64>()).unwrap();
            assert_eq!(sum.value, array![6 + 4]);
        }
    });
}

#[test]
fn own_messages_and_runs_alternate() {
    let executor = executor();
    works(&executor, 3);
    for _ in 0..2 {
        let offer = executor.run_at(|here| {
            let secret = executor.secret_key().unwrap().unwrap();
            let parameters = SessionParameters {
                session: executor.session(),
                key_bits: 512,
                key_holding: KeyHolding::Server,
                roster: Digest::NONE,
                backend: BackendChoice::Auto,
            };
            let owner = KeyOwner::with_secret_key(parameters, secret.get(here), &mut rng(7)).unwrap();
            Placed::<_, Server>::new(owner.offer().clone(), here)
        });
        for to in [Party::Client(0), Party::Client(77)] {
            let received = executor.transfer::<_, _, Clients>(offer.clone(), Party::Server, to).unwrap();
            executor.run_at(|here| {
                let offer = received.get(here);
                let key = EncryptionKey::new(offer, offer.digest(), BackendChoice::Auto).unwrap();
                assert_eq!(key.public_key::<Key>().unwrap(), executor.public_key().unwrap());
            });
        }
        works(&executor, 4);
    }
}

#[test]
fn a_real_session_has_many_rounds() {
    let executor = LocalExecutor::<Bits2048>::builder().build().unwrap();
    for i in 0..3_i64 {
        let clients = (0..3).map(|client| array![i64::MAX - client, i, -i]);
        let sum = executor.secure_sum(clients, IntegerRange::of::<i64>()).unwrap();
        assert_eq!(sum.value, array![3 * i128::from(i64::MAX) - 3, 3 * i128::from(i), -3 * i128::from(i)]);
    }
}
