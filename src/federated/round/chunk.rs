//! The suggested number of ciphertexts in a message.

use super::EncryptionKey;

impl EncryptionKey {
    /// A suitable number of ciphertexts in a message for this key's backend. Use it for
    /// [`RoundParameters::chunk_ciphertexts`](super::RoundParameters::chunk_ciphertexts).
    ///
    /// A message is one batch of the backend. A batch that is too small leaves threads or a GPU
    /// idle. A batch that is too large needs much memory, because a client and the aggregator each
    /// hold a few messages at a time.
    ///
    /// | backend | ciphertexts | reason |
    /// | :-- | --: | :-- |
    /// | a GPU, 2048-bit keys | 8192 | messages of 4 MiB: with 512 ciphertexts a round took 4.6 times as long on an H100 |
    /// | a GPU, 3072 and 4096-bit keys | 4096 | messages of 3 and 4 MiB; a kernel takes longer for each ciphertext |
    /// | a processor, up to 4 threads | 512 | a batch takes at least 20 ms on a thread |
    /// | a processor, more threads | 128 for each thread, rounded up to a power of two, at most 2048 | each thread has full tasks |
    ///
    /// `threads` is the number of threads that share a batch.
    ///
    /// ```
    /// use cipherfold::{backend::BackendChoice, federated::{Digest, KeyHolding, SessionId, round::{KeyOwner, SessionParameters}}};
    ///
    /// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    /// let owner = KeyOwner::generate(
    ///     SessionParameters {
    ///         session: SessionId::random(&mut rng),
    ///         key_bits: 2048,
    ///         key_holding: KeyHolding::Server,
    ///         roster: Digest::NONE,
    ///         backend: BackendChoice::Portable,
    ///     },
    ///     &mut rng,
    /// )?;
    /// assert_eq!(owner.encryption_key().suggested_chunk_ciphertexts(16), 2048);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn suggested_chunk_ciphertexts(&self, threads: usize) -> u32 {
        suggested(self.backend_name(), self.offer().key_bits(), threads)
    }
}

/// The number for a backend of this name.
pub(in crate::federated) fn suggested(backend: &str, key_bits: u32, threads: usize) -> u32 {
    if backend.starts_with("gpu") {
        let ciphertext = key_bits / 4; // bytes
        return (GPU_MESSAGE / ciphertext + 1).next_power_of_two() / 2;
    }
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    threads.saturating_mul(PER_THREAD).clamp(SMALLEST, LARGEST).next_power_of_two()
}

/// Maximum bytes of a message that a GPU encrypts.
const GPU_MESSAGE: u32 = 4 << 20;

/// Ciphertexts in a message on a processor: for each thread, the minimum, and the maximum.
const PER_THREAD: u32 = 128;
const SMALLEST: u32 = 512;
const LARGEST: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::suggested;

    #[test]
    fn the_suggestion_depends_on_backend_key_size_and_threads() {
        for backend in ["gpu", "gpu-with-secret-keys"] {
            assert_eq!([2048, 3072, 4096].map(|bits| suggested(backend, bits, 16)), [8192, 4096, 4096]);
        }
        for (threads, expected) in
            [(0, 512), (1, 512), (4, 512), (5, 1024), (8, 1024), (9, 2048), (usize::MAX, 2048)]
        {
            assert_eq!(suggested("ifma", 2048, threads), expected, "{threads}");
            assert_eq!(suggested("in the clear", 4096, threads), expected, "{threads}");
        }
    }
}
