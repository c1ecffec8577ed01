//! A whole round on this machine. Every party has its own home and its own thread, and all share
//! one store.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cipherfold::{
    backend::BackendChoice,
    federated::Party,
    files::{Output, UpdateFile},
};
use cipherfold_service::{
    Consortium, Error, Home, Result, Store,
    file_error::FileError,
    inspect::audit,
    parties::label,
    progress::Progress,
    roles::{self, Aggregation, NewSession, Pulled, Submission, Timeout},
    round::{Declaration, OpenRound, OpenSession, unix_time},
};
use rand_core::{Rng, UnwrapErr};
use serde::Serialize;

/// The settings of a demonstration.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The directory for homes and the store, which are kept. Without it the store is in memory,
    /// and homes are in a temporary directory.
    pub(crate) directory: Option<PathBuf>,
    /// Clients.
    pub(crate) clients: u32,
    /// Whether a key holder separate from the server has the secret key.
    pub(crate) key_holder: bool,
    /// Values of an update.
    pub(crate) values: u64,
    /// Bits of the key.
    pub(crate) key_bits: u32,
    /// The backend.
    pub(crate) backend: BackendChoice,
}

/// The result of a demonstration.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DemoResult {
    /// Number of values of the mean.
    pub(crate) values: u64,
    /// Number of clients in it.
    pub(crate) clients: usize,
    /// The maximum distance of a value from the plain mean.
    pub(crate) largest_error: f64,
    /// The maximum distance that the grid allows.
    pub(crate) error_bound: f64,
}

/// Runs the demonstration, and compares its result with the plain mean.
///
/// # Errors
///
/// Those of the roles; [`Error::Setting`] if the mean differs by more than the grid allows, or the
/// audit finds faults.
pub(crate) fn run(setting: &Setting, progress: &dyn Progress) -> Result<DemoResult> {
    let temporary = tempfile::tempdir().map_err(FileError::at(Path::new("a temporary directory")))?;
    let directory = setting.directory.as_deref().unwrap_or(temporary.path());
    let store = match &setting.directory {
        Some(directory) => Store::open(&directory.join("store").display().to_string())?,
        None => Store::memory(),
    };
    progress.note(&format_args!("store: {}", store.address()));
    let homes = homes(directory, setting, progress)?;
    let [server, aggregator, others @ ..] = &homes[..] else { unreachable!("made above") };
    let (key_holder, clients) = match others {
        [key_holder, clients @ ..] if setting.key_holder => (Some(key_holder), clients),
        clients => (None, clients),
    };
    let owner = key_holder.unwrap_or(server);

    let new = NewSession { key_bits: setting.key_bits, min_clients: 2, backend: setting.backend };
    let session = roles::new_session(owner, &store, new, progress)?;
    progress.note(&format_args!("{}: session {session}", label(owner.party())));
    let updates = (0..setting.clients).map(|client| {
        let path = directory.join(format!("update-{client}.safetensors"));
        write_update(&path, setting.values).map(|()| path)
    });
    let updates = updates.collect::<Result<Vec<_>>>()?;
    let session = OpenSession::find(&store, &server.consortium()?, Some(session))?;
    let round = open(server, &session, setting, &updates[0])?;
    let costs = round.spec().costs();
    progress.note(&format_args!(
        "server: round {} is open; an update has {} ciphertexts in {} objects, {:.2} bytes a value",
        round.number(),
        costs.ciphertexts,
        round.shards(),
        costs.bytes_per_value()
    ));

    play(&round, aggregator, clients, &updates, setting.backend, progress)?;
    let out = directory.join("mean.safetensors");
    let pulled = pull(&round, server, key_holder, &out, setting.backend, progress)?;
    progress.note(&format_args!("server: has the mean over {} clients", pulled.participants.len()));
    let report =
        audit(&store, session.consortium(), session.id(), Some((aggregator, setting.backend)), progress)?;
    if let Some(finding) = report.findings.first() {
        let reason = format!("{}: {}", finding.object, finding.problem);
        return Err(Error::Setting { setting: "audit", reason });
    }
    progress.note(&format_args!("audit: {} objects, no faults, the sum was computed again", report.objects));
    compare(&round, &updates, &out, pulled.participants.len())
}

/// A home for the server, one for the aggregator, one for the key holder if there is one, and one
/// for each client. All have pinned one consortium.
fn homes(directory: &Path, setting: &Setting, progress: &dyn Progress) -> Result<Vec<Home>> {
    let key_holder = setting.key_holder.then_some(Party::KeyHolder);
    let clients = (0..setting.clients).map(Party::Client);
    let parties = [Party::Server, Party::Aggregator].into_iter().chain(key_holder).chain(clients);
    let make = |party: Party| {
        let (name, rng) = (label(party), &mut UnwrapErr(getrandom::SysRng));
        Home::create(&directory.join("homes").join(&name), &name, party, rng)
    };
    let homes = parties.map(make).collect::<Result<Vec<_>, _>>()?;
    let consortium = Consortium::new("demonstration".into(), homes.iter().map(Home::member).collect())?;
    for home in &homes {
        home.pin(&consortium.to_toml(), consortium.digest())?;
    }
    progress.note(&format_args!(
        "{} parties have made keys, and pinned the consortium {}",
        homes.len(),
        consortium.digest()
    ));
    Ok(homes)
}

fn open(server: &Home, session: &OpenSession, setting: &Setting, model: &Path) -> Result<OpenRound> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let declaration = Declaration {
        round: 0,
        clip: CLIP,
        bits: 16,
        max_weight: None,
        max_clients: setting.clients,
        min_clients: 2,
        chunk_ciphertexts: session.encryption_key(setting.backend)?.suggested_chunk_ciphertexts(threads),
        shards: None,
        deadline: unix_time() + 600,
    };
    roles::open_round(server, session, &declaration, &UpdateFile::open(model)?, setting.backend)
}

/// Clients and aggregator at the same time.
fn play(
    round: &OpenRound,
    aggregator: &Home,
    clients: &[Home],
    updates: &[PathBuf],
    backend: BackendChoice,
    progress: &dyn Progress,
) -> Result<()> {
    let timeout = Timeout::of(Duration::from_secs(600));
    thread::scope(|scope| {
        let aggregation = Aggregation { backend, pause: Duration::from_millis(50), timeout, workers: None };
        let aggregating = scope.spawn(move || roles::aggregate(aggregator, round, aggregation, progress));
        let submitting: Vec<_> = clients
            .iter()
            .zip(updates)
            .map(|(home, update)| {
                scope.spawn(move || -> Result<()> {
                    let submission = Submission {
                        update,
                        weight: None,
                        allow_clipping: false,
                        short_exponents: false,
                        backend,
                        timeout,
                    };
                    let submitted = roles::submit(home, round, submission, progress)?;
                    progress.note(&format_args!(
                        "{}: committed to {} encrypted bytes",
                        label(home.party()),
                        submitted.bytes
                    ));
                    Ok(())
                })
            })
            .collect();
        for client in submitting {
            client.join().expect("clients do not panic")?;
        }
        let ended = aggregating.join().expect("the aggregator does not panic")?;
        progress.note(&format_args!("aggregator: the sum is over clients {:?}", ended.participants));
        Ok(())
    })
}

/// The server's last part, and the key holder's at the same time.
fn pull(
    round: &OpenRound,
    server: &Home,
    key_holder: Option<&Home>,
    out: &Path,
    backend: BackendChoice,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let timeout = Timeout::of(Duration::from_secs(60));
    thread::scope(|scope| {
        let decrypting = key_holder.map(|home| {
            scope.spawn(move || -> Result<()> {
                let decrypted = roles::decrypt(home, round, (backend, timeout), progress)?;
                progress
                    .note(&format_args!("key-holder: decrypted {} masked numbers", decrypted.ciphertexts));
                Ok(())
            })
        });
        let pulled = roles::pull(server, round, out, (backend, timeout), progress);
        if let Some(decrypting) = decrypting {
            decrypting.join().expect("the key holder does not panic")?;
        }
        pulled
    })
}

/// An update of random numbers from -1 to 1 in two tensors.
fn write_update(path: &Path, values: u64) -> Result<()> {
    let io = FileError::at(path);
    let (first, second) = (values - values / 4, values / 4);
    let header = serde_json::json!({
        "layer.weight": { "dtype": "F32", "shape": [first], "data_offsets": [0, 4 * first] },
        "layer.bias": { "dtype": "F32", "shape": [second], "data_offsets": [4 * first, 4 * values] },
    })
    .to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let rng = &mut UnwrapErr(getrandom::SysRng);
    for _ in 0..values {
        // 24 bits are the precision of an `f32`.
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let unit = (rng.next_u32() >> 8) as f32 / (1 << 24) as f32;
        bytes.extend((2.0 * unit - 1.0).to_le_bytes());
    }
    std::fs::write(path, bytes).map_err(io)?;
    Ok(())
}

fn compare(round: &OpenRound, updates: &[PathBuf], out: &Path, clients: usize) -> Result<DemoResult> {
    let error_bound =
        round.spec().error_bounds().iter().flat_map(|bounds| bounds.iter().copied()).fold(0.0, f64::max);
    let mean = UpdateFile::open(out)?;
    Output::check(out, [])?;
    let found = mean.floats::<f64>()?;
    let mut plain: Vec<_> = found.iter().map(|tensor| tensor * 0.0).collect();
    for update in updates {
        let mut update = UpdateFile::open(update)?;
        update.arrange_like(&mean)?;
        for (sum, values) in plain.iter_mut().zip(update.floats::<f64>()?) {
            *sum += &values;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    let count = updates.len() as f64;
    let errors = found.iter().zip(&plain).flat_map(|(found, plain)| {
        found.iter().zip(plain).map(|(found, plain)| (found - plain / count).abs()).collect::<Vec<_>>()
    });
    let largest_error = errors.fold(0.0, f64::max);
    // The type of the file rounds once more.
    let allowed = error_bound + f64::from(f32::EPSILON);
    if largest_error > allowed {
        let reason = format!("{largest_error:e} off, the grid allows {allowed:e}");
        return Err(Error::Setting { setting: "mean", reason });
    }
    Ok(DemoResult { values: round.spec().costs().values, clients, largest_error, error_bound: allowed })
}

const CLIP: f64 = 1.0;
