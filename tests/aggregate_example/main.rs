//! The example `aggregate`, run as its users run it, over small files made here.
//!
//! `cargo test` builds the examples; where this test alone is asked for, it builds the example if there is none yet.

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
