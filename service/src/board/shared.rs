//! The state that all connections share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cipherfold::federated::Party;
use tokio::sync::{Semaphore, watch};

use super::{admission::Admission, body::Buffers, metrics::Metrics, space::Space};
use crate::{parties::Consortium, store::Store};

/// The state that all connections share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) space: Space,
    pub(super) consortium: Consortium,
    pub(super) admission: Admission,
    pub(super) metrics: Metrics,
    /// Changes whenever a control object is written: for the aggregator, which looks for those of
    /// clients.
    pub(super) changes: watch::Sender<u64>,
    /// Changes with the control objects that all parties wait for. Otherwise, a thousand waiting
    /// clients would be woken by each of a thousand commitments.
    pub(super) milestones: watch::Sender<u64>,
    /// Free memory, in units of [`UNIT`] bytes.
    pub(super) memory: Arc<Semaphore>,
    pub(super) units: u32,
    pub(super) buffers: Buffers,
    /// For each party, the number of requests that it may begin.
    pub(super) requests: BTreeMap<Party, Arc<Semaphore>>,
    pub(super) connections: Arc<Semaphore>,
    pub(super) grace: Duration,
    pub(super) queue: Duration,
}

/// Bytes of a unit of memory.
pub(super) const UNIT: u64 = 1024;
