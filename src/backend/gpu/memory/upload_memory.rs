//! The choice of memory for uploads.

use std::fmt;

/// The memory that the host fills, and that the device copies uploads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadMemory {
    /// The device's own memory, if the host can write to it: the host's threads then send every
    /// word to the device themselves. Otherwise the host's memory.
    Device,
    /// The host's own memory: its threads write there, and the device fetches the words.
    Host,
}

impl fmt::Display for UploadMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Device => "device",
            Self::Host => "host",
        })
    }
}
