//! The work of each party.
//!
//! Every function here can be stopped at any moment and called again. It reads the store, and
//! continues.

mod aggregator;
mod ahead;
mod client;
mod fold;
mod key_holder;
mod repeatable;
mod retention;
mod server;
mod session;
mod sums;
mod wait;
mod workers;

pub use aggregator::{Aggregation, Ended, aggregate};
pub use client::{Submission, Submitted, submit, wait_for_end};
pub use fold::{Fold, Worker};
pub use key_holder::{Decrypted, decrypt, decrypt_all};
pub(crate) use retention::last_word;
pub use retention::{Removal, remove};
pub use server::{Pulled, open_round, pull};
pub use session::{NewSession, announce, new_session};
pub use wait::{Patience, unix_time};
pub use workers::fold_shards;
