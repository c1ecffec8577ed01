//! Rounds by roles alone: bytes in, bytes out, through the public API and nothing else.
//!
//! Seeds are fixed. The key is too short for anything but tests.
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
mod rounds;
mod specs;
mod state;
mod streamed;
mod support;
