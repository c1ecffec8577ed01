//! The payload of an opened message.

use core::{
    fmt::{self, Debug},
    ops::Deref,
};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The payload of an opened message, as a slice of bytes. Wiped when dropped, not shown by `Debug`.
///
/// The payload stays in the buffer in which it was decrypted. The bytes before it are skipped, not
/// removed.
pub struct OpenedPayload {
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
}

impl OpenedPayload {
    /// The payload from `start` to the end of `buffer`.
    ///
    /// # Panics
    ///
    /// If the buffer ends before `start`.
    pub fn new(buffer: Zeroizing<Vec<u8>>, start: usize) -> Self {
        assert!(start <= buffer.len(), "`start` lies within the buffer");
        Self { buffer, start }
    }

    /// The bytes of the payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Deref for OpenedPayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// Runs in constant time for payloads of equal length.
impl PartialEq for OpenedPayload {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice().ct_eq(other.as_slice()).into()
    }
}

impl Eq for OpenedPayload {}

impl Debug for OpenedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedPayload").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(bytes: &[u8], start: usize) -> OpenedPayload {
        OpenedPayload::new(Zeroizing::new(bytes.to_vec()), start)
    }

    #[test]
    fn the_payload_follows_the_header() {
        assert_eq!(opened(b"header payload", 7).as_slice(), b"payload");
        assert_eq!(opened(b"header payload", 7), opened(b"payload", 0));
        assert_ne!(opened(b"payload", 0), opened(b"payloae", 0));
        assert_ne!(opened(b"payload", 0), opened(b"payloads", 0));
        assert!(opened(b"header", 6).is_empty());
    }

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(format!("{:?}", opened(b"secret", 2)), "OpenedPayload { len: 4, .. }");
    }
}
