//! The work of each party.
//!
//! Every function here can be stopped at any moment and called again. It reads the store, and
//! continues.

mod aggregator;
mod client;
mod envelope;
mod faults;
mod key_holder;
mod prefetch;
mod repeatable;
mod retention;
mod server;
mod session;
mod wait;

pub use aggregator::{Aggregation, Ended, Fold, Worker, aggregate, fold_shards};
pub use client::{Submission, Submitted, submit, wait_for_end};
pub use key_holder::{Decrypted, decrypt, decrypt_all};
pub use retention::{Removal, remove};
pub use server::{Pulled, open_round, pull};
pub use session::{NewSession, announce, new_session};
pub use wait::Timeout;
