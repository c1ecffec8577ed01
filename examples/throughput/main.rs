//! Measures the rate of every operation, on every backend that can run on this machine.
//!
//! ```text
//! cargo run --release --example throughput -- --key-bits 2048 --threads 1 --json
//! ```
//!
//! There is one row for each operation and backend. It has the ciphertexts a second, the values a
//! second, and the bytes a value. A ciphertext holds values of 16 bits, with room for a sum over
//! 100 clients (with `mul_plain_16` also for weights of 16 bits). `encrypt_short` uses short
//! exponents. The last column is the ratio to the baseline: one product modulo n² by the
//! `FixedMontyForm` of `crypto-bigint` on one thread. All threads count together. Rows are printed
//! when they are complete.
//!
//! The measurements of an operation's backends and of the baseline alternate, and each takes a few
//! milliseconds. The best one of each counts, so that other work on the machine affects all of them
//! alike. Results are checked before the measurement: all of them, or a sample of a large batch.
//! The times are those of the library's interface for batches, including randomness, checks and
//! conversions.
//!
//! An addition with AVX-512 IFMA is one product of eight pairs at a time, with 10·K² multiply-adds
//! for K limbs of 52 bits. So its row also has the fraction of the peak: the rate at which the same
//! threads, in the same run, do independent multiply-adds.
//!
//! With 2048-bit keys and `--seconds` of at least 0.1, if `openssl` is installed, additions are
//! also compared with the 17 products of a verification by `openssl speed rsa4096`, on one thread.
//!
//! A GPU has larger batches, and its times include transfers. Its rows have two further figures:
//! the rate of its kernels by its own clock, and for additions the fraction of its wide
//! multiply-adds, which a separate kernel measures in the same run. `decrypt` runs there too
//! (`gpu-with-secret-keys`). A software GPU has rows only if `CIPHERFOLD_BENCH_SOFTWARE_GPU` is
//! set.

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

/// Operations a second of every backend that can run on this machine, also in packed values and
/// relative to crypto-bigint.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
struct Args {
    /// Bits of the Paillier key
    #[arg(long, value_enum, default_value_t = KeyBits::Bits3072, value_name = "BITS")]
    key_bits: KeyBits,
    /// Threads that share every batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Seconds for each row, but at least one measurement
    #[arg(long, default_value_t = 1.0, value_parser = between(0.0..=3600.0))]
    seconds: f64,
    /// The table as one JSON object
    #[arg(long)]
    json: bool,
}

/// Number of measurements in a row's time.
const MEASUREMENTS: u32 = 100;
/// Products between two readings of the clock.
const PRODUCTS: usize = 64;
/// Bits of a packed value, the number of clients whose sum fits its slot, and the maximum weight
/// with `mul_plain_16`.
const VALUE_BITS: u32 = 16;
const CLIENTS: u32 = 100;
const MAX_WEIGHT: u32 = u16::MAX as u32;

fn main() -> ExitCode {
    shared::cli::run(measure_and_print)
}

fn measure_and_print(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.into()).build()?;
    // Inside the pool a batch starts without a switch to another thread.
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

/// Checks the results of an operation, and makes the routine to time.
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

/// Measures one key size and prints its rows. `HALF`, `FULL` and `SQUARE` are the limbs of p, n and
/// n².
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
    let baselines = Baselines::<HALF, FULL, SQUARE>::new(&made.secret);
    let fixtures: Vec<_> =
        common::backends().into_iter().map(|(name, choice)| (name, made.on(choice))).collect();

    let card; // outlives the routines
    let mut product = baselines.product();
    let mut baseline = Subject::new(PRODUCTS, || (0..PRODUCTS).for_each(|_| product()));
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
        measure_alternately(subjects.iter_mut().chain([&mut baseline]).chain(beside), budget);
        for ((backend, _), subject) in fixtures.iter().zip(&subjects) {
            let per_second = 1e9 / subject.best;
            let fraction = (*backend == "ifma" && operation == "add").then(|| {
                Some(per_second * peak::multiply_adds_of_an_add(S::BITS) * peak.as_ref()?.best / 1e9)
            });
            printer.row(Row {
                peak_fraction: fraction.flatten(),
                ..row::<S>(backend, operation, per_second, baseline.best)
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
            measure_alternately([&mut subject, &mut baseline].into_iter(), budget);
            let kernel_per_second = card.kernel_rate(&mut subject);
            let peak = gpu.as_ref().and_then(|gpu| gpu.peak).filter(|_| operation == "add");
            printer.row(Row {
                kernel_per_second,
                peak_fraction: peak
                    .zip(kernel_per_second)
                    .map(|(peak, rate)| rate * card.multiply_adds_of_an_add() / peak),
                ..row::<S>(backend, operation, 1e9 / subject.best, baseline.best)
            })?;
        }
    }

    let mut openssl = None;
    // It takes two seconds, so quick runs skip it.
    if S::BITS == 2048 && args.seconds >= 0.1 {
        progress.set_message("measuring openssl");
        openssl = openssl::verifications().map(|verifications| OpenSsl { verifications });
    }
    let peak = peak.filter(|peak| peak.best.is_finite()).map(|peak| 1e9 / peak.best);
    printer.end(&Summary { product_ns: baseline.best, peak, gpu, openssl })
}

/// Sizes of batches for processors.
fn batches(threads: usize) -> Batches {
    // On one thread, the sum stays in the nearest cache. Many threads need batches that take much
    // longer than their distribution.
    let add = if threads == 1 { 128 } else { 1024 * threads };
    Batches { add, encrypt: 32 * threads, decrypt: 16 * threads }
}

/// Alternates between all routines until the time of each is spent.
fn measure_alternately<'s, 'a: 's>(subjects: impl Iterator<Item = &'s mut Subject<'a>>, budget: Duration) {
    let mut subjects: Vec<_> = subjects.map(|subject| (subject.spent, subject)).collect();
    for number in 0..MEASUREMENTS {
        // A routine that takes longer than one measurement's time waits, so that it does not exceed
        // its share.
        let due = budget * number / MEASUREMENTS;
        for (before, subject) in &mut subjects {
            if subject.spent <= *before + due {
                subject.measure_for(budget / MEASUREMENTS);
            }
        }
    }
}

/// The figures of every row.
#[allow(clippy::cast_precision_loss, reason = "numbers of slots and bytes are small")]
fn row<S: KeySize>(backend: &'static str, operation: &'static str, per_second: f64, product_ns: f64) -> Row {
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
        ratio: product_ns * per_second / 1e9,
        kernel_per_second: None,
        peak_fraction: None,
    }
}
