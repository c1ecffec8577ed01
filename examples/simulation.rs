//! Many clients, many rounds, some clients missing in each: what a study of a protocol runs, in bounded memory.
//!
//! ```text
//! cargo run --release --example simulation -- --clients 1000 --values 100000 --rounds 10
//! cargo run --release --example simulation -- --clients 1000 --values 100000 --rounds 10 --in-the-clear
//! ```
//!
//! Clients make their updates when they are asked, and those of the clients at work are all that is in memory beside one
//! encrypted sum. The second command does without cryptography and prints the same digest of all means.

#![allow(clippy::cast_precision_loss, reason = "synthetic updates in f32")]

use std::{fs, ops::ControlFlow, process::ExitCode, time::Duration};

use cipherfold::{
    Result,
    federated::{LocalExecutor, Phase, PlacementKind},
    packing::Quantizer,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::{Parser, builder::PossibleValuesParser};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use ndarray::Array1;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Rounds of secure means with synthetic updates and clients that drop out.
#[derive(Debug, Parser)]
#[command(name = "simulation")]
struct Args {
    /// Clients that are asked in every round
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Values of an update, 32-bit floats
    #[arg(long, default_value_t = 100_000)]
    values: usize,
    /// Rounds
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Percent of the clients that drop out of a round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..100))]
    dropouts: u32,
    /// Bits that a value is quantised to
    #[arg(long, default_value_t = 16)]
    bits: u32,
    /// Bits of the Paillier key
    #[arg(long, default_value = "2048", value_name = "BITS", value_parser = PossibleValuesParser::new(["2048", "3072", "4096"]))]
    key_bits: String,
    /// Without cryptography: the same results, for debugging
    #[arg(long)]
    in_the_clear: bool,
    /// Seed of the updates and of who drops out
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &*args.key_bits {
        "3072" => run::<Bits3072>(&args),
        "4096" => run::<Bits4096>(&args),
        _ => run::<Bits2048>(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A client's own generator for a round.
fn client_rng(args: &Args, round: u32, client: u32) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(args.seed);
    rng.set_stream(u64::from(round) << 32 | u64::from(client));
    rng
}

/// The first `values` values of a client's update, or none if it drops out.
fn update(args: &Args, round: u32, client: u32, values: usize) -> Option<Array1<f32>> {
    let mut rng = client_rng(args, round, client);
    if rng.next_u32() % 100 < args.dropouts {
        return None;
    }
    // Uniform between −1 and 1.
    Some(Array1::from_shape_fn(values, |_| rng.next_u32().cast_signed() as f32 / 2.0_f32.powi(31)))
}

fn run<S: KeySize>(args: &Args) -> Result<()> {
    let bar = ProgressBar::no_length();
    let style = "round {msg} {wide_bar} {pos}/{len}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of known keys"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let builder = LocalExecutor::<S>::builder().max_clients(args.clients).min_clients(1).on_progress({
        let bar = bar.clone();
        move |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            ControlFlow::Continue(())
        }
    });
    let executor = if args.in_the_clear { builder.in_the_clear() } else { builder }.build()?;
    let quantizer = Quantizer::symmetric(1.0, args.bits)?;

    println!(
        "{:>5} {:>8} {:>10} {:>12} {:>12} {:>17}",
        "round", "clients", "seconds", "sent", "peak memory", "digest"
    );
    let mut last = None;
    for round in 0..args.rounds {
        bar.set_message(format!("{} of {}", round + 1, args.rounds));
        let updates = (0..args.clients).map(|client| update(args, round, client, args.values));
        let mean = executor.secure_mean(updates, quantizer)?;
        let (value, report) = (mean.value, mean.report);
        check(args, round, &value);
        let sent = report.traffic(PlacementKind::Clients, PlacementKind::Aggregator);
        bar.suspend(|| {
            println!(
                "{:>5} {:>8} {:>10.2} {:>12} {:>12} {:>17x}",
                report.round,
                HumanCount(report.clients.into()).to_string(),
                report.elapsed.as_secs_f64(),
                HumanBytes(sent.map_or(0, |sent| sent.wire_bytes)).to_string(),
                peak().map_or("unknown".into(), |peak| HumanBytes(peak).to_string()),
                digest(&value)
            );
        });
        last = Some(report);
    }
    bar.finish_and_clear();
    if let Some(report) = last {
        let kernels = report.time(Phase::Encryption) + report.time(Phase::Aggregation);
        println!(
            "\nThe last round ({:.1} s of encryption and aggregation):\n{report}",
            kernels.as_secs_f64()
        );
    }
    Ok(())
}

/// Compares some values with the mean computed directly.
fn check(args: &Args, round: u32, mean: &Array1<f32>) {
    let sample = args.values.min(5);
    let mut sums = vec![0.0; sample];
    let mut present = 0.0;
    for client in 0..args.clients {
        if let Some(update) = update(args, round, client, sample) {
            present += 1.0;
            sums.iter_mut().zip(update).for_each(|(sum, x)| *sum += f64::from(x));
        }
    }
    for (mean, sum) in mean.iter().zip(sums) {
        assert!(
            (f64::from(*mean) - sum / present).abs() < 2.0_f64.powi(2 - args.bits.cast_signed()),
            "a wrong mean"
        );
    }
}

/// A number that tells one result from another (FNV-1a over the bits of all values).
fn digest(values: &Array1<f32>) -> u64 {
    let mix = |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
    values.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Largest memory of this process so far, in bytes, where the system tells.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
