//! The examples, run as their users run them, and the modules that they share.

#[path = "../common/example.rs"]
mod example;

mod command_lines;
mod outputs;
mod shared;
mod throughput;
