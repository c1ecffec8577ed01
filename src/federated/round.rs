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
//! A [`Channel`](super::channel::Channel) seals every message in an
//! [`Envelope`](super::channel::Envelope) that names session, round, number, sender, receiver, and
//! the digest of the specification. So a receiver refuses a message of another round, under another
//! specification or for another receiver, and the error says which. Messages may arrive in any
//! order, and repeatedly: a repetition of the same message is accepted, and a different message
//! with the same envelope is refused.
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
//!   and server, and server and key holder are
//!   [confidential](super::channel::Channel::is_confidential). Each role checks its own channels.
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
//! Two clients, with all parties in one process:
//!
//! ```
//! use cipherfold::federated::round::{
//!     Aggregator, Client, ClosedSum, EncodedUpdate, EncryptionKey, KeyOwner, PartialSum, Rates, Receipt,
//!     RoundCosts, RoundParameters, RoundResult, RoundSpec, RoundTime, Server, SessionParameters, SumResult,
//!     SumSpec, Update,
//! };
//! use cipherfold::federated::channel::{Channel, HpkeChannel};
//! use cipherfold::federated::{Digest, KeyHolding, SessionId, tensor::{Tensor, TensorTree}};
//! use cipherfold::{backend::BackendChoice, packing::IntegerRange};
//! use ndarray::array;
//! use std::sync::Arc;
//!
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! let channel: Arc<dyn Channel> = Arc::new(HpkeChannel::new()); // has the keys of all parties here
//! let updates = [array![1_u8, 2], array![3, 4]];
//!
//! // Once a session: the server makes its keys, and everyone else pins the digest of its offer.
//! let (session, key_bits, key_holding) = (SessionId::random(&mut rng), 2048, KeyHolding::Server);
//! let (roster, backend) = (Digest::NONE, BackendChoice::Auto);
//! let parameters = SessionParameters { session, key_bits, key_holding, roster, backend };
//! let owner = KeyOwner::generate(parameters, &mut rng)?;
//! let offer = owner.offer().digest();
//! let key = EncryptionKey::new(owner.offer(), offer, backend)?;
//!
//! // The server declares the round, and anyone can tell its costs.
//! let sum = SumSpec::of::<ndarray::Array1<u8>, _>(&updates[0].structure()?, &IntegerRange::of::<u8>())?;
//! let (sums, max_clients, min_clients, chunk_ciphertexts) = (vec![sum], 2, 2, 64);
//! let spec = RoundSpec::new(RoundParameters {
//!     session, round: 0, key_bits, key_holding, offer, sums, max_clients, min_clients, chunk_ciphertexts,
//! })?;
//! let costs: RoundCosts = spec.costs();
//! let time: RoundTime = costs.time(Rates { encryptions: 500.0, additions: 1e5, decryptions: 500.0 });
//! assert_eq!((costs.messages, costs.ciphertexts, time.client.as_millis()), (1, 1, 2));
//!
//! // Clients send, and the aggregator adds.
//! let aggregator = Aggregator::new(&spec, &key, Arc::clone(&channel))?;
//! for (number, update) in (0..).zip(&updates) {
//!     let client = Client::new(number, &spec, &key, Arc::clone(&channel))?;
//!     let encoded: EncodedUpdate<'_> = client.encode(&[Update::new(update)?])?;
//!     for message in 0..encoded.messages() {
//!         let wire = client.message(&encoded, message, &mut rng)?;
//!         let receipt: Receipt = aggregator.accept(number, &wire)?;
//!         assert_eq!((receipt.repeated, receipt.missing), (false, encoded.messages() - message - 1));
//!     }
//!     aggregator.commit(number)?;
//! }
//! let sums: PartialSum = aggregator.close()?;
//! let mut sum: ClosedSum = sums.for_server()?;
//!
//! // The server opens the sum.
//! let mut server = Server::new(&spec, &owner, Arc::clone(&channel))?;
//! for message in 0..sum.messages() {
//!     server.open(&sum.message(message, &*channel, &mut rng)?)?;
//! }
//! let RoundResult { sums, participants, .. } = server.finish()?;
//! assert_eq!(participants, [0, 1]);
//! let SumResult { tensors, .. } = &sums[0];
//! assert_eq!(tensors.as_leaf(), Some(&Tensor::from(array![4_u64, 6].into_dyn())));
//! # Ok::<(), cipherfold::Error>(())
//! ```
//!
//! `cargo run --example roles` runs a round in which each role is a function that passes bytes. In
//! five terminals, each role is a process that exchanges files with the others.

mod aggregator;
pub(super) mod chunk;
mod client;
mod confidential;
mod declaration;
mod error;
mod key_holder;
pub(super) mod keys;
mod partial;
pub(super) mod server;
mod state;

pub use aggregator::{Aggregator, Receipt};
pub use client::{Client, EncodedUpdate, Piece, StreamedUpdate, Update};
pub(super) use declaration::chunking;
pub use declaration::{Rates, RoundCosts, RoundParameters, RoundSpec, RoundTime, SumSpec, TensorSpec};
pub use error::Error;
pub use key_holder::KeyHolder;
pub use keys::offer::{EncryptionKey, KeyOwner, SessionOffer, SessionParameters};
use keys::{offer, opened};
use offer::KeyHolding;
pub use partial::{ClosedSum, PartialSum};
pub use server::{DecodedPiece, RoundResult, RoundTotals, Server, StreamedServer, SumResult};
