//! The secure mean of model updates in files, one update for each client.
//!
//! ```text
//! cargo run --release --example aggregate -- --bits 16 --clip auto --out mean.safetensors a.safetensors b.safetensors
//! ```
//!
//! Simulates a round on this machine, with the real cryptography: each update is a client, who quantises, packs and
//! encrypts it; the aggregator multiplies ciphertexts; the server decrypts the sum. An update is a safetensors file, or a
//! sharded model: the index beside its shards. The mean is one file, with the names, shapes and types of the first
//! update, and the metadata that all updates have in common. Other updates must have the same tensors, in any order. No
//! tensor is taken from a single client's file unless `--other-types first` asks for it.
//!
//! All files are read and checked before the work begins, and so is the output's name. The mean is compared with the plain
//! one, computed from the files, and written to a temporary file beside the output, which takes its name when it is complete.
//! So if anything fails, and whenever the run is interrupted, the output's name leads to a whole mean or to the old file. (Killed in the very moment of writing, by the one signal that cannot be caught, it leaves a hidden file
//! `.cipherfold-….tmp`.)
//!
//! Damage that a file's length and header do not show is not noticed: the format has no checksums. NaN and infinity are refused, and
//! so are values beyond the bounds, unless clipping is asked for and allowed.
//!
//! # Memory
//!
//! One update as F32 (4 bytes a parameter), or as F64 if any tensor is, whatever the number of files and their types; and
//! the sum: one ciphertext, a quarter of a byte for each bit of the key, for as many parameters as share one (the summary
//! states both). While the sum is decrypted, the mean takes the place of the update. Integers that are averaged take 8 bytes a
//! value (16 for types of 64 bits), and twice as much for their sum. Beside that some tens of megabytes: the table that speeds
//! up encryption, 512 ciphertexts on their way, blocks of files.

mod args;
mod check;
mod compare;
mod integers;
mod maximum;
mod ranges;
mod run;
mod signals;
mod summary;
mod terminal;
mod updates;
mod weights;

#[path = "../common"]
mod shared {
    pub(crate) mod backend;
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod plural;
    pub(crate) mod progress;
}

use std::{io::Write, process::ExitCode};

use cipherfold::paillier::{Bits2048, Bits3072, Bits4096, hazmat::InsecureBits512};

use args::Args;
use run::Run;

fn main() -> ExitCode {
    shared::cli::run(|args: &Args, out| {
        signals::watch();
        let bar = terminal::progress_bar(args.json || args.quiet);
        let run = Run::new(args, &bar);
        let summary = match &*args.key_bits {
            _ if args.insecure_test_key => run.aggregate::<InsecureBits512>(),
            "2048" => run.aggregate::<Bits2048>(),
            "4096" => run.aggregate::<Bits4096>(),
            _ => run.aggregate::<Bits3072>(),
        };
        bar.finish_and_clear();
        write!(out, "{}", summary?)?;
        Ok(())
    })
}
