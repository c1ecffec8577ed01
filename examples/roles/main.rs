//! One round with separate roles: two clients, an aggregator, a server and a key holder exchange
//! bytes.
//!
//! ```text
//! cargo run --example roles                                    all five in threads of this process
//! cargo run --example roles -- --directory target/round        the same, through files that stay to be looked at
//! cargo run --example roles -- --directory DIR --party setup   then the parties, each in a terminal of its own:
//! cargo run --example roles -- --directory DIR --party server
//! ```
//!
//! Parties are `client-0`, `client-1`, `aggregator`, `server` and `key-holder`. Their messages are
//! in the directory. A relay, a bucket or a bulletin board could transport them, because they
//! reveal only the participants and sizes. Only the folders `secret` and `trusted` must not go to a
//! relay.

#[path = "../common"]
mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
}
mod mailbox;
mod parties;

use std::{error::Error, io::Write, path::PathBuf, process::ExitCode, thread, time::Duration};

use cipherfold::federated::Party;
use mailbox::{Failure, Mailbox};

/// One round between five parties that exchange bytes: two clients, an aggregator, a server, a key
/// holder.
#[derive(clap::Parser)]
#[command(name = "roles")]
struct Args {
    /// Directory for the messages [default: a temporary one]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The party to run, or `setup` [default: all parties]
    #[arg(long, requires = "directory", value_parser = ["setup", "client-0", "client-1", "aggregator", "server", "key-holder"])]
    party: Option<String>,
}

fn main() -> ExitCode {
    common::cli::run(|args: &Args, out| {
        let temporary = tempfile::tempdir()?;
        let directory = args.directory.as_deref().unwrap_or(temporary.path());
        let mailbox = Mailbox::new(directory, Duration::from_secs(60));
        let mean = match args.party.as_deref() {
            Some("setup") => parties::set_up(&mailbox).map(|()| None),
            Some(name) => play(parties::named(name).expect("one of the possible values"), &mailbox),
            None => play_all(&mailbox),
        };
        if let Some(mean) = mean.map_err(|failure| -> Box<dyn Error> { failure })? {
            writeln!(out, "the mean of both clients' first values, as the server has it: {mean:?}")?;
        }
        Ok(())
    })
}

/// Runs all parties at the same time. Returns the first values of the mean.
fn play_all(mailbox: &Mailbox) -> Result<Option<[f32; 2]>, Failure> {
    parties::set_up(mailbox)?;
    let found: Vec<_> = thread::scope(|scope| {
        let playing = parties::ALL.map(|party| scope.spawn(move || play(party, mailbox)));
        playing.map(|party| party.join().expect("parties do not panic")).into()
    });
    let found: Vec<_> = found.into_iter().collect::<Result<_, _>>()?;
    let mean = found.into_iter().flatten().next().expect("the server has a result");
    assert!((mean[0] - 0.25).abs() < 1e-4 && (mean[1] + 0.5).abs() < 1e-4);
    Ok(Some(mean))
}

/// Runs one party. The server returns the mean.
fn play(party: Party, mailbox: &Mailbox) -> Result<Option<[f32; 2]>, Failure> {
    match party {
        Party::Client(number) => parties::client(number, &update(number), mailbox)?,
        Party::Aggregator => parties::aggregator(mailbox)?,
        Party::KeyHolder => parties::key_holder(mailbox)?,
        Party::Server => {
            let mean = parties::mean::<f32>(parties::server(mailbox)?);
            return Ok(Some([mean[[0]], mean[[1]]]));
        }
    }
    Ok(None)
}

/// The update of one client. It leaves the client only encrypted.
fn update(client: u32) -> Vec<f32> {
    let mut update = vec![0.0; parties::VALUES];
    update[0] = if client == 0 { 1.0 } else { -0.5 };
    update[1] = -0.5;
    update
}
