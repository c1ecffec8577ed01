//! Runs inside rayon tasks: a waiting task must not start work that waits for that task.

use std::sync::Arc;

use cipherfold::packing::IntegerRange;
use ndarray::{Array1, array};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::support::{Executor, builder, executor, within_a_minute};

/// A run of some length, and its result.
fn run(executor: &Executor, clients: usize) {
    let updates = vec![Array1::from_elem(150, 3_u16); clients];
    let sum = executor.secure_sum(&updates, IntegerRange::of::<u16>()).unwrap();
    assert_eq!(sum.value, Array1::from_elem(150, 3 * clients as u64));
}

fn executors() -> Vec<Executor> {
    [(1, 1), (1, 4), (2, 1), (2, 4)]
        .map(|(threads, concurrent)| {
            let builder = builder().threads(threads).max_concurrent_clients(concurrent);
            builder.chunk_ciphertexts(1).build().unwrap()
        })
        .into()
}

#[test]
fn in_a_pool_of_one_thread() {
    within_a_minute(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for executor in executors() {
            pool.install(|| run(&executor, 5));
            pool.scope(|scope| {
                for clients in 2..7 {
                    let executor = &executor;
                    scope.spawn(move |_| run(executor, clients));
                }
            });
        }
    });
}

#[test]
fn many_in_parallel_on_one_executor() {
    within_a_minute(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        for executor in executors() {
            pool.install(|| (1..20_usize).into_par_iter().for_each(|i| run(&executor, i % 6 + 2)));
        }
    });
}

#[test]
fn many_in_parallel_each_with_its_executor() {
    within_a_minute(|| {
        rayon::scope(|scope| {
            for i in 1..12 {
                scope.spawn(move |_| run(&executor(), i % 6 + 2));
            }
        });
    });
}

#[test]
fn first_runs_in_parallel_make_the_keys_once() {
    within_a_minute(|| {
        let executor = Arc::new(builder().threads(1).build().unwrap());
        let keys: Vec<_> = (0..16_usize)
            .into_par_iter()
            .map(|i| {
                if i % 2 == 0 {
                    run(&executor, 2);
                }
                executor.public_key().unwrap().modulus_be()
            })
            .collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
    });
}

#[test]
fn updates_made_in_parallel() {
    within_a_minute(|| {
        for executor in executors() {
            let update = |i: u64| {
                let sum: u64 = (0..1000_u64).into_par_iter().map(|j| j % 2 * i).sum();
                array![sum]
            };
            let sum =
                executor.secure_sum((0..10).map(update), IntegerRange::unsigned_bits(32).unwrap()).unwrap();
            assert_eq!(sum.value, array![500 * 45]);
        }
    });
}

#[test]
fn a_run_that_waits_in_a_task_for_other_tasks() {
    within_a_minute(|| {
        let executor = builder().threads(1).build().unwrap();
        let (a, b) =
            rayon::join(|| rayon::join(|| run(&executor, 4), || run(&executor, 3)), || run(&executor, 2));
        assert_eq!((a, b), (((), ()), ()));
    });
}
