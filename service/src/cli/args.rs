//! Commands and their options.

#![expect(clippy::doc_markdown, reason = "shown as help, without markup")]

#[cfg(feature = "board")]
use std::net::SocketAddr;
use std::{num::NonZeroU32, path::PathBuf};

use cipherfold::{
    backend::BackendChoice,
    federated::{Party, SessionId},
};
use cipherfold_service::{
    digest::Sha256,
    objects::{WorkerIndex, parse_session},
    parties::from_label,
};
use clap::{
    Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

/// Secure sums of model updates between organisations. Clients post encrypted updates to a store,
/// an aggregator adds them, and the server decrypts the mean and no single update.
#[derive(Debug, Parser)]
#[command(name = "cipherfold", version, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  cipherfold demo                                        a whole round between five parties on this machine
  cipherfold demo --key-holder                           the same with a sixth party, which has the secret key
  cipherfold plan --clients 1000 --values 1e9            what a round takes, before anything runs
  cipherfold identity new --home me --name 'Hospital A' --role client-0

Exit status: 0 done, 1 failed, 2 wrong command line, 3 the round ended without this party's part in a sum,
4 the audit found faults, 75 something did not come in time or the store cannot be reached: try again.

Secrets are in files of mode 0600 in the home, or in the environment variable CIPHERFOLD_IDENTITY; never in arguments.")]
pub(crate) struct Args {
    /// Results and notes as JSON, one object on each line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No notes, no progress bar and no results
    #[arg(long, short, global = true, conflicts_with = "json")]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keys of this party
    #[command(subcommand)]
    Identity(Identity),
    /// The list of all organisations and their keys
    #[command(subcommand)]
    Consortium(Consortium),
    /// Sessions: one key pair for many rounds
    #[command(subcommand)]
    Session(Session),
    /// Rounds: one secure mean each
    #[command(subcommand)]
    Round(Round),
    /// Client: encrypt an update and post it
    Submit(Submit),
    /// Aggregator: count clients, close the round, add
    Aggregate(Aggregate),
    /// Aggregator: one of several workers, each with some shards of every update
    Fold(Fold),
    /// Server: take the sums, decrypt them or have the key holder decrypt them, write the mean
    Pull(Pull),
    /// Key holder: decrypt the masked sums of a round, or of all rounds as they end
    #[command(after_help = "\
Examples:
  cipherfold decrypt --home key-holder --watch           answer the server in every round, until stopped
  cipherfold decrypt --home key-holder --round 3         answer in round 3, and exit

The key holder answers one request for each round. It checks that the aggregator has signed the sum, that all clients in it have
signed their commitments, and that there are as many as the session demands. It learns masked numbers.")]
    Decrypt(Decrypt),
    /// The state of a session's rounds
    Status(At),
    /// The costs of a round, before anything runs
    Plan(Plan),
    /// Check all signatures and digests of a session in the store; with the aggregator's home
    /// compute the sums again
    Audit(Audit),
    /// Serve a store to the other parties over HTTPS
    #[cfg(feature = "board")]
    Board(Board),
    /// A whole round between several parties on this machine, step by step
    Demo(Demo),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Make the keys of a party in a new home, and print its lines for consortium.toml
    New {
        #[command(flatten)]
        home: HomeArg,
        /// The organisation's name, for people
        #[arg(long)]
        name: String,
        /// server, aggregator, key-holder, or client-0, client-1, …
        #[arg(long, value_parser = |text: &str| from_label(text).ok_or("server, aggregator, key-holder or client-N"))]
        role: Party,
    },
    /// Print the party's lines for consortium.toml again
    Show {
        #[command(flatten)]
        home: HomeArg,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Consortium {
    /// Check a consortium.toml and print its digest, which all organisations compare
    Digest {
        /// The file
        file: PathBuf,
    },
    /// Trust a consortium.toml whose digest was compared with the others, for example by telephone
    Pin {
        #[command(flatten)]
        home: HomeArg,
        /// The file
        file: PathBuf,
        /// The digest that was compared
        #[arg(long)]
        digest: Sha256,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Make a key pair, keep the secret key in the home, and declare the session: the key holder if
    /// there is one, else the server
    New {
        #[command(flatten)]
        home: HomeArg,
        #[command(flatten)]
        store: StoreArg,
        /// Bits of the Paillier key
        #[arg(long, default_value = "3072", value_name = "BITS", value_parser = key_bits())]
        key_bits: u32,
        /// The minimum number of clients of every round
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
        min_clients: u32,
        #[command(flatten)]
        backend: BackendArg,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Round {
    /// Server: declare a round that averages the tensors of a model
    Open(OpenArgs),
    /// Server: remove contributions and sums of a round that was saved or aborted. Signed objects
    /// stay
    Remove {
        #[command(flatten)]
        home: HomeArg,
        #[command(flatten)]
        store: StoreArg,
        #[command(flatten)]
        session: SessionArg,
        /// The round
        #[arg(long)]
        round: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) home: HomeArg,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// A model with the names, types and shapes of the updates. Its values are not used
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// The round's number [default: the next one]
    #[arg(long)]
    pub(crate) round: Option<u64>,
    /// Bound of the values: those beyond ±CLIP count as ±CLIP, if a client allows that
    #[arg(long, default_value_t = 1.0)]
    pub(crate) clip: f64,
    /// Bits of a quantised value: the grid has 2^BITS - 1 points from -CLIP to CLIP
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=48))]
    pub(crate) bits: u32,
    /// The maximum weight of a client, in a round with weights
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_weight: Option<u32>,
    /// The minimum number of clients [default: that of the session]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) min_clients: Option<u32>,
    /// The maximum number of clients [default: all of the consortium]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_clients: Option<u32>,
    /// Seconds until the round closes, by the aggregator's clock
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub(crate) deadline: u64,
    /// Number of objects of an update [default: about 4 MiB each]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) shards: Option<u32>,
    /// Ciphertexts of a message [default: depends on the backend]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) chunk: Option<u32>,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) at: At,
    /// The update: a safetensors file, the index of a sharded model, or a directory with either
    pub(crate) update: PathBuf,
    /// The client's weight, in a round with weights, for example its number of training examples
    #[arg(long)]
    pub(crate) weight: Option<u32>,
    /// Values beyond the round's bound count as the bound
    #[arg(long)]
    pub(crate) allow_clipping: bool,
    /// Encrypt about four times as fast, under a further assumption: see the library's
    /// documentation of `Exponents`
    #[arg(long)]
    pub(crate) short_exponents: bool,
    /// Wait until the round has ended, and fail if the update is not in the sum
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArg,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Aggregate {
    #[command(flatten)]
    pub(crate) at: At,
    /// Seconds between two reads of the store
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) poll: f64,
    /// Number of workers (`cipherfold fold`) that add instead of this process
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArg,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fold {
    #[command(flatten)]
    pub(crate) at: At,
    /// The worker's index: I/N, with I from 0 to N - 1. All N run together with
    /// `cipherfold aggregate --workers N`
    #[arg(long, env = "CIPHERFOLD_SHARD", value_name = "I/N", value_parser = worker)]
    pub(crate) shard: WorkerIndex,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArg,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) at: At,
    /// The output file of the mean
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArg,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Decrypt {
    #[command(flatten)]
    pub(crate) at: At,
    /// Answer the server in every round of the session, until the process is stopped
    #[arg(long, conflicts_with = "round")]
    pub(crate) watch: bool,
    /// Seconds between two reads of the store with --watch
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) poll: f64,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArg,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Maximum number of clients
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clients: u32,
    /// Values of an update: 1000000, or 1e6
    #[arg(long, value_parser = count)]
    pub(crate) values: u64,
    /// Bits of a quantised value
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=48))]
    pub(crate) bits: u32,
    /// Bits of the Paillier key
    #[arg(long, default_value = "3072", value_name = "BITS", value_parser = key_bits())]
    pub(crate) key_bits: u32,
    /// The maximum weight of a client, in a round with weights
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_weight: Option<u32>,
    /// Ciphertexts of a message
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) chunk: u32,
    /// Rate of the network at the store, in Gb/s
    #[arg(long, value_name = "GBITS", value_parser = positive)]
    pub(crate) network: Option<f64>,
    /// Encryptions, additions and decryptions a second, as measured by
    /// `cargo run --release --example throughput`
    #[arg(long, num_args = 3, value_names = ["ENCRYPTIONS", "ADDITIONS", "DECRYPTIONS"], value_parser = positive)]
    pub(crate) rates: Option<Vec<f64>>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// The home of any party. With the aggregator's home, sums are computed again. Without a home,
    /// use --consortium and --digest
    #[arg(long, value_name = "DIRECTORY", required_unless_present = "consortium")]
    pub(crate) home: Option<PathBuf>,
    /// A consortium.toml, for an auditor without a home
    #[arg(long, value_name = "FILE", requires = "digest", conflicts_with = "home")]
    pub(crate) consortium: Option<PathBuf>,
    /// The digest of that file, compared with the organisations
    #[arg(long, requires = "consortium")]
    pub(crate) digest: Option<Sha256>,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

#[cfg(feature = "board")]
#[derive(Debug, clap::Args)]
pub(crate) struct Board {
    #[command(flatten)]
    pub(crate) home: HomeArg,
    /// The store of the objects: a directory, or s3://bucket/prefix
    #[arg(long, env = "CIPHERFOLD_STORE", value_name = "ADDRESS")]
    pub(crate) store: String,
    /// The address for parties, with TLS 1.3 and the keys of the consortium
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// The address of health, metrics and the status page, without TLS, for this machine or a
    /// trusted network
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) operations: Option<SocketAddr>,
    /// Attempts of a client in a round, each with all bytes of an update
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempts: u32,
    /// Megabytes that all objects of the store may have together. Objects that end a round are
    /// accepted even then [default: no limit]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) capacity: Option<u64>,
    /// Maximum megabytes of objects in transfer at the same time; further requests must be retried
    #[arg(long, default_value_t = 64, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) memory: u64,
    /// Connections at the same time
    #[arg(long, default_value_t = 4096)]
    pub(crate) connections: usize,
    /// Requests of one party at the same time
    #[arg(long, default_value_t = 8)]
    pub(crate) requests_per_party: usize,
    /// The log as JSON, one object on each line
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Directory for the homes and the store, which are kept. By default they are in memory and in
    /// a temporary directory
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Clients
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub(crate) clients: u32,
    /// A key holder separate from the server has the secret key
    #[arg(long)]
    pub(crate) key_holder: bool,
    /// Values of an update
    #[arg(long, default_value = "20000", value_parser = count)]
    pub(crate) values: u64,
    /// Bits of the Paillier key
    #[arg(long, default_value = "2048", value_name = "BITS", value_parser = key_bits())]
    pub(crate) key_bits: u32,
    #[command(flatten)]
    pub(crate) backend: BackendArg,
}

/// Options of a party's commands for a round in a store.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    #[command(flatten)]
    pub(crate) home: HomeArg,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) session: SessionArg,
    /// The round [default: the latest one]
    #[arg(long)]
    pub(crate) round: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HomeArg {
    /// The party's directory: keys, pinned consortium, sessions
    #[arg(long, env = "CIPHERFOLD_HOME", value_name = "DIRECTORY")]
    pub(crate) home: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StoreArg {
    /// A directory, https://host:port of a board, or s3://bucket/prefix (keys as the AWS tools have
    /// them in the environment)
    #[arg(long, env = "CIPHERFOLD_STORE", value_name = "ADDRESS")]
    pub(crate) store: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SessionArg {
    /// The session, 32 hexadecimal digits [default: the only one of the store]
    #[arg(long, env = "CIPHERFOLD_SESSION", value_parser = |text: &str| parse_session(text).ok_or("32 hexadecimal digits"))]
    pub(crate) session: Option<SessionId>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TimeoutArg {
    /// Seconds to wait for other parties
    #[arg(long, default_value_t = 3600.0, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: f64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackendArg {
    /// The backend
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = backend())]
    pub(crate) backend: BackendChoice,
}

fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    PossibleValuesParser::new(BackendChoice::NAMES).map(|name| name.parse().expect("a choice's own name"))
}

fn key_bits() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["2048", "3072", "4096"]).map(|bits| bits.parse().expect("digits"))
}

fn worker(text: &str) -> Result<WorkerIndex, String> {
    let found = text
        .split_once('/')
        .and_then(|(index, count)| WorkerIndex::new(index.parse().ok()?, count.parse().ok()?));
    found.ok_or_else(|| "I/N with I from 0 to N - 1".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    seconds.ok_or_else(|| "from 0.01 to 1e9 seconds".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a positive number".to_owned())
}

/// A whole number, which may be written as `1e9`.
fn count(text: &str) -> Result<u64, String> {
    let wrong = || "a whole number from 1 on, such as 1000000 or 1e6".to_owned();
    if let Ok(number) = text.parse() {
        return if number == 0 { Err(wrong()) } else { Ok(number) };
    }
    let number: f64 = text.parse().map_err(|_| wrong())?;
    // Whole numbers of this size are exact.
    if (1.0..=9e15).contains(&number) && number.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, and whole")]
        return Ok(number as u64);
    }
    Err(wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn counts_may_have_exponents() {
        assert_eq!([count("1e9"), count("20000"), count("1.5e3")], [Ok(1_000_000_000), Ok(20_000), Ok(1500)]);
        for other in ["0", "-1", "1.5", "1e99", "nan", ""] {
            assert!(count(other).is_err(), "{other}");
        }
    }
}
