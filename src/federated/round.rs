//! Rounds of secure sums: what a round is, and the roles that play it.

mod aggregator;
mod clear;
mod client;
mod costs;
mod key_holder;
mod keys;
mod offer;
mod opened;
mod opening;
mod partial;
mod plan;
mod queue;
mod run;
mod sequencer;
mod server;
mod spec;

pub use aggregator::{Aggregator, Receipt};
pub use client::{Client, EncodedUpdate, Update};
pub use costs::{Rates, RoundCosts, RoundTime};
pub use key_holder::KeyHolder;
pub use offer::{EncryptionKey, KeyHolding, KeyOwner, SessionOffer, SessionParameters};
pub use partial::{ClosedSum, PartialSum};
pub use server::{RoundResult, Server, SumResult};
pub use spec::{RoundParameters, RoundSpec, SumSpec, TensorSpec};

pub(super) use queue::{Contributor, QueuedWork, Work};
pub(super) use run::{Declared, Roster, RoundOutcome};
