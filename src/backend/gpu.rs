//! Batches on a GPU: compute shaders by Vulkan or Metal.
//!
//! # The scheme
//!
//! Residues modulo n² are pairs of base-n digits as everywhere in this crate (see [`residue`](crate::residue)), so that all
//! kernels work modulo n. A digit is split into limbs of 29 bits and spread over 1, 2, 4, 8 or 16 invocations ("lanes"), with
//! R = 2^(29·limbs) ≥ 16n. Products of limbs are added up in 64 bits, and carried once, when a sum leaves a lane. The lanes
//! exchange quotient digits and partial sums by subgroup shuffles. Workgroup memory replaces them where subgroups are
//! missing or smaller than the lanes ([`Exchange`]). Operands may stay below 2n; results are reduced below n. The bounds are
//! in `shaders/lib/product.wgsl`.
//!
//! The kernels are the files under `shaders/`, with loops over limbs unrolled by a small expander. [`Gpu::shaders`] and
//! `cargo run --features gpu --example gpu_report -- --shaders DIR` give their final text.
//!
//! # Layers
//!
//! Each layer depends on those below it only.
//!
//! | layer | has |
//! | :-- | :-- |
//! | `engines` | the backend's engines; failover to a new device and to the CPU |
//! | `self_test` | a known-answer test for every kernel, before its first use |
//! | `operations` | products, powers, folds and fixed bases, with samples checked |
//! | `stream` | batches in pieces: up, through kernels, and down; several in flight |
//! | `kernels` | layouts, the text of the shaders, parameters, pipelines |
//! | `memory` | buffers, their pool, the host's threads that fill and read them |
//! | `device` | adapters, open devices with their queues, faults, the clock of kernels |
//!
//! # Checks and failures
//!
//! Each kind of operation passes a known-answer test before its first use, for every key size and on every device opened.
//! The CPU also computes one random result of every piece of a batch, and one random slot of every fold. A device fails if
//! it is lost, does not answer for a minute, or gives a wrong result. A new one is then opened once, and the batch is done
//! again. If that fails too, the CPU does this batch and all later ones. No contribution is lost: the host keeps those of
//! a fold since its last copy of the accumulators. [`Gpu::faults`] lists the failures.
//!
//! # Memory
//!
//! Uploads are filled in the device's memory, where the host can write to it, or in the host's own ([`UploadMemory`]): a card
//! gets what is faster, measured when it is opened. Only Vulkan offers the choice.
//!
//! A batch goes through in pieces of up to 32 MiB, three of them in flight while two more are filled: at most 256 MiB of
//! staging buffers on the host and 192 MiB on the device, where general powers take 0.6 GiB more for their tables. Batches
//! of several callers run at the same time, while all of them together take 1 GiB or less; further ones wait. Later batches
//! use these buffers again: up to 448 MiB stay on the host and 800 MiB on the device. More memory is kept for longer:
//!
//! - for every fixed base a table of up to 120 MiB (4 MiB with a software rasteriser), on the device and on the host;
//! - for each fold on the device its accumulators, up to 1.2 times a contribution, or some more where slots are few, and up to
//!   96 MiB in flight; on the host up to 128 MiB of contributions that wait, and 512 MiB (or twice the accumulators, or one
//!   contribution, if that is more) that are kept, shared with the caller and not copied, with up to two copies of the
//!   accumulators, in case the device is lost. While a copy comes down, the contributions that it has are kept as well. Up to
//!   256 MiB of the copies' memory is used again by later folds;
//! - results that stay on the device ([`Resident`](super::resident::Resident)) take their own size there; the host keeps their
//!   plaintexts and exponents.
//!
//! A dispatch is cut so that it takes about 50 ms, by the kernel's pace as measured by timestamps.
//!
//! # Secrets
//!
//! **A GPU does not give the constant-time promises of this crate.** Which entry of a table a lane reads depends on the
//! exponent. Another process or tenant that shares the device may see it in memory traffic and time. For encryption these
//! exponents are the randomness of single ciphertexts; a person who learns them can open those ciphertexts. Use this
//! backend on a GPU that only you use. The control flow does not depend on secrets.
//!
//! Exponents come from the caller's generator on the host; buffers that held exponents, plaintexts, powers or primes are
//! cleared before they are used again and when they are dropped. Drivers may keep copies that a program cannot clear.
//!
//! Secret keys stay on the CPU, unless the program says otherwise by
//! [`BackendChoice::GpuWithSecretKeys`](super::BackendChoice::GpuWithSecretKeys), by [`Gpu::with_secret_keys`], or by
//! [`allow_secret_keys_on_gpu`](super::allow_secret_keys_on_gpu) where the environment asks for it. Then p and q, and powers
//! modulo p² and q², are in the device's memory, and all the bits of p − 1 and q − 1 select the entries that are read. A
//! person who watches the device may learn the key, and everything ever encrypted under it. Do this only on a machine where
//! no other person can run programs.
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

/// A GPU that batches run on.
#[derive(Clone)]
pub struct Gpu {
    failover: Arc<Failover>,
    has_secret_keys: bool,
}

/// Maximum bytes of a table of a fixed base: windows of 11 bits at 2048 bits, 10 at 3072 and 9 at 4096 take 94, 116 and
/// 114 MiB. A binding may have 128 everywhere (`device::adapter`).
const MAX_TABLE_BYTES: usize = 120 << 20;

/// The same for a software rasteriser, where the host's part would take longer than the table saves.
const MAX_SOFTWARE_TABLE_BYTES: usize = 4 << 20;

impl Gpu {
    /// All adapters that Vulkan and Metal know here, usable or not, those first that are chosen first.
    pub fn adapters() -> Vec<AdapterReport> {
        device::all_adapters().into_iter().map(|(_, report)| report).collect()
    }

    /// Opens a GPU.
    ///
    /// # Errors
    ///
    /// [`Error::BackendUnavailable`], with what was found and what it lacks.
    pub fn open(options: &Options) -> Result<Self> {
        let unavailable = |reason: String| Error::BackendUnavailable { name: "gpu", reason: reason.into() };
        if let Some(lanes) = options.lanes.filter(|lanes| ![4, 8, 16, 32].contains(lanes)) {
            return Err(unavailable(format!("{lanes} lanes cannot share a residue: 4, 8, 16 or 32 can")));
        }
        let failover = Failover::open(options).map_err(unavailable)?;
        Ok(Self { failover: Arc::new(failover), has_secret_keys: false })
    }

    /// The GPU that [`BackendChoice::Gpu`](super::BackendChoice::Gpu) stands for, opened at the first call. The environment variable
    /// `CIPHERFOLD_GPU` chooses among several by a part of the name.
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
    /// **p and q are then in the device's memory, and the bits of p − 1 and q − 1 show in what it reads**: only for a GPU
    /// that nobody else can use or watch. The [module](self) says more.
    #[must_use]
    pub fn with_secret_keys(&self) -> Self {
        Self { failover: Arc::clone(&self.failover), has_secret_keys: true }
    }

    /// What the adapter is and has.
    pub fn report(&self) -> &AdapterReport {
        self.failover.report()
    }

    /// What has gone wrong with the device since it was opened; empty if nothing has.
    pub fn faults(&self) -> Vec<String> {
        self.failover.faults()
    }

    /// Whether batches still go to the device, rather than to the CPU because it has failed twice in a row.
    pub fn is_alive(&self) -> bool {
        self.failover.is_alive()
    }

    /// Time that kernels have taken on the device, by its own clock; zero if it has none.
    pub fn kernel_time(&self) -> Duration {
        self.failover.kernel_time()
    }

    /// Wide multiply-adds, 32 by 32 bits to 64, that the device does in a second: sixteen independent chains in each of
    /// many invocations, and nothing else.
    ///
    /// `None` if the device has no clock of its own, or fails.
    #[cfg(feature = "diagnostics")]
    pub fn multiply_add_rate(&self) -> Option<f64> {
        let rate = &mut |device: &TestedDevice| diagnostics::multiply_add_rate(device.runtime()).map(Some);
        self.failover.run(1, rate, || None).flatten()
    }

    /// Bytes a second to the device and back, by the host's clock: in pieces like those of a batch, filled and read by the
    /// host's threads, with nothing done on the device; the way up through either memory ([`UploadMemory`]).
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
