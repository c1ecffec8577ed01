//! Batches on a GPU: compute shaders over Vulkan or Metal.
//!
//! # The scheme
//!
//! A residue modulo n² is a pair of base-n digits, as in the whole crate (see
//! [`residue`](crate::residue)), so all kernels work modulo n. A digit is split into limbs of 29
//! bits. Its limbs are spread over 1, 2, 4, 8 or 16 invocations ("lanes"), with R = 2^(29·limbs) ≥
//! 16n. Products of limbs are summed in 64 bits. A sum is carried once, when it leaves its lane.
//! The lanes exchange quotient digits and partial sums by subgroup shuffles. Workgroup memory
//! replaces the shuffles where subgroups are missing or smaller than a group of lanes
//! ([`Exchange`]). Operands are below 2n, and results are reduced below n. The bounds are in
//! `shaders/lib/product.wgsl`.
//!
//! The kernels are the files under `shaders/`. A small template expander unrolls their loops over
//! limbs. [`Gpu::shaders`] and `cargo run --features gpu --example gpu_report -- --shaders DIR` give the final
//! text.
//!
//! # Layers
//!
//! Each layer depends only on the layers below it.
//!
//! | layer | has |
//! | :-- | :-- |
//! | `engines` | the backend's engines; failover to a new device and to the CPU |
//! | `self_test` | a known-answer test for every kernel, before its first use |
//! | `operations` | products, powers, folds and fixed bases, with samples checked |
//! | `stream` | batches in pieces: upload, kernels, download; several in flight |
//! | `kernels` | layouts, the text of the shaders, parameters, pipelines |
//! | `memory` | buffers, their pool, the host's threads that fill and read them |
//! | `device` | adapters, open devices with their queues, faults, the clock of kernels |
//!
//! # Checks and failures
//!
//! Each kind of operation passes a known-answer test before its first use, for every key size and
//! on every opened device. The CPU also computes one random result of every piece of a batch, and
//! one random slot of every fold, and compares them with the device's. A device fails if it is
//! lost, does not answer for a minute, or gives a wrong result. The backend then opens a new device
//! once, and does the batch again. If that fails too, the CPU does this batch and all later ones.
//! No contribution is lost: the host keeps the contributions of a fold since its last copy of the
//! accumulators. [`Gpu::faults`] lists the failures.
//!
//! # Memory
//!
//! The host fills upload buffers in the device's memory, if it can write there, or in its own
//! memory ([`UploadMemory`]). For a card, the backend measures both when it opens the card, and
//! uses the faster one. Only Vulkan offers the choice.
//!
//! A batch is divided into pieces of up to 32 MiB. Three pieces are in flight and one is ready
//! while two more are filled. This takes at most 288 MiB of staging buffers on the host and 192 MiB
//! on the device. General powers take 0.6 GiB more on the device for their tables. Batches of
//! several callers run at the same time as long as all of them together take 1 GiB or less; further
//! batches wait. Later batches reuse these buffers: up to 448 MiB stay allocated on the host and 800
//! MiB on the device.
//! Other memory is in use for longer than a batch:
//!
//! - Every fixed base has a table of up to 120 MiB (4 MiB with a software rasteriser), on the
//!   device and on the host.
//! - On the device, each fold has its accumulators and up to 96 MiB in flight. The accumulators
//!   take up to 1.2 times the size of a contribution, or somewhat more if there are few slots.
//! - On the host, each fold has up to 256 MiB of contributions that wait for the device. In case
//!   the device is lost, the host also keeps up to two copies of the accumulators, and up to 512
//!   MiB of contributions (or twice the accumulators, or one contribution, if that is more).
//!   Contributions are shared with the caller, not copied. While a copy of the accumulators is
//!   being read back, the contributions in it are kept as well. Later folds reuse up to 256 MiB of
//!   the copies' memory.
//! - Results that stay on the device ([`Resident`](super::resident::Resident)) take their own size there. The
//!   host keeps their plaintexts and exponents.
//!
//! The length of a dispatch is chosen so that it takes about 50 ms. Timestamps give the time of
//! each kernel for a product.
//!
//! # Secrets
//!
//! **A GPU does not give the constant-time promises of this crate.** The table entries that a lane
//! reads depend on the exponent. Another process or tenant that shares the device may see them in
//! memory traffic and time. For encryption these exponents are the randomness of single
//! ciphertexts, and a person who learns them can open those ciphertexts. Use this backend on a GPU
//! that only you use. The control flow does not depend on secrets.
//!
//! Exponents come from the caller's generator on the host. Buffers that held exponents, plaintexts,
//! powers or primes are cleared before reuse and when they are dropped. Drivers may keep copies
//! that a program cannot clear.
//!
//! Secret keys stay on the CPU, unless the program allows the GPU by
//! [`BackendChoice::GpuWithSecretKeys`](super::BackendChoice::GpuWithSecretKeys), by [`Gpu::with_secret_keys`],
//! or by [`allow_secret_keys_on_gpu`](super::allow_secret_keys_on_gpu) if the environment asks for
//! it. Then p and q, and powers modulo p² and q², are in the device's memory, and the bits of p − 1
//! and q − 1 select the table entries that are read. A person who observes the device may learn the
//! key, and everything ever encrypted under it. Do this only on a machine where no other person can
//! run programs.
//!
#![doc = include_str!("gpu/speed.md")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "durations and rates are positive and need a few digits only"
)]
#![cfg_attr(
    not(feature = "diagnostics"),
    allow(
        dead_code,
        unused_imports,
        reason = "only `diagnostics` shows reports and measurements of devices"
    )
)]

mod device;
#[cfg(feature = "diagnostics")]
mod diagnostics;
mod engines;
mod kernels;
mod memory;
mod operations;
mod options;
mod self_test;
mod stream;
mod sync;

#[cfg(test)]
mod tests;

use core::fmt;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crypto_bigint::Word;

#[cfg(feature = "diagnostics")]
pub use self::diagnostics::TransferRates;
pub use self::{
    device::AdapterReport,
    kernels::{Exchange, LaneLayout},
    memory::UploadMemory,
    options::Options,
};

#[cfg(feature = "diagnostics")]
use self::self_test::TestedDevice;
use self::{
    engines::{Failover, PerDevice, Powers, Public, Secret},
    kernels::Kernel,
    operations::Table,
};
use super::{
    cpu::fastest_on_cpu,
    crt::Crt,
    engine::{Backend, FixedBaseEngine, PublicEngine, SecretEngine},
    error::{Error, Result},
};
use crate::residue::{Limbs, Modulus, Pair};

/// A GPU that runs batches.
#[derive(Clone)]
pub struct Gpu {
    failover: Arc<Failover>,
    has_secret_keys: bool,
}

/// Maximum bytes of the table of a fixed base. Windows of 11 bits for keys of 2048 bits take 94
/// MiB, of 10 bits for 3072 take 116 MiB, and of 9 bits for 4096 take 114 MiB. Every accepted
/// adapter has bindings of 128 MiB (`device::adapter`).
const MAX_TABLE_BYTES: usize = 120 << 20;

/// The same for a software rasteriser. A larger table would take the host longer to make than it
/// saves.
const MAX_SOFTWARE_TABLE_BYTES: usize = 4 << 20;

impl Gpu {
    /// All adapters that Vulkan and Metal list on this machine, usable or not, in the order of
    /// preference.
    pub fn adapters() -> Vec<AdapterReport> {
        device::all_adapters().into_iter().map(|(_, report)| report).collect()
    }

    /// Opens a GPU.
    ///
    /// # Errors
    ///
    /// [`Error::BackendUnavailable`], with the adapters that were found and the features that they
    /// lack.
    pub fn open(options: &Options) -> Result<Self> {
        let unavailable = |reason: String| Error::BackendUnavailable { name: "gpu", reason: reason.into() };
        if let Some(lanes) = options.lanes.filter(|lanes| ![4, 8, 16, 32].contains(lanes)) {
            return Err(unavailable(format!("{lanes} lanes cannot share a residue; use 4, 8, 16 or 32")));
        }
        let failover = Failover::open(options).map_err(unavailable)?;
        Ok(Self { failover: Arc::new(failover), has_secret_keys: false })
    }

    /// The GPU of [`BackendChoice::Gpu`](super::BackendChoice::Gpu), opened at the first call. If there are
    /// several, the environment variable `CIPHERFOLD_GPU` selects one by a part of its name.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`].
    pub fn process_wide() -> Result<&'static Self> {
        static OPENED: OnceLock<Result<Gpu>> = OnceLock::new();
        let opened = OPENED.get_or_init(|| {
            let adapter = std::env::var("CIPHERFOLD_GPU").ok().filter(|name| !name.is_empty());
            Self::open(&Options { adapter, ..Options::default() })
        });
        opened.as_ref().map_err(Clone::clone)
    }

    /// [`Self::process_wide`], with secret keys.
    pub(super) fn process_wide_with_secret_keys() -> Result<&'static Self> {
        static OPENED: OnceLock<Result<Gpu>> = OnceLock::new();
        let opened = OPENED.get_or_init(|| Ok(Self::process_wide()?.with_secret_keys()));
        opened.as_ref().map_err(|error| match error.clone() {
            Error::BackendUnavailable { reason, .. } => {
                Error::BackendUnavailable { name: "gpu-with-secret-keys", reason }
            }
            other => other,
        })
    }

    /// The same GPU, for decryption too.
    ///
    /// **p and q are then in the device's memory, and the addresses that it reads reveal the bits
    /// of p − 1 and q − 1.** Use this only on a GPU that no other person can use or observe. The
    /// comment at the head of `src/backend/gpu.rs` says more.
    #[must_use]
    pub fn with_secret_keys(&self) -> Self {
        Self { failover: Arc::clone(&self.failover), has_secret_keys: true }
    }

    /// The properties of the adapter.
    pub fn report(&self) -> &AdapterReport {
        self.failover.report()
    }

    /// The device's faults since it was opened; empty if it had none.
    pub fn faults(&self) -> Vec<String> {
        self.failover.faults()
    }

    /// Whether batches still run on the device. They run on the CPU after it has failed twice in a
    /// row.
    pub fn is_alive(&self) -> bool {
        self.failover.is_alive()
    }

    /// Total time of the kernels on the device, by its own clock; zero if it has no clock.
    pub fn kernel_time(&self) -> Duration {
        self.failover.kernel_time()
    }

    /// Wide multiply-adds (32 by 32 bits to 64) that the device does in a second, measured with 32
    /// independent chains in each of many invocations.
    ///
    /// `None` if the device has no clock or fails.
    #[cfg(feature = "diagnostics")]
    pub fn multiply_add_rate(&self) -> Option<f64> {
        let rate = &mut |device: &TestedDevice| diagnostics::multiply_add_rate(device.runtime()).map(Some);
        self.failover.run(1, rate, || None).flatten()
    }

    /// Bytes a second to the device and back, by the host's clock. The host's threads fill and read
    /// pieces like those of a batch, and the device runs no kernel. Uploads are measured through
    /// each memory ([`UploadMemory`]).
    ///
    /// `None` if the device fails.
    #[cfg(feature = "diagnostics")]
    pub fn transfer_rates(&self) -> Option<TransferRates> {
        let rates = &mut |device: &TestedDevice| diagnostics::transfer_rates(device.runtime()).map(Some);
        self.failover.run(1, rates, || None)
    }

    /// The layout of residues in this GPU's lanes, for a modulus of `bits` bits.
    ///
    /// # Panics
    ///
    /// Like [`LaneLayout::new`].
    pub fn layout(&self, bits: u32) -> LaneLayout {
        self.failover.layout(bits)
    }

    /// How the lanes of a residue exchange values on this GPU.
    pub fn exchange(&self, layout: LaneLayout) -> Exchange {
        Exchange::choose(self.failover.report().subgroups, layout)
    }

    /// The final text of every kernel, with its name.
    pub fn shaders(layout: LaneLayout, exchange: Exchange) -> Vec<(String, String)> {
        Kernel::ALL
            .iter()
            .map(|kernel| (kernel.name().to_owned(), kernels::compose(*kernel, layout, exchange)))
            .collect()
    }
}

impl<F: Limbs, H: Limbs> Backend<F, H> for Gpu {
    fn name(&self) -> &'static str {
        if self.has_secret_keys { "gpu-with-secret-keys" } else { "gpu" }
    }

    fn public(&self, modulus: &Arc<Modulus<F>>) -> Arc<dyn PublicEngine<F>> {
        Arc::new(Public {
            gpu: Arc::clone(&self.failover),
            modulus: Arc::clone(modulus),
            on_device: Arc::default(),
            cpu: fastest_on_cpu::<F, H>().public(modulus),
        })
    }

    fn fixed_base(
        &self,
        modulus: &Arc<Modulus<F>>,
        base: &Pair<F>,
        bits: u32,
    ) -> Arc<dyn FixedBaseEngine<F, H>> {
        let layout = self.failover.layout(F::WORDS as u32 * Word::BITS);
        let budget =
            if self.failover.report().is_software { MAX_SOFTWARE_TABLE_BYTES } else { MAX_TABLE_BYTES };
        Arc::new(Powers {
            gpu: Arc::clone(&self.failover),
            modulus: Arc::clone(modulus),
            base: *base,
            bits,
            table: Arc::new(Table::new(layout, modulus, base, bits, budget)),
            on_device: PerDevice::default(),
            cpu_backend: fastest_on_cpu(),
            cpu: OnceLock::new(),
        })
    }

    fn secret(&self, p: &H, q: &H) -> Arc<dyn SecretEngine<F>> {
        let cpu = fastest_on_cpu::<F, H>().secret(p, q);
        if !self.has_secret_keys {
            return cpu;
        }
        let modulus = |p: &H| Arc::new(Modulus::new(*p).expect("primes are odd"));
        Arc::new(Secret {
            gpu: Arc::clone(&self.failover),
            crt: Crt::new(p, q),
            moduli: [modulus(p), modulus(q)],
            on_device: [PerDevice::default(), PerDevice::default()],
            cpu,
        })
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("adapter", &self.failover.report().name)
            .field("has_secret_keys", &self.has_secret_keys)
            .finish_non_exhaustive()
    }
}
