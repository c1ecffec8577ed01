//! A large simulation: results do not depend on the cryptography, and memory does not depend on the
//! number of clients.
#![allow(clippy::cast_precision_loss, reason = "test values in f32")]

use std::{
    fs,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cipherfold::{
    federated::{
        Clients, LocalExecutor, LocalExecutorBuilder, Server,
        computation::{Computation, Inputs, Value},
    },
    packing::Quantizer,
    paillier::hazmat::InsecureBits512,
};
use ndarray::Array1;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const CLIENTS: u32 = 1000;
const ROUNDS: u32 = 10;
const MIB: u64 = 1 << 20;

/// Peak memory of this process so far, in bytes; `None` if the system does not report it.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// A seed from which a client makes its update, or nothing for one in ten, which drop out.
fn seed(round: u32, client: u32) -> Option<u64> {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(round) << 32 | u64::from(client));
    (rng.next_u32() % 10 > 0).then(|| rng.next_u64())
}

fn builder() -> LocalExecutorBuilder<InsecureBits512> {
    LocalExecutor::builder()
        .show_client_errors()
        .rng(ChaCha20Rng::seed_from_u64(1))
        .max_clients(CLIENTS)
        .min_clients(CLIENTS / 2)
}

/// The models after each round, and the numbers of participants.
fn run(
    builder: LocalExecutorBuilder<InsecureBits512>,
    values: usize,
    rounds: u32,
) -> Vec<(Array1<f32>, u32)> {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let executor = builder
        .secure_only()
        .on_progress(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .build()
        .unwrap();
    let seeds = Value::<u64, Clients>::input("seed");
    let model = Value::<Array1<f32>, Server>::input("model");
    let update = seeds.zip(&model.broadcast()).map(move |(seed, model)| {
        let mut rng = ChaCha20Rng::seed_from_u64(*seed);
        // Towards the client's own number between −1 and 1.
        let goal = rng.next_u32().cast_signed() as f32 / 2.0_f32.powi(31);
        model.mapv(|x| (goal - x) / 2.0)
    });
    let mean = update.shaped_like(&model).secure_mean(Quantizer::symmetric(1.0, 16).unwrap().stochastic());
    let computation = Computation::new(model.zip(&mean).map(|(model, mean)| model + mean));
    let mut current = Array1::<f32>::zeros(values);
    let mut models = Vec::new();
    for round in 0..rounds {
        let clients = (0..CLIENTS).map(|client| seed(round, client));
        let present = clients.clone().flatten().count();
        let inputs = Inputs::new().clients(&seeds, clients).server(&model, current);
        let run = executor.run(&computation, inputs).unwrap();
        let report = &run.rounds[0];
        assert_eq!(report.clients as usize, present);
        assert_eq!(report.absent.len() + present, CLIENTS as usize);
        current = run.value;
        models.push((current.clone(), report.clients));
    }
    assert!(calls.load(Ordering::Relaxed) >= u64::from(rounds * CLIENTS / 2), "progress is told on the way");
    models
}

#[test]
fn a_thousand_clients_ten_rounds() {
    // Few values under encryption, and the same in the clear: equal to the last bit.
    let (encrypted, clear) = (run(builder(), 100, ROUNDS), run(builder().in_the_clear(), 100, ROUNDS));
    assert_eq!(encrypted, clear);
    for (model, clients) in &encrypted {
        assert!((800..1000).contains(clients), "{clients} of 1000, where one in ten drops out");
        // Goals average out: the deviation of their mean is √(1/3)/√900 = 0.02, and stays below
        // that of one round.
        assert!(model.iter().all(|x| x.abs() < 0.1), "{model}");
    }

    let Some(before) = peak() else {
        println!("skipped: this system does not report the peak of a process's memory");
        return;
    };
    // 400 MB of updates a round. Memory holds the clients at work, here two, each with update,
    // model and slots.
    drop(run(builder().in_the_clear().max_concurrent_clients(2), 100_000, 2));
    let grown = peak().expect("it was there before") - before;
    assert!(grown < 48 * MIB, "{} MiB", grown / MIB);
}
