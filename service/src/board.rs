//! The board: a store behind HTTPS, for parties that share no bucket.
//!
//! ```text
//! PUT    /v1/o/{name}                        writes an object once; repeating it succeeds
//! DELETE /v1/o/{name}                        removes a contribution or a sum of a round that the server has signed to be removed
//! GET    /v1/o/{name}                        reads it, or a range of it; HEAD gives its length
//! GET    /v1/list?folder=…&after=…&limit=…   names and lengths, in order, page by page
//! GET    /v1/folders?folder=…                folders in a folder
//! GET    /v1/changes?since=…&seconds=…       waits until a control object is written; of clients' ones only the aggregator hears
//! ```
//!
//! Both ends have certificates with the TLS keys in the consortium, so only its members can send
//! requests. A party may write only its own objects, in the sizes that the round declares. All
//! objects are signed or sealed, so the board is trusted only for availability.
//!
//! A second listener, for the board's own machine, has health, metrics and a status page without
//! TLS.

mod admission;
mod api;
mod body;
mod listener;
mod metrics;
mod operations;
mod page;
mod refusal;
mod shared;
mod space;
mod traffic;

pub use crate::parties::tls::{client as client_config, server as server_config};

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
};

use self::{
    admission::Admission,
    body::Buffers,
    metrics::Metrics,
    shared::{Shared, UNIT},
    space::Space,
};
use crate::{
    error::{Error, Result},
    parties::Home,
    round::unix_time,
    store::Store,
};

/// The settings of a board.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The address for parties.
    pub listen: SocketAddr,
    /// The address of health, metrics and the status page. Use a loopback address, unless a trusted
    /// network needs them.
    pub operations: Option<SocketAddr>,
    /// Attempts of a client in a round, each with all bytes of an update.
    pub attempts: u32,
    /// Bytes of all objects of the store together, if they are limited. Objects that end a round
    /// are always accepted.
    pub capacity: Option<u64>,
    /// Maximum bytes of objects in transfer at the same time. In addition, buffers of up to a
    /// quarter of this stay allocated for later objects.
    pub memory: u64,
    /// Connections at the same time.
    pub connections: usize,
    /// Requests of one party at the same time.
    pub requests_per_party: usize,
    /// The time that a request waits for memory before it must be retried. Its body is not read
    /// while it waits.
    pub queue: Duration,
    /// The time for the body of a request. A long body has a second more for each 16 KiB.
    pub grace: Duration,
}

impl Setting {
    /// The default limits.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            operations: None,
            attempts: 2,
            capacity: None,
            memory: 64 << 20,
            connections: 4096,
            requests_per_party: 8,
            // A thousand clients that begin at the same time wait for ten seconds or so. The program's
            // own clients give up after a minute without an answer.
            queue: Duration::from_secs(20),
            grace: Duration::from_secs(20),
        }
    }
}

/// A board that listens, but does not serve yet.
pub struct Board {
    shared: Arc<Shared>,
    tls: Arc<rustls::ServerConfig>,
    parties: TcpListener,
    operations: Option<TcpListener>,
}

/// Connections that wait to be accepted. A client whose connection finds no place tries again after
/// one second, then after two, four and so on.
const BACKLOG: u32 = 4096;

impl Board {
    /// Binds the addresses. The certificate has the TLS key of the home, whose party is usually the
    /// aggregator.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if an address cannot be bound; those of the home; with a capacity those
    /// of the store, whose objects are counted.
    pub async fn bind(home: &Home, store: Store, setting: &Setting) -> Result<Self> {
        let consortium = home.consortium()?;
        let tls = server_config(home, &consortium)?;
        let parties = bind("--listen", setting.listen)?;
        let operations = match setting.operations {
            Some(address) => Some(bind("--operations", address)?),
            None => None,
        };
        let units = u32::try_from(setting.memory / UNIT).unwrap_or(u32::MAX).max(1);
        let members = consortium.members().iter();
        let requests =
            members.map(|member| (member.party, Arc::new(Semaphore::new(setting.requests_per_party))));
        let (counted, capacity) = (store.clone(), setting.capacity);
        let space = tokio::task::spawn_blocking(move || Space::new(counted, capacity)).await;
        let shared = Shared {
            space: space.expect("counting does not panic")?,
            admission: Admission::new(store.clone(), consortium.clone(), setting.attempts),
            metrics: Metrics::new(setting.capacity),
            changes: watch::Sender::new(first_change()),
            milestones: watch::Sender::new(first_change()),
            memory: Arc::new(Semaphore::new(units as usize)),
            units,
            // Idle buffers have their own memory, beside that of bodies in transfer.
            buffers: Buffers::new(usize::try_from(setting.memory / 4).unwrap_or(usize::MAX)),
            requests: requests.collect(),
            connections: Arc::new(Semaphore::new(setting.connections)),
            grace: setting.grace,
            queue: setting.queue,
            store,
            consortium,
        };
        Ok(Self { shared: Arc::new(shared), tls, parties, operations })
    }

    /// The address for parties. If the setting's port is zero, it has the port that the system
    /// chose.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if the system does not report it.
    pub fn address(&self) -> Result<SocketAddr> {
        address(&self.parties)
    }

    /// The address of health, metrics and the status page.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if the system does not report it.
    pub fn operations_address(&self) -> Result<Option<SocketAddr>> {
        self.operations.as_ref().map(address).transpose()
    }

    /// Serves until `shutdown` completes. Running requests are then finished, within half a minute.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { shared, tls, parties, operations } = self;
        let operations = operations.map(|listener| {
            let router = operations::router(Arc::clone(&shared));
            tokio::spawn(async move { axum::serve(listener, router).await })
        });
        listener::serve(&shared, tls, parties, shutdown).await;
        if let Some(operations) = operations {
            operations.abort();
        }
    }
}

fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Otherwise, a board that starts again waits for the connections of the earlier one.
        socket.set_reuseaddr(!cfg!(windows))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error: std::io::Error| Error::Setting { setting, reason: format!("{address}: {error}") })
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::Setting { setting: "--listen", reason: error.to_string() })
}

/// A number above those of all earlier processes of this board. So a client that waits for a change
/// of an earlier process gets an answer at once.
fn first_change() -> u64 {
    unix_time() << 24
}
