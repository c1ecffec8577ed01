//! The secure mean of model updates in files, one update for each client.
//!
//! ```text
//! cargo run --release --example aggregate -- --bits 16 --clip auto --out mean.safetensors a.safetensors b.safetensors
//! ```
//!
//! Simulates a round on this machine, with the real cryptography. Each update belongs to a client,
//! which quantises, packs and encrypts it. The aggregator multiplies ciphertexts. The server
//! decrypts the sum. An update is a safetensors file, or a sharded model: the index beside its
//! shards. The mean is one file, with the names, shapes and types of the first update, and the
//! metadata that all updates share. Other updates must have the same tensors, in any order. No
//! tensor is copied from a single client's file, except with `--other-types first`.
//!
//! All files, and the output's name, are checked before the work begins. The mean is compared with
//! the plain mean, which is computed from the files. It is written to a temporary file beside the
//! output, which takes the output's name when it is complete. If the run fails or is interrupted,
//! the output's name therefore refers to a complete mean or to the old file. (If SIGKILL ends the
//! program while it writes, a hidden file `.cipherfold-….tmp` remains.)
//!
//! The format has no checksums: damage that keeps a file's length and header is not detected. NaN
//! and infinity are refused. Values beyond the bounds are refused too, unless clipping is allowed.
//!
//! # Memory
//!
//! - One update as F32 (4 bytes for each parameter), or as F64 if any tensor has that type, for any
//!   number of files. During decryption, the mean replaces the update.
//! - The sum. A ciphertext takes a quarter of a byte for each bit of the key, and holds several
//!   parameters (the summary states both numbers).
//! - Averaged integers take 8 bytes for each value (16 for types of 64 bits), and twice as much for
//!   their sum.
//! - Some tens of megabytes for the table that accelerates encryption, 512 ciphertexts in transit,
//!   and blocks of files.

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
