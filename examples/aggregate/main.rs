//! The secure mean of model updates in safetensors files, one file for each client.
//!
//! ```text
//! cargo run --release --example aggregate -- --bits 16 --clip 1.0 --out mean.safetensors a.safetensors b.safetensors
//! ```
//!
//! Simulates a round on this machine, with the real cryptography: each file is a client, who clips, quantises, packs
//! and encrypts it; the aggregator multiplies ciphertexts; the server decrypts the sum. The mean has the names, shapes,
//! types and metadata of the first file (its header, in fact). Other files must have the same tensors, in any order;
//! their metadata are not looked at.
//!
//! All files are read and checked before the work begins. The mean is compared with the plain one, computed from the
//! files, and written to a temporary file beside the output, which takes its name when it is complete. So whatever
//! fails, and whenever the run is interrupted, what is found under the output's name is a whole mean or what was there
//! before. (Killed in the very moment of writing, it leaves a hidden file `.aggregate-….tmp`.)
//!
//! What a file's length and header do not show is not noticed: the format has no checksums. NaN and infinity are refused,
//! and values beyond the clip are counted.
//!
//! # Memory
//!
//! One update as F32 (4 bytes a parameter), whatever the number of files and their types; and the sum: one ciphertext,
//! a quarter of a byte for each bit of the key, for as many parameters as share one (the summary states both). While
//! the sum is decrypted, the mean takes the place of the update. Beside that some tens of megabytes: the table that
//! speeds up encryption, 512 ciphertexts on their way, blocks of files.

mod compare;
mod model;
mod summary;

use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use cipherfold::{
    Error,
    backend::Choice,
    federated::{LocalExecutor, Outcome, Phase},
    packing::Quantizer,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::{CommandFactory, Parser, builder::PossibleValuesParser, error::ErrorKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use model::{Model, OtherTypes};
use summary::Summary;

/// The secure mean of model updates: every client's file is encrypted, and only their sum is decrypted.
///
/// Tensors of type F32, F16 and BF16 are averaged. The files are read three times: to be checked, to be
/// encrypted, and for the plain mean that the result is compared with.
#[derive(Debug, Parser)]
#[command(name = "aggregate")]
#[command(
    after_help = "Exit status: 0 if the mean was written, 1 if it was not, 2 if the command line is wrong."
)]
struct Args {
    /// Updates, one safetensors file for each client; the mean has the header of the first
    #[arg(required = true, value_name = "FILE")]
    updates: Vec<PathBuf>,
    /// Where the mean goes: replaced if it exists, unless it is one of the updates
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Bits of a quantised value, 2 to 48: the grid has 2^BITS - 1 points from -CLIP to CLIP
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=48))]
    bits: u32,
    /// Values beyond ±CLIP count as ±CLIP, and the summary says how many did
    #[arg(long, default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    clip: f64,
    /// Round up or down at random, so that errors of many clients cancel out; at most twice as far off
    #[arg(long)]
    stochastic: bool,
    /// Weights, whole numbers from 0 separated by commas, one for each file: say, examples that a client trained on
    #[arg(long, value_delimiter = ',', value_name = "WEIGHT,…")]
    weights: Option<Vec<u32>>,
    /// Public limit of the weights, up to 4294967295; its bits and BITS are 64 at most, and the larger it is, the more a
    /// value takes [default: the largest weight]
    #[arg(long, requires = "weights", value_parser = clap::value_parser!(u32).range(1..), value_name = "WEIGHT")]
    max_weight: Option<u32>,
    /// Tensors of other types than F32, F16 and BF16, which have no secure mean
    #[arg(long, value_enum, default_value_t = OtherTypes::Same, value_name = "WHAT")]
    other_types: OtherTypes,
    /// Bits of the Paillier key
    #[arg(long, default_value = "3072", value_name = "BITS", value_parser = PossibleValuesParser::new(["2048", "3072", "4096"]))]
    key_bits: String,
    /// Paillier backend
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = PossibleValuesParser::new(Choice::NAMES))]
    backend: String,
    /// Threads for encryption, addition and decryption [default: as many as the machine offers]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The summary as one JSON object; times are in seconds
    #[arg(long)]
    json: bool,
    /// No progress bar, no notes and no summary
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("not positive and finite".to_owned()) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let bar = progress_bar(&args);
    let result = match &*args.key_bits {
        "2048" => aggregate::<Bits2048>(&args, &bar),
        "4096" => aggregate::<Bits4096>(&args, &bar),
        _ => aggregate::<Bits3072>(&args, &bar),
    };
    bar.finish_and_clear();
    match result.and_then(|summary| show(&summary)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the summary to standard output. Whoever reads it may have gone.
fn show(summary: &str) -> Result<(), String> {
    match io::stdout().write_all(summary.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("the mean was written, but no summary: {error}"))
        }
        _ => Ok(()),
    }
}

/// Does everything, and returns what there is to tell.
fn aggregate<S: KeySize>(args: &Args, bar: &ProgressBar) -> Result<String, String> {
    let start = Instant::now();
    let quantizer = quantizer(args);
    let weights = weights(args);
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let text = |problem: model::Problem| problem.to_string();

    bar.set_message("checking files");
    model::check_output(&args.out, &args.updates).map_err(text)?;
    let (checked, models) = timed(|| model::check(&args.updates, args.other_types));
    let models = models.map_err(text)?;
    let first = &models[0];

    bar.set_message("making keys");
    let executor = LocalExecutor::<S>::builder()
        .max_concurrent_clients(1) // one update in memory
        .threads(threads)
        .backend(args.backend.parse().map_err(|error: Error| error.to_string())?)
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
        .build()
        .map_err(|error| error.to_string())?;
    // Read when the executor asks for it, and dropped when its client has sent it.
    let updates = models.iter().map(Model::read);
    let outcome = match &weights {
        None => executor.secure_mean(updates, quantizer),
        Some((weights, max)) => {
            executor.secure_weighted_mean(weights.iter().copied().zip(updates), *max, quantizer)
        }
    };
    let Outcome { value: mean, report } = outcome.map_err(|error| explain(&error, &models))?;

    bar.set_message("comparing");
    let all_weights = weights.as_ref().map(|(weights, _)| &**weights);
    let (compared, deviations) =
        timed(|| compare::deviations(&models, all_weights, &quantizer, &mean).map_err(text));
    let deviations = deviations?;
    if let Some(bad) = deviations.iter().find(|deviation| !deviation.within_bound) {
        // A bug, or a file that was changed behind our back.
        return Err(format!(
            "tensor `{}` is {:e} off the plain mean, beyond the bound of {:e}; nothing was written",
            bad.tensor, bad.largest, bad.bound
        ));
    }

    bar.set_message("writing");
    let (written, result) = timed(|| model::write(&args.out, first, &mean));
    result.map_err(text)?;

    let summary = Summary {
        models: &models,
        out: &args.out,
        quantizer: &quantizer,
        weights: weights.as_ref().map(|(weights, max)| (&**weights, *max)),
        threads,
        report: &report,
        deviations: &deviations,
        own_phases: [("checking files", checked), ("comparing", compared), ("writing", written)],
        elapsed: start.elapsed(),
    };
    Ok(match args {
        Args { json: true, .. } => format!("{}\n", summary.json()),
        Args { quiet: true, .. } => String::new(),
        _ => summary.to_string(),
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn quantizer(args: &Args) -> Quantizer {
    match Quantizer::symmetric(args.clip, args.bits) {
        Ok(quantizer) if args.stochastic => quantizer.stochastic(),
        Ok(quantizer) => quantizer,
        Err(error) => usage(&error.to_string()),
    }
}

/// The weights and their public limit.
fn weights(args: &Args) -> Option<(Vec<u32>, u32)> {
    let weights = args.weights.clone()?;
    let largest = weights.iter().copied().max().unwrap_or(0);
    let (files, found) = (args.updates.len(), weights.len());
    if found != files {
        usage(&format!("{found} weights for {files} files: one for each is needed"));
    }
    if largest == 0 {
        usage("all weights are zero: there is no mean");
    }
    let max = args.max_weight.unwrap_or(largest);
    if largest > max {
        usage(&format!("a weight of {largest} is above --max-weight {max}"));
    }
    Some((weights, max))
}

/// Exits as clap does.
fn usage(message: &str) -> ! {
    Args::command().error(ErrorKind::ValueValidation, message).exit()
}

/// Names files instead of clients.
fn explain(error: &Error, models: &[Model]) -> String {
    match error {
        Error::Client { client, source } => match &**source {
            Error::NoUpdate { reason } => reason.clone(),
            source => format!("{}: {source}", models[*client as usize].path.display()),
        },
        other => other.to_string(),
    }
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(args: &Args) -> ProgressBar {
    let bar = ProgressBar::no_length();
    if args.json || args.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{msg:15} {wide_bar} {pos}/{len} ciphertexts, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of known keys"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
