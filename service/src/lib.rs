//! The aggregation service of cipherfold: rounds between organisations that exchange signed and
//! sealed objects through a store.
//!
//! A store is a directory, a bucket, or the HTTPS board that one party runs. Every message is an
//! object that is written once ([`Key`] has the names). The names that exist are the state of a
//! round, so that every process can stop at any moment and start again.
//!
//! ```text
//! store     objects by name: create-only writes, in memory, in a directory, in S3
//! objects   control objects, each signed by its author's identity
//! home      the directory of one party: its secrets, and the consortium that it has pinned
//! round     one round as the store shows it, checked
//! roles     what each party does: session, open, submit, aggregate, fold, pull, decrypt
//! board     a store behind HTTPS
//! audit     checks everything that a session left in the store
//! ```
//!
//! The protocol is that of [`cipherfold::federated::round`]. This crate transports its bytes. The
//! binary `cipherfold` is the command line.

pub mod audit;
#[cfg(feature = "board")]
pub mod board;
pub mod consortium;
pub mod demo;
pub mod error;
pub mod faults;
pub mod home;
pub mod key;
pub mod objects;
pub mod party;
pub mod plan;
pub mod progress;
pub mod roles;
pub mod round;
pub mod status;
pub mod store;
#[cfg(feature = "board")]
mod tls;

pub use consortium::Consortium;
pub use error::{Error, Result};
pub use home::Home;
pub use key::Key;
pub use store::Store;
