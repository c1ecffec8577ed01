//! Keys of parties: for the boxes of a session, and for the identities that sign them.

mod box_key;
mod identity;
mod roster;
mod session_keys;

pub use box_key::{BoxPublicKey, BoxSecretKey};
pub use identity::{Identity, IdentityKey};
pub use roster::{Organisation, Roster};
pub use session_keys::{Announcement, SessionKeys};
