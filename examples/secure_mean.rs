//! The secure mean of updates of any size, and where its time goes.
//!
//! ```text
//! cargo run --release --example secure_mean -- --clients 10 --values 10000000 --key-bits 2048
//! ```
//!
//! Clients make their updates when they are asked for them, so that memory holds those of the clients at work. The report
//! has the time of each phase. Which part of it is in the backend's kernels, a profiler tells:
//!
//! ```text
//! perf record -o mean.data target/release/examples/secure_mean --values 1000000 --key-bits 2048
//! perf report -i mean.data --sort symbol
//! ```

use std::{ops::ControlFlow, process::ExitCode, time::Duration};

use cipherfold::{
    Result,
    federated::{LocalExecutor, Phase},
    packing::Quantizer,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::{Parser, builder::PossibleValuesParser};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array1;

/// The secure mean of synthetic updates.
#[derive(Debug, Parser)]
#[command(name = "secure_mean")]
struct Args {
    /// Clients, each with its update
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// Values of an update, 32-bit floats
    #[arg(long, default_value_t = 100_000)]
    values: usize,
    /// Bits that a value is quantised to
    #[arg(long, default_value_t = 16)]
    bits: u32,
    /// Bits of the Paillier key
    #[arg(long, default_value = "3072", value_name = "BITS", value_parser = PossibleValuesParser::new(["2048", "3072", "4096"]))]
    key_bits: String,
    /// Threads that share the work; all processors unless told otherwise
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &*args.key_bits {
        "2048" => run::<Bits2048>(&args),
        "4096" => run::<Bits4096>(&args),
        _ => run::<Bits3072>(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Value i of a client's update: between −1 and 1, and another for every client.
fn value(client: u16, i: usize) -> f32 {
    let step = u16::try_from((i + usize::from(client)) % 2001).expect("it is below 2001");
    f32::from(step) / 1000.0 - 1.0
}

fn run<S: KeySize>(args: &Args) -> Result<()> {
    let bar = ProgressBar::no_length();
    let style = "{msg:15} {wide_bar} {pos}/{len} ciphertexts, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of known keys"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let executor = LocalExecutor::<S>::builder()
        .clients(args.clients.into())
        .threads(threads)
        .on_progress({
            let bar = bar.clone();
            move |progress| {
                bar.set_message(if progress.phase == Phase::Decryption {
                    "decrypting"
                } else {
                    "encrypting"
                });
                bar.set_length(progress.total);
                bar.set_position(progress.done);
                ControlFlow::Continue(())
            }
        })
        .build()?;
    let quantizer = Quantizer::symmetric(1.0, args.bits)?;
    let updates = (0..args.clients).map(|client| Array1::from_shape_fn(args.values, |i| value(client, i)));
    let mean = executor.secure_mean(updates, quantizer);
    bar.finish_and_clear();
    let mean = mean?;

    let clients = f64::from(args.clients);
    let exact = |i: usize| (0..args.clients).map(|client| f64::from(value(client, i))).sum::<f64>() / clients;
    let deviation = mean.value.iter().enumerate().map(|(i, mean)| (f64::from(*mean) - exact(i)).abs());
    println!(
        "{}\n\nlargest deviation from the exact mean: {:.3e}",
        mean.report,
        deviation.fold(0.0, f64::max)
    );
    Ok(())
}
