//! Batches on a GPU: compute shaders by Vulkan or Metal.
//!
//! # The scheme
//!
//! Residues modulo n² are pairs of base-n digits as everywhere in this crate (see [`residue`](crate::residue)), so that all
//! kernels work modulo n. A digit is cut into limbs of 29 bits and spread over 1, 2, 4 or 8 invocations ("lanes"), with
//! R = 2^(29·limbs) ≥ 16n. Products of limbs are added up in 64 bits, and carried once, when a sum leaves a lane; the lanes
//! exchange quotient digits and partial sums by subgroup shuffles, or by workgroup memory where subgroups are missing or
//! smaller than the lanes ([`Exchange`]). Operands may stay below 2n, and are brought below n on the way out. Bounds stand
//! in `shaders/lib/product.wgsl`.
//!
//! The kernels are the files under `shaders/`, with loops over limbs unrolled by a small expander; their final text can be
//! had from [`Gpu::shaders`] or `cargo run --example gpu_report -- --shaders DIR`.
//!
//! # What is checked, and what happens when a device fails
//!
//! Each kind of operation passes a known-answer test before its first use, for every key size and on every device opened.
//! Of every piece of a batch, one result picked by chance is computed on the CPU as well; of a fold, one slot. A device
//! that is lost, does not answer for a minute, or gives a wrong result is opened anew once, and the batch is done again;
//! if that fails too, the batch is done on the CPU, and so is everything after it. Nothing is lost on the way: of a fold
//! the host keeps the contributions since it last fetched a copy of the accumulators. [`Gpu::faults`] tells what happened.
//!
//! # Memory
//!
//! A batch goes through in pieces of up to 32 MiB, three of them under way while a fourth is filled: at most 224 MiB of
//! staging buffers on the host and 192 MiB on the device, where general powers take 0.6 GiB more for their tables. These
//! buffers are used again by the next batch, and one batch runs at a time. On top of that comes what is kept:
//!
//! - for every fixed base a table of up to 120 MiB (4 MiB with a software rasteriser), on the device and on the host;
//! - for each fold on the device its accumulators, up to 1.2 times a contribution, or some more where slots are few, and up to
//!   96 MiB under way; on the host up to 128 MiB of contributions that wait, and 512 MiB (or twice the accumulators, or one
//!   contribution, if that is more) that are kept, shared with the caller and not copied, with up to two copies of the
//!   accumulators, in case the device is lost;
//! - results that stay on the device ([`Resident`](super::Resident)) take their own size there; the host keeps their
//!   plaintexts and exponents.
//!
//! A dispatch is cut so that it takes about 50 ms, by the kernel's pace as measured by timestamps.
//!
//! # Secrets
//!
//! **A GPU does not give the constant-time promises of this crate.** Which entry of a table a lane reads depends on the
//! exponent, and shows in memory traffic and time to whoever can watch the device: another process that shares it, or
//! another tenant. For encryption these exponents are the randomness of single ciphertexts; whoever learns them can open
//! those ciphertexts. Use this backend on a GPU that only you use. The control flow does not depend on secrets.
//!
//! Exponents come from the caller's generator on the host; buffers that held exponents, plaintexts, powers or primes are
//! cleared before they are used again and when they are dropped. Drivers may keep copies that nobody can clear.
//!
//! Secret keys stay on the CPU, unless the program says otherwise by
//! [`Choice::GpuWithSecretKeys`](super::Choice::GpuWithSecretKeys), by [`Gpu::with_secret_keys`], or by
//! [`allow_secret_keys_on_gpu`](super::allow_secret_keys_on_gpu) where the environment asks for it. Then p and q themselves, and powers modulo p² and q², are in the device's memory,
//! and all the bits of p − 1 and q − 1 select the entries that are read: whoever watches the device may learn the
//! key, and with it everything ever encrypted under it. Do it only where nobody else can run anything on that machine.
//!
#![doc = include_str!("gpu/speed.md")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "durations and rates are positive and need a few digits only"
)]

mod adapter;
mod commands;
mod device;
mod engine;
mod fixed_base;
mod fold;
mod host;
mod kept;
mod layout;
mod operation;
mod parameters;
mod pool;
mod product;
mod rate;
mod resident;
mod shader;
mod transfer;
mod trial;

#[cfg(test)]
mod tests;

use core::fmt;
use std::{
    sync::{Arc, Mutex, OnceLock, atomic::Ordering},
    time::Duration,
};

use crypto_bigint::Word;

pub use self::{adapter::AdapterReport, layout::Layout, rate::TransferRates, shader::Exchange};

pub(super) use self::resident::ResidentPairs;

use self::{
    device::{Clock, Context, Fault, Fuse, lock},
    engine::{Cached, Powers, Public, Secret},
    fixed_base::Table,
    host::Threads,
    shader::Kernel,
};
use super::{Backend, Error, FixedBaseEngine, PublicEngine, Result, SecretEngine, crt::Crt, fastest_on_cpu};
use crate::residue::{Limbs, Modulus, Pair};

/// How to open a GPU. The default takes the first that is fit, discrete ones before others and software last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Only adapters with this in their name.
    pub adapter: Option<String>,
    /// [`Exchange::Workgroup`] even where subgroups would do; to compare.
    pub exchange: Option<Exchange>,
    /// Lanes that share a residue: 4, 8, 16 or 32; to compare. Where a lane could not hold its limbs, twice as many.
    pub lanes: Option<u32>,
    /// Bytes of a binding, if less than the device's limit: pieces of batches become smaller.
    pub binding_bytes: Option<u64>,
}

/// A GPU that batches run on.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    has_secret_keys: bool,
}

/// What all engines on one GPU share: the device, one batch at a time.
pub(super) struct Shared {
    options: Options,
    report: AdapterReport,
    threads: Arc<Threads>,
    clock: Arc<Clock>,
    fuse: Arc<Fuse>,
    state: Mutex<State>,
}

struct State {
    context: Option<Arc<Context>>,
    opened: u64,
    /// Failures since the last batch that went well.
    failures: u32,
    faults: Vec<String>,
}

/// Devices that may fail one after the other before the CPU takes over for good.
const FAILURES: u32 = 2;

/// Bytes of a table of a fixed base: windows of 11 bits at 2048 bits, 10 at 3072 and 9 at 4096 take 94, 116 and 114 MiB. A
/// binding may have 128 everywhere (`adapter::LEAST_BINDING`).
const TABLE: usize = 120 << 20;

/// The same for a software rasteriser, where the host's part would take longer than the table saves.
const SOFTWARE_TABLE: usize = 4 << 20;

const WAITING: usize = 128 << 20;

const JOURNAL: usize = 512 << 20;

impl Gpu {
    /// All adapters that Vulkan and Metal know here, usable or not, those first that are chosen first.
    pub fn adapters() -> Vec<AdapterReport> {
        adapter::all().into_iter().map(|(_, report)| report).collect()
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
        let (clock, fuse) = (Arc::default(), Arc::default());
        let threads = Arc::new(Threads::new().map_err(unavailable)?);
        let context = Context::open(options, 1, &threads, &clock, &fuse).map_err(unavailable)?;
        let shared = Shared {
            options: options.clone(),
            report: context.report.clone(),
            threads,
            clock,
            fuse,
            state: Mutex::new(State {
                context: Some(Arc::new(context)),
                opened: 1,
                failures: 0,
                faults: Vec::new(),
            }),
        };
        Ok(Self { shared: Arc::new(shared), has_secret_keys: false })
    }

    /// The GPU that [`Choice::Gpu`](super::Choice::Gpu) stands for, opened at the first call. The environment variable
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
        Self { shared: Arc::clone(&self.shared), has_secret_keys: true }
    }

    /// What the adapter is and has.
    pub fn report(&self) -> &AdapterReport {
        &self.shared.report
    }

    /// What has gone wrong with the device since it was opened; empty if nothing has.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.shared.state).faults.clone()
    }

    /// Whether batches still go to the device, rather than to the CPU because it has failed twice in a row.
    pub fn is_alive(&self) -> bool {
        lock(&self.shared.state).failures < FAILURES
    }

    /// Time that kernels have taken on the device, by its own clock; zero if it has none.
    pub fn kernel_time(&self) -> Duration {
        self.shared.clock.total()
    }

    /// Wide multiply-adds, 32 by 32 bits to 64, that the device does in a second: sixteen independent chains in each of
    /// many invocations, and nothing else.
    ///
    /// `None` if the device has no clock of its own, or fails.
    pub fn multiply_add_rate(&self) -> Option<f64> {
        self.shared.run(1, &mut |context| rate::multiply_add_rate(context).map(Some), || None).flatten()
    }

    /// Bytes a second to the device and back, by the host's clock: in pieces like those of a batch, filled and read by the
    /// host's threads, with nothing done on the device.
    ///
    /// `None` if the device fails.
    pub fn transfer_rates(&self) -> Option<TransferRates> {
        self.shared.run(1, &mut |context| rate::transfer_rates(context).map(Some), || None)
    }

    /// How residues for a modulus of so many bits lie in this GPU's lanes.
    ///
    /// # Panics
    ///
    /// Like [`Layout::new`].
    pub fn layout(&self, bits: u32) -> Layout {
        self.shared.layout(bits)
    }

    /// How the lanes of a residue exchange values on this GPU.
    pub fn exchange(&self, layout: Layout) -> Exchange {
        adapter::exchange(self.shared.report.subgroups, layout)
    }

    /// The final text of every kernel, with its name.
    pub fn shaders(layout: Layout, exchange: Exchange) -> Vec<(String, String)> {
        Kernel::ALL
            .iter()
            .map(|kernel| (kernel.name().to_owned(), shader::compose(*kernel, layout, exchange)))
            .collect()
    }

    /// Breaks the device after so many more dispatches, as if it had been pulled out, and so often: each new device at its
    /// first dispatch. For tests.
    #[doc(hidden)]
    pub fn lose_device_after(&self, dispatches: u64, times: u64) {
        self.shared.fuse.dispatches.store(dispatches, Ordering::Relaxed);
        self.shared.fuse.losses.store(times, Ordering::Relaxed);
    }

    /// Takes the device's next right results that are checked, so many of them, for wrong ones. For tests.
    #[doc(hidden)]
    pub fn doubt_results(&self, times: u64) {
        self.shared.fuse.doubts.store(times, Ordering::Relaxed);
    }
}

impl Shared {
    /// Does a batch of `len` items on the device, a second time on a new one if it fails, and otherwise by `on_cpu`.
    fn run<T>(
        &self,
        len: usize,
        on_device: &mut dyn FnMut(&Arc<Context>) -> Result<T, Fault>,
        on_cpu: impl FnOnce() -> T,
    ) -> T {
        if len > 0 {
            // Two attempts; the lock is not held while the CPU works.
            let mut state = lock(&self.state);
            for _ in 0..FAILURES {
                let Some(context) = self.context(&mut state) else { break };
                match on_device(&context) {
                    Ok(done) => {
                        state.failures = 0;
                        return done;
                    }
                    Err(Fault(text)) => {
                        state.faults.push(text);
                        state.failures += 1;
                        state.context = None;
                    }
                }
            }
        }
        on_cpu()
    }

    /// The device, opened again if it has failed once.
    fn context(&self, state: &mut State) -> Option<Arc<Context>> {
        if let Some(context) = &state.context {
            return Some(Arc::clone(context));
        }
        if state.failures >= FAILURES {
            return None;
        }
        state.opened += 1;
        match Context::open(&self.options, state.opened, &self.threads, &self.clock, &self.fuse) {
            Ok(context) => {
                let context = Arc::new(context);
                state.context = Some(Arc::clone(&context));
                Some(context)
            }
            Err(text) => {
                state.faults.push(text);
                state.failures = FAILURES;
                None
            }
        }
    }

    /// Bytes of contributions to a fold that wait for the device, at most: fewer and larger pieces are faster.
    fn waiting(&self) -> usize {
        self.options.binding_bytes.map_or(WAITING, |bytes| WAITING.min(bytes as usize))
    }

    /// Bytes of contributions that the host keeps before it fetches a copy of the accumulators instead.
    fn journal(&self) -> usize {
        self.options.binding_bytes.map_or(JOURNAL, |bytes| JOURNAL.min(4 * bytes as usize))
    }

    fn layout(&self, bits: u32) -> Layout {
        self.options.lanes.map_or_else(|| Layout::new(bits), |lanes| Layout::with_lanes(bits, lanes))
    }
}

impl<F: Limbs, H: Limbs> Backend<F, H> for Gpu {
    fn name(&self) -> &'static str {
        if self.has_secret_keys { "gpu-with-secret-keys" } else { "gpu" }
    }

    fn public(&self, modulus: &Arc<Modulus<F>>) -> Arc<dyn PublicEngine<F>> {
        Arc::new(Public {
            shared: Arc::clone(&self.shared),
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
        let layout = self.shared.layout(F::WORDS as u32 * Word::BITS);
        let budget = if self.shared.report.is_software { SOFTWARE_TABLE } else { TABLE };
        Arc::new(Powers {
            shared: Arc::clone(&self.shared),
            modulus: Arc::clone(modulus),
            base: *base,
            bits,
            table: Arc::new(Table::new(layout, modulus, base, bits, budget)),
            on_device: Cached::default(),
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
            shared: Arc::clone(&self.shared),
            crt: Crt::new(p, q),
            moduli: [modulus(p), modulus(q)],
            on_device: [Cached::default(), Cached::default()],
            cpu,
        })
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("adapter", &self.shared.report.name)
            .field("has_secret_keys", &self.has_secret_keys)
            .finish_non_exhaustive()
    }
}
