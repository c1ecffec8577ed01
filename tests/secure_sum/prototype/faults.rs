//! The known faults of the Python prototype, one by one. Each test shows that this crate does not
//! have the fault.

use std::{
    collections::BTreeSet,
    sync::{Arc, Barrier},
    thread,
};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Clients, Error, Party,
        PlacementKind::{Aggregator, Clients as AtClients},
        Server,
        channel::{BoxChannel, HpkeChannel},
        computation::{Computation, Inputs, Value},
        report::Phase,
    },
    packing::IntegerRange,
    paillier::{self, SecretKey},
};
use ndarray::{Array1, arr0, array};

use crate::support::{Key, Spy, builder, contributions_through, executor, rng, within_a_minute};

/// 1a. Key generation was memoised: clients that shared a worker, more than 32 of them, had the
/// same box key pair.
#[test]
fn every_client_has_its_own_box_key() {
    let channel = Arc::new(HpkeChannel::new());
    let grid = contributions_through(Arc::<HpkeChannel>::clone(&channel));
    let executor = builder().channels(grid).build().unwrap();
    let clients = vec![arr0(1_u8); 100];
    let _ = executor.secure_sum(&clients, IntegerRange::of::<u8>()).unwrap();
    let key = |client| channel.public_key(executor.session(), Party::Client(client)).unwrap();
    let keys = (0..100).map(|client| key(client).to_bytes());
    assert_eq!(keys.collect::<BTreeSet<_>>().len(), 100);
}

/// 1b. Encryption was memoised: a repeated input was sent as the same ciphertext, MAC and nonce. A
/// call with all inputs repeated returned a result without a run.
#[test]
fn equal_inputs_never_make_equal_messages() {
    let spy = Spy::on(BoxChannel::new());
    let executor = builder().channels(contributions_through(Arc::<Spy>::clone(&spy))).build().unwrap();
    let clients = vec![array![7_u8, 7, 7]; 40];
    let reports: Vec<_> = (0..3)
        .map(|_| executor.secure_sum(&clients, IntegerRange::of::<u8>()).unwrap().report().clone())
        .collect();
    let log = spy.log();
    assert_eq!(log.len(), 3 * 40, "every call is a run");
    assert!(reports.windows(2).all(|pair| pair[0].round < pair[1].round));
    let payloads: BTreeSet<_> = log.iter().map(|sent| sent.payload.clone()).collect();
    let nonces: BTreeSet<_> = log.iter().map(|sent| sent.wire[..24].to_vec()).collect();
    assert_eq!((payloads.len(), nonces.len()), (120, 120));
}

/// 2. Negative inputs, and sums from 2³¹, were returned as low bits of other numbers.
#[test]
fn negative_numbers_and_large_sums_come_back_as_they_are() {
    let clients = [arr0(-5_i32), arr0(3), arr0(i32::MIN)];
    let sum = executor().secure_sum(&clients, IntegerRange::of::<i32>()).unwrap().value;
    assert_eq!(sum.into_scalar(), -5 + 3 + i64::from(i32::MIN));
    let sum = executor().secure_sum(vec![arr0(i32::MAX); 3], IntegerRange::of::<i32>()).unwrap().value;
    assert_eq!(sum.into_scalar(), 3 * i64::from(i32::MAX));
    // If the range has no negative values, the result is an error.
    let error = executor().secure_sum(&clients, IntegerRange::unsigned_bits(32).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Client { client: 0, .. }), "{error}");
}

/// 3. Primes and randomness came from a Mersenne twister seeded with a machine word; p = q was
///    possible.
#[test]
fn primes_differ_and_follow_the_callers_generator() {
    let keys: BTreeSet<_> = (0..20)
        .map(|seed| {
            let key = SecretKey::<Key>::generate(&mut rng(seed)).unwrap();
            let (p, q) = key.expose_primes_be();
            assert_ne!(p, q);
            key.public_key().modulus_be()
        })
        .collect();
    assert_eq!(keys.len(), 20);
    assert_eq!(
        SecretKey::<Key>::generate(&mut rng(7)).unwrap(),
        SecretKey::<Key>::generate(&mut rng(7)).unwrap()
    );
    let (p, _) = SecretKey::<Key>::generate(&mut rng(7)).unwrap().expose_primes_be();
    assert_eq!(SecretKey::<Key>::from_primes_be_vartime(&p, &p).unwrap_err(), paillier::Error::EqualPrimes);
}

/// 4. A device for the aggregator was accepted, but ignored.
#[test]
fn the_backend_that_was_asked_for_is_the_one_that_runs() {
    let executor = builder().backend(BackendChoice::Portable).build().unwrap();
    let report =
        executor.secure_sum([arr0(1_u8), arr0(2)], IntegerRange::of::<u8>()).unwrap().report().clone();
    assert_eq!(report.backend, "portable");
}

/// 5. Two concurrent first sums ran the set-up twice, and the last one won.
#[test]
fn concurrent_first_sums_make_keys_once() {
    within_a_minute(|| {
        let executor = executor();
        let barrier = Barrier::new(8);
        let generations: usize = thread::scope(|scope| {
            let runs: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let sum =
                            executor.secure_sum([arr0(2_u8), arr0(3)], IntegerRange::of::<u8>()).unwrap();
                        assert_eq!(sum.value, arr0(5));
                        usize::from(!sum.report().time(Phase::KeyGeneration).is_zero())
                    })
                })
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).sum()
        });
        assert_eq!(generations, 1);
    });
}

/// 6. A broadcast struct was split among the clients, one element for each.
#[test]
fn a_broadcast_struct_reaches_every_client_whole() {
    let ids = Value::<u32, Clients>::input("id");
    let model = Value::<(Array1<i32>, Vec<i32>), Server>::input("model");
    let seen = ids.zip(&model.broadcast()).map(|(id, model)| (*id, model.clone()));
    let computation = Computation::new(seen.collect());
    let value = (array![1, 2, 3], vec![4, 5, 6]);
    let inputs = Inputs::new().clients(&ids, [10, 20, 30]).server(&model, value.clone());
    let run = executor().run(&computation, inputs).unwrap();
    assert_eq!(run.value, [10, 20, 30].map(|id| (id, value.clone())));
}

/// 7. The error for a bad private key stated the length of another value.
#[test]
fn an_error_about_a_key_names_its_fault() {
    let (p, q) = SecretKey::<Key>::generate(&mut rng(1)).unwrap().expose_primes_be();
    let short = &q[1..];
    let error = SecretKey::<Key>::from_primes_be_vartime(&p, short).unwrap_err();
    let bits = 8 * short.len() as u32 - short[0].leading_zeros();
    let paillier::Error::PrimeLength { name, expected: 256, found } = error else { panic!("{error}") };
    assert!(name == "q" && found <= bits, "{name} of {found} bits");
}

/// 8. Nothing was packed: an integer of 32 bits became a ciphertext of 4096.
#[test]
fn many_values_share_a_ciphertext() {
    let clients = vec![Array1::<i16>::ones(1000); 10];
    let report = executor().secure_sum(&clients, IntegerRange::of::<i16>()).unwrap().report().clone();
    // 511 bits hold 25 slots of 16 + 4 bits.
    assert_eq!(report.ciphertexts, 1000_u64.div_ceil(25));
    assert_eq!(report.traffic(AtClients, Aggregator).unwrap().ciphertexts, 10 * report.ciphertexts);
}
