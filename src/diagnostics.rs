//! **Unstable.** The engines below [`paillier`](crate::paillier), for this crate's own tests,
//! benchmarks and examples.
//!
//! Only the feature `diagnostics` has this module. It may change in every release, also in those
//! that promise compatibility. Programs need none of it: [`paillier`](crate::paillier) has the same
//! operations with checks, and [`backend`](crate::backend) chooses the engine.
//!
//! | items | content |
//! | :-- | :-- |
//! | [`Limbs`], [`Modulus`], [`Pair`], [`FixedBase`] | arithmetic modulo n², the reference |
//! | [`Backend`] and its engines, [`Resident`] | batches on one backend |
//! | [`Widths`] | the integers and the backends of a key size |
//! | `limbs_a_pass` (x86-64) | a variant of the AVX-512 kernel, to compare |
//! | [`Masks`] | pads that hide sums from the key holder |
//! | `gpu` (with the feature of that name) | the GPU, its kernels and its rates |

pub use crate::{
    backend::{
        engine::{Backend, FixedBaseEngine, Fold, PublicEngine, SecretEngine},
        portable::Portable,
        resident::Resident,
        select::select,
    },
    paillier::{randomness::Masks, values::key_size::Widths},
    residue::{FixedBase, Limbs, Modulus, Pair},
};

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
pub use crate::backend::simd::limbs_a_pass;

#[cfg(feature = "gpu")]
pub mod gpu {
    //! The GPU backend.

    pub use crate::backend::gpu::{
        AdapterReport, Exchange, Gpu, LaneLayout, Options, TransferRates, UploadMemory,
    };
}
