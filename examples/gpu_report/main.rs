//! Lists the GPUs, the features that they lack, and their kernels, and checks one GPU.
//!
//! ```text
//! cargo run --release --features gpu --example gpu_report
//! cargo run --release --features gpu --example gpu_report -- --variants
//! cargo run --release --features gpu --example gpu_report -- --shaders DIR
//! ```
//!
//! The self-check encrypts, adds and decrypts on the GPU that `--backend gpu` uses, and compares
//! the results with the CPU's bit for bit. It runs for every key size, or for those in
//! `--key-bits`. Then it measures rates, until `--seconds` have passed (by default a minute).
//! `--batch` sets the number of ciphertexts. An idle card runs at a fraction of its clock. So the
//! program first keeps it busy, until its rate no longer grows.
//!
//! `--variants` compares variants of the kernels: folds with other numbers of lanes for a residue,
//! and with workgroup memory. `--lanes` and `--workgroup-memory` select one variant for the
//! self-check.
//!
//! Uploads are measured through the device's memory, if the host can write to it, and through the
//! host's own memory. A card uses the faster one; `--upload-memory` selects one of them.
//!
//! With `--shaders` the program only writes the final text of all kernels, also for `--lanes`.

#[path = "../common"]
mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod key_bits;
    pub(crate) mod table;
}
mod fixture;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use cipherfold::{
    diagnostics::gpu::{Exchange, Gpu, LaneLayout, Options, TransferRates, UploadMemory},
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use clap::Parser;
use common::{
    cli::{Failure, Output},
    escape::escaped,
    key_bits::KeyBits,
    table::{
        Align::{Left, Right},
        Table,
    },
};
use fixture::{Fixture, Rates};

/// Lists GPUs, and checks the one that runs batches.
#[derive(Debug, Parser)]
#[command(name = "gpu_report")]
struct Args {
    /// Write the final text of all kernels to this folder, and do nothing else
    #[arg(long, value_name = "DIR")]
    shaders: Option<PathBuf>,
    /// Compare folds with different numbers of lanes, and both kinds of exchange, instead of the
    /// self-check
    #[arg(long)]
    variants: bool,
    /// Only adapters with this in their name
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Seconds after which no new measurement starts; 0 only lists adapters
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(..=86_400))]
    seconds: u32,
    /// Ciphertexts of a batch [default: depends on the adapter]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    batch: Option<u32>,
    /// Key sizes that are checked and measured
    #[arg(long, value_name = "BITS", value_enum, value_delimiter = ',', default_values = ["2048", "3072", "4096"])]
    key_bits: Vec<KeyBits>,
    /// Exchange by workgroup memory, even if there are subgroups
    #[arg(long)]
    workgroup_memory: bool,
    /// Lanes that share a residue: 4, 8, 16 or 32
    #[arg(long, value_parser = lanes)]
    lanes: Option<u32>,
    /// Memory for uploads, device or host [default: the faster one of a card]
    #[arg(long, value_name = "MEMORY", value_parser = upload_memory)]
    upload_memory: Option<UploadMemory>,
}

impl Args {
    fn batch(&self) -> Result<Option<usize>, Failure> {
        Ok(self.batch.map(usize::try_from).transpose()?)
    }
}

fn lanes(text: &str) -> Result<u32, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    if [4, 8, 16, 32].contains(&number) { Ok(number) } else { Err("not 4, 8, 16 or 32".to_owned()) }
}

fn upload_memory(text: &str) -> Result<UploadMemory, String> {
    match text {
        "device" => Ok(UploadMemory::Device),
        "host" => Ok(UploadMemory::Host),
        _ => Err("neither device nor host".to_owned()),
    }
}

fn main() -> ExitCode {
    common::cli::run(|args: &Args, out| match &args.shaders {
        Some(folder) => write_shaders(folder, args.lanes, out),
        None => report(args, out),
    })
}

fn write_shaders(folder: &Path, lanes: Option<u32>, out: &mut Output) -> Result<(), Failure> {
    let cannot = |error| format!("{} cannot be written: {error}", folder.display());
    fs::create_dir_all(folder).map_err(cannot)?;
    for bits in [1024, 1536, 2048, 3072, 4096] {
        let layout = lanes.map_or_else(|| LaneLayout::new(bits), |lanes| LaneLayout::with_lanes(bits, lanes));
        for exchange in [Exchange::Subgroup, Exchange::Workgroup] {
            for (name, text) in Gpu::shaders(layout, exchange) {
                fs::write(folder.join(format!("{name}_{bits}_{exchange}.wgsl")), text).map_err(cannot)?;
            }
        }
    }
    writeln!(out, "written to {}", escaped(folder.display()))?;
    Ok(())
}

fn report(args: &Args, out: &mut Output) -> Result<(), Failure> {
    list(out)?;
    if args.seconds == 0 {
        return Ok(());
    }
    let mut options = Options::default();
    options.adapter.clone_from(&args.adapter);
    options.exchange = args.workgroup_memory.then_some(Exchange::Workgroup);
    options.lanes = args.lanes;
    options.upload_memory = args.upload_memory;
    let gpu = Gpu::open(&options)?;
    writeln!(out, "\n{}", escaped(gpu.report()))?;
    let peak = warm_up(&gpu);
    if let Some(peak) = peak {
        writeln!(out, "{:.3} trillion wide multiply-adds a second", peak * 1e-12)?;
    }
    if let Some(rates) = gpu.transfer_rates() {
        writeln!(out, "{}", transfers(&rates))?;
    }
    let end = Instant::now() + Duration::from_secs(args.seconds.into());
    if args.variants {
        return compare(args, &options, peak, end, out);
    }

    writeln!(out, "\nrates a second: by the device's clock while kernels run, and from end to end\n")?;
    let [key, operation] = [("key", Left), ("operation", Left)];
    let numbers = ["batch", "kernels", "of peak", "end to end"].map(|heading| (heading, Right));
    let mut table = Table::new([key, operation, numbers[0], numbers[1], numbers[2], numbers[3]]);
    let [rate, percent] = ["1000000000", "100 %"].map(str::to_owned);
    table.fit(&["4096".into(), "fold there".into(), rate.clone(), rate.clone(), percent, rate]);
    writeln!(out, "{}", table.heading())?;
    for bits in &args.key_bits {
        match bits {
            KeyBits::Bits2048 => size::<Bits2048>(args, &gpu, peak, end, &mut table, out)?,
            KeyBits::Bits3072 => size::<Bits3072>(args, &gpu, peak, end, &mut table, out)?,
            KeyBits::Bits4096 => size::<Bits4096>(args, &gpu, peak, end, &mut table, out)?,
        }
    }
    no_faults(&gpu)?;
    writeln!(out, "\nencryptions, sums and decryptions of every key size are as on the CPU")?;
    Ok(())
}

/// The rates of transfers, and the memory that uploads use.
fn transfers(rates: &TransferRates) -> String {
    let giga = |rate: f64| rate * 1e-9;
    let (used, other) = match rates.upload_memory {
        UploadMemory::Host => ("the host's memory", "the device's"),
        _ => ("the device's memory", "the host's"),
    };
    let other = rates
        .up_through_other
        .map_or(String::new(), |rate| format!(", {:.1} GB/s through {other}", giga(rate)));
    let (up, down) = (giga(rates.up), giga(rates.down));
    format!("{up:.1} GB/s up through {used}, which is used{other}; {down:.1} GB/s down, by the host's clock")
}

/// Keeps the device busy until its rate of multiply-adds no longer grows, or for three seconds, and
/// returns that rate.
fn warm_up(gpu: &Gpu) -> Option<f64> {
    let end = Instant::now() + Duration::from_secs(3);
    let mut best = gpu.multiply_add_rate()?;
    while !gpu.report().is_software && Instant::now() < end {
        let rate = gpu.multiply_add_rate()?;
        let grown = rate > 1.005 * best;
        best = best.max(rate);
        if !grown {
            break;
        }
    }
    Some(best)
}

fn list(out: &mut Output) -> Result<(), Failure> {
    let adapters = Gpu::adapters();
    if adapters.is_empty() {
        writeln!(out, "No Vulkan or Metal adapter was found.")?;
    }
    for adapter in &adapters {
        writeln!(out, "{}", escaped(adapter))?;
        match adapter.subgroups {
            Some((smallest, largest)) => writeln!(out, "  subgroups of {smallest} to {largest} lanes")?,
            None => writeln!(out, "  no subgroups")?,
        }
        writeln!(out, "  bindings of up to {} MiB", adapter.binding_bytes >> 20)?;
        writeln!(out, "  clock for kernels: {}", if adapter.has_timestamps { "yes" } else { "no" })?;
        if adapter.missing.is_empty() {
            for bits in [2048, 3072, 4096] {
                let (layout, exchange) = (adapter.layout(bits), adapter.exchange(bits));
                writeln!(out, "  {bits}-bit keys: {layout}, exchange by {exchange} operations")?;
            }
        } else {
            writeln!(out, "  cannot be used; it lacks {}", adapter.missing.join(", "))?;
        }
    }
    Ok(())
}

fn no_faults(gpu: &Gpu) -> Result<(), Failure> {
    let faults = gpu.faults();
    if faults.is_empty() { Ok(()) } else { Err(format!("the device failed: {}", faults.join("; ")).into()) }
}

/// Checks one key size, and measures its rates if there is time.
fn size<S: KeySize>(
    args: &Args,
    gpu: &Gpu,
    peak: Option<f64>,
    end: Instant,
    table: &mut Table<6>,
    out: &mut Output,
) -> Result<(), Failure> {
    let fixture = Fixture::<S>::new(gpu, args.batch()?);
    fixture.check()?;
    let operations: [(&str, Measurement<S>); 4] = [
        ("fold", Fixture::fold),
        ("fold there", Fixture::fold_resident),
        ("encrypt", Fixture::encrypt),
        ("decrypt", Fixture::decrypt),
    ];
    for (operation, measure) in operations {
        let [batch, kernels, fraction, end_to_end] = if Instant::now() < end {
            let rates = measure(&fixture);
            let [kernels, fraction] = kernel_cells(&rates, peak);
            [rates.items.to_string(), kernels, fraction, format!("{:.0}", rates.end_to_end)]
        } else {
            [NO_TIME; 4].map(str::to_owned)
        };
        let cells = [S::BITS.to_string(), operation.to_owned(), batch, kernels, fraction, end_to_end];
        writeln!(out, "{}", table.row(&cells))?;
    }
    Ok(())
}

type Measurement<S> = fn(&Fixture<S>) -> Rates;

/// Shown for a measurement that did not start.
const NO_TIME: &str = "no time";

/// The kernels' rate and its fraction of the peak, if they are known.
fn kernel_cells(rates: &Rates, peak: Option<f64>) -> [String; 2] {
    let percent = |fraction| format!("{:.0} %", 100.0 * fraction);
    [
        rates.kernels.map_or("–".to_owned(), |rate| format!("{rate:.0}")),
        rates.fraction(peak).map_or("–".to_owned(), percent),
    ]
}

/// Folds of every variant, at every key size.
fn compare(
    args: &Args,
    options: &Options,
    peak: Option<f64>,
    end: Instant,
    out: &mut Output,
) -> Result<(), Failure> {
    writeln!(out, "\nfolds a second by the device's clock\n")?;
    let [key, layout, exchange] = ["key", "layout", "exchange"].map(|heading| (heading, Left));
    let mut table = Table::new([key, layout, exchange, ("kernels", Right), ("of peak", Right)]);
    let texts = ["4096", "16 lanes with 16 limbs", "workgroup", "1000000000", "100 %"];
    table.fit(&texts.map(str::to_owned));
    writeln!(out, "{}", table.heading())?;
    for bits in &args.key_bits {
        match bits {
            KeyBits::Bits2048 => fold_variants::<Bits2048>(args, options, peak, end, &mut table, out)?,
            KeyBits::Bits3072 => fold_variants::<Bits3072>(args, options, peak, end, &mut table, out)?,
            KeyBits::Bits4096 => fold_variants::<Bits4096>(args, options, peak, end, &mut table, out)?,
        }
    }
    Ok(())
}

fn fold_variants<S: KeySize>(
    args: &Args,
    options: &Options,
    peak: Option<f64>,
    end: Instant,
    table: &mut Table<5>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut layouts = vec![LaneLayout::new(S::BITS)];
    for lanes in [4, 8, 16, 32] {
        let layout = LaneLayout::with_lanes(S::BITS, lanes);
        if !layouts.contains(&layout) {
            layouts.push(layout);
        }
    }
    let mut made: Option<Fixture<S>> = None;
    let workgroup = layouts.iter().map(|layout| (*layout, Some(Exchange::Workgroup)));
    for (layout, exchange) in layouts.iter().map(|layout| (*layout, None)).chain(workgroup) {
        if Instant::now() >= end {
            let [exchange, kernels, fraction] = [NO_TIME; 3].map(str::to_owned);
            let cells = [S::BITS.to_string(), layout.to_string(), exchange, kernels, fraction];
            writeln!(out, "{}", table.row(&cells))?;
            continue;
        }
        let mut options = options.clone();
        options.lanes = Some(layout.lanes());
        options.exchange = exchange;
        let gpu = Gpu::open(&options)?;
        let found = gpu.exchange(layout);
        if exchange.is_none() && found == Exchange::Workgroup {
            continue; // subgroups are too small; listed below
        }
        let fixture = match made.take() {
            Some(fixture) => fixture.on(&gpu),
            None => Fixture::new(&gpu, args.batch()?),
        };
        let rates = fixture.fold();
        made = Some(fixture);
        let [kernels, fraction] = kernel_cells(&rates, peak);
        let cells = [S::BITS.to_string(), layout.to_string(), found.to_string(), kernels, fraction];
        writeln!(out, "{}", table.row(&cells))?;
        no_faults(&gpu)?;
    }
    Ok(())
}
