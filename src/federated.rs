//! Who may know what: placements, channels, rounds of secure sums, and computations over them.
//!
//! # A round, told from the beginning
//!
//! ```text
//!  server                      clients                        aggregator
//!    │  n, base (once a session) ─▶│                              │
//!    │  n (once a session) ───────────────────────────────────────▶
//!    │                             │ clip, quantise, pack         │
//!    │                             │ encrypt under n              │
//!    │                             │ ── boxed contribution ──────▶│ checks it, multiplies it into the sum
//!    │                             │    (chunk by chunk)          │ (one accumulator a chunk)
//!    │                             ╳ drops out                    │ what it sent so far is not counted
//!    │                                                            │ enough clients? if not, the round ends here
//!    │◀────────────────────────────────── boxed encrypted sum ────│
//!    │ decrypt, unpack, divide                                    │
//! ```
//!
//! The server begins a session: it makes a Paillier key pair, and publishes n and a base for encryption. In
//! each round, some clients are asked for their updates. A client checks its values, turns them into small integers, packs
//! many into one plaintext, and encrypts them under n. Had it sent them like this, the server, which in practice relays all
//! messages, could open them: so they travel in boxes that only the aggregator opens. The aggregator takes the boxes off,
//! refuses what is late, repeated, foreign or malformed, and multiplies ciphertexts, which adds plaintexts. It holds one sum,
//! whatever the number of clients. When all have answered, or as many as were required
//! ([`min_clients`](LocalExecutorBuilder::min_clients)), the sum goes to the server, which decrypts it. If a client that was
//! required fails, nothing is decrypted, and the error names it. If a sum cannot be decoded, the round fails for all, since
//! the server cannot tell whose contribution is at fault: [`Error::RoundFailed`] says who took part.
//!
//! A round is declared before any client works ([`round::RoundSpec`]): the structure of what is summed, how each tensor is encoded,
//! and how many summands a slot has room for ([`Layout`](crate::packing::Layout), from
//! [`max_clients`](LocalExecutorBuilder::max_clients) or the clients of the round). Results come in types wide enough. No sum
//! wraps. [`round`] has the protocol message by message, and the parties as roles that run in any process.
//!
//! # The key apart from the server
//!
//! With [`KeyHolding::KeyHolder`] the secret key is made by a fourth party, which never sees a sum:
//!
//! ```text
//!  aggregator            server                                   key holder
//!    │                     │◀──────────────────────── n, base ──────│ (once a session; to clients and aggregator, too)
//!    │ ─ boxed sum ───────▶│ draws a mask, uniform modulo n         │
//!    │                     │ ── boxed encryption of sum + mask ────▶│ decrypts: a number that is uniform modulo n
//!    │                     │◀──────────── boxed sum + mask mod n ───│
//!    │                     │ takes the mask off                     │
//! ```
//!
//! # Who learns what, and who may collude
//!
//! | | default | with a key holder |
//! | :-- | :-- | :-- |
//! | server | the sum (or mean and total weight), and who took part | the same |
//! | key holder | | number and size of the sums; the numbers are [masked](crate::paillier::Masks) |
//! | aggregator | who took part, and sizes | the same |
//! | client | nothing about others | the same |
//! | may pool what they know | any number of clients with either server or aggregator (less their own, the sum is still a sum) | the same, and server with aggregator |
//! | must not | **server with aggregator** | **key holder with aggregator**, key holder with server |
//!
//! All parties are taken to follow the protocol. Key holder and server together are as one server: they see sums, and must not
//! be joined by the aggregator. The column about the key holder is right only while the server masks sums and nothing but sums. A
//! server that deviates could have a single client's ciphertext decrypted behind a mask; what keeps it from having one is that it
//! cannot open the boxes. The key holder could open what it reads on the way, so a grid that leaves clients–aggregator,
//! aggregator–server or server–key holder open is refused ([`Error::OpenChannel`]). What a sum
//! itself tells is another matter: over few clients it tells much, which is what the minimum number of clients, clipping and
//! [noise](crate::privacy) are for.
//!
//! # Sessions
//!
//! A session has one key pair; [`LocalExecutor::rotate_keys`] begins the next. Every message is bound to its [`Envelope`]: session,
//! round, sequence number, sender, receiver, context. Every ciphertext is bound to its key. So nothing of one session or round is
//! taken for something of another: it is refused, and the error says what it was.
//!
//! # In code
//!
//! A value lives at a [placement](Placement) and can be read there only ([`Placed`], [`At`]). It moves as a [`Message`]
//! through a [`Channel`]; the [`ChannelGrid`] says which channel guards which pair of placements. [`LocalExecutor`] simulates all
//! parties on one machine; the roles that it calls are in [`round`]. What it runs, from simple to general:
//!
//! - One sum: [`LocalExecutor::secure_sum`], [`secure_mean`](LocalExecutor::secure_mean),
//!   [`secure_weighted_mean`](LocalExecutor::secure_weighted_mean) over whatever iterator yields the clients' [`Tensors`];
//!   [`secure_aggregate`](LocalExecutor::secure_aggregate) where members have element types and codecs of their own ([`Summand`]).
//! - A [`Computation`]: values at placements, operations on them, and a [check](Computation::leaks) whether anything leaves the
//!   clients other than by a sum over many of them, before it runs. [`Value`] has what TensorFlow Federated calls intrinsics;
//!   [`LocalExecutor::run`] evaluates them, all secure sums that can share a round in one.
//! - An [aggregation]: processes that keep a state from round to round, and compose: clipping, zeroing, adaptive bounds, means,
//!   differential [privacy](crate::privacy).
//!
//! Every run gives a [`Report`]: time by phase and party, messages by channel and direction, ciphertexts and operations, who took
//! part and who did not. With the feature `tracing` rounds are spans of the same names.
//! [`in_the_clear`](LocalExecutorBuilder::in_the_clear) does all of it without cryptography, for debugging, with identical results.
//!
//! The aggregator does not refresh the sum's randomness before it sends it on, as the prototype did: the product of the
//! clients' randomizers is as random as the best of them, and goes to the one party that could remove it anyway. A key holder
//! gets it with fresh randomness, since the server encrypts its mask.

pub mod aggregation;
mod channel;
mod computation;
mod digest;
mod error;
mod executor;
mod input;
mod outcome;
mod party;
mod placement;
mod report;
pub mod round;
mod tensor;

/// What the derives' code needs. No part of the interface: it changes without notice.
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
    pub use crate::federated::Result;
}

pub use channel::{
    Announcement, BoxChannel, BoxPublicKey, BoxSecretKey, Channel, ChannelGrid, Envelope, EnvelopeMismatch,
    HpkeChannel, Identity, IdentityKey, Message, Opened, Organisation, Payload, PlaintextChannel, Roster,
    SessionKeys,
};
/// The derive: `ModelOf` beside a struct `Model` whose members may have different element types.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use cipherfold_derive::Summand;
/// The derive: `ModelOf` beside a struct `Model` whose members have one element type.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use cipherfold_derive::Tensors;
pub use computation::{
    Computation, Context, Home, Inputs, Leak, LeakKind, Numeric, Outputs, Portable, Value,
};
pub use digest::Digest;
pub use error::{Error, Result};
pub use executor::{LocalExecutor, LocalExecutorBuilder};
pub use input::{IntoInput, TensorInput};
pub use outcome::Outcome;
pub use party::{Party, SessionId};
pub use placement::{Aggregator, At, Clients, KeyHolder, Placed, Placement, PlacementKind, Server};
pub use report::{Absence, AbsenceReason, Operations, Phase, PhaseTime, Progress, Report, Traffic};
pub use round::KeyHolding;
pub use tensor::{
    Codec, Codecs, DType, Encoding, FloatSum, MaxWeight, Member, Path, PerTensor, Scalar, Structure, Summand,
    Tensor, TensorTree, TensorType, TensorView, Tensors,
};
