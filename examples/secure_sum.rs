//! Five clients each hold `[i, i + 1]`; the server learns `[10, 15]` and nothing else.
//!
//! ```text
//! cargo run --release --example secure_sum
//! ```

mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
}

use std::{io::Write, process::ExitCode};

use cipherfold::{
    Result,
    federated::{LocalExecutor, Outcome},
    packing::IntegerRange,
};
use ndarray::{Array1, array};

fn secure_sum() -> Result<Outcome<Array1<i64>>> {
    let updates: Vec<_> = (0..5).map(|i| array![i, i + 1]).collect();

    let executor = LocalExecutor::new()?; // a session: 3072-bit key, made at the first run
    let sum = executor.secure_sum(&updates, IntegerRange::signed_bits(16)?)?;

    assert_eq!(sum.value, array![10, 15]);
    Ok(sum)
}

/// Five clients each hold two integers; the server learns their sums and nothing else.
#[derive(clap::Parser)]
#[command(name = "secure_sum")]
struct Args;

fn main() -> ExitCode {
    common::cli::run(|Args, out| {
        let sum = secure_sum()?;
        writeln!(out, "{}\n\n{}", sum.value, sum.report())?;
        Ok(())
    })
}
