//! Times every Paillier operation at every key size, and the same arithmetic in other libraries.
//!
//! ```text
//! cargo bench --bench paillier
//! cargo bench --bench paillier -- encrypt/portable/2048
//! ```
//!
//! The names have the form `operation/backend/key bits/batch`. The throughput counts ciphertexts
//! (or products, or powers). Every backend that can run on this machine has its rows. Everything
//! runs on one thread, unless `CIPHERFOLD_BENCH_THREADS` sets another number.
//!
//! - `add` adds a contribution to a running sum, as an aggregator does.
//! - `add_single` adds two ciphertexts.
//! - `encrypt` and `randomizer` use the table of the fixed base.
//! - `encrypt_short` uses the table for short exponents.
//! - `encrypt_full_range` computes `r^n`.
//! - `rerandomize` includes the computation of its randomizers.
//! - `secure_sum` is a whole round with four clients who share the batch: packing, encryption,
//!   addition, decryption, and encrypted channels.
//!
//! A GPU has larger batches, and its `add` is a whole sum of 32 contributions. Each of its
//! operations has a second row: `add_kernel` and the like count only the time of the kernels by the
//! GPU's own clock, without transfers, conversions and checks. `decrypt/gpu-with-secret-keys`
//! decrypts on the GPU too; the backend `gpu` decrypts on the processor. A software GPU has rows
//! only if `CIPHERFOLD_BENCH_SOFTWARE_GPU` is set.
//!
//! Batches fill the lanes of a vector. Products of single ciphertexts (`add_single`) run as
//! portable code on every backend for processors.
//!
//! The rows of `crypto-bigint` and `num-bigint` are baselines: `product` and `power` (`r^n`) modulo
//! n², and `powers_mod_p2`, the two powers modulo p² and q² of a decryption by the Chinese
//! remainder theorem (one element is one such pair of powers).

#[allow(dead_code, reason = "the other bench uses the rest")]
mod common;

use std::{cell::LazyCell, time::Duration};

use cipherfold::paillier::{Bits2048, Bits3072, Bits4096, KeySize};
#[cfg(feature = "gpu")]
use cipherfold::{backend::BackendChoice, diagnostics::gpu::Gpu};
#[cfg(feature = "gpu")]
use common::SUMMED;
use common::{BENCH, Baselines, Fixture};
use criterion::{BenchmarkId, Criterion, Throughput};
use crypto_bigint::nlimbs;

fn main() {
    common::threads().install(|| {
        let mut criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .nresamples(10_000)
            .without_plots()
            .configure_from_args();
        size::<Bits2048, { nlimbs(1024) }, { nlimbs(2048) }, { nlimbs(4096) }>(&mut criterion);
        size::<Bits3072, { nlimbs(1536) }, { nlimbs(3072) }, { nlimbs(6144) }>(&mut criterion);
        size::<Bits4096, { nlimbs(2048) }, { nlimbs(4096) }, { nlimbs(8192) }>(&mut criterion);
        criterion.final_summary();
    });
}

/// All rows of a key size. p, n and n² have HALF, FULL and SQUARE limbs.
fn size<S: KeySize, const HALF: usize, const FULL: usize, const SQUARE: usize>(criterion: &mut Criterion) {
    // Made by the first bench that is not filtered out.
    let made = LazyCell::new(|| Fixture::<S>::new(BENCH));
    let baselines = LazyCell::new(|| Baselines::<HALF, FULL, SQUARE>::new(&made.secret));
    let mut rows = Rows { criterion, backend: "", bits: S::BITS };

    for (name, choice) in common::backends() {
        let fixture = LazyCell::new(|| made.on(choice));
        rows.backend = name;
        rows.time("add", BENCH.add, || fixture.add());
        rows.time("add_single", 1, || fixture.add_single());
        rows.time("encrypt", BENCH.encrypt, || fixture.encrypt());
        rows.time("encrypt_short", BENCH.encrypt, || fixture.encrypt_short());
        rows.time("encrypt_full_range", 1, || fixture.encrypt_full_range());
        rows.time("randomizer", BENCH.encrypt, || fixture.randomizer());
        rows.time("decrypt", BENCH.decrypt, || fixture.decrypt());
        rows.time("mul_plain_16", BENCH.encrypt, || fixture.mul_plain_16());
        rows.time("add_plain", BENCH.encrypt, || fixture.add_plain());
        rows.time("rerandomize", BENCH.encrypt, || fixture.rerandomize());
        rows.time("negate", BENCH.encrypt, || fixture.negate());
        rows.time("secure_sum", BENCH.encrypt, || fixture.secure_sum());
    }

    #[cfg(feature = "gpu")]
    if let Some(gpu) = common::gpu() {
        let batches = common::gpu_batches(gpu);
        let fixture = LazyCell::new(|| made.on_with(BackendChoice::Gpu, batches));
        rows.backend = "gpu";
        rows.time("add", SUMMED * batches.add, || fixture.sum());
        rows.time_kernel(gpu, "add_kernel", SUMMED * batches.add, || fixture.sum());
        rows.time("encrypt", batches.encrypt, || fixture.encrypt());
        rows.time("encrypt_short", batches.encrypt, || fixture.encrypt_short());
        rows.time_kernel(gpu, "encrypt_kernel", batches.encrypt, || fixture.encrypt());
        rows.time_kernel(gpu, "encrypt_short_kernel", batches.encrypt, || fixture.encrypt_short());
        rows.time("randomizer", batches.encrypt, || fixture.randomizer());
        rows.time("mul_plain_16", batches.encrypt, || fixture.mul_plain_16());
        rows.time_kernel(gpu, "mul_plain_16_kernel", batches.encrypt, || fixture.mul_plain_16());
        rows.time("add_plain", batches.encrypt, || fixture.add_plain());
        rows.time("rerandomize", batches.encrypt, || fixture.rerandomize());
        rows.time("secure_sum", batches.encrypt, || fixture.secure_sum());
        let fixture = LazyCell::new(|| made.on_with(BackendChoice::GpuWithSecretKeys, batches));
        rows.backend = "gpu-with-secret-keys";
        rows.time("decrypt", batches.decrypt, || fixture.decrypt());
        rows.time_kernel(gpu, "decrypt_kernel", batches.decrypt, || fixture.decrypt());
    }

    rows.backend = "crypto-bigint";
    rows.time("product", 1, || baselines.product());
    rows.time("power", 1, || baselines.power());
    rows.time("power_amm", 1, || baselines.power_amm());
    rows.time("powers_mod_p2", 1, || baselines.powers_mod_p2());

    if S::BITS == 2048 {
        rows.backend = "num-bigint";
        rows.time("product", 1, || baselines.num_bigint_product());
        rows.time("power", 1, || baselines.num_bigint_power());
    }
}

/// Names and times rows of one key size.
struct Rows<'c> {
    criterion: &'c mut Criterion,
    backend: &'static str,
    bits: u32,
}

impl Rows<'_> {
    /// Times a routine that works on one batch at each call. `prepare` checks the routine and
    /// returns it.
    fn time<R: FnMut()>(&mut self, operation: &str, batch: usize, prepare: impl FnOnce() -> R) {
        let mut group = self.criterion.benchmark_group(operation);
        group.throughput(Throughput::Elements(batch as u64));
        let id = BenchmarkId::new(format!("{}/{}", self.backend, self.bits), batch);
        let mut prepare = Some(prepare);
        let mut routine = None;
        group.bench_function(id, |bencher| {
            // The closure is called for every sample, but not if the row is filtered out.
            if let Some(prepare) = prepare.take() {
                routine = Some(prepare());
            }
            bencher.iter(routine.as_mut().expect("prepared by the first call"));
        });
        group.finish();
    }

    /// The same, but only the time of the GPU's kernels counts.
    #[cfg(feature = "gpu")]
    fn time_kernel<R: FnMut()>(
        &mut self,
        gpu: &Gpu,
        operation: &str,
        batch: usize,
        prepare: impl FnOnce() -> R,
    ) {
        if !gpu.report().has_timestamps {
            return;
        }
        let mut group = self.criterion.benchmark_group(operation);
        group.throughput(Throughput::Elements(batch as u64));
        let id = BenchmarkId::new(format!("{}/{}", self.backend, self.bits), batch);
        let (mut prepare, mut routine) = (Some(prepare), None);
        group.bench_function(id, |bencher| {
            if let Some(prepare) = prepare.take() {
                routine = Some(prepare());
            }
            let routine = routine.as_mut().expect("prepared by the first call");
            bencher.iter_custom(|count| {
                let before = gpu.kernel_time();
                (0..count).for_each(|_| routine());
                // Some work of a sum may not be counted yet, and criterion does not accept a time
                // of zero.
                gpu.kernel_time().saturating_sub(before).max(Duration::from_nanos(1))
            });
        });
        group.finish();
    }
}
