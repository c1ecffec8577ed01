//! Which GPUs there are, what each lacks, which kernels it would get, and whether they work.
//!
//! ```text
//! cargo run --release --example gpu_report
//! cargo run --release --example gpu_report -- --shaders DIR
//! ```
//!
//! The self-check encrypts, adds and decrypts on the GPU that `--backend gpu` would take, at every key size, compares the
//! results with the CPU's bit for bit and tells the rates; it ends after `--seconds`, a minute unless said otherwise.
//! `--batch` sets its ciphertexts. `--lanes` and `--workgroup-memory` are for those who look for faster kernels.
//! With `--shaders` the final text of all kernels is written out, and nothing else is done.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use cipherfold::{
    backend::{
        Backend, FixedBaseEngine, Portable, PublicEngine,
        gpu::{Exchange, Gpu, Options},
    },
    paillier::{Bits2048, Bits3072, Bits4096, KeySize, SecretKey},
    residue::{Limbs, Modulus, Pair},
};
use clap::Parser;
use crypto_bigint::Word;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Lists GPUs, and checks the one that batches would run on.
#[derive(Debug, Parser)]
#[command(name = "gpu_report")]
struct Args {
    /// Write the final text of all kernels to this folder, and end
    #[arg(long, value_name = "DIR")]
    shaders: Option<PathBuf>,
    /// Only adapters with this in their name
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Seconds of the self-check; 0 for none
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ciphertexts of a batch; fitted to the adapter unless given
    #[arg(long)]
    batch: Option<usize>,
    /// Exchange by workgroup memory, even where there are subgroups
    #[arg(long)]
    workgroup_memory: bool,
    /// Lanes that share a residue
    #[arg(long)]
    lanes: Option<u32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.shaders {
        Some(folder) => write_shaders(folder),
        None => report(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_shaders(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for bits in [1024, 1536, 2048, 3072, 4096] {
        for exchange in [Exchange::Subgroup, Exchange::Workgroup] {
            for (name, text) in Gpu::shaders(bits, exchange) {
                fs::write(folder.join(format!("{name}_{bits}_{exchange}.wgsl")), text)?;
            }
        }
    }
    println!("written to {}", folder.display());
    Ok(())
}

fn report(args: &Args) -> Result<(), Box<dyn Error>> {
    let adapters = Gpu::adapters();
    if adapters.is_empty() {
        println!("No Vulkan or Metal adapter was found.");
    }
    for adapter in &adapters {
        println!("{adapter}");
        match adapter.subgroups {
            Some((smallest, largest)) => println!("  subgroups of {smallest} to {largest} lanes"),
            None => println!("  no subgroups"),
        }
        println!("  bindings of up to {} MiB", adapter.binding_bytes >> 20);
        println!("  clock for kernels: {}", if adapter.has_timestamps { "yes" } else { "no" });
        if adapter.missing.is_empty() {
            for bits in [2048, 3072, 4096] {
                println!("  {bits}-bit keys: lanes exchange by {} operations", adapter.exchange(bits));
            }
        } else {
            println!("  cannot be used; it lacks {}", adapter.missing.join(", "));
        }
    }
    if args.seconds == 0 {
        return Ok(());
    }

    let mut options = Options::default();
    options.adapter.clone_from(&args.adapter);
    options.exchange = args.workgroup_memory.then_some(Exchange::Workgroup);
    options.lanes = args.lanes;
    let gpu = Gpu::open(&options)?;
    println!("\nSelf-check of {}", gpu.report());
    let peak = gpu.multiply_add_rate();
    if let Some(peak) = peak {
        println!("{:.3} trillion wide multiply-adds a second", peak * 1e-12);
    }
    println!("\nrates a second: by the device's clock while kernels run, and from end to end\n");
    println!(
        "{:5} {:10} {:>8} {:>13} {:>9} {:>13}",
        "key", "operation", "batch", "kernels", "of peak", "end to end"
    );
    let end = Instant::now() + Duration::from_secs(args.seconds);
    check::<Bits2048>(args, &gpu, peak, end);
    check::<Bits3072>(args, &gpu, peak, end);
    check::<Bits4096>(args, &gpu, peak, end);
    let faults = gpu.faults();
    if !faults.is_empty() {
        return Err(format!("the device failed: {}", faults.join("; ")).into());
    }
    println!("\nall results as on the CPU");
    Ok(())
}

/// One key size: correctness first, then rates.
fn check<S: KeySize>(args: &Args, gpu: &Gpu, peak: Option<f64>, end: Instant) {
    if Instant::now() >= end {
        println!("{:5} (no time left)", S::BITS);
        return;
    }
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(S::BITS));
    let secret = SecretKey::<S>::generate(&mut rng);
    let n: S::Full = from_be(&secret.public_key().modulus_be());
    let (p, q) = secret.expose_primes_be();
    let (p, q): (S::Half, S::Half) = (from_be(&p), from_be(&q));
    let modulus = Arc::new(Modulus::new(n).expect("odd"));
    let batch = args.batch.unwrap_or(if gpu.report().is_software { 200 } else { 1 << 17 });
    let base = random_pairs::<S::Full>(1, &mut rng)[0];
    let bits = S::BITS / 2;

    let gpu_backend: &dyn Backend<S::Full, S::Half> = &gpu.with_secret_keys();
    let cpu_backend: &dyn Backend<S::Full, S::Half> = &Portable;
    let device_engine = gpu_backend.public(&modulus);
    let reference = cpu_backend.public(&modulus);
    let powers: Arc<dyn FixedBaseEngine<S::Full, S::Half>> = gpu_backend.fixed_base(&modulus, &base, bits);
    let xs = random_pairs::<S::Full>(batch, &mut rng);
    let ms: Vec<S::Full> = xs.iter().map(|x| x.hi).collect();
    let exponents = random_halves::<S::Half>(batch, &mut rng);
    let few = batch.min(20);

    // Correctness, on few.
    let cpu_powers = cpu_backend.fixed_base(&modulus, &base, bits);
    let sealed = powers.encrypt(&ms[..few], &exponents[..few]);
    assert!(sealed == cpu_powers.encrypt(&ms[..few], &exponents[..few]), "encryptions differ");
    let opened = gpu_backend.secret(&p, &q).decrypt(&sealed);
    assert!(opened.is_some() && opened == cpu_backend.secret(&p, &q).decrypt(&sealed), "decryptions differ");
    let (first, xs) = (Arc::new(xs[..few].to_vec()), Arc::new(xs));
    assert!(fold(&*device_engine, &first, 9) == fold(&*reference, &first, 9), "folds differ");

    let row = |operation: &str, count: usize, products: Option<f64>, run: &mut dyn FnMut()| {
        if Instant::now() >= end {
            return;
        }
        // Dispatches grow to their length as the pace of the kernels becomes known.
        (0..if gpu.report().is_software { 1 } else { 3 }).for_each(|_| run());
        let (kernel, begin) = (gpu.kernel_time(), Instant::now());
        run();
        let (kernel, whole) = (gpu.kernel_time().saturating_sub(kernel), begin.elapsed());
        let rate = |time: Duration| count_of(count) / time.as_secs_f64().max(1e-9);
        let kernels = if kernel.is_zero() { "–".to_owned() } else { format!("{:.0}", rate(kernel)) };
        let adds = count_of_u64(Gpu::multiply_adds_of_product(S::BITS));
        let fraction = peak.zip(products).filter(|_| !kernel.is_zero());
        let fraction = fraction.map_or("–".to_owned(), |(peak, products)| {
            format!("{:.0} %", 100.0 * rate(kernel) * products * adds / peak)
        });
        let bits = S::BITS;
        println!("{bits:5} {operation:10} {count:>8} {kernels:>13} {fraction:>9} {:>13.0}", rate(whole));
    };
    let contributions = 8;
    row("fold", contributions * batch, Some(1.0), &mut || drop(fold(&*device_engine, &xs, contributions)));
    let resident = Arc::clone(&powers).encrypt_resident(&ms, &exponents);
    row("fold there", contributions * batch, Some(1.0), &mut || {
        let mut fold = device_engine.fold(batch);
        (0..contributions).for_each(|_| fold.add_resident(&resident));
        fold.finish();
    });
    row("encrypt", batch, None, &mut || drop(powers.encrypt(&ms, &exponents)));
    let decrypted = batch.min(1 << 14);
    let sealed = resident.pairs();
    let engine = gpu_backend.secret(&p, &q);
    row("decrypt", decrypted, None, &mut || drop(engine.decrypt(&sealed[..decrypted])));
}

fn fold<F: Limbs>(
    engine: &dyn PublicEngine<F>,
    xs: &Arc<Vec<Pair<F>>>,
    contributions: usize,
) -> Vec<Pair<F>> {
    let mut fold = engine.fold(xs.len());
    (0..contributions).for_each(|_| fold.add(xs));
    fold.finish()
}

#[allow(clippy::cast_precision_loss, reason = "a few digits are printed")]
fn count_of(count: usize) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "a few digits are printed")]
fn count_of_u64(count: u64) -> f64 {
    count as f64
}

fn from_be<U: Limbs>(bytes: &[u8]) -> U {
    let mut number = U::zero();
    for (i, byte) in bytes.iter().rev().enumerate() {
        number.words_mut()[i / size_of::<Word>()] |= Word::from(*byte) << (8 * (i % size_of::<Word>()));
    }
    number
}

/// Numbers with all words random, and their top bits not set, so that they are below every modulus.
fn random_halves<U: Limbs>(count: usize, rng: &mut ChaCha20Rng) -> Vec<U> {
    let mut random = || {
        let mut number = U::zero();
        for word in number.words_mut() {
            let mut bytes = [0; size_of::<Word>()];
            rng.fill_bytes(&mut bytes);
            *word = Word::from_ne_bytes(bytes);
        }
        number.words_mut()[U::WORDS - 1] &= Word::MAX >> 1;
        number
    };
    (0..count).map(|_| random()).collect()
}

fn random_pairs<U: Limbs>(count: usize, rng: &mut ChaCha20Rng) -> Vec<Pair<U>> {
    let (lo, hi) = (random_halves::<U>(count, rng), random_halves::<U>(count, rng));
    lo.into_iter().zip(hi).map(|(lo, hi)| Pair::new(lo, hi)).collect()
}
