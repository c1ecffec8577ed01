//! Sessions and rounds in a store. Every object that is read here is signed by the party in the
//! consortium, and belongs to its predecessor.

mod clock;
mod declare;
mod model;
mod open_round;
mod parts;
mod read;
mod session;

pub use clock::unix_time;
pub use declare::{Declaration, declare};
pub use model::template;
pub(crate) use open_round::read_listed;
pub use open_round::{OpenRound, State};
pub use parts::{append, join, split};
pub(crate) use read::check_digest;
pub(crate) use session::key_holding;
pub use session::{OpenSession, only_session};
