//! One round in which every role stands alone: two clients, an aggregator, a server and a key holder that exchange bytes.
//!
//! ```text
//! cargo run --example roles                                 all five in threads of this process
//! cargo run --example roles -- --directory target/round     the same, through files that stay to be looked at
//! cargo run --example roles -- --directory DIR --party NAME one of them: run this in five terminals, `setup` first
//! ```
//!
//! Names of parties are `client-0`, `client-1`, `aggregator`, `server` and `key-holder`. What they post lies in the directory:
//! a relay, a bucket or a bulletin board could carry it, since nothing there tells anything but who takes part, and sizes.

mod mailbox;
mod parties;

use std::{path::PathBuf, thread, time::Duration};

use cipherfold::{Result, federated::Party};
use clap::Parser;

use mailbox::Mailbox;

/// One round between parties that exchange bytes.
#[derive(Parser)]
struct Options {
    /// Where messages lie. By default a temporary directory.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// `setup`, or the party to be.
    #[arg(long)]
    party: Option<String>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = options.directory.unwrap_or_else(|| temporary.path().to_owned());
    let mailbox = Mailbox::new(&directory, Duration::from_secs(60));
    if let Some(name) = options.party {
        return match name.as_str() {
            "setup" => parties::set_up(&mailbox),
            name => {
                run(parties::named(name).unwrap_or_else(|| panic!("no party is called {name}")), &mailbox)
            }
        };
    }
    parties::set_up(&mailbox)?;
    thread::scope(|scope| {
        let run = |party| {
            scope.spawn({
                let mailbox = &mailbox;
                move || run(party, mailbox)
            })
        };
        let running = parties::ALL.map(run);
        running.into_iter().try_for_each(|party| party.join().expect("parties do not panic"))
    })
}

/// Plays a party's part.
fn run(party: Party, mailbox: &Mailbox) -> Result<()> {
    match party {
        Party::Client(number) => parties::client(number, &update(number), mailbox),
        Party::Aggregator => parties::aggregator(mailbox),
        Party::KeyHolder => parties::key_holder(mailbox),
        Party::Server => {
            let result = parties::server(mailbox)?;
            let mean: ndarray::ArrayD<f32> = parties::mean(result);
            println!("the server's result, a mean over both clients: {mean}");
            assert!((mean[[0]] - 0.25).abs() < 1e-4 && (mean[[1]] + 0.5).abs() < 1e-4);
            Ok(())
        }
    }
}

/// What a client has: nobody else sees it.
fn update(client: u32) -> Vec<f32> {
    let mut update = vec![0.0; parties::VALUES];
    update[0] = if client == 0 { 1.0 } else { -0.5 };
    update[1] = -0.5;
    update
}
