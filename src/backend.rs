//! The choice of a backend: the code, or the device, that computes batches of ciphertexts.
//!
//! Use batches: `ifma` and `avx2` hold several ciphertexts in vector registers, and a GPU
//! thousands. With a 2048-bit key on Zen 4, `ifma` and `avx2` compute 5.5 and 2.4 times as many
//! additions a second as `portable`.
//!
//! | name | needs | chosen | time |
//! | :-- | :-- | :-- | :-- |
//! | `ifma` | x86-64 with AVX-512 IFMA | automatically | constant in everything secret |
//! | `avx2` | x86-64 with AVX2 | automatically, without `ifma` | constant in everything secret |
//! | `portable` | nothing | automatically, without the other two | constant in everything secret |
//! | `gpu` | a GPU with Vulkan or Metal, and the feature `gpu` | by name only | depends on exponents |
//! | `gpu-with-secret-keys` | the same | by name only | and on the secret key |
//!
//! All backends give the same bits. The environment variable `CIPHERFOLD_BACKEND` names one for
//! [`BackendChoice::Auto`]. In code,
//! [`PublicKey::with_backend`](crate::paillier::PublicKey::with_backend),
//! [`SecretKey::with_backend`](crate::paillier::SecretKey::with_backend) and
//! [`LocalExecutorBuilder::backend`](crate::federated::LocalExecutorBuilder::backend) take a
//! choice. Reports name the backend that ran.

#![allow(clippy::cast_possible_truncation, reason = "numbers of limbs and of bits are small")]

mod choice;
mod cpu;
mod crt;
pub(crate) mod engine;
mod error;
#[cfg(feature = "gpu")]
pub(crate) mod gpu;
mod gpu_status;
pub(crate) mod portable;
pub(crate) mod resident;
pub(crate) mod select;
#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
pub(crate) mod simd;
mod window;

pub use choice::BackendChoice;
pub use error::Error;
pub(crate) use error::Result;
pub use gpu_status::{GpuStatus, gpu_status};
pub use select::allow_secret_keys_on_gpu;
