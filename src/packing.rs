//! Many small values in one plaintext.
//!
//! A Paillier plaintext has 2048 bits or more; a single number of 16 bits would waste most of them.
//! This module turns the values of an update into small non-negative integers. It places as many of
//! them as fit side by side in one plaintext. Each has a slot with enough headroom for the sum over
//! all clients. Adding plaintexts then adds all their slots.
//!
//! Each step has its own type. Decoding reverses the order:
//!
//! | step | client | server |
//! | :-- | :-- | :-- |
//! | [`Quantizer`] | clips floating-point numbers and rounds them to a grid | scales the sum back; states the error |
//! | or [`IntegerRange`] | checks integers and subtracts the minimum | adds the minimum back; exact |
//! | or [`QuantizedSum`] | clips numbers, 2^32 levels between two bounds | adds the lower bound back |
//! | or [`Modular`] | reduces integers | reduces the sum |
//! | [`Layout`] | packs the encoded values, times the client's weight, into words | unpacks the sums |
//!
//! Every party of a round must share the same public parameters: the range, the bits, the maximum
//! number of clients and the maximum weight. The constructors refuse combinations that cannot fit,
//! so that no sum overflows later. Decoding a sum needs the sum of the participants' weights (their
//! number, if all weights are 1), because each participant has added its offset.
//!
//! Plaintexts are little-endian slices of 64-bit words. Nothing here depends on a key or encrypts
//! anything. Encoding and packing neither branch nor index on values. Only the client checks its
//! values: a client that deviates from the protocol can contribute any bits, as in every sum of
//! encrypted numbers. Decoding promises nothing about time, because the server may learn the sums.
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
mod float;
mod integer;
mod layout;
mod modular;
mod quantized;
mod quantizer;

pub use error::Error;
pub use float::Float;
pub use integer::{Integer, IntegerRange};
pub use layout::{Layout, LayoutParameters};
pub use modular::Modular;
pub use quantized::{Quantized, QuantizedSum};
pub use quantizer::{Quantizer, Rounding};
