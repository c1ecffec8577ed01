//! Clients that drop out, and clients with invalid data. The result is a mean over the
//! participants, and a report that names the other clients. If too few clients remain, there is no
//! mean.
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
    federated::{Error, LocalExecutor, round},
    packing::Quantizer,
    paillier::Bits2048,
};
use ndarray::{Array1, array};

use common::cli::{Failure, Output};

/// Clients that drop out: a mean over the participants, and no mean if too few remain.
#[derive(clap::Parser)]
#[command(name = "dropouts")]
struct Args;

fn main() -> ExitCode {
    common::cli::run(|Args, out| dropouts(out))
}

fn dropouts(out: &mut Output) -> Result<(), Failure> {
    let mut executor = LocalExecutor::<Bits2048>::builder()
        .max_clients(10) // slots have room for ten clients, in every round
        .min_clients(3) // with fewer than three, nothing is decrypted
        .build()?;
    let quantizer = Quantizer::symmetric(4.0, 16)?;

    // A client's item: an update, nothing, or a reason why it has none.
    let round = |answers: Vec<Result<Option<Array1<f32>>, &'static str>>| {
        answers.into_iter().map(Result::transpose).collect::<Vec<_>>()
    };
    let first = round(vec![
        Ok(Some(array![1.0, 2.0])),
        Ok(None),                        // sends nothing
        Err("the battery is empty"),     // sends a reason
        Ok(Some(array![3.0, f32::NAN])), // refused by the client itself, before it sends anything
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

    // A new key pair from time to time. Messages under the old key are refused.
    executor.rotate_keys();
    let second = round(vec![Ok(Some(array![1.0, 2.0])), Ok(None), Ok(Some(array![2.0, 4.0]))]);
    let refused = executor.secure_mean(second, quantizer).unwrap_err();
    writeln!(out, "the next round: {refused}")?;
    let Error::Round(round::Error::TooFewClients { minimum: 3, found: 2, absent }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(absent.iter().map(|absence| absence.client).collect::<Vec<_>>(), [1]);
    Ok(())
}
