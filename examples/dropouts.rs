//! Clients that drop out, and others that hold what they should not: a mean over those who take part, a report that names the
//! others, and no mean at all where too few are left.
//!
//! ```text
//! cargo run --release --example dropouts
//! ```

mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
}

use std::{io::Write, process::ExitCode};

use cipherfold::{
    federated::{Error, LocalExecutor},
    packing::Quantizer,
    paillier::Bits2048,
};
use ndarray::{Array1, array};

use common::cli::{Failure, Output};

/// Clients that drop out: a mean over those who take part, and none where too few are left.
#[derive(clap::Parser)]
#[command(name = "dropouts")]
struct Args;

fn main() -> ExitCode {
    common::cli::run(|Args, out| dropouts(out))
}

fn dropouts(out: &mut Output) -> Result<(), Failure> {
    let mut executor = LocalExecutor::<Bits2048>::builder()
        .max_clients(10) // slots have room for ten, in every round
        .min_clients(3) // below three nothing is decrypted
        .build()?;
    let quantizer = Quantizer::symmetric(4.0, 16)?;

    // What a client has: an update, nothing to say, or a reason why it has none.
    let round = |answers: Vec<Result<Option<Array1<f32>>, &'static str>>| {
        answers.into_iter().map(Result::transpose).collect::<Vec<_>>()
    };
    let first = round(vec![
        Ok(Some(array![1.0, 2.0])),
        Ok(None),                        // not heard of
        Err("the battery is empty"),     // heard of
        Ok(Some(array![3.0, f32::NAN])), // refused on the client itself, before anything is sent
        Ok(Some(array![2.0, 4.0])),
        Ok(Some(array![3.0, 0.0, 7.0])), // another model
        Ok(Some(array![6.0, 0.0])),      // clipped to 4
    ]);
    let mean = executor.secure_mean(first, quantizer)?;
    writeln!(
        out,
        "the mean over {} of 7 clients is {:.3}\n\n{}",
        mean.report().clients,
        mean.value,
        mean.report()
    )?;
    assert_eq!(mean.report().clients, 3);
    let named: Vec<u32> = mean.report().absent.iter().map(|absence| absence.client).collect();
    assert_eq!(named, [1, 2, 3, 5]);
    assert!((mean.value - array![7.0 / 3.0, 2.0]).iter().all(|difference| difference.abs() < 1e-3));

    // A new key pair every now and then. What is under way under the old one is refused.
    executor.rotate_keys();
    let second = round(vec![Ok(Some(array![1.0, 2.0])), Ok(None), Ok(Some(array![2.0, 4.0]))]);
    let refused = executor.secure_mean(second, quantizer).unwrap_err();
    writeln!(out, "the next round: {refused}")?;
    let Error::TooFewClients { minimum: 3, found: 2, absent } = refused else { panic!("{refused}") };
    assert_eq!(absent.iter().map(|absence| absence.client).collect::<Vec<_>>(), [1]);
    Ok(())
}
