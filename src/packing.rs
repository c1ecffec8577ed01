//! Many small values in one plaintext.
//!
//! A Paillier plaintext of 2048 bits for a number of 16 would waste most of it. Here the values of an update become
//! small non-negative integers, and as many of them as fit stand side by side in one plaintext, each in a slot with
//! enough headroom for the sum over all clients. Adding plaintexts then adds all their slots.
//!
//! Three steps, each with its own type, and back again in reverse order:
//!
//! | step | client | server |
//! | :-- | :-- | :-- |
//! | [`Quantizer`] | clips floating-point numbers and rounds them to a grid | scales the sum back; states the error |
//! | or [`IntegerRange`] | checks integers and takes their offset from the least | puts the offset back; exact |
//! | or [`QuantizedSum`] | clips numbers, 2^32 levels between two bounds | puts the lower bound back |
//! | or [`Modular`] | takes residues of integers | takes the residue of the sum |
//! | [`Layout`] | packs what results, times the client's weight, into words | unpacks the sums |
//!
//! All of it is fixed by public numbers that every party of a round must share: the range, the bits, the largest number
//! of clients and the largest weight. Combinations that cannot fit are refused when the types are made, so that no sum
//! overflows later. To decode a sum takes the sum of the weights of those who took part (their number, where all weights
//! are 1), since each of them has added its offset.
//!
//! Plaintexts are little-endian slices of 64-bit words, and nothing here depends on a key or encrypts anything. Encoding
//! and packing neither branch nor index on values. They take the values as they find them: a client that departs from
//! the protocol can still contribute any bits, as to every sum of encrypted numbers. Decoding promises nothing about time:
//! the sums are what the server is to learn.
//!
//! ```
//! use cipherfold::packing::{Layout, LayoutParameters, Quantizer};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
//!
//! // Shared by everyone: numbers from -1 to 1 in 16 bits, up to 100 clients, weights up to 10, keys of 2048 bits.
//! let quantizer = Quantizer::symmetric(1.0, 16)?.stochastic();
//! let layout = Layout::new(LayoutParameters { capacity_bits: 2047, value_bits: quantizer.bits(), max_summands: 100, max_weight: 10 })?;
//! let clients = [(3_u64, [0.5, -0.25]), (7, [0.1, 1.0])]; // weight and update
//!
//! // Each client encodes, weights, and packs. The sum of the plaintexts is, in reality, formed under encryption.
//! let mut total = vec![0; layout.words()];
//! for (weight, update) in clients {
//!     let mut slots = [0; 2];
//!     let clipped = quantizer.encode(&update, &mut slots, &mut rng)?;
//!     assert_eq!(clipped, 0);
//!     slots = slots.map(|slot| slot * weight);
//!     let mut plaintext = vec![0; layout.words()];
//!     layout.pack(&slots, &mut plaintext);
//!     total[0] += plaintext[0]; // two slots of 26 bits: no carry into the next word
//! }
//!
//! // The server knows the total and the sum of the weights.
//! let mut sums = [0; 2];
//! layout.unpack(&total, &mut sums);
//! for (sum, expected) in sums.into_iter().zip([(3.0 * 0.5 + 7.0 * 0.1) / 10.0, (3.0 * -0.25 + 7.0 * 1.0) / 10.0]) {
//!     assert!((quantizer.decode_mean(sum, 10) - expected).abs() <= quantizer.error_bound());
//! }
//! # Ok::<(), cipherfold::Error>(())
//! ```

mod divisor;
mod error;
mod integer;
mod layout;
mod modular;
mod quantized;
mod quantizer;

pub use error::{Error, Result};
pub use integer::{Integer, IntegerRange};
pub use layout::{Layout, LayoutParameters};
pub use modular::Modular;
pub use quantized::{Quantized, QuantizedSum};
pub use quantizer::{Float, Quantizer, Rounding};

#[cfg(test)]
pub(crate) mod tests {
    use proptest::test_runner::{Config, RngSeed};

    /// The same cases on every run.
    pub(crate) fn replayable(cases: u32) -> Config {
        Config {
            cases,
            max_global_rejects: 4 * cases,
            rng_seed: RngSeed::Fixed(42),
            failure_persistence: None,
            ..Config::default()
        }
    }
}
