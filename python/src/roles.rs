//! The roles of a round, as Python classes. Each wraps a role of the core.

mod aggregator;
mod client;
mod framing;
mod journal;
mod key_holder;
mod progress;
mod server;
mod sum;

pub(crate) use aggregator::Aggregator;
pub(crate) use client::{Client, EncryptedUpdate, MessageIterator};
pub(crate) use key_holder::KeyHolder;
pub(crate) use progress::Progress;
pub(crate) use server::Server;
pub(crate) use sum::{Answers, EncryptedSum, Questions};
