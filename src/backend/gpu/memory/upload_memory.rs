//! In which memory uploads are filled.

use std::fmt;

/// The memory that the host fills, and that the device copies uploads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadMemory {
    /// The device's own, if the host can write to it: the host's threads then send every word to the device themselves. If
    /// it cannot, the host's.
    Device,
    /// The host's own: its threads write to their own memory, and the device fetches it.
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
