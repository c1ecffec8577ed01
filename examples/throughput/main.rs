//! How much of everything this machine does in a second, on every backend that can run here.
//!
//! ```text
//! cargo run --release --example throughput -- --key-bits 2048 --threads 1 --json
//! ```
//!
//! One row for each operation and backend: ciphertexts a second; values a second and bytes a value, with as many values
//! of 16 bits in a ciphertext as leave room for a sum over 100 clients (`mul_plain_16` leaves room for weights of 16
//! bits too; `encrypt_short` has short exponents); and how many times an operation would fit into the yardstick, one product modulo n² by the
//! `FixedMontyForm` of `crypto-bigint` on one thread. All threads count together. Rows are printed as they come.
//!
//! The backends of an operation and the yardstick take turns of a few milliseconds, and the best turn of each counts, so
//! that other work on a noisy machine falls on all of them alike. Answers are checked before anything is timed: all of
//! them, or a sample of a large batch. What is timed is the library's interface for batches: randomness, checks and
//! conversions are part of it.
//!
//! An addition with AVX-512 IFMA is one product of eight pairs at a time, of 10·K² multiply-adds for K limbs of 52
//! bits. So its row also tells which fraction it reaches of the rate at which the same threads, in the same run, do
//! independent multiply-adds and nothing else.
//!
//! With 2048-bit keys, `--seconds` from 0.1 and where `openssl` is installed, additions are also compared with the 17 products of a
//! verification by `openssl speed rsa4096`, on one thread.
//!
//! A GPU has larger batches, of which transfers are a part, and its rows tell two rates more: what its kernels reach by its
//! own clock, and for additions which fraction of its wide multiply-adds that is, measured in the same run by a kernel that
//! does nothing else. `decrypt` is done there too (`gpu-with-secret-keys`). A program that stands in for a GPU is left out
//! unless `CIPHERFOLD_BENCH_SOFTWARE_GPU` is set.

mod card;
#[path = "../../benches/common/mod.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod common;
mod openssl;
mod peak;
mod rows;
#[path = "../common"]
mod shared {
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod key_bits;
    pub(crate) mod numbers;
    pub(crate) mod plural;
    pub(crate) mod table;
}

use std::{io, process::ExitCode, time::Duration};

use card::OnCard;
use cipherfold::{
    packing::{Layout, LayoutParameters},
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::Parser;
use common::{Baselines, Batches, Fixture, subject::Subject};
use crypto_bigint::nlimbs;
use indicatif::ProgressBar;
use rows::{OpenSsl, Printer, Row, Summary};
use shared::{
    cli::{Failure, Output},
    key_bits::KeyBits,
    numbers::between,
};

/// Operations a second of every backend that can run here, and what they are in packed values and in products of
/// crypto-bigint.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
struct Args {
    /// Bits of the Paillier key
    #[arg(long, value_enum, default_value_t = KeyBits::Bits3072, value_name = "BITS")]
    key_bits: KeyBits,
    /// Threads that share every batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Seconds for each row, or as many turns as fit into them, but at least one turn
    #[arg(long, default_value_t = 1.0, value_parser = between(0.0..=3600.0))]
    seconds: f64,
    /// The table as one JSON object
    #[arg(long)]
    json: bool,
}

/// Turns that a row's time is divided into.
const TURNS: u32 = 100;
/// Products between two looks at the clock.
const PRODUCTS: usize = 64;
/// Bits of a packed value, clients whose sum fits its slot, and the largest weight with `mul_plain_16`.
const VALUE_BITS: u32 = 16;
const CLIENTS: u32 = 100;
const MAX_WEIGHT: u32 = u16::MAX as u32;

fn main() -> ExitCode {
    shared::cli::run(measure_and_print)
}

fn measure_and_print(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.into()).build()?;
    // Inside the pool a batch starts without a hop to another thread.
    let measured = pool.install(|| match args.key_bits {
        KeyBits::Bits2048 => {
            measure::<Bits2048, { nlimbs(1024) }, { nlimbs(2048) }, { nlimbs(4096) }>(args, out)
        }
        KeyBits::Bits3072 => {
            measure::<Bits3072, { nlimbs(1536) }, { nlimbs(3072) }, { nlimbs(6144) }>(args, out)
        }
        KeyBits::Bits4096 => {
            measure::<Bits4096, { nlimbs(2048) }, { nlimbs(4096) }, { nlimbs(8192) }>(args, out)
        }
    });
    Ok(measured?)
}

/// Makes what is timed for an operation, once its answers are checked.
type Make<S> = for<'a> fn(&'a Fixture<S>, Batches) -> Subject<'a>;

/// The operations of a backend on a processor.
fn operations<S: KeySize>() -> [(&'static str, Make<S>); 6] {
    [
        ("encrypt", |fixture, batches| Subject::new(batches.encrypt, fixture.encrypt())),
        ("encrypt_short", |fixture, batches| Subject::new(batches.encrypt, fixture.encrypt_short())),
        ("add", |fixture, batches| Subject::new(batches.add, fixture.add())),
        ("decrypt", |fixture, batches| Subject::new(batches.decrypt, fixture.decrypt())),
        ("mul_plain_16", |fixture, batches| Subject::new(batches.encrypt, fixture.mul_plain_16())),
        ("randomizer", |fixture, batches| Subject::new(batches.encrypt, fixture.randomizer())),
    ]
}

/// Measures one key size and prints its rows. `HALF`, `FULL` and `SQUARE` are the limbs of p, n and n².
fn measure<S: KeySize, const HALF: usize, const FULL: usize, const SQUARE: usize>(
    args: &Args,
    out: &mut Output,
) -> io::Result<()> {
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));
    progress.set_message("making keys and tables");
    let threads = usize::from(args.threads);
    let batches = batches(threads);
    let made = Fixture::<S>::new(batches);
    let yardsticks = Baselines::<HALF, FULL, SQUARE>::new(&made.secret);
    let fixtures: Vec<_> =
        common::backends::<S>().into_iter().map(|(name, choice)| (name, made.on(choice))).collect();

    let card; // outlives what takes turns
    let mut product = yardsticks.product();
    let mut yardstick = Subject::new(PRODUCTS, || (0..PRODUCTS).for_each(|_| product()));
    let mut peak = peak::Burst::detect().map(|burst| {
        Subject::new(peak::MULTIPLY_ADDS * threads, move || {
            rayon::broadcast(|_| burst.run());
        })
    });
    let budget = Duration::from_secs_f64(args.seconds);
    let mut printer = Printer::new(S::BITS, args.threads, args.json, &progress, out);

    for (operation, make) in operations::<S>() {
        progress.set_message(format!("measuring {operation}"));
        let mut subjects: Vec<_> = fixtures.iter().map(|(_, fixture)| make(fixture, batches)).collect();
        let beside = peak.iter_mut().filter(|_| operation == "add");
        take_turns(subjects.iter_mut().chain([&mut yardstick]).chain(beside), budget);
        for ((backend, _), subject) in fixtures.iter().zip(&subjects) {
            let per_second = 1e9 / subject.best;
            let fraction = (*backend == "ifma" && operation == "add").then(|| {
                Some(per_second * peak::multiply_adds_of_an_add(S::BITS) * peak.as_ref()?.best / 1e9)
            });
            printer.row(Row {
                peak_fraction: fraction.flatten(),
                ..row::<S>(backend, operation, per_second, yardstick.best)
            })?;
        }
    }

    progress.set_message("looking for a GPU");
    card = OnCard::<S>::detect(&made);
    let gpu = card.as_ref().map(OnCard::card);
    if let Some(card) = &card {
        for (backend, operation) in card::OPERATIONS {
            progress.set_message(format!("measuring {operation} on the GPU"));
            let mut subject = card.subject(operation);
            take_turns([&mut subject, &mut yardstick].into_iter(), budget);
            let kernel_per_second = card.kernel_rate(&mut subject);
            let peak = gpu.as_ref().and_then(|gpu| gpu.peak).filter(|_| operation == "add");
            printer.row(Row {
                kernel_per_second,
                peak_fraction: peak
                    .zip(kernel_per_second)
                    .map(|(peak, rate)| rate * card.multiply_adds_of_an_add() / peak),
                ..row::<S>(backend, operation, 1e9 / subject.best, yardstick.best)
            })?;
        }
    }

    let mut openssl = None;
    // It takes two seconds, which a quicker run is not to wait for.
    if S::BITS == 2048 && args.seconds >= 0.1 {
        progress.set_message("measuring openssl");
        openssl = openssl::verifications().map(|verifications| OpenSsl { verifications });
    }
    let peak = peak.filter(|peak| peak.best.is_finite()).map(|peak| 1e9 / peak.best);
    printer.end(&Summary { yardstick_ns: yardstick.best, peak, gpu, openssl })
}

/// Sizes of batches for processors.
fn batches(threads: usize) -> Batches {
    // On one thread, what is added up stays in the nearest cache. Many threads need work that takes many times as long as
    // its distribution.
    let add = if threads == 1 { 128 } else { 1024 * threads };
    Batches { add, encrypt: 32 * threads, decrypt: 16 * threads }
}

/// Lets all take turns until the time of each is spent.
fn take_turns<'s, 'a: 's>(subjects: impl Iterator<Item = &'s mut Subject<'a>>, budget: Duration) {
    let mut subjects: Vec<_> = subjects.map(|subject| (subject.spent, subject)).collect();
    for turn in 0..TURNS {
        // What takes longer than a turn waits until its share of the time has come.
        let due = budget * turn / TURNS;
        for (before, subject) in &mut subjects {
            if subject.spent <= *before + due {
                subject.measure_for(budget / TURNS);
            }
        }
    }
}

/// The figures that all rows have.
#[allow(clippy::cast_precision_loss, reason = "numbers of slots and bytes are small")]
fn row<S: KeySize>(
    backend: &'static str,
    operation: &'static str,
    per_second: f64,
    yardstick_ns: f64,
) -> Row {
    let max_weight = if operation == "mul_plain_16" { MAX_WEIGHT } else { 1 };
    let layout = Layout::new(LayoutParameters {
        capacity_bits: S::BITS - 1,
        value_bits: VALUE_BITS,
        max_summands: CLIENTS,
        max_weight,
    });
    let slots = layout.expect("it fits").slots() as f64;
    Row {
        backend,
        operation,
        per_second,
        values_per_second: per_second * slots,
        bytes_per_value: (2 * S::BYTES) as f64 / slots,
        ratio: yardstick_ns * per_second / 1e9,
        kernel_per_second: None,
        peak_fraction: None,
    }
}
