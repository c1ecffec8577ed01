//! Which GPUs there are, what each lacks, which kernels it would get, and whether they work.
//!
//! ```text
//! cargo run --release --example gpu_report
//! cargo run --release --example gpu_report -- --variants
//! cargo run --release --example gpu_report -- --shaders DIR
//! ```
//!
//! The self-check encrypts, adds and decrypts on the GPU that `--backend gpu` would take, at every key size, and compares the
//! results with the CPU's bit for bit. Then it tells the rates, until `--seconds` have passed, a minute unless said
//! otherwise. `--batch` sets its ciphertexts.
//!
//! `--variants` is for those who look for faster kernels: folds with other numbers of lanes to a residue, and by workgroup
//! memory, beside those that would be taken. `--lanes` and `--workgroup-memory` take one of them for the self-check.
//!
//! With `--shaders` the final text of all kernels is written out, also for `--lanes`, and nothing else is done.

mod fixture;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use cipherfold::{
    backend::gpu::{Exchange, Gpu, Layout, Options},
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::Parser;
use fixture::{Fixture, Rates};

/// Lists GPUs, and checks the one that batches would run on.
#[derive(Debug, Parser)]
#[command(name = "gpu_report")]
struct Args {
    /// Write the final text of all kernels to this folder, and end
    #[arg(long, value_name = "DIR")]
    shaders: Option<PathBuf>,
    /// Compare folds with different numbers of lanes, and both ways of exchange, instead of the self-check
    #[arg(long)]
    variants: bool,
    /// Only adapters with this in their name
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Seconds after which no new measurement begins; 0 for a list of adapters alone
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ciphertexts of a batch; fitted to the adapter unless given
    #[arg(long)]
    batch: Option<usize>,
    /// Exchange by workgroup memory, even where there are subgroups
    #[arg(long)]
    workgroup_memory: bool,
    /// Lanes that share a residue: 4, 8, 16 or 32
    #[arg(long, value_parser = lanes)]
    lanes: Option<u32>,
}

fn lanes(text: &str) -> Result<u32, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    if [4, 8, 16, 32].contains(&number) { Ok(number) } else { Err("not 4, 8, 16 or 32".to_owned()) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.shaders {
        Some(folder) => write_shaders(folder, args.lanes),
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

fn write_shaders(folder: &Path, lanes: Option<u32>) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for bits in [1024, 1536, 2048, 3072, 4096] {
        let layout = lanes.map_or_else(|| Layout::new(bits), |lanes| Layout::with_lanes(bits, lanes));
        for exchange in [Exchange::Subgroup, Exchange::Workgroup] {
            for (name, text) in Gpu::shaders(layout, exchange) {
                fs::write(folder.join(format!("{name}_{bits}_{exchange}.wgsl")), text)?;
            }
        }
    }
    println!("written to {}", folder.display());
    Ok(())
}

fn report(args: &Args) -> Result<(), Box<dyn Error>> {
    list();
    if args.seconds == 0 {
        return Ok(());
    }
    let mut options = Options::default();
    options.adapter.clone_from(&args.adapter);
    options.exchange = args.workgroup_memory.then_some(Exchange::Workgroup);
    options.lanes = args.lanes;
    let gpu = Gpu::open(&options)?;
    println!("\n{}", gpu.report());
    let peak = gpu.multiply_add_rate();
    if let Some(peak) = peak {
        println!("{:.3} trillion wide multiply-adds a second", peak * 1e-12);
    }
    if let Some(rates) = gpu.transfer_rates() {
        let (up, down) = (rates.up * 1e-9, rates.down * 1e-9);
        println!("{up:.1} GB/s up, {down:.1} GB/s down, by the host's clock");
    }
    let end = Instant::now() + Duration::from_secs(args.seconds);
    if args.variants {
        return compare(args, &options, peak, end);
    }

    let fixtures = (
        Fixture::<Bits2048>::new(&gpu, args.batch),
        Fixture::<Bits3072>::new(&gpu, args.batch),
        Fixture::<Bits4096>::new(&gpu, args.batch),
    );
    fixtures.0.check()?;
    fixtures.1.check()?;
    fixtures.2.check()?;
    println!("\nencryptions, sums and decryptions at 2048, 3072 and 4096 bits are as on the CPU\n");
    println!("rates a second: by the device's clock while kernels run, and from end to end\n");
    println!(
        "{:5} {:10} {:>8} {:>13} {:>9} {:>13}",
        "key", "operation", "batch", "kernels", "of peak", "end to end"
    );
    rows(&fixtures.0, peak, end);
    rows(&fixtures.1, peak, end);
    rows(&fixtures.2, peak, end);
    no_faults(&gpu)
}

fn list() {
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
                let (layout, exchange) = (Layout::new(bits), adapter.exchange(bits));
                println!("  {bits}-bit keys: {layout}, exchange by {exchange} operations");
            }
        } else {
            println!("  cannot be used; it lacks {}", adapter.missing.join(", "));
        }
    }
}

fn no_faults(gpu: &Gpu) -> Result<(), Box<dyn Error>> {
    let faults = gpu.faults();
    if faults.is_empty() { Ok(()) } else { Err(format!("the device failed: {}", faults.join("; ")).into()) }
}

/// The rates of one key size, while there is time.
fn rows<S: KeySize>(fixture: &Fixture<S>, peak: Option<f64>, end: Instant) {
    let row = |operation: &str, measure: &mut dyn FnMut() -> Rates| {
        if Instant::now() >= end {
            println!("{:5} {operation:10} (no time left)", S::BITS);
            return;
        }
        let rates = measure();
        let kernels = rates.kernels.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
        let fraction = rates.fraction(peak).map_or("–".to_owned(), percent);
        println!(
            "{:5} {operation:10} {:>8} {kernels:>13} {fraction:>9} {:>13.0}",
            S::BITS,
            rates.items,
            rates.end_to_end
        );
    };
    row("fold", &mut || fixture.fold());
    row("fold there", &mut || fixture.fold_resident());
    row("encrypt", &mut || fixture.encrypt());
    row("decrypt", &mut || fixture.decrypt());
}

/// Folds of every variant, at every key size.
fn compare(args: &Args, options: &Options, peak: Option<f64>, end: Instant) -> Result<(), Box<dyn Error>> {
    println!("\nfolds a second by the device's clock\n");
    println!("{:5} {:22} {:10} {:>13} {:>9}", "key", "layout", "exchange", "kernels", "of peak");
    fold_variants::<Bits2048>(args, options, peak, end)?;
    fold_variants::<Bits3072>(args, options, peak, end)?;
    fold_variants::<Bits4096>(args, options, peak, end)
}

fn fold_variants<S: KeySize>(
    args: &Args,
    options: &Options,
    peak: Option<f64>,
    end: Instant,
) -> Result<(), Box<dyn Error>> {
    let mut layouts = vec![Layout::new(S::BITS)];
    for lanes in [4, 8, 16, 32] {
        let layout = Layout::with_lanes(S::BITS, lanes);
        if !layouts.contains(&layout) {
            layouts.push(layout);
        }
    }
    let mut made: Option<Fixture<S>> = None;
    let workgroup = layouts.iter().map(|layout| (*layout, Some(Exchange::Workgroup)));
    for (layout, exchange) in layouts.iter().map(|layout| (*layout, None)).chain(workgroup) {
        if Instant::now() >= end {
            println!("{:5} {layout:22} (no time left)", S::BITS);
            continue;
        }
        let mut options = options.clone();
        options.lanes = Some(layout.lanes());
        options.exchange = exchange;
        let gpu = Gpu::open(&options)?;
        let found = gpu.exchange(layout);
        if exchange.is_none() && found == Exchange::Workgroup {
            continue; // subgroups are too small for it: it comes below
        }
        let fixture = match made.take() {
            Some(fixture) => fixture.on(&gpu),
            None => Fixture::new(&gpu, args.batch),
        };
        let rates = fixture.fold();
        made = Some(fixture);
        let kernels = rates.kernels.map_or("–".to_owned(), |rate| format!("{rate:.0}"));
        let fraction = rates.fraction(peak).map_or("–".to_owned(), percent);
        println!("{:5} {layout:22} {found:10} {kernels:>13} {fraction:>9}", S::BITS);
        no_faults(&gpu)?;
    }
    Ok(())
}

fn percent(fraction: f64) -> String {
    format!("{:.0} %", 100.0 * fraction)
}
