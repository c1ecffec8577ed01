//! How much of everything this machine does in a second, on every backend that can run here.
//!
//! ```text
//! cargo run --release --example throughput -- --key-bits 2048 --threads 1 --json
//! ```
//!
//! One row for each backend and operation: ciphertexts a second; values a second and bytes a value, with as many values
//! of 16 bits in a ciphertext as leave room for a sum over 100 clients (`mul_plain_16` leaves room for weights of 16
//! bits too); and how many times an operation would fit into the yardstick, one product modulo n² by the
//! `FixedMontyForm` of `crypto-bigint` on one thread. All threads count together.
//!
//! Backends, operations and the yardstick take turns of a few milliseconds, and the best turn of each counts, so that
//! other work on a noisy machine falls on all of them alike. Answers are checked before anything is timed. What is timed
//! is the library's interface for batches: randomness, checks and conversions are part of it.
//!
//! An addition with AVX-512 IFMA is one product of eight pairs at a time, of 10·K² multiply-adds for K limbs of 52
//! bits. So its row also tells which fraction it reaches of the rate at which the same threads, in the same run, do
//! independent multiply-adds and nothing else.
//!
//! A GPU has larger batches, of which transfers are a part, and its rows tell two rates more: what its kernels reach by its
//! own clock, and for additions which fraction of its wide multiply-adds that is, measured in the same run by a kernel that
//! does nothing else. `decrypt` is done there too (`gpu-with-secret-keys`). A program that stands in for a GPU is left out
//! unless `CIPHERFOLD_BENCH_SOFTWARE_GPU` is set.

mod card;
#[path = "../../benches/common/mod.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod common;
mod peak;

use std::{process::ExitCode, time::Duration};

use card::OnCard;
use cipherfold::{
    packing::{Layout, LayoutParameters},
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::{Parser, builder::PossibleValuesParser};
use common::{Batches, Fixture, Yardsticks, subject::Subject};
use crypto_bigint::nlimbs;
use serde_json::{Value, json};

/// Operations a second of every backend that can run here, and what they are in packed values and in products of
/// crypto-bigint.
#[derive(Debug, Parser)]
#[command(name = "throughput")]
struct Args {
    /// Bits of the Paillier key
    #[arg(long, default_value = "3072", value_name = "BITS", value_parser = PossibleValuesParser::new(["2048", "3072", "4096"]))]
    key_bits: String,
    /// Threads that share every batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Seconds for each row, or as many turns as fit into them, but at least one
    #[arg(long, default_value_t = 1.0, value_parser = seconds, allow_negative_numbers = true)]
    seconds: f64,
    /// The table as one JSON object
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=3600.0).contains(&number) { Ok(number) } else { Err("not between 0 and 3600".to_owned()) }
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
    let args = Args::parse();
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(args.threads.into()).build() {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Inside the pool a batch starts without a hop to another thread.
    let throughput = pool.install(|| match &*args.key_bits {
        "2048" => measure::<Bits2048, { nlimbs(1024) }, { nlimbs(2048) }, { nlimbs(4096) }>(&args),
        "4096" => measure::<Bits4096, { nlimbs(2048) }, { nlimbs(4096) }, { nlimbs(8192) }>(&args),
        _ => measure::<Bits3072, { nlimbs(1536) }, { nlimbs(3072) }, { nlimbs(6144) }>(&args),
    });
    if args.json {
        println!("{}", throughput.json());
    } else {
        throughput.print();
    }
    ExitCode::SUCCESS
}

/// What was measured.
struct Throughput {
    key_bits: u32,
    threads: u16,
    yardstick_ns: f64,
    /// Multiply-adds a second of all threads, where processor and backend have them.
    peak: Option<f64>,
    gpu: Option<Card>,
    rows: Vec<Row>,
}

/// A GPU.
struct Card {
    adapter: String,
    driver: String,
    /// Wide multiply-adds a second.
    peak: Option<f64>,
}

/// Backend, operation, and what is timed.
type Operation<'a> = (&'static str, &'static str, Subject<'a>);

/// An operation of a backend.
struct Row {
    backend: &'static str,
    operation: &'static str,
    per_second: f64,
    values_per_second: f64,
    bytes_per_value: f64,
    /// Operations in the time of a yardstick.
    ratio: f64,
    /// What a GPU's kernels do in a second of their own time.
    kernel_per_second: Option<f64>,
    /// Fraction of [`Throughput::peak`], or of [`Card::peak`].
    peak_fraction: Option<f64>,
}

/// Measures a key size whose p, n and n² have so many limbs.
#[allow(clippy::cast_precision_loss, reason = "numbers of slots and bytes are small")]
fn measure<S: KeySize, const HALF: usize, const FULL: usize, const SQUARE: usize>(args: &Args) -> Throughput {
    let threads = usize::from(args.threads);
    // Every thread has whole tasks to do, and what it adds up stays in its cache.
    let batches = Batches { add: 128 * threads, encrypt: 32 * threads, decrypt: 16 * threads };
    let made = Fixture::<S>::new(batches);
    let yardsticks = Yardsticks::<HALF, FULL, SQUARE>::new(&made.secret);
    let fixtures: Vec<_> =
        common::backends::<S>().into_iter().map(|(name, choice)| (name, made.on(choice))).collect();

    let card = OnCard::<S>::detect(&made);

    let mut product = yardsticks.product();
    let mut yardstick = Subject::new(PRODUCTS, || (0..PRODUCTS).for_each(|_| product()));
    let mut peak = peak::Burst::detect().map(|burst| {
        Subject::new(peak::MULTIPLY_ADDS * threads, move || {
            rayon::broadcast(|_| burst.run());
        })
    });
    let mut operations: Vec<Operation<'_>> = Vec::new();
    for (backend, fixture) in &fixtures {
        operations.extend([
            (*backend, "encrypt", Subject::new(batches.encrypt, fixture.encrypt())),
            (*backend, "add", Subject::new(batches.add, fixture.add())),
            (*backend, "decrypt", Subject::new(batches.decrypt, fixture.decrypt())),
            (*backend, "mul_plain_16", Subject::new(batches.encrypt, fixture.mul_plain_16())),
            (*backend, "randomizer", Subject::new(batches.encrypt, fixture.randomizer())),
        ]);
    }
    if let Some(card) = &card {
        operations.extend(card.operations());
    }

    let budget = Duration::from_secs_f64(args.seconds);
    for turn in 0..TURNS {
        // What takes longer than a turn waits until its share of the time has come.
        let due = budget * turn / TURNS;
        let subjects = operations.iter_mut().map(|(.., subject)| subject);
        for subject in subjects.chain([&mut yardstick]).chain(&mut peak) {
            if subject.spent <= due {
                subject.take_turn(budget / TURNS);
            }
        }
    }

    let peak = peak.map(|subject| 1e9 / subject.best);
    let gpu = card.as_ref().map(OnCard::card);
    let kernel_rates: Vec<_> = operations
        .iter_mut()
        .map(|(backend, _, subject)| {
            let card = card.as_ref().filter(|_| backend.starts_with("gpu"))?;
            card.kernel_rate(subject)
        })
        .collect();
    let slots = |max_weight| {
        Layout::new(LayoutParameters {
            capacity_bits: S::BITS - 1,
            value_bits: VALUE_BITS,
            max_summands: CLIENTS,
            max_weight,
        })
        .expect("it fits")
        .slots() as f64
    };
    let rows =
        operations.iter().zip(kernel_rates).map(|((backend, operation, subject), kernel_per_second)| {
            let slots = slots(if *operation == "mul_plain_16" { MAX_WEIGHT } else { 1 });
            let per_second = 1e9 / subject.best;
            Row {
                backend,
                operation,
                per_second,
                values_per_second: per_second * slots,
                bytes_per_value: (2 * S::BYTES) as f64 / slots,
                ratio: yardstick.best / subject.best,
                kernel_per_second,
                peak_fraction: match (*backend, *operation) {
                    ("ifma", "add") => {
                        peak.map(|peak| per_second * peak::multiply_adds_of_an_add(S::BITS) / peak)
                    }
                    ("gpu", "add") => card
                        .as_ref()
                        .zip(gpu.as_ref().and_then(|gpu| gpu.peak))
                        .zip(kernel_per_second)
                        .map(|((card, peak), rate)| rate * card.multiply_adds_of_an_add() / peak),
                    _ => None,
                },
            }
        });
    let rows = rows.collect();
    Throughput { key_bits: S::BITS, threads: args.threads, yardstick_ns: yardstick.best, peak, gpu, rows }
}

impl Throughput {
    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let mut object = json!({
                "backend": row.backend,
                "operation": row.operation,
                "per_second": row.per_second,
                "values_per_second": row.values_per_second,
                "bytes_per_value": row.bytes_per_value,
                "ratio": row.ratio,
            });
            if let Some(fraction) = row.peak_fraction {
                object["peak_fraction"] = fraction.into();
            }
            if let Some(rate) = row.kernel_per_second {
                object["kernel_per_second"] = rate.into();
            }
            object
        });
        let mut object = json!({
            "key_bits": self.key_bits,
            "threads": self.threads,
            "yardstick_ns": self.yardstick_ns,
            "rows": rows.collect::<Vec<_>>(),
        });
        if let Some(gpu) = &self.gpu {
            object["gpu"] = json!({
                "adapter": gpu.adapter,
                "driver": gpu.driver,
                "multiply_adds_per_second": gpu.peak,
            });
        }
        object
    }

    fn print(&self) {
        let Self { key_bits, threads, yardstick_ns, .. } = self;
        println!(
            "{key_bits}-bit key, {threads} thread(s), values of {VALUE_BITS} bits, {CLIENTS} clients; \
             a product modulo n² of crypto-bigint takes {yardstick_ns:.0} ns\n"
        );
        println!(
            "{:20} {:13} {:>11} {:>13} {:>8} {:>8}  of peak",
            "backend", "operation", "a second", "values/s", "B/value", "ratio"
        );
        for row in &self.rows {
            let fraction = row.peak_fraction.map_or(String::new(), |f| format!("{:.0} %", 100.0 * f));
            let kernel = row.kernel_per_second.map_or(String::new(), |rate| format!("  kernels: {rate:.0}"));
            println!(
                "{:20} {:13} {:>11.0} {:>13.0} {:>8.2} {:>8.4}  {fraction:>7}{kernel}",
                row.backend,
                row.operation,
                row.per_second,
                row.values_per_second,
                row.bytes_per_value,
                row.ratio
            );
        }
        if let Some(peak) = self.peak {
            println!("\nPeak: {:.2} billion multiply-adds of eight 52-bit limbs a second", peak / 1e9);
        }
        if let Some(gpu) = &self.gpu {
            println!("\nGPU: {}, {}", gpu.adapter, gpu.driver);
            if let Some(peak) = gpu.peak {
                println!("Its peak: {:.1} billion wide multiply-adds a second", peak / 1e9);
            }
        }
    }
}
