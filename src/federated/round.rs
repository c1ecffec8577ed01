//! Rounds of secure sums: the declaration of a round, and the roles that run it.
//!
//! A [`RoundSpec`] declares a round before any client works. Roles are state machines without I/O,
//! threads or clocks: bytes and typed values go in, bytes and typed values come out. The caller
//! supplies random numbers, moves the bytes between any processes over any transport, and decides
//! when the round is over. Batches run on the rayon pool of the calling thread.
//! [`LocalExecutor`](super::LocalExecutor) is one such caller, with all roles in one process.
//!
//! # The protocol
//!
//! ```text
//!  KeyOwner           Server                    Client                        Aggregator            KeyHolder
//!    │ SessionOffer ───▶├──────────────────────────▶├─────────────────────────────▶│                     │
//!    │ (once a session; everyone pins its digest)   │                              │                     │
//!    │                  │ RoundSpec ───────────────▶├─────────────────────────────▶├────────────────────▶│
//!    │                  │                           │ encode(update)               │                     │
//!    │                  │                           │ message(0), message(1), … ──▶│ accept              │
//!    │                  │                           │                              │ commit(client)      │
//!    │                  │                           ╳ drops out: not committed     │                     │
//!    │                  │                                                          │ close               │
//!    │                  │◀───────────────────── ClosedSum::message(0), (1), … ─────│                     │
//!    │                  │ open                 (the server has the key), or                              │
//!    │                  │ mask ─────────────────────────────────────────────────────────────────────────▶│
//!    │                  │ unmask ◀────────────────────────────────────────────────────── decrypt_masked ─│
//!    │                  │ finish: sums, weights, participants
//! ```
//!
//! A [`Channel`](super::Channel) seals every message in an [`Envelope`](super::Envelope) that names
//! session, round, number, sender, receiver, and the digest of the specification. So a receiver
//! refuses a message of another round, under another specification or for another receiver, and the
//! error says which. Messages may arrive in any order, and repeatedly: a repetition of the same
//! message is accepted, and a different message with the same envelope is refused.
//!
//! | party | holds | learns |
//! | :-- | :-- | :-- |
//! | [`Client`] | its update, the public key | nothing about others |
//! | [`Aggregator`] | the public key, the key of its boxes | which clients take part, and sizes |
//! | [`Server`] | the secret key, or masks | the sums, total weights, and which clients took part |
//! | [`KeyHolder`] | the secret key | how many numbers there are; the numbers are masked |
//! | relay | | sender, receiver, time and size of each message |
//!
//! # Who may collude
//!
//! Any number of clients may collude with the server, or with the aggregator: without their own
//! updates, the sum is still a sum. **Server and aggregator must not collude** where the server has
//! the key. Where a key holder has it, **key holder and aggregator must not collude**, nor key
//! holder and server. With a key holder, this holds only while the server masks sums and nothing
//! else, because the key holder decrypts whatever the server masks. The roles of this module follow
//! the protocol; other programs may not.
//!
//! # What is checked
//!
//! - The keys are the pinned ones ([`EncryptionKey::new`]). Their modulus passes the checks of
//!   [`PublicKey::from_modulus_be`](crate::paillier::PublicKey::from_modulus_be).
//! - An update has the declared structure, values that can be encoded, and a weight up to the
//!   maximum. This is checked before any part of it is sent ([`Client::encode`]).
//! - Where a key holder has the secret key, the channels between clients and aggregator, aggregator
//!   and server, and server and key holder are [confidential](super::Channel::is_confidential).
//!   Each role checks its own channels.
//! - A client counts once, with all of its messages or not at all, and only if there is room for it
//!   ([`Aggregator::commit`]).
//! - A sum is over at least [`min_clients`](RoundParameters::min_clients) and at most
//!   [`max_clients`](RoundParameters::max_clients) clients, the same in all of its parts. This is
//!   checked before anything is decrypted.
//! - A sum has no bits where no honest client sets any, and no value that honest clients cannot
//!   reach.
//! - A secret key opens one sum for each round ([`KeyOwner::opened_rounds`]).
//!
//! A client that lies about its update within the declared bounds is not detected, because no party
//! sees a single update.
//!
//! # State that outlives a process
//!
//! An aggregator resumes from [`Aggregator::to_bytes`] and [`PartialSum::into_bytes`]. The owner of
//! the keys stores [`KeyOwner::expose_bytes`]: its secret key, its offer, and the rounds that it
//! has opened.
//!
//! A server with a key holder stores a secret seed for each message, and passes [`Server::mask`] a
//! generator with this seed. After a restart with the same sums, it then sends the key holder the
//! same requests and receives the same answers. If the requests were sent already,
//! [`Server::mask_again`] draws their masks without encrypting again.
//!
//! A client encodes new messages only for another round. After a restart within a round, it sends
//! the stored bytes again.
//!
//! # Example
//!
//! `cargo run --example roles` runs a round in which each role is a function that passes bytes. In
//! five terminals, each role is a process that exchanges files with the others.

mod aggregator;
mod aggregator_state;
pub(super) mod chunk;
mod client;
mod confidential;
mod costs;
mod key_holder;
pub(super) mod keys;
mod offer;
pub(super) mod opened;
mod partial;
pub(super) mod plan;
pub(super) mod server;
mod spec;
mod state;
mod streamed;
mod sums;

pub use aggregator::{Aggregator, Receipt};
pub use client::{Client, EncodedUpdate, Update};
pub use costs::{Rates, RoundCosts, RoundTime};
pub use key_holder::KeyHolder;
pub use offer::{EncryptionKey, KeyHolding, KeyOwner, SessionOffer, SessionParameters};
pub use partial::{ClosedSum, PartialSum};
pub use server::{DecodedPiece, RoundResult, RoundTotals, Server, StreamedServer, SumResult};
pub use spec::{RoundParameters, RoundSpec};
pub use streamed::{Piece, StreamedUpdate};
pub use sums::{SumSpec, TensorSpec};
