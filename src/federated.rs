//! Who may know what: placements, channels, secure sums.
//!
//! A value lives at a [placement](Placement) and can be read there only ([`Placed`], [`At`]). It moves through a
//! [`Channel`], which binds every message to its [`Envelope`]: session, round, sequence number, sender, receiver. The
//! [`ChannelGrid`] says which channel guards which pair of placements; by default, what goes from clients to
//! aggregator is [boxed](BoxChannel), so that whoever relays it reads nothing.

mod aggregator;
mod box_channel;
mod channel;
mod client;
mod executor;
mod grid;
mod message;
mod network;
mod party;
mod placement;
mod plan;
mod report;
mod secure_sum;
mod server;
mod update;

pub use box_channel::{BoxChannel, BoxPublicKey, BoxSecretKey};
pub use channel::{Channel, PlaintextChannel, ReplayGuard};
pub use executor::{LocalExecutor, LocalExecutorBuilder};
pub use grid::ChannelGrid;
pub use message::{Contribution, EncryptedSum, Message, PublicKeyMessage};
pub use party::{Envelope, EnvelopeMismatch, Party, SessionId};
pub use placement::{Aggregator, At, Clients, Placed, Placement, PlacementKind, Server};
pub use report::{Phase, Progress, Report, Traffic};
pub use secure_sum::Outcome;
pub use update::{Element, IntoUpdate, Parameter, PerTensor, Update};
