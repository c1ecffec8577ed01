//! Rounds with separate roles: bytes in, bytes out, through the public API only.
//!
//! Seeds are fixed. The key is short, for tests only.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small test numbers"
)]

mod clients;
mod confidential;
mod foreign;
mod messages;
mod opened;
mod parts;
mod processors;
mod rounds;
mod specs;
mod state;
mod streamed;
mod streamed_results;
mod support;
