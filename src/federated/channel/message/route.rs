//! Routes: the parts of an envelope that messages of one round between two parties share.

use crate::federated::{Party, SessionId};

/// The messages of one round from one party to another.
#[derive(Clone, Copy, Debug)]
pub(in crate::federated) struct Route {
    pub(in crate::federated) session: SessionId,
    pub(in crate::federated) round: u64,
    pub(in crate::federated) from: Party,
    pub(in crate::federated) to: Party,
}
