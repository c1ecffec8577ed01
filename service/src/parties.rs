//! The parties and their keys: the consortium that all parties pin, and the home of each party.

mod consortium;
mod error;
mod home;
mod names;
#[cfg(feature = "board")]
pub(crate) mod tls;

pub use consortium::{Consortium, ConsortiumError, Member};
pub use error::{Error, Result};
pub use home::{Home, IDENTITY_VARIABLE};
pub(crate) use names::decimal;
pub use names::{from_label, label};
