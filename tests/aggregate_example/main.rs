//! The example `aggregate`, run like a user, over small generated files.
//!
//! `cargo test` builds the examples. If only this test runs, it builds the example if necessary.

mod clipping;
mod formats;
mod means;
mod names;
mod other_types;
mod outputs;
mod refusals;
mod shards;
mod sizes;
mod support;
