//! Values that travel and values that are stored: how they are written, and what clients may have as updates.

mod formats;
mod lists;
mod messages;
mod one_encoding;
