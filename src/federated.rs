//! The federated layer: placements, channels, rounds of secure sums, and computations over them.
//!
//! # One round from start to end
//!
//! ```text
//!  server                      clients                        aggregator
//!    │  n, base (once a session) ─▶│                              │
//!    │  n (once a session) ───────────────────────────────────────▶
//!    │                             │ clip, quantise, pack         │
//!    │                             │ encrypt under n              │
//!    │                             │ ── boxed contribution ──────▶│ checks it, multiplies it into the sum
//!    │                             │    (chunk by chunk)          │ (one accumulator a chunk)
//!    │                             ╳ drops out                    │ its messages so far are not counted
//!    │                                                            │ enough clients? if not, the round ends here
//!    │◀────────────────────────────────── boxed encrypted sum ────│
//!    │ decrypt, unpack, divide                                    │
//! ```
//!
//! The server begins a session. It makes a Paillier key pair, and publishes n and a base for
//! encryption. In each round it asks some clients for their updates. A client checks its values,
//! quantises them to small integers, packs many of them into one plaintext, and encrypts the
//! plaintexts under n.
//!
//! In practice the server relays all messages, and it can decrypt every ciphertext. So clients send
//! their ciphertexts in boxes that only the aggregator can open. The aggregator opens the boxes. It
//! refuses messages that are late, repeated, foreign or malformed. It multiplies the ciphertexts,
//! which adds the plaintexts. It holds one sum, whatever the number of clients.
//!
//! The sum goes to the server once all clients have answered, or once enough have
//! ([`min_clients`](LocalExecutorBuilder::min_clients)). The server decrypts it. If a required
//! client fails, nothing is decrypted, and the error names the client. If a sum cannot be decoded,
//! the round fails for all, because the server cannot tell whose contribution is at fault:
//! [`Error::RoundFailed`] lists the clients that took part.
//!
//! A round is declared before any client works ([`round::RoundSpec`]). The declaration fixes the
//! structure of the values, the encoding of each tensor, and the maximum number of summands for
//! which a slot has room ([`Layout`](crate::packing::Layout)). That maximum is
//! [`max_clients`](LocalExecutorBuilder::max_clients), or the number of clients of the round.
//! Results have types that are wide enough, so no sum wraps. Module [`round`] describes the
//! protocol message by message, and offers each party as a role that runs in any process.
//!
//! # A separate key holder
//!
//! With [`KeyHolding::KeyHolder`], a fourth party makes the secret key. It never sees a sum:
//!
//! ```text
//!  aggregator            server                                   key holder
//!    │                     │◀──────────────────────── n, base ──────│ (once a session; to clients and aggregator, too)
//!    │ ─ boxed sum ───────▶│ draws a mask, uniform modulo n         │
//!    │                     │ ── boxed encryption of sum + mask ────▶│ decrypts: a number that is uniform modulo n
//!    │                     │◀──────────── boxed sum + mask mod n ───│
//!    │                     │ removes the mask                       │
//! ```
//!
//! # Who learns what, and who may collude
//!
//! | | default | with a key holder |
//! | :-- | :-- | :-- |
//! | server | the sum (or mean and total weight), and which clients took part | the same |
//! | key holder | | number and size of the sums; the numbers are masked by one-time pads |
//! | aggregator | which clients took part, and sizes | the same |
//! | client | nothing about others | the same |
//! | may collude | any number of clients with either server or aggregator (without their own updates, the sum is still a sum) | the same, and server with aggregator |
//! | must not collude | **server with aggregator** | **key holder with aggregator**, key holder with server |
//!
//! All parties are assumed to follow the protocol. Key holder and server together have the power of
//! one server: they see sums, and the aggregator must not join them.
//!
//! The column for the key holder holds only while the server masks sums and nothing else. A server
//! that deviates could mask a single client's ciphertext and have it decrypted. The boxes prevent
//! this: the server cannot open them, so it has no such ciphertext. The key holder can decrypt any
//! ciphertext that it reads in transit. So with a key holder, the executor refuses a grid in which
//! the channel clients–aggregator, aggregator–server or server–key holder is not confidential
//! ([`channel::Error::OpenChannel`]).
//!
//! The sum itself is not protected by encryption. A sum over few clients reveals much about each of
//! them. Use the minimum number of clients, clipping and [noise](crate::privacy) against this.
//!
//! # Sessions
//!
//! A session has one key pair; [`LocalExecutor::rotate_keys`] begins the next session. Every
//! message is bound to its [`Envelope`](channel::Envelope): session, round, sequence number,
//! sender, receiver and context. Every ciphertext is bound to its key. So a receiver refuses
//! anything that belongs to another session or round, and the error names the field that differs.
//!
//! # In code
//!
//! | word | meaning |
//! | :-- | :-- |
//! | [`Party`] | one participant: client 3, the server |
//! | [placement](Placement) | where a value is: at the clients, the server, the aggregator, the key holder. A type; [`PlacementKind`] is the same as a value |
//! | role | the code of a party, in [`round`]: it takes and gives bytes |
//! | session, round | a key pair; one secure sum, or several, over the clients |
//! | [channel] | the path of a message from one party to another |
//!
//! A value can be read only at its placement ([`Placed`], [`At`]). It moves as a
//! [`Message`](channel::Message) through a [`Channel`](channel::Channel). The
//! [`ChannelGrid`](channel::ChannelGrid) assigns a channel to each pair of placements.
//! [`LocalExecutor`] simulates all parties on one machine; it calls the roles of [`round`]. It
//! runs, from simple to general:
//!
//! - One sum: [`LocalExecutor::secure_sum`], [`secure_mean`](LocalExecutor::secure_mean) and
//!   [`secure_weighted_mean`](LocalExecutor::secure_weighted_mean) take any iterator over the
//!   clients' [`Tensors`](tensor::Tensors). Use
//!   [`secure_aggregate`](LocalExecutor::secure_aggregate) where each member has its own element
//!   type and codec ([`Summand`](tensor::Summand)).
//! - A [`Computation`](computation::Computation): values at placements and operations on them.
//!   Before it runs, a [check](computation::Computation::leaks) finds everything that leaves the
//!   clients and is not a sum over many of them. [`Value`](computation::Value) offers the
//!   operations that TensorFlow Federated calls intrinsics. [`LocalExecutor::run`] evaluates them;
//!   all secure sums that can share a round run in one.
//! - An [aggregation]: processes that keep a state from round to round, and compose: clipping,
//!   zeroing, adaptive bounds, means, differential [privacy](crate::privacy).
//!
//! Every run returns a [`Report`](report::Report): time by phase and party, messages by channel and
//! direction, ciphertexts and operations, and which clients took part. With the feature `tracing`,
//! rounds are spans of the same names. [`in_the_clear`](LocalExecutorBuilder::in_the_clear) runs
//! all of it without cryptography, for debugging, with identical results.
//!
//! The aggregator does not rerandomize the sum before it sends it, although the prototype did. The
//! product of the clients' randomizers is as random as the best of them. It also goes only to the
//! server, which holds the secret key and could remove any randomness. A key holder always receives
//! fresh randomness, because the server encrypts its mask.

pub mod aggregation;
pub mod channel;
pub mod computation;
mod digest;
mod error;
mod executor;
mod party;
mod placement;
pub mod report;
pub mod round;
pub mod tensor;

/// Names that the code of the derives uses. They are not part of the interface and change without
/// notice.
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod __private {
    pub use ndarray::ArrayViewD;
    pub use serde;

    pub use super::tensor::{
        DType, Encoding, Scalar, Structure, Summand, TensorTree, TensorType, TensorView, Tensors,
        summand::Assembler,
        tensors::Rebuild,
        tree::{members_of, one_type, retype_members, sealed::Sealed as SealedTree, structure_of},
    };

    /// The result of the traits that the derives implement.
    pub type Result<T> = core::result::Result<T, super::tensor::Error>;
}

pub use digest::Digest;
pub use error::{Error, Result};
pub use executor::{IntoInput, LocalExecutor, LocalExecutorBuilder, Outcome, TensorInput};
pub use party::{Party, SessionId};
pub use placement::{Aggregator, At, Clients, KeyHolder, Placed, Placement, PlacementKind, Server};
pub use round::keys::offer::KeyHolding;
