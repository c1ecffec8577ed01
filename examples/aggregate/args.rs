//! The command line.

#![expect(clippy::doc_markdown, reason = "shown as help, without markup")]

use std::path::PathBuf;

use cipherfold::backend::BackendChoice;
use clap::{CommandFactory, Parser, ValueEnum, builder::PossibleValuesParser, error::ErrorKind};

use crate::shared::backend::backend;

/// The secure mean of model updates: every client's file is encrypted, and only their sum is
/// decrypted.
///
/// Floating-point tensors are averaged: F64, F32, F16, BF16, F8_E4M3, F8_E5M2 and their FNUZ
/// variants, and the parts of C64. The mean is rounded to the type of the file, to nearest, and
/// never to an infinity. The maxima of the 8-bit types are 448, 57344, 240 and 57344, in this
/// order. --other-types selects the treatment of integers. The files are read three times: for the
/// checks, for encryption, and for the plain mean, which is compared with the result.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate switch")]
#[command(name = "aggregate", version)]
#[command(
    after_help = "Exit status: 0 if the mean was written, 1 if it was not, 2 if the command line is wrong."
)]
pub(crate) struct Args {
    /// Updates, one for each client: a safetensors file, the index of a sharded model
    /// (model.safetensors.index.json), or a directory with either. The mean is one file, with the
    /// tensors of the first update in their order, and with the metadata that all updates share
    #[arg(required = true, value_name = "FILE")]
    pub(crate) updates: Vec<PathBuf>,
    /// Output file of the mean. Replaced if it exists, unless it is one of the updates. For a
    /// symbolic link, its target is written
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Bits of a quantised value, 2 to 48: the grid has 2^BITS - 1 points from -CLIP to CLIP
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=48))]
    pub(crate) bits: u32,
    /// Bound of the values: CLIP for all tensors, or PATTERN=CLIP for those whose names match (*
    /// stands for any text, ? for any letter; the first pattern that matches counts; may be given
    /// more than once) [default: 1.0]. Values beyond the bound are an error, unless
    /// --allow-clipping is set. CLIP is a number, or "auto": the clients find the smallest power of
    /// two that bounds each tensor by secure sums. The server learns that power for each tensor,
    /// and the number of clients that share its leading bits, but not which clients
    #[arg(long, value_name = "CLIP", allow_hyphen_values = true)]
    pub(crate) clip: Vec<String>,
    /// Values beyond ±CLIP count as ±CLIP, and the summary states their number
    #[arg(long, requires = "clip")]
    pub(crate) allow_clipping: bool,
    /// A public model from which all updates started: differences to it are averaged, and their
    /// mean is added to it. Bounds apply to the differences
    #[arg(long, value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,
    /// Round up or down at random, so that errors of many clients cancel out; doubles the maximum
    /// error
    #[arg(long)]
    pub(crate) stochastic: bool,
    /// Weights: numbers from 0, separated by commas, one for each file, for example the client's
    /// number of training examples. Fractions become whole numbers with the same ratios: exactly if
    /// 32 bits are enough, otherwise rounded to 24 bits
    #[arg(long, value_name = "WEIGHT,…", allow_hyphen_values = true)]
    pub(crate) weights: Option<String>,
    /// Public limit of the weights. Its bits plus BITS are at most 64. A larger limit makes every
    /// value larger [default: the largest weight]
    #[arg(long, requires = "weights", value_name = "WEIGHT", allow_hyphen_values = true)]
    pub(crate) max_weight: Option<String>,
    /// Tensors of other types: integers, truth values, and parts of block formats (F4, F6, F8_E8M0)
    #[arg(long, value_enum, default_value_t = OtherTypes::Same, value_name = "WHAT")]
    pub(crate) other_types: OtherTypes,
    /// Bits of the Paillier key
    #[arg(long, default_value = "3072", value_name = "BITS", value_parser = PossibleValuesParser::new(["2048", "3072", "4096"]))]
    pub(crate) key_bits: String,
    /// A key of 512 bits, which anyone can break within a day: for tests
    #[arg(long, hide = true)]
    pub(crate) insecure_test_key: bool,
    /// Paillier backend
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = backend())]
    pub(crate) backend: BackendChoice,
    /// Threads for encryption, addition and decryption [default: all of the machine]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// The summary as one JSON object; times are in seconds
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress bar, no notes and no summary
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

/// The treatment of tensors without a floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OtherTypes {
    /// Refuse the files, and name the tensor
    Refuse,
    /// Keep them if they are the same in all files, refuse them otherwise
    Same,
    /// Integers: their secure mean, with the weights, rounded to the nearest integer, halves up
    Mean,
    /// Integers: their secure maximum, found bit by bit from secure sums. The server learns the
    /// maximum, and for each leading part of it the number of clients that share it, but not which
    /// clients. Clients of weight zero do not count
    Max,
    /// Copy those of the first file. They are then not hidden: every reader of the mean sees this
    /// part of the first client's file
    First,
}

/// Exits like clap.
pub(crate) fn usage(message: &str) -> ! {
    Args::command().error(ErrorKind::ValueValidation, message).exit()
}
