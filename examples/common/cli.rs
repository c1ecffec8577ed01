//! The frame of an example: command line, output and exit code.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Arg, Parser, error::ContextValue};

use super::escape::escaped;

/// The reason why an example ends early.
pub(crate) type Failure = Box<dyn Error>;

/// Parses the command line and runs an example.
///
/// `--help` and `--version` work everywhere. An error is printed to standard error by its
/// `Display`, and the exit code is 1. A wrong command line gives exit code 2. If standard output is
/// closed (`| head -1`), the example ends quietly.
pub(crate) fn run<A: Parser>(example: impl FnOnce(&A, &mut Output) -> Result<(), Failure>) -> ExitCode {
    // `--clip -3` is a wrong value, not an unknown argument `-3`.
    let negative = |arg: Arg| {
        let takes_values = arg.get_action().takes_values();
        if takes_values { arg.allow_negative_numbers(true) } else { arg }
    };
    let command = A::command().version(env!("CARGO_PKG_VERSION")).mut_args(negative);
    let args = match command.try_get_matches().and_then(|mut found| A::from_arg_matches_mut(&mut found)) {
        Ok(args) => args,
        Err(error) => escape_arguments(error.with_cmd(&A::command())).exit(),
    };
    let done = example(&args, &mut Output).and_then(|()| Ok(Output.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed too, the error cannot be reported.
            let _ = writeln!(io::stderr(), "error: {}", escaped(error));
            ExitCode::FAILURE
        }
    }
}

/// Standard output. Its errors name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(|error| named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(|error| named(&error))
    }
}

fn named(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output cannot be written: {error}"))
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Escapes the parts of a usage error that repeat the command line.
fn escape_arguments(mut error: clap::Error) -> clap::Error {
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in context {
        match value {
            ContextValue::String(text) => {
                error.insert(kind, ContextValue::String(escaped(text)));
            }
            ContextValue::Strings(texts) => {
                error.insert(kind, ContextValue::Strings(texts.into_iter().map(escaped).collect()));
            }
            // Suggestions.
            ContextValue::StyledStr(text) => {
                error.insert(kind, ContextValue::StyledStr(escaped(text).into()));
            }
            ContextValue::StyledStrs(texts) => {
                let texts = texts.into_iter().map(|text| escaped(text).into()).collect();
                error.insert(kind, ContextValue::StyledStrs(texts));
            }
            _ => {}
        }
    }
    error
}
