//! A consortium in a temporary directory, and updates with known values.

pub(crate) mod commands;
pub(crate) mod faulty_store;
#[cfg(feature = "board")]
pub(crate) mod running_board;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cipherfold::{
    backend::BackendChoice,
    federated::{Party, SessionId, channel::Identity},
    files::UpdateFile,
};
use cipherfold_service::{
    Consortium, Home, Result, Store,
    inspect::{Report, audit},
    parties::label,
    progress::Silent,
    roles::{self, Aggregation, Decrypted, Ended, NewSession, Pulled, Submission, Submitted, Timeout},
    round::{Declaration, OpenRound, OpenSession, unix_time},
};
use rand_core::UnwrapErr;

/// All parties of a consortium, each with a home.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) consortium: Consortium,
    pub(crate) server: Home,
    pub(crate) aggregator: Home,
    /// Only in a consortium with a key holder.
    pub(crate) key_holder: Option<Home>,
    pub(crate) clients: Vec<Home>,
}

impl World {
    /// A consortium with `clients` clients, over a store in a directory.
    pub(crate) fn new(clients: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store").to_str().unwrap()).unwrap();
        Self::over(folder, store, clients)
    }

    pub(crate) fn in_memory(clients: u32) -> Self {
        Self::over(tempfile::tempdir().unwrap(), Store::memory(), clients)
    }

    /// A consortium with a key holder, over a store in a directory.
    pub(crate) fn with_key_holder(clients: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store").to_str().unwrap()).unwrap();
        Self::of(folder, store, Some(Party::KeyHolder), clients)
    }

    /// A consortium over any store.
    pub(crate) fn over(folder: tempfile::TempDir, store: Store, clients: u32) -> Self {
        Self::of(folder, store, None, clients)
    }

    fn of(folder: tempfile::TempDir, store: Store, key_holder: Option<Party>, clients: u32) -> Self {
        let home = |party: Party| {
            let directory = folder.path().join("homes").join(label(party));
            Home::create(&directory, &label(party), party, &mut UnwrapErr(getrandom::SysRng)).unwrap()
        };
        let (server, aggregator) = (home(Party::Server), home(Party::Aggregator));
        let key_holder = key_holder.map(home);
        let clients: Vec<_> = (0..clients).map(|client| home(Party::Client(client))).collect();
        let all = || [&server, &aggregator].into_iter().chain(&key_holder).chain(&clients);
        let consortium = Consortium::new("test".into(), all().map(Home::member).collect()).unwrap();
        for home in all() {
            home.pin(&consortium.to_toml(), consortium.digest()).unwrap();
        }
        Self { folder, store, consortium, server, aggregator, key_holder, clients }
    }

    pub(crate) fn session(&self) -> OpenSession {
        let new = NewSession { key_bits: 2048, min_clients: 2, backend: BackendChoice::Auto };
        let owner = self.key_holder.as_ref().unwrap_or(&self.server);
        let session = roles::new_session(owner, &self.store, new, &Silent).unwrap();
        self.find(session)
    }

    pub(crate) fn find(&self, session: SessionId) -> OpenSession {
        OpenSession::find(&self.store, &self.consortium, Some(session)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file of an object. Only of a store in a directory.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        self.folder.path().join("store").join(name)
    }

    /// The update of a client: [`VALUES`] values that depend on its number.
    pub(crate) fn update(&self, client: u32) -> PathBuf {
        let path = self.path(&format!("update-{client}.safetensors"));
        write_update(&path, &values(client));
        path
    }

    /// A round with small messages in three objects.
    pub(crate) fn round(&self, session: &OpenSession, number: u64) -> OpenRound {
        self.open(session, &Declaration { round: number, ..self.declaration() }).unwrap()
    }

    pub(crate) fn declaration(&self) -> Declaration {
        Declaration {
            round: 0,
            clip: 1.0,
            bits: 16,
            max_weight: None,
            max_clients: u32::try_from(self.clients.len()).unwrap(),
            min_clients: 2,
            chunk_ciphertexts: 1,
            shards: Some(3),
            deadline: unix_time() + 600,
        }
    }

    pub(crate) fn open(&self, session: &OpenSession, declaration: &Declaration) -> Result<OpenRound> {
        let model = UpdateFile::open(self.update(0)).unwrap();
        roles::open_round(&self.server, session, declaration, &model, BackendChoice::Auto)
    }

    pub(crate) fn submit(&self, round: &OpenRound, client: u32) -> Result<Submitted> {
        self.submit_weighted(round, client, None)
    }

    pub(crate) fn submit_weighted(
        &self,
        round: &OpenRound,
        client: u32,
        weight: Option<u32>,
    ) -> Result<Submitted> {
        let update = self.update(client);
        let submission = Submission { weight, ..submission(&update) };
        roles::submit(&self.clients[client as usize], round, submission, &Silent)
    }

    pub(crate) fn aggregate(&self, round: &OpenRound) -> Result<Ended> {
        roles::aggregate(&self.aggregator, round, aggregation(), &Silent)
    }

    /// The server's part; a key holder answers at the same time.
    pub(crate) fn pull(&self, round: &OpenRound, out: &Path) -> Result<Pulled> {
        thread::scope(|scope| {
            let answering = self.key_holder.as_ref().map(|_| scope.spawn(|| self.decrypt(round)));
            let pulled = roles::pull(&self.server, round, out, (BackendChoice::Auto, timeout()), &Silent);
            if let (Some(answering), Ok(_)) = (answering, &pulled) {
                answering.join().unwrap().unwrap();
            }
            pulled
        })
    }

    pub(crate) fn decrypt(&self, round: &OpenRound) -> Result<Decrypted> {
        let home = self.key_holder.as_ref().expect("a world with a key holder");
        roles::decrypt(home, round, (BackendChoice::Auto, timeout()), &Silent)
    }

    /// Submits the updates of all clients except those, and computes the sum.
    pub(crate) fn submit_all(&self, round: &OpenRound) {
        // A client that starts before the aggregator would wait for its key.
        roles::announce(&self.aggregator, round.session()).unwrap();
        for client in 0..u32::try_from(self.clients.len()).unwrap() {
            self.submit(round, client).unwrap();
        }
    }
}

pub(crate) fn submission(update: &Path) -> Submission<'_> {
    Submission {
        update,
        weight: None,
        allow_clipping: false,
        short_exponents: false,
        backend: BackendChoice::Auto,
        timeout: timeout(),
    }
}

pub(crate) fn timeout() -> Timeout {
    Timeout::of(Duration::from_secs(30))
}

pub(crate) fn aggregation() -> Aggregation {
    Aggregation {
        backend: BackendChoice::Auto,
        pause: Duration::from_millis(20),
        timeout: timeout(),
        workers: None,
    }
}

/// Values of an update in two tensors: 300 in the first, 40 in the second.
pub(crate) fn values(client: u32) -> [Vec<f32>; 2] {
    let value = |place: usize, client: u32| {
        let seed = (place as u64 * 7919 + u64::from(client) * 104_729) % 2001;
        (f32::from(u16::try_from(seed).unwrap()) - 1000.0) / 1000.0
    };
    let tensor = |range: std::ops::Range<usize>| range.map(|place| value(place, client)).collect();
    [tensor(0..300), tensor(300..340)]
}

/// The audit of a round's session. With the aggregator's home, sums are recomputed.
pub(crate) fn audited(world: &World, round: &OpenRound, aggregator: Option<&Home>) -> Report {
    let aggregator = aggregator.map(|home| (home, BackendChoice::Auto));
    audit(&world.store, &world.consortium, round.session().id(), aggregator, &Silent).unwrap()
}

/// The objects that an audit names.
pub(crate) fn named(report: &Report) -> BTreeSet<&str> {
    report.findings.iter().map(|finding| &*finding.object).collect()
}

/// Writes the updates of two clients: `update-0` and `update-1`.
pub(crate) fn write_updates(folder: &Path) {
    for client in [0, 1] {
        write_update(&folder.join(format!("update-{client}")), &values(client));
    }
}

pub(crate) fn write_update(path: &Path, [first, second]: &[Vec<f32>; 2]) {
    let (a, b) = (first.len(), first.len() + second.len());
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{a}],"data_offsets":[0,{}]}},"b":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}}}}"#,
        4 * a,
        second.len(),
        4 * a,
        4 * b
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(first.iter().chain(second).flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

pub(crate) fn read_mean(path: &Path) -> [Vec<f32>; 2] {
    let tensors = UpdateFile::open(path).unwrap().floats::<f32>().unwrap();
    let [first, second] = &tensors[..] else { panic!("two tensors") };
    [first.to_vec(), second.to_vec()]
}

/// The plain mean of some clients, and the maximum error of the grid of 16 bits.
pub(crate) fn assert_is_mean(found: &[Vec<f32>; 2], clients: &[u32]) {
    let updates: Vec<_> = clients.iter().map(|client| values(*client)).collect();
    for (tensor, found) in found.iter().enumerate() {
        for (place, found) in found.iter().enumerate() {
            let sum: f64 = updates.iter().map(|update| f64::from(update[tensor][place])).sum();
            let mean = sum / f64::from(u32::try_from(clients.len()).unwrap());
            assert!(
                (f64::from(*found) - mean).abs() < 3e-5,
                "tensor {tensor}, value {place}: {found}, not {mean}"
            );
        }
    }
}

/// An identity that the consortium does not know.
pub(crate) fn outsider() -> Identity {
    Identity::from_bytes(&[99; 32])
}
