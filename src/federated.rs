//! Who may know what: placements, channels, secure sums.

mod channel;
mod party;
mod placement;

pub use channel::{Channel, PlaintextChannel, ReplayGuard};
pub use party::{Envelope, EnvelopeMismatch, Party, SessionId};
pub use placement::{Aggregator, At, Clients, Placed, Placement, PlacementKind, Server};
