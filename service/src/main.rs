//! The command `cipherfold`: rounds between organisations that exchange objects through a store.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
