//! The service at the level where its users stand: homes, a store, and the command `cipherfold`.

mod audits;
mod command_line;
mod kills;
mod refusals;
mod rounds;
mod support;
