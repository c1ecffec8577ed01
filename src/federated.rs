//! Who may know what: placements, channels, secure sums.
//!
//! # The protocol
//!
//! ```text
//!  server                      clients                        aggregator
//!    │  n, base (once) ───────────▶│                              │
//!    │  n (once) ─────────────────────────────────────────────────▶
//!    │                             │ clip, quantise, pack         │
//!    │                             │ encrypt under n              │
//!    │                             │ ── boxed contribution ──────▶│ multiplies it into the sum
//!    │                             │    (chunk by chunk)          │ (one accumulator a chunk)
//!    │◀──────────────────────────────────────── encrypted sum ────│
//!    │ decrypt, unpack, divide                                    │
//! ```
//!
//! The server makes a Paillier key pair, and publishes n and a base for short-exponent encryption. Every client packs its
//! values, encrypts them, and sends them to the aggregator in boxes that only the aggregator opens; so the server, which
//! in practice relays all messages, cannot decrypt a single client's. The aggregator multiplies ciphertexts, which adds
//! plaintexts, and holds one sum whatever the number of clients. The server decrypts that sum once all clients have
//! contributed. If one fails, nothing is decrypted, and the error names it.
//!
//! # Who learns what
//!
//! | | learns | as long as |
//! | :-- | :-- | :-- |
//! | server | the sum (or mean and total weight), and who took part | it does not collude with the aggregator |
//! | aggregator | who took part, and sizes | the same |
//! | client | nothing about others | |
//!
//! All parties are taken to follow the protocol; any number of clients may pool what they know. The largest sum that fits
//! is settled before anything is sent ([`Layout`](crate::packing::Layout)), and results come in types wide enough for it.
//!
//! # In code
//!
//! What a client contributes are [`Tensors`], in any [`Structure`]; a [`Codec`] says how their elements travel.
//! A value lives at a [placement](Placement) and can be read there only ([`Placed`], [`At`]). It moves as a [`Message`]
//! through a [`Channel`], which binds every message to its [`Envelope`]: session, round, sequence number, sender, receiver.
//! The [`ChannelGrid`] says which channel guards which pair of placements. [`LocalExecutor`] simulates all parties on one
//! machine, and [`LocalExecutor::secure_sum`], [`secure_mean`](LocalExecutor::secure_mean) and
//! [`secure_weighted_mean`](LocalExecutor::secure_weighted_mean) run the protocol; a [`Report`] tells what happened.
//!
//! Programs of more than one sum are written with [`Value`]s: what will be computed at the clients, what leaves them and how,
//! what the server makes of it and sends back. A [`Computation`] of such values tells before it runs whether anything of the
//! clients' would leave them in the clear ([`Computation::leaks`]); [`LocalExecutor::run`] runs it, all secure sums that can
//! share a round in one.
//!
//! The aggregator does not refresh the sum's randomness before it sends it on, as the prototype did: the product of the
//! clients' randomizers is as random as the best of them, and goes to the one party that could remove it anyway.

mod aggregator;
mod box_channel;
mod channel;
mod clear;
mod client;
mod codec;
mod column;
mod computation;
mod dtype;
mod executor;
mod grid;
mod ledger;
mod message;
mod network;
mod opening;
mod party;
mod payload;
mod per_tensor;
mod placement;
mod plan;
mod progress;
mod report;
mod round;
mod secure_sum;
mod server;
mod session;
mod structure;
mod tensors;
mod update;

pub use box_channel::{BoxChannel, BoxPublicKey, BoxSecretKey};
pub use channel::{Channel, PlaintextChannel, ReplayGuard};
pub use codec::Codec;
pub use computation::{
    Computation, Context, Home, Inputs, IntoInput, Leak, Numeric, Outputs, Portable, Run, Value,
};
pub use dtype::{DType, Scalar, TensorType};
pub use executor::{LocalExecutor, LocalExecutorBuilder};
pub use grid::ChannelGrid;
pub use message::{Contribution, EncryptedSum, MaskedSum, MaskedTotals, Message, PublicKeyMessage};
pub use party::{Envelope, EnvelopeMismatch, Party, SessionId};
pub use payload::Payload;
pub use per_tensor::PerTensor;
pub use placement::{Aggregator, At, Clients, KeyHolder, Placed, Placement, PlacementKind, Server};
pub use report::{Absence, Operations, Phase, PhaseTime, Progress, Report, Traffic};
pub use secure_sum::Outcome;
pub use session::KeyHolding;
pub use structure::{Member, Structure};
pub use tensors::Tensors;
pub use update::IntoUpdate;
