//! Who may know what: placements, channels, secure sums.

mod party;
mod placement;
pub use party::{Envelope, EnvelopeMismatch, Party, SessionId};
pub use placement::{Aggregator, At, Clients, Placed, Placement, PlacementKind, Server};
