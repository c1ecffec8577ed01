//! The command `cipherfold`: rounds between organisations that exchange objects through a store.

mod args;
#[cfg(feature = "board")]
mod board;
mod commands;
mod demo;
mod output;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use args::Args;
use output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json, args.quiet);
    match commands::run(&args, &output) {
        Ok(code) => code,
        Err(failure) => {
            output.clear();
            let text = output::escaped(&failure);
            // If standard error is closed too, the error cannot be reported.
            let _ = if args.json {
                let object =
                    serde_json::json!({ "error": failure.to_string(), "exit_code": failure.exit_code() });
                writeln!(std::io::stderr(), "{}", output::ascii(&object))
            } else {
                writeln!(std::io::stderr(), "error: {text}")
            };
            ExitCode::from(failure.exit_code())
        }
    }
}
