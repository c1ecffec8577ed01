//! Encodings of sent and stored values, and the allowed types of clients' updates.

mod derived;
mod formats;
mod lists;
mod messages;
mod mixed;
mod one_encoding;
