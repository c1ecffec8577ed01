//! The service at the level of its users: homes, a store, and the command `cipherfold`.

mod audits;
#[cfg(feature = "board")]
mod board;
#[cfg(feature = "s3")]
mod buckets;
mod command_line;
mod disks;
mod faults;
mod faulty_store;
mod key_holder;
mod kills;
mod namespaces;
mod refusals;
mod rounds;
mod schedulers;
mod support;
mod workers;
