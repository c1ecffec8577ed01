//! A simulation with many clients, many rounds and dropouts, in bounded memory.
//!
//! ```text
//! cargo run --release --example simulation -- --clients 1000 --values 100000 --rounds 10
//! cargo run --release --example simulation -- --clients 1000 --values 100000 --rounds 10 --in-the-clear
//! ```
//!
//! Clients compute their updates on request. Memory holds the updates of the active clients and one
//! encrypted sum. It also holds the ciphertexts that each active client has sent so far, because
//! clients may drop out. The second command works without cryptography and prints the same digest
//! of all means.

#![allow(clippy::cast_precision_loss, reason = "synthetic updates in f32")]

mod common {
    pub(crate) mod backend;
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod key_bits;
    pub(crate) mod progress;
    pub(crate) mod table;
}

use std::{fs, io::Write, process::ExitCode};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        LocalExecutor, PlacementKind,
        report::{Phase, Report},
    },
    packing::Quantizer,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::Parser;
use indicatif::{HumanBytes, HumanCount};
use ndarray::Array1;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use common::{
    backend::backend,
    cli::{Failure, Output},
    key_bits::KeyBits,
    progress,
    table::{
        Align::{Left, Right},
        Table,
    },
};

/// Rounds of secure means with synthetic updates and clients that drop out.
#[derive(Debug, Parser)]
#[command(name = "simulation")]
struct Args {
    /// Number of clients in every round
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Values of an update, 32-bit floats
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    values: u32,
    /// Rounds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Percentage of the clients that drop out of a round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..100))]
    dropouts: u32,
    /// Bits of a quantised value
    #[arg(long, default_value_t = 16)]
    bits: u32,
    /// Bits of the Paillier key
    #[arg(long, value_enum, default_value_t = KeyBits::Bits2048, value_name = "BITS")]
    key_bits: KeyBits,
    /// Paillier backend
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = backend())]
    backend: BackendChoice,
    /// Ciphertexts of a client's message [default: depends on backend, threads and key size]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: Option<u32>,
    /// Without cryptography: the same results, for debugging
    #[arg(long)]
    in_the_clear: bool,
    /// Seed of the updates and the dropouts
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

fn main() -> ExitCode {
    common::cli::run(|args: &Args, out| match args.key_bits {
        KeyBits::Bits2048 => simulate::<Bits2048>(args, out),
        KeyBits::Bits3072 => simulate::<Bits3072>(args, out),
        KeyBits::Bits4096 => simulate::<Bits4096>(args, out),
    })
}

/// A client's own generator for a round.
fn client_rng(args: &Args, round: u32, client: u32) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(args.seed);
    rng.set_stream(u64::from(round) << 32 | u64::from(client));
    rng
}

/// The first `values` values of a client's update, or none if it drops out.
fn update(args: &Args, round: u32, client: u32, values: u32) -> Option<Array1<f32>> {
    let mut rng = client_rng(args, round, client);
    if rng.next_u32() % 100 < args.dropouts {
        return None;
    }
    // Uniform between −1 and 1.
    Some(Array1::from_shape_fn(values as usize, |_| rng.next_u32().cast_signed() as f32 / 2.0_f32.powi(31)))
}

fn simulate<S: KeySize>(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let bar = progress::bar();
    let mut builder = LocalExecutor::<S>::builder()
        .max_clients(args.clients)
        .min_clients(1)
        .backend(args.backend)
        .on_progress(progress::shown_on(&bar));
    if let Some(chunk) = args.chunk {
        builder = builder.chunk_ciphertexts(usize::try_from(chunk)?);
    }
    let executor = if args.in_the_clear { builder.in_the_clear() } else { builder }.build()?;
    let quantizer = Quantizer::symmetric(1.0, args.bits)?;

    let [round, clients, seconds, sent, peak] =
        ["round", "clients", "seconds", "sent", "peak memory"].map(|heading| (heading, Right));
    let mut table = Table::new([round, clients, seconds, sent, peak, ("digest", Left)]);
    let digits = |number: u32| HumanCount(number.into()).to_string();
    let [sent, peak] = ["1023.99 GiB", "1023.99 GiB"].map(str::to_owned);
    table.fit(&[digits(args.rounds), digits(args.clients), "1000000.00".into(), sent, peak, "0".repeat(16)]);
    writeln!(out, "{}", table.heading())?;
    let mut last = None;
    for round in 0..args.rounds {
        bar.set_prefix(format!("round {} of {}, ", round + 1, args.rounds));
        let updates = (0..args.clients).map(|client| update(args, round, client, args.values));
        let mean = executor.secure_mean(updates, quantizer)?;
        check(args, round, &quantizer, &mean.value)?;
        let row = table.row(&cells(mean.report(), &mean.value));
        bar.suspend(|| writeln!(out, "{row}"))?;
        last = Some(mean.report().clone());
    }
    bar.finish_and_clear();
    if let Some(report) = last {
        let kernels = report.time(Phase::Encryption) + report.time(Phase::Aggregation);
        writeln!(
            out,
            "\nThe last round ({:.1} s of encryption and aggregation):\n{report}",
            kernels.as_secs_f64()
        )?;
    }
    Ok(())
}

/// A round's row of the table.
fn cells(report: &Report, mean: &Array1<f32>) -> [String; 6] {
    let sent = report.traffic(PlacementKind::Clients, PlacementKind::Aggregator);
    [
        HumanCount(report.round).to_string(),
        HumanCount(report.clients.into()).to_string(),
        format!("{:.2}", report.elapsed.as_secs_f64()),
        HumanBytes(sent.map_or(0, |sent| sent.wire_bytes)).to_string(),
        peak().map_or("unknown".into(), |peak| HumanBytes(peak).to_string()),
        format!("{:016x}", digest(mean)),
    ]
}

/// Compares some values with the mean computed directly.
fn check(args: &Args, round: u32, quantizer: &Quantizer, mean: &Array1<f32>) -> Result<(), Failure> {
    let sample = args.values.min(5);
    let mut sums = vec![0.0; sample as usize];
    let mut present = 0.0;
    for client in 0..args.clients {
        if let Some(update) = update(args, round, client, sample) {
            present += 1.0;
            sums.iter_mut().zip(update).for_each(|(sum, x)| *sum += f64::from(x));
        }
    }
    // The mean is rounded to a 32-bit float; its values are below 1.
    let bound = quantizer.error_bound() + f64::from(f32::EPSILON);
    for (mean, sum) in mean.iter().zip(sums) {
        let error = (f64::from(*mean) - sum / present).abs();
        if error > bound {
            return Err(format!("a mean is {error:e} off, beyond the bound of {bound:e}").into());
        }
    }
    Ok(())
}

/// A number that distinguishes results (FNV-1a over the bits of all values).
fn digest(values: &Array1<f32>) -> u64 {
    let mix = |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
    values.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Peak memory of this process so far, in bytes, on systems that report it.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
