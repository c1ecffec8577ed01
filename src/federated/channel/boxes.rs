//! Channels whose messages are boxes that only the receiver opens.

mod hpke_channel;
mod libsodium_box;
mod nonce;
mod once_map;

pub use hpke_channel::HpkeChannel;
pub use libsodium_box::BoxChannel;
