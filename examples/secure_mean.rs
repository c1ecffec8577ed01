//! The secure mean of updates of any size, and the time of each phase.
//!
//! ```text
//! cargo run --release --example secure_mean -- --clients 10 --values 10000000 --key-bits 2048
//! ```
//!
//! `--backend gpu` uses a GPU. `--chunk` sets the number of ciphertexts in a message; the default
//! depends on the machine.
//!
//! Clients make their updates on request, so that only the updates of the active clients are in
//! memory. The report has the time of each phase. A profiler shows the part of the backend's
//! kernels:
//!
//! ```text
//! perf record -o mean.data target/release/examples/secure_mean --values 1000000 --key-bits 2048
//! perf report -i mean.data --sort symbol
//! ```

mod common {
    pub(crate) mod backend;
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod key_bits;
    pub(crate) mod progress;
}

use std::{io::Write, process::ExitCode};

use cipherfold::{
    backend::BackendChoice,
    federated::LocalExecutor,
    packing::Quantizer,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::Parser;
use ndarray::Array1;

use common::{
    backend::backend,
    cli::{Failure, Output},
    key_bits::KeyBits,
    progress,
};

/// The secure mean of synthetic updates.
#[derive(Debug, Parser)]
#[command(name = "secure_mean")]
struct Args {
    /// Clients, each with its update: a mean over one would be that client's update
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..))]
    clients: u16,
    /// Values of an update, 32-bit floats
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    values: u32,
    /// Bits that a value is quantised to
    #[arg(long, default_value_t = 16)]
    bits: u32,
    /// Bits of the Paillier key
    #[arg(long, value_enum, default_value_t = KeyBits::Bits3072, value_name = "BITS")]
    key_bits: KeyBits,
    /// Threads that share the work [default: as many as there are processors]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Paillier backend
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = backend())]
    backend: BackendChoice,
    /// Ciphertexts of a message from a client [default: what suits backend, threads and key size]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    chunk: Option<u32>,
}

fn main() -> ExitCode {
    common::cli::run(|args: &Args, out| match args.key_bits {
        KeyBits::Bits2048 => secure_mean::<Bits2048>(args, out),
        KeyBits::Bits3072 => secure_mean::<Bits3072>(args, out),
        KeyBits::Bits4096 => secure_mean::<Bits4096>(args, out),
    })
}

/// Value i of a client's update: between −1 and 1, and different for every client.
fn value(client: u16, i: usize) -> f32 {
    let step = u16::try_from((i + usize::from(client)) % 2001).expect("it is below 2001");
    f32::from(step) / 1000.0 - 1.0
}

fn secure_mean<S: KeySize>(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let bar = progress::bar();
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let values = usize::try_from(args.values)?;
    let mut builder = LocalExecutor::<S>::builder()
        .clients(args.clients.into())
        .threads(threads)
        .backend(args.backend)
        .on_progress(progress::shown_on(&bar));
    if let Some(chunk) = args.chunk {
        builder = builder.chunk_ciphertexts(usize::try_from(chunk)?);
    }
    let executor = builder.build()?;
    let quantizer = Quantizer::symmetric(1.0, args.bits)?;
    let updates = (0..args.clients).map(|client| Array1::from_shape_fn(values, |i| value(client, i)));
    let mean = executor.secure_mean(updates, quantizer);
    bar.finish_and_clear();
    let mean = mean?;

    let clients = f64::from(args.clients);
    let exact = |i: usize| (0..args.clients).map(|client| f64::from(value(client, i))).sum::<f64>() / clients;
    let deviation = mean.value.iter().enumerate().map(|(i, mean)| (f64::from(*mean) - exact(i)).abs());
    writeln!(
        out,
        "{}\n\nlargest deviation from the exact mean: {:.3e}",
        mean.report(),
        deviation.fold(0.0, f64::max)
    )?;
    Ok(())
}
