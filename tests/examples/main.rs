//! The examples, run like a user, and their shared modules.

#[path = "../common/example.rs"]
mod example;

mod command_lines;
mod outputs;
mod shared;
mod throughput;
