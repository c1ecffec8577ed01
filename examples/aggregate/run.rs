//! A run, from files to a file.

use std::time::{Duration, Instant};

use cipherfold::{
    federated::{
        Error, LocalExecutor, Outcome,
        report::Report,
        tensor::{Codec, Scalar},
    },
    files::{self, Float, FloatType, IntegerType, Output, Printable, UpdateFile, common_metadata},
    packing::Quantizer,
    paillier::KeySize,
};
use indicatif::ProgressBar;
use ndarray::Array1;

use crate::{
    args::{Args, OtherTypes, usage},
    check,
    compare::{Comparison, Deviation},
    integers::Integers,
    maximum::secure_maximum,
    ranges::{self, Bound, EXPONENT_BITS, Grid, Rules},
    shared::progress::shown_on,
    signals,
    summary::{Extra, Summary},
    terminal,
    updates::{BLOCK, Updates},
    weights::Weights,
};

/// A requested run.
pub(crate) struct Run<'a> {
    args: &'a Args,
    bar: &'a ProgressBar,
    start: Instant,
    grid: Grid,
    rules: Rules,
    weights: Option<Weights>,
}

/// The mean of floating-point tensors, for either type of computation.
struct Mean<T> {
    values: Vec<Array1<T>>,
    quantizers: Vec<Quantizer>,
    /// `None` if there are no floating-point values.
    report: Option<Report>,
}

impl<'a> Run<'a> {
    /// Exits if the command line is wrong.
    pub(crate) fn new(args: &'a Args, bar: &'a ProgressBar) -> Self {
        let grid = Grid { bits: args.bits, stochastic: args.stochastic };
        let rules = Rules::parse(&args.clip, grid).unwrap_or_else(|message| usage(&message));
        let weights = args.weights.as_deref().map(|list| {
            let weights = Weights::parse(list, args.max_weight.as_deref(), args.updates.len(), args.bits);
            weights.unwrap_or_else(|message| usage(&message))
        });
        Self { args, bar, start: Instant::now(), grid, rules, weights }
    }

    /// Does everything, and returns the summary.
    pub(crate) fn aggregate<S: KeySize>(&self) -> Result<String, String> {
        let args = self.args;
        let text = |error: files::Error| error.to_string();
        self.bar.set_message("checking files");
        let models = check::open(&args.updates).map_err(text)?;
        let base = args
            .base
            .as_ref()
            .map(|path| check::open(std::slice::from_ref(path)))
            .transpose()
            .map_err(text)?;
        let mut base = base.and_then(|mut base| base.pop());
        if let Some(base) = &mut base {
            base.arrange_like(&models[0]).map_err(text)?;
        }
        let output = Output::check(&args.out, models.iter().chain(&base)).map_err(text)?;
        check::treatable(&models[0], args.other_types)?;
        let updates = Updates { models: &models, base: base.as_ref() };
        // F64 takes twice the memory, so it is used for files that have it.
        if models[0].tensors().iter().any(|tensor| tensor.float() == Some(FloatType::F64)) {
            self.aggregate_as::<S, f64>(updates, &output, FloatType::F64)
        } else {
            self.aggregate_as::<S, f32>(updates, &output, FloatType::F32)
        }
    }

    fn aggregate_as<S: KeySize, T>(
        &self,
        updates: Updates<'_>,
        output: &Output,
        element: FloatType,
    ) -> Result<String, String>
    where
        T: Float + Scalar,
        Quantizer: Codec<T, Output = T>,
    {
        let text = |error: files::Error| error.to_string();
        let args = self.args;
        let bounds = self.rules.bounds(updates.models[0].tensors())?;
        let (checked, found) = timed(|| check::values(updates, &bounds, args.other_types, element));
        let found = found?;
        if !args.allow_clipping
            && let Some(message) = found.clipping(updates, &bounds, !args.clip.is_empty())
        {
            return Err(message);
        }

        let executor = self.executor::<S>(updates.models.len())?;
        let explain = |error: Error| explain(&error, updates.models);
        let mut extra = Vec::new();
        let bounds = resolve(&executor, &bounds, &found.exponents, &mut extra).map_err(explain)?;
        let quantizers = self.quantizers(updates, &bounds)?;
        let Mean { values: mean, quantizers, report } =
            self.mean::<S, T>(&executor, updates, quantizers).map_err(explain)?;
        let integers = self.integers(updates.models);
        let whole = self.whole(&executor, &integers, &mut extra).map_err(explain)?;

        self.bar.set_message("comparing");
        let plain = self.weights.as_ref().map_or_else(|| vec![1.0; updates.models.len()], Weights::plain);
        let comparison = Comparison {
            updates,
            weights: &plain,
            weight_rounding: self.weights.as_ref().map_or(0.0, |weights| weights.rounding),
            quantizers: &quantizers,
            mean: &mean,
            element,
        };
        let (compared, deviations) = timed(|| comparison.deviations());
        let deviations = deviations.map_err(text)?;
        self.must_agree(&deviations, &integers, &whole)?;

        self.bar.set_message("writing");
        let (written, result) = timed(|| write(output, updates, args.other_types, &mean, &whole));
        result.map_err(text)?;

        let report = report.or_else(|| extra.last().and_then(|extra| extra.reports.last().cloned()));
        let summary = Summary {
            updates,
            out: output,
            quantizers: &quantizers,
            rounding: if args.stochastic { "stochastic" } else { "nearest" },
            bits: args.bits,
            weights: self.weights.as_ref(),
            threads: self.threads(),
            report: &report.expect("something was averaged"),
            extra: &extra,
            clipped: found.clipped,
            integer_values: integers.values(),
            integer_tensors: integers.tensors.len(),
            other_types: args.other_types,
            deviations: &deviations,
            element,
            own_phases: [("checking files", checked), ("comparing", compared), ("writing", written)],
            elapsed: self.start.elapsed(),
        };
        Ok(match args {
            Args { json: true, .. } => terminal::ascii(&summary.json()),
            Args { quiet: true, .. } => String::new(),
            _ => summary.to_string(),
        })
    }

    fn threads(&self) -> usize {
        self.args
            .threads
            .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    fn executor<S: KeySize>(&self, clients: usize) -> Result<LocalExecutor<S>, String> {
        self.bar.set_message("making keys");
        let text = |error: Error| error.to_string();
        let builder = LocalExecutor::<S>::builder()
            .max_concurrent_clients(1) // one update in memory
            .threads(self.threads())
            .backend(self.args.backend)
            .on_progress(shown_on(self.bar));
        // A single file is not hidden, and the summary says so. Of several files, none may be
        // missing.
        let builder = if clients == 1 { builder.min_clients(1) } else { builder };
        builder.build().map_err(text)
    }

    fn quantizers(&self, updates: Updates<'_>, bounds: &[f64]) -> Result<Vec<Quantizer>, String> {
        let names = updates.models[0].tensors().iter().filter(|tensor| tensor.float().is_some());
        let quantizers = names.zip(bounds).map(|(tensor, bound)| {
            let quantizer = self.grid.quantizer(*bound);
            quantizer.map_err(|error| format!("tensor `{}`: {error}", Printable::name(tensor.name())))
        });
        quantizers.collect()
    }

    fn mean<S: KeySize, T>(
        &self,
        executor: &LocalExecutor<S>,
        updates: Updates<'_>,
        quantizers: Vec<Quantizer>,
    ) -> cipherfold::federated::Result<Mean<T>>
    where
        T: Float + Scalar,
        Quantizer: Codec<T, Output = T>,
    {
        let floats = updates.models[0].tensors().iter().filter(|tensor| tensor.float().is_some());
        if floats.clone().all(|tensor| tensor.values() == 0) {
            return Ok(Mean {
                values: floats.map(|_| Array1::default(0)).collect(),
                quantizers,
                report: None,
            });
        }
        // Read when the executor requests it, and dropped when its client has sent it.
        let contributions = (0..updates.models.len()).map(|client| updates.read::<T>(client));
        let Outcome { value, mut rounds, .. } = match &self.weights {
            None => executor.secure_mean(contributions, quantizers.clone())?,
            Some(Weights { whole, max, .. }) => {
                let weighted = whole.iter().copied().zip(contributions);
                executor.secure_weighted_mean(weighted, *max, quantizers.clone())?
            }
        };
        Ok(Mean { values: value, quantizers, report: rounds.pop() })
    }

    /// Integer tensors for a mean or a maximum.
    fn integers<'m>(&self, models: &'m [UpdateFile]) -> Integers<'m> {
        let secure = matches!(self.args.other_types, OtherTypes::Mean | OtherTypes::Max);
        let tensors = models[0].tensors().iter().enumerate().filter(|_| secure);
        let tensors: Vec<(usize, IntegerType)> =
            tensors.filter_map(|(place, tensor)| Some((place, tensor.integer()?))).collect();
        let (weights, max_weight) = match &self.weights {
            None => (vec![1; models.len()], 1),
            Some(weights) => (weights.whole.clone(), weights.max),
        };
        Integers { models, tensors, weights, max_weight }
    }

    fn whole<S: KeySize>(
        &self,
        executor: &LocalExecutor<S>,
        integers: &Integers<'_>,
        extra: &mut Vec<Extra>,
    ) -> cipherfold::federated::Result<Vec<Array1<u64>>> {
        if integers.values() == 0 {
            return Ok(integers.tensors.iter().map(|_| Array1::default(0)).collect());
        }
        let is_mean = self.args.other_types == OtherTypes::Mean;
        let (values, reports) =
            if is_mean { integers.mean(executor)? } else { integers.maximum(executor)? };
        extra.push(Extra { purpose: if is_mean { "integers" } else { "maxima" }, reports });
        Ok(values)
    }

    /// Fails if a result differs from that of the plain files: because of a bug, or because a file
    /// was changed during the run.
    fn must_agree(
        &self,
        deviations: &[Deviation],
        integers: &Integers<'_>,
        whole: &[Array1<u64>],
    ) -> Result<(), String> {
        if let Some(bad) = deviations.iter().find(|deviation| !deviation.within_bound) {
            return Err(format!(
                "tensor `{}` is {:e} off the plain mean, beyond the bound of {:e}; nothing was written",
                Printable::name(&bad.tensor),
                bad.largest,
                bad.bound
            ));
        }
        let is_mean = self.args.other_types == OtherTypes::Mean;
        match integers.differs(whole, is_mean).map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(place) => Err(format!(
                "tensor `{}` differs from the result of the plain files; nothing was written",
                Printable::name(integers.models[0].tensors()[place].name())
            )),
        }
    }
}

/// Numbers for all bounds. For a bound of "auto", the clients find the smallest power of two that
/// none of their values exceeds.
fn resolve<S: KeySize>(
    executor: &LocalExecutor<S>,
    bounds: &[Bound],
    exponents: &[Vec<u64>],
    extra: &mut Vec<Extra>,
) -> cipherfold::federated::Result<Vec<f64>> {
    let mut found = Vec::new();
    if bounds.contains(&Bound::Auto) {
        let clients: Vec<usize> = (0..exponents.len()).collect();
        let of_client = |client: usize| Ok(vec![Array1::from(exponents[client].clone())]);
        let (maximum, reports) = secure_maximum(executor, &clients, &[EXPONENT_BITS], of_client)?;
        found.extend(maximum.into_iter().flatten().map(ranges::bound));
        extra.push(Extra { purpose: "bounds", reports });
    }
    let mut found = found.into_iter();
    let number = |bound: &Bound| match bound {
        Bound::Fixed(bound) => *bound,
        Bound::Auto => found.next().expect("a bound for each tensor without one"),
    };
    Ok(bounds.iter().map(number).collect())
}

/// Writes the mean. The file takes its name when it is complete.
fn write<T: Float>(
    output: &Output,
    updates: Updates<'_>,
    other_types: OtherTypes,
    mean: &[Array1<T>],
    whole: &[Array1<u64>],
) -> Result<(), files::Error> {
    let first = &updates.models[0];
    let metadata = common_metadata(updates.models);
    let mut writer = signals::guarded(|| output.create(first.tensors(), &metadata))?;
    let (mut mean, mut whole) = (mean.iter(), whole.iter());
    let (mut source, mut base) = (first.reader(), updates.base.map(UpdateFile::reader));
    let secure = matches!(other_types, OtherTypes::Mean | OtherTypes::Max);
    let contiguous = "one dimension is contiguous";
    let mut values = Vec::new();
    for place in 0..first.tensors().len() {
        let tensor = writer.next_tensor()?.expect("a tensor of the header");
        if tensor.float().is_some() {
            let mean =
                mean.next().expect("a mean for each tensor that has one").as_slice().expect(contiguous);
            for (block, mean) in mean.chunks(BLOCK).enumerate() {
                let Some(base) = &mut base else {
                    writer.write_floats(mean)?;
                    continue;
                };
                values.resize(mean.len(), 0.0);
                base.read_floats(place, block * BLOCK, &mut values)?;
                values.iter_mut().zip(mean).for_each(|(value, mean)| *value += mean.to_f64());
                writer.write_floats(&values)?;
            }
        } else if secure {
            let whole = whole.next().expect("a value for each integer").as_slice().expect(contiguous);
            writer.write_integers(whole)?;
        } else {
            writer.copy(&mut source, place)?;
        }
    }
    writer.finish()?;
    signals::done();
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Names files instead of clients.
fn explain(error: &Error, models: &[UpdateFile]) -> String {
    match error {
        Error::Client { client, source } => match &**source {
            Error::NoUpdate { reason } => reason.clone(),
            source => format!("{}: {source}", Printable::path(models[*client as usize].path())),
        },
        other => other.to_string(),
    }
}
