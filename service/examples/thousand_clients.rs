//! A round of many clients through the service, compared bit by bit with the simulation of the
//! library.
//!
//! ```text
//! cargo run --release -p cipherfold-service --example thousand_clients
//! cargo run --release -p cipherfold-service --example thousand_clients -- --clients 20 --values 2000 --key-bits 2048
//! ```
//!
//! The roles are those of the command line: each client encrypts an update from a file and uploads
//! it to a directory, while the aggregator adds what is there; then the server decrypts, and the
//! library's executor sums the same updates. Means are 64-bit floats, so that two sums that differ
//! by one unit give other bits. Clients work one after the other, so that memory holds only the
//! updates of the clients that work at the moment. The store holds all encrypted updates.
//!
//! **Keys of 512 bits, the default here, protect nothing.** They make the round ten times as fast
//! as keys of 2048 bits.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use chacha20::ChaCha8Rng;
use cipherfold::{
    backend::BackendChoice,
    federated::{LocalExecutor, Party},
    files::UpdateFile,
    ndarray::Array1,
    packing::Quantizer,
    paillier::{Bits2048, KeySize, hazmat::InsecureBits512},
};
use cipherfold_service::{
    Consortium, Home, Store,
    digest::Sha256,
    parties::label,
    progress::Silent,
    roles::{self, Aggregation, NewSession, Submission, Timeout},
    round::{Declaration, OpenRound, OpenSession, unix_time},
};
use clap::Parser;
use rand_core::{Rng, SeedableRng, UnwrapErr};

/// A round of many clients through the service, compared bit by bit with the simulation of the
/// library.
#[derive(Parser)]
struct Args {
    /// Clients
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    clients: u32,
    /// Values of an update, 64-bit floats
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    values: u32,
    /// Bits of the Paillier key: 512, which protects nothing, or 2048
    #[arg(long, default_value_t = 512, value_parser = key_bits)]
    key_bits: u32,
    /// Where homes and the store are [default: a temporary directory]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Have the simulation encrypt, too, instead of adding in the clear
    #[arg(long)]
    encrypted_simulation: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

const CLIP: f64 = 1.0;
const BITS: u32 = 16;

fn key_bits(text: &str) -> Result<u32, String> {
    let bits = text.parse().ok().filter(|bits| [512, 2048].contains(bits));
    bits.ok_or_else(|| "512 or 2048".to_owned())
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let folder = match &args.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let begin = Instant::now();
    let mean = through_the_service(&args, folder.path())?;
    let service = begin.elapsed();
    let begin = Instant::now();
    let simulated = match args.key_bits {
        512 => simulate::<InsecureBits512>(&args)?,
        _ => simulate::<Bits2048>(&args)?,
    };
    println!(
        "{} clients, {} values, {} bits: the service took {:.1} s, the simulation {:.1} s",
        args.clients,
        args.values,
        args.key_bits,
        service.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    );
    println!("digest of the means: service {}, simulation {}", digest(&mean), digest(&simulated));
    let differing = mean.iter().zip(&simulated).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    if differing > 0 || mean.len() != simulated.len() {
        return Err(format!("{differing} of {} values differ", simulated.len()).into());
    }
    println!("all bits are equal");
    Ok(())
}

/// The values of a client, from -1 to 1.
fn update(client: u32, values: u32) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(client.into());
    (0..values)
        .map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX / 2) - 1.0)
        .map(|x| x.min(1.0))
        .collect()
}

fn digest(values: &[f64]) -> Sha256 {
    Sha256::of(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn simulate<S: KeySize>(args: &Args) -> Result<Vec<f64>, Failure> {
    let executor = LocalExecutor::<S>::builder().short_exponents();
    let executor = if args.encrypted_simulation { executor } else { executor.in_the_clear() };
    let updates = (0..args.clients).map(|client| Array1::from(update(client, args.values)));
    Ok(executor.build()?.secure_mean(updates, Quantizer::symmetric(CLIP, BITS)?)?.value.to_vec())
}

fn through_the_service(args: &Args, folder: &Path) -> Result<Vec<f64>, Failure> {
    let home = |party| {
        Home::create(&folder.join(label(party)), &label(party), party, &mut UnwrapErr(getrandom::SysRng))
    };
    let (server, aggregator) = (home(Party::Server)?, home(Party::Aggregator)?);
    let clients =
        (0..args.clients).map(|client| home(Party::Client(client))).collect::<Result<Vec<_>, _>>()?;
    let homes = || [&server, &aggregator].into_iter().chain(&clients);
    let consortium = Consortium::new("many".into(), homes().map(Home::member).collect())?;
    homes().try_for_each(|home| home.adopt(&consortium))?;

    let store = Store::open(&folder.join("store").display().to_string())?;
    let new = NewSession { key_bits: args.key_bits, min_clients: 2, backend: BackendChoice::Auto };
    let session = roles::new_session(&server, &store, new, &Silent)?;
    let session = OpenSession::find(&store, &consortium, Some(session))?;
    roles::announce(&aggregator, &session)?;
    let file = folder.join("update");
    write(&file, &update(0, args.values))?;
    let declaration = Declaration {
        round: 0,
        clip: CLIP,
        bits: BITS,
        max_weight: None,
        max_clients: args.clients,
        min_clients: args.clients,
        chunk_ciphertexts: 2048,
        shards: None,
        deadline: unix_time() + 24 * 3600,
    };
    let round =
        roles::open_round(&server, &session, &declaration, &UpdateFile::open(&file)?, BackendChoice::Auto)?;
    let timeout = Timeout::of(Duration::from_secs(3600));
    thread::scope(|scope| -> Result<(), Failure> {
        let aggregating = scope.spawn(|| {
            let pause = Duration::from_millis(500);
            let aggregation = Aggregation { backend: BackendChoice::Auto, pause, timeout, workers: None };
            roles::aggregate(&aggregator, &round, aggregation, &Silent)
        });
        for (client, home) in (0..).zip(&clients) {
            submit(home, &round, &file, &update(client, args.values), timeout)?;
            if (client + 1) % 50 == 0 {
                eprintln!("{} of {} clients have committed", client + 1, args.clients);
            }
        }
        let ended = aggregating.join().expect("the aggregator does not panic")?;
        assert_eq!(ended.participants.len(), clients.len(), "{:?}", ended.refused);
        Ok(())
    })?;
    let out = folder.join("mean");
    roles::pull(&server, &round, &out, (BackendChoice::Auto, timeout), &Silent)?;
    let (objects, bytes) = store.usage("")?;
    eprintln!("the store has {objects} objects with {} MB", bytes / 1_000_000);
    let mean = UpdateFile::open(&out)?.floats::<f64>()?;
    Ok(mean.iter().flat_map(|tensor| tensor.iter().copied()).collect())
}

fn submit(
    home: &Home,
    round: &OpenRound,
    file: &Path,
    values: &[f64],
    timeout: Timeout,
) -> Result<(), Failure> {
    write(file, values)?;
    let submission = Submission {
        update: file,
        weight: None,
        allow_clipping: false,
        short_exponents: true,
        backend: BackendChoice::Auto,
        timeout,
    };
    roles::submit(home, round, submission, &Silent)?;
    Ok(())
}

/// A safetensors file with one tensor.
fn write(path: &Path, values: &[f64]) -> Result<(), Failure> {
    let (count, end) = (values.len(), 8 * values.len());
    let mut header = String::new();
    write!(header, r#"{{"w":{{"dtype":"F64","shape":[{count}],"data_offsets":[0,{end}]}}}}"#)?;
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    Ok(fs::write(path, bytes)?)
}
