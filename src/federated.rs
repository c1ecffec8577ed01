//! Who may know what: placements, channels, secure sums.

mod box_channel;
mod channel;
mod party;
mod placement;

pub use box_channel::{BoxChannel, BoxPublicKey, BoxSecretKey};
pub use channel::{Channel, PlaintextChannel, ReplayGuard};
pub use party::{Envelope, EnvelopeMismatch, Party, SessionId};
pub use placement::{Aggregator, At, Clients, Placed, Placement, PlacementKind, Server};
