//! Rounds of secure sums: what a round is, and the roles that play it, in any process and over any transport.
//!
//! A round is declared by its [`RoundSpec`] before any client works. Roles are state machines without input, output, threads or
//! time of their own: bytes and typed values go in, bytes and typed values come out. The caller brings random numbers, moves
//! the bytes, and decides when the round is over. Batches run on the rayon pool of the calling thread.
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
//!    │                  │ finish: sums, weights, who took part
//! ```
//!
//! Every message is sealed by a [`Channel`](super::Channel) in an [`Envelope`](super::Envelope) that names session, round,
//! number, sender, receiver, and the digest of the specification. So what was made in another round, under another
//! specification or for somebody else is refused by name. Messages may come in any order and be repeated: the same message is
//! taken as the same, and a second one in its place is refused.
//!
//! | who | knows | learns |
//! | :-- | :-- | :-- |
//! | [`Client`] | its update, the public key | nothing of others |
//! | [`Aggregator`] | the public key, the key of its boxes | who takes part, and sizes |
//! | [`Server`] | the secret key, or masks | the sums, total weights, and who took part |
//! | [`KeyHolder`] | the secret key | how many numbers there are: they are masked |
//! | relay | | who sends to whom, when, and sizes |
//!
//! # Who may collude
//!
//! Any number of clients may pool what they know with the server, or with the aggregator: less their own updates, the sum is
//! still a sum. **Server and aggregator must not collude** where the server has the key. Where a key holder has it, **key
//! holder and aggregator must not**, nor key holder and server. The latter holds only while the server masks sums, and
//! nothing but sums: whatever else it masks, the key holder opens for it. The roles of this module follow the
//! protocol; a program of somebody else's may not.
//!
//! # What is checked
//!
//! - The keys are those that were pinned ([`EncryptionKey::new`]); their modulus passes the checks of
//!   [`PublicKey::from_modulus_be`](crate::paillier::PublicKey::from_modulus_be).
//! - An update has the declared structure, values that can be encoded, and a weight up to the maximum
//!   ([`Client::encode`]), before anything of it is sent.
//! - Where a key holder has the secret key, the channels between clients and aggregator, aggregator and server, and server and
//!   key holder are [confidential](super::Channel::is_confidential), by each role's own account.
//! - A client counts with all of its messages or not at all, once, and there is room for it ([`Aggregator::commit`]).
//! - A sum is over at least [`min_clients`](RoundParameters::min_clients) and at most
//!   [`max_clients`](RoundParameters::max_clients) clients, the same in all of its parts, before anything is opened.
//! - A sum has no bits where no honest client sets any, and no value that honest clients cannot reach.
//! - A secret key opens one sum for each round ([`KeyOwner::opened_rounds`]).
//!
//! A client that lies about its update within its bounds is not found out: the sum shows no single update.
//!
//! # State that outlives a process
//!
//! [`Aggregator::to_bytes`] and [`PartialSum::into_bytes`] are what an aggregator goes on from. The owner of the
//! keys keeps [`KeyOwner::expose_bytes`], which are its secret key, its offer, and the rounds that it has opened. A server with a key holder keeps a secret seed for each message,
//! and gives [`Server::mask`] a generator with this seed: when it starts anew with the same sums, it asks the key holder the same
//! questions, and gets the same answers. The messages of a client are made anew only for another
//! round: after a restart it sends the same bytes again.
//!
//! # Example
//!
//! `cargo run --example roles` plays a round with each role a function that passes bytes; in five terminals, each role is a
//! process that exchanges files with the others.

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
pub use server::{RoundResult, Server, SumResult};
pub use spec::{RoundParameters, RoundSpec};
pub use streamed::{Piece, StreamedUpdate};
pub use sums::{SumSpec, TensorSpec};
