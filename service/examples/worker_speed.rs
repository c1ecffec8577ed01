//! Measures how much faster two workers add than one.
//!
//! ```text
//! cargo build --release -p cipherfold-service
//! cargo run --release -p cipherfold-service --example worker_speed -- --program target/release/cipherfold
//! ```
//!
//! Makes a round of real contributions, has it summed once, and then again by `cipherfold fold`: by
//! one process with all shards, and by two at the same time with half of the shards each. Every
//! process has one processor core (by `taskset`), as if each ran on a separate machine: without
//! that, a single process reads on one core and adds on the other. Runs alternate, and the best
//! ones count. Wall-clock time needs two idle cores. Processor time does not: it shows how much
//! less work each of two workers has, independent of other load.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cipherfold::{backend::BackendChoice, federated::Party, files::UpdateFile};
use cipherfold_service::{
    Consortium, Home, Store,
    objects::{RoundKey, WorkerIndex},
    parties::label,
    progress::Silent,
    roles::{self, Aggregation, NewSession, Submission, Timeout},
    round::{Declaration, OpenRound, OpenSession, unix_time},
};
use clap::Parser;
use rand_core::UnwrapErr;

/// Measures how much faster two workers add than one.
#[derive(Parser)]
struct Args {
    /// The program
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Clients
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Values of an update
    #[arg(long, default_value_t = 2_000_000)]
    values: usize,
    /// Bits of the Paillier key
    #[arg(long, default_value_t = 2048)]
    key_bits: u32,
    /// How often each way is measured
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Where homes and the store are [default: a temporary directory]
    #[arg(long)]
    directory: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let folder = match &args.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let round = summed(&args, folder.path())?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        one.push(fold(&args, folder.path(), &round, 1)?);
        two.push(fold(&args, folder.path(), &round, 2)?);
    }
    println!(
        "{} clients, {} values, {} bits, {} shards; the best of {} runs",
        args.clients,
        args.values,
        args.key_bits,
        round.shards(),
        args.runs
    );
    show("wall clock", one.iter().map(|run| run.wall), two.iter().map(|run| run.wall));
    show(
        "processor time of the busiest worker",
        one.iter().map(|run| run.processor),
        two.iter().map(|run| run.processor),
    );
    Ok(())
}

/// Prints the best times of one and of two workers.
fn show(name: &str, one: impl Iterator<Item = Duration>, two: impl Iterator<Item = Duration>) {
    let (one, two) =
        (one.min().unwrap_or_default().as_secs_f64(), two.min().unwrap_or_default().as_secs_f64());
    println!("{name}: one worker {one:.2} s, two {two:.2} s, ratio {:.2}", one / two);
}

struct Run {
    /// From the start of the first to the end of the last worker.
    wall: Duration,
    /// That of the slower worker.
    processor: Duration,
}

/// Sums all shards in `count` processes at the same time.
fn fold(args: &Args, folder: &Path, round: &OpenRound, count: u32) -> Result<Run, Failure> {
    let store = Store::open(&folder.join("store").display().to_string())?;
    for index in 0..count {
        // Otherwise, shards that an earlier run has signed would count as done.
        let index = WorkerIndex::new(index, count).expect("below the count");
        store.remove(&round.key(RoundKey::Folded(index)))?;
    }
    let begin = Instant::now();
    let workers = (0..count).map(|index| {
        Command::new("taskset")
            .args(["--cpu-list", &index.to_string()])
            .arg(&args.program)
            .args(["fold", "--quiet", "--shard", &format!("{index}/{count}"), "--home"])
            .arg(folder.join("aggregator"))
            .arg("--store")
            .arg(folder.join("store"))
            .env("RAYON_NUM_THREADS", "1")
            .stdout(Stdio::null())
            .spawn()
    });
    let workers = workers.collect::<Result<Vec<Child>, _>>()?;
    let mut processor = Duration::ZERO;
    for mut worker in workers {
        let before = processor_time_of_children()?;
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
        processor = processor.max(processor_time_of_children()?.saturating_sub(before));
    }
    Ok(Run { wall: begin.elapsed(), processor })
}

/// The processor time of all children that have ended, which Linux reports in hundredths of a
/// second.
fn processor_time_of_children() -> Result<Duration, Failure> {
    let status = fs::read_to_string("/proc/self/stat")?;
    let fields = status.rsplit_once(')').ok_or("no end of the name")?.1;
    let ticks = fields.split_whitespace().skip(13).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

/// A round that has its sums.
fn summed(args: &Args, folder: &Path) -> Result<OpenRound, Failure> {
    let home = |party| {
        Home::create(&folder.join(label(party)), &label(party), party, &mut UnwrapErr(getrandom::SysRng))
    };
    let (server, aggregator) = (home(Party::Server)?, home(Party::Aggregator)?);
    let clients =
        (0..args.clients).map(|client| home(Party::Client(client))).collect::<Result<Vec<_>, _>>()?;
    let homes = || [&server, &aggregator].into_iter().chain(&clients);
    let consortium = Consortium::new("speed".into(), homes().map(Home::member).collect())?;
    // Workers are separate processes.
    aggregator.pin(&consortium.to_toml(), consortium.digest())?;
    homes().try_for_each(|home| home.adopt(&consortium))?;
    let store = Store::open(&folder.join("store").display().to_string())?;
    let new = NewSession { key_bits: args.key_bits, min_clients: 2, backend: BackendChoice::Auto };
    let session = roles::new_session(&server, &store, new, &Silent)?;
    let session = OpenSession::find(&store, &consortium, Some(session))?;
    roles::announce(&aggregator, &session)?;

    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#,
        args.values,
        4 * args.values
    );
    let update = folder.join("update");
    let bytes =
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; 4 * args.values]].concat();
    fs::write(&update, bytes)?;
    let declaration = Declaration {
        round: 0,
        clip: 1.0,
        bits: 16,
        max_weight: None,
        max_clients: args.clients,
        min_clients: args.clients,
        chunk_ciphertexts: 256,
        shards: Some(8),
        deadline: unix_time() + 24 * 3600,
    };
    let round =
        roles::open_round(&server, &session, &declaration, &UpdateFile::open(&update)?, BackendChoice::Auto)?;
    let timeout = Timeout::of(Duration::from_secs(3600));
    for client in &clients {
        let submission = Submission {
            update: &update,
            weight: None,
            allow_clipping: false,
            short_exponents: true,
            backend: BackendChoice::Auto,
            timeout,
        };
        roles::submit(client, &round, submission, &Silent)?;
    }
    let aggregation = Aggregation {
        backend: BackendChoice::Auto,
        pause: Duration::from_millis(100),
        timeout,
        workers: None,
    };
    roles::aggregate(&aggregator, &round, aggregation, &Silent)?;
    Ok(round)
}
