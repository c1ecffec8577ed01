//! Values that travel and values that are stored: how they are written, and what clients may have as updates.

mod derived;
mod formats;
mod lists;
mod messages;
mod mixed;
mod one_encoding;
