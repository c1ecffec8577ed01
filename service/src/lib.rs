//! The aggregation service of cipherfold: rounds between organisations that exchange signed and
//! sealed objects through a store.
//!
//! A store is a directory, a bucket, or the HTTPS board that one party runs. Every message is an
//! object that is written once ([`Key`] has the names). The names that exist are the state of a
//! round, so that every process can stop at any moment and start again.
//!
//! Each module uses only those above it:
//!
//! ```text
//! digest    SHA-256 digests
//! parties   who takes part, and with which keys: the pinned consortium, homes, TLS
//! objects   names of objects, and control objects, each signed by its author's identity
//! store     objects by name: create-only writes, in memory, in a directory, in S3, on a board
//! error     the errors of these layers in one type, and those of commands
//! round     sessions and rounds as the store shows them, checked
//! roles     what each party does: session, open, submit, aggregate, fold, pull, decrypt
//! inspect   what only reads: audit, status, plan
//! board     a store behind HTTPS
//! ```
//!
//! The protocol is that of [`cipherfold::federated::round`]. This crate transports its bytes. The
//! binary `cipherfold` is the command line (`src/cli`).

#[cfg(feature = "board")]
pub mod board;
pub mod digest;
pub mod error;
pub mod file_error;
pub mod inspect;
pub mod objects;
pub mod parties;
pub mod progress;
pub mod roles;
pub mod round;
pub mod store;

pub use error::{Error, Result};
pub use objects::Key;
pub use parties::{Consortium, Home};
pub use store::Store;
