//! What was in a message.

use core::{
    fmt::{self, Debug},
    ops::Deref,
};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The payload of a message that was opened, as a slice of bytes. Wiped when dropped, not shown by `Debug`.
///
/// The payload stays where it was decrypted: what stands before it in that buffer is skipped, not removed.
pub struct Opened {
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
}

impl Opened {
    /// The payload that begins at `start` of `buffer` and goes on to its end.
    ///
    /// # Panics
    ///
    /// If the buffer ends before `start`.
    pub fn new(buffer: Zeroizing<Vec<u8>>, start: usize) -> Self {
        assert!(start <= buffer.len(), "a payload begins within its buffer");
        Self { buffer, start }
    }

    /// The bytes of the payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Deref for Opened {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// In constant time for payloads of one length.
impl PartialEq for Opened {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice().ct_eq(other.as_slice()).into()
    }
}

impl Eq for Opened {}

impl Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(bytes: &[u8], start: usize) -> Opened {
        Opened::new(Zeroizing::new(bytes.to_vec()), start)
    }

    #[test]
    fn payloads_are_what_follows_the_header() {
        assert_eq!(opened(b"header payload", 7).as_slice(), b"payload");
        assert_eq!(opened(b"header payload", 7), opened(b"payload", 0));
        assert_ne!(opened(b"payload", 0), opened(b"payloae", 0));
        assert_ne!(opened(b"payload", 0), opened(b"payloads", 0));
        assert!(opened(b"header", 6).is_empty());
    }

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(format!("{:?}", opened(b"secret", 2)), "Opened { len: 4, .. }");
    }
}
