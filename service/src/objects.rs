//! The objects of a store: their names ([`Key`]), and the control objects.
//!
//! Control objects are the declarations of the parties of a round, signed by their authors:
//!
//! ```text
//! "cipherfold" ‖ version (1 byte) ‖ kind (1 byte) ‖ body ‖ signature (64 bytes)
//! signed:  length (8 bytes) ‖ "cipherfold service control object" ‖ version ‖ kind ‖ length (8 bytes) ‖ object's name ‖ body
//! ```
//!
//! Signatures are Ed25519, by the identity that the consortium lists for the author's role. The
//! name is signed, so that an object is valid under its own name only. An object contains its
//! predecessor's digest:
//!
//! ```text
//! session ◀── open ◀── commit (each client) ◀── end ◀── done ◀── saved
//!                                                         ▲
//!                          with a key holder: asked ──────┘ ◀── answered
//! ```
//!
//! Digests are plain SHA-256 of an object's bytes: `sha256sum` shows them.

mod bodies;
mod error;
mod key;
mod kind;
mod signed;

pub use bodies::{
    AbortReason, Answered, Asked, Checked, Commit, Done, End, Folded, Open, Outcome, PartDigest, Participant,
    Refusal, RefusalReason, Removed, Saved, Session,
};
pub use error::{Error, Result};
pub use key::{Key, NotAKey, RoundKey, WorkerIndex, parse_session};
pub use kind::Kind;
pub use signed::{Body, Signed, sign};
