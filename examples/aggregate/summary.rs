//! The summary of a run: a table for people, or one JSON object.

use std::{collections::HashSet, fmt, path::PathBuf, time::Duration};

use cipherfold::{
    federated::report::{Phase, Report},
    files::{FloatType, Output, Printable, TensorInfo, UpdateFile, common_metadata},
    packing::Quantizer,
};
use serde_json::{Map, Value, json};

use crate::{
    args::OtherTypes, compare::Deviation, shared::plural::count, updates::Updates, weights::Weights,
};

pub(crate) struct Summary<'a> {
    pub(crate) updates: Updates<'a>,
    pub(crate) out: &'a Output,
    /// One for each floating-point tensor.
    pub(crate) quantizers: &'a [Quantizer],
    pub(crate) bits: u32,
    pub(crate) rounding: &'static str,
    pub(crate) weights: Option<&'a Weights>,
    pub(crate) threads: usize,
    /// The report of the round for floating-point tensors, otherwise of the last round.
    pub(crate) report: &'a Report,
    /// Further rounds.
    pub(crate) extra: &'a [Extra],
    /// Values beyond their bounds.
    pub(crate) clipped: u64,
    /// Integers in a mean or a maximum.
    pub(crate) integer_values: usize,
    pub(crate) integer_tensors: usize,
    pub(crate) other_types: OtherTypes,
    /// By type.
    pub(crate) deviations: &'a [Deviation],
    /// The type of an update in memory.
    pub(crate) element: FloatType,
    /// Time of work outside the executor.
    pub(crate) own_phases: [(&'static str, Duration); 3],
    pub(crate) elapsed: Duration,
}

/// Rounds other than the one for floating-point tensors.
pub(crate) struct Extra {
    pub(crate) purpose: &'static str,
    pub(crate) reports: Vec<Report>,
}

impl Extra {
    fn seconds(&self) -> f64 {
        self.reports.iter().map(|report| report.elapsed.as_secs_f64()).sum()
    }

    fn wire_bytes(&self) -> u64 {
        self.reports.iter().flat_map(|report| &report.traffic).map(|traffic| traffic.wire_bytes).sum()
    }
}

impl Summary<'_> {
    fn models(&self) -> &[UpdateFile] {
        self.updates.models
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.models()[0].tensors()
    }

    fn floats(&self) -> usize {
        self.quantizers.len()
    }

    /// Tensors that are unchanged in the output.
    fn kept(&self) -> usize {
        self.tensors().len() - self.floats() - self.integer_tensors
    }

    fn float_values(&self) -> usize {
        self.deviations.iter().map(|deviation| deviation.values).sum()
    }

    fn parameters(&self) -> u64 {
        (self.float_values() + self.integer_values) as u64
    }

    fn update_bytes(&self) -> u64 {
        (self.element.bytes() * self.float_values()) as u64
    }

    /// A ciphertext is a number below n².
    fn sum_bytes(&self) -> u64 {
        self.report.ciphertexts * u64::from(self.report.key_bits / 4)
    }

    /// Maximum deviation of all types, and its position; maximum bound; maximum deviation from the
    /// mean without clipping.
    fn worst(&self) -> Option<(&Deviation, f64, f64)> {
        let by =
            |of: fn(&Deviation) -> f64| self.deviations.iter().max_by(move |a, b| of(a).total_cmp(&of(b)));
        let largest = by(|deviation| deviation.largest)?;
        let bound = by(|deviation| deviation.bound)?.bound;
        Some((largest, bound, by(|deviation| deviation.largest_unclipped)?.largest_unclipped))
    }

    /// The quantizers with the narrowest and the widest range.
    fn range(&self) -> Option<(&Quantizer, &Quantizer)> {
        let by_bound = |a: &&Quantizer, b: &&Quantizer| a.upper().total_cmp(&b.upper());
        Some((self.quantizers.iter().min_by(by_bound)?, self.quantizers.iter().max_by(by_bound)?))
    }

    /// Facts about this run that a user should know.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let path = |model: &UpdateFile| Printable::path(model.path()).to_string();
        if let [only] = self.models() {
            notes.push(format!("one client: the mean is the update in {}, and hides nothing", path(only)));
        }
        if let Some(Weights { given, rounding, .. }) = self.weights {
            if self.models().len() > 1 && given.iter().filter(|weight| **weight > 0.0).count() == 1 {
                notes.push(
                    "one weight is not zero: the mean is that client's update, and hides nothing".to_owned(),
                );
            }
            if *rounding > 0.0 {
                notes.push(format!(
                    "weights are rounded, which moves a mean by up to {rounding:.1e} of its bound"
                ));
            }
        }
        let mut seen = HashSet::new();
        for model in self.models() {
            let resolved = model.path().canonicalize().unwrap_or_else(|_| PathBuf::from(model.path()));
            if !seen.insert(resolved) {
                notes.push(format!("{} counts more than once", path(model)));
            }
        }
        notes.extend(self.notes_on_tensors());
        if self.out.target() != self.out.path() {
            let (link, target) = (Printable::path(self.out.path()), Printable::path(self.out.target()));
            notes.push(format!("{link} is a symbolic link: the mean is in {target}"));
        }
        notes
    }

    fn notes_on_tensors(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.kept() > 0 {
            let kept = count(self.kept() as u64, "tensor of another type is", "tensors of other types are");
            notes.push(if self.other_types == OtherTypes::First {
                let first = Printable::path(self.models()[0].path());
                format!("{kept} kept as in {first}: that client's own, and not hidden")
            } else {
                format!("{kept} kept, the same in all files")
            });
        }
        if self.integer_tensors > 0 {
            let tensors = count(self.integer_tensors as u64, "integer tensor is", "integer tensors are");
            notes.push(if self.other_types == OtherTypes::Max {
                format!("{tensors} the maximum of the clients'")
            } else {
                format!("{tensors} averaged exactly and rounded to the nearest integer")
            });
        }
        if self.clipped > 0 {
            let clipped = count(self.clipped, "value was", "values were");
            notes.push(format!("{clipped} clipped: the bound is for the mean of the clipped values"));
        }
        let common = common_metadata(self.models());
        let mut all: Vec<String> =
            self.models().iter().flat_map(|model| model.metadata().into_keys()).collect();
        all.retain(|name| !common.contains_key(name));
        all.sort();
        all.dedup();
        if let Some(first) = all.first() {
            let metadata = count(all.len() as u64, "entry of the metadata is", "entries of the metadata are");
            notes.push(format!(
                "{metadata} not the same in all files, and left out (`{}`)",
                Printable::name(first)
            ));
        }
        notes
    }

    pub(crate) fn json(&self) -> Value {
        let Self { report, .. } = self;
        let times = Phase::ALL.map(|phase| (phase.name(), report.time(phase)));
        let phases = times.into_iter().filter(|(_, time)| !time.is_zero()).chain(self.own_phases);
        let seconds: Map<_, _> =
            phases.map(|(name, time)| (name.replace(' ', "_"), json!(time.as_secs_f64()))).collect();
        let traffic: Vec<_> = report
            .traffic
            .iter()
            .map(|traffic| {
                json!({
                    "from": traffic.from.name(),
                    "to": traffic.to.name(),
                    "channel": traffic.channel,
                    "messages": traffic.messages,
                    "ciphertexts": traffic.ciphertexts,
                    "payload_bytes": traffic.payload_bytes,
                    "wire_bytes": traffic.wire_bytes,
                })
            })
            .collect();
        let by_type: Map<_, _> = self
            .deviations
            .iter()
            .map(|deviation| {
                let entry = json!({
                    "parameters": deviation.values,
                    "error_bound": deviation.bound,
                    "largest_deviation": deviation.largest,
                    "largest_deviation_tensor": deviation.tensor,
                    "largest_deviation_unclipped": deviation.largest_unclipped,
                });
                (deviation.float.to_string(), entry)
            })
            .collect();
        let worst = self.worst();
        let (narrowest, widest) = self.range().unzip();
        let further: Vec<_> = self
            .extra
            .iter()
            .map(|extra| {
                json!({
                    "purpose": extra.purpose,
                    "rounds": extra.reports.len(),
                    "seconds": extra.seconds(),
                    "wire_bytes": extra.wire_bytes(),
                })
            })
            .collect();
        json!({
            "out": self.out.path().to_string_lossy(),
            "updates": self.models().iter().map(|model| model.path().to_string_lossy()).collect::<Vec<_>>(),
            "base": self.updates.base.map(|base| base.path().to_string_lossy()),
            "clients": self.models().len(),
            "weights": self.weights.map(|weights| weights.given.iter().copied().map(number).collect::<Vec<_>>()),
            "max_weight": self.weights.map(|weights| number(weights.given_max)),
            "tensors": self.tensors().len(),
            "kept_tensors": self.kept(),
            "integer_tensors": self.integer_tensors,
            "parameters": self.parameters(),
            "bits": self.bits,
            "clip": widest.map(Quantizer::upper),
            "min_clip": narrowest.map(Quantizer::upper),
            "step": widest.map(Quantizer::step),
            "rounding": self.rounding,
            "key_bits": report.key_bits,
            "backend": report.backend,
            "threads": self.threads,
            "error_bound": worst.map(|(_, bound, _)| bound),
            "quantization_error_bound": widest.map(Quantizer::error_bound),
            "largest_deviation": worst.map(|(largest, _, _)| largest.largest),
            "largest_deviation_tensor": worst.map(|(largest, _, _)| &largest.tensor),
            "largest_deviation_unclipped": worst.map(|(_, _, unclipped)| unclipped),
            "types": by_type,
            "clipped_values": self.clipped,
            "bytes_per_value": report.bytes_per_value(),
            "ciphertexts": report.ciphertexts,
            "update_bytes": self.update_bytes(),
            "sum_bytes": self.sum_bytes(),
            "seconds": seconds,
            "elapsed": self.elapsed.as_secs_f64(),
            "traffic": traffic,
            "further_rounds": further,
            "notes": self.notes(),
        })
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        writeln!(
            f,
            "{}: mean of {}, {} in {}",
            Printable::path(self.out.path()),
            count(self.models().len() as u64, "update", "updates"),
            count(self.parameters(), "parameter", "parameters"),
            count((self.floats() + self.integer_tensors) as u64, "tensor", "tensors")
        )?;
        for note in self.notes() {
            writeln!(f, "note: {note}")?;
        }
        if let Some((narrowest, widest)) = self.range() {
            let one = narrowest.upper().total_cmp(&widest.upper()).is_eq();
            let (bits, rounding, bound, step) = (self.bits, self.rounding, widest.upper(), widest.step());
            if one {
                writeln!(
                    f,
                    "{bits} bits from -{bound:?} to {bound:?}, a grid of step {step:.3e}, {rounding} rounding"
                )?;
            } else {
                let (min_bound, min_step) = (narrowest.upper(), narrowest.step());
                writeln!(
                    f,
                    "{bits} bits, bounds from ±{min_bound:?} to ±{bound:?}, grids of steps from {min_step:.3e} to \
                     {step:.3e}, {rounding} rounding"
                )?;
            }
        }
        for deviation in self.deviations {
            let Deviation { float, values, bound, largest, tensor, largest_unclipped, .. } = deviation;
            let parameters = count(*values as u64, "parameter", "parameters");
            let tensor = Printable::name(tensor);
            writeln!(
                f,
                "{float}, {parameters}: largest deviation from the plain mean {largest:.3e} (in {tensor}), \
                 bound {bound:.3e}"
            )?;
            if self.clipped > 0 {
                writeln!(f, "{float}, without clipping: largest deviation {largest_unclipped:.3e}")?;
            }
        }
        writeln!(
            f,
            "memory: {:.1} MB for one update, {:.1} MB for the encrypted sum",
            megabytes(self.update_bytes()),
            megabytes(self.sum_bytes())
        )?;
        write!(f, "{report}")?;
        for extra in self.extra {
            let rounds = count(extra.reports.len() as u64, "round", "rounds");
            let (purpose, seconds, megabytes) =
                (extra.purpose, extra.seconds(), megabytes(extra.wire_bytes()));
            writeln!(f, "{purpose}: {rounds} of their own, {seconds:.3} s, {megabytes:.1} MB on the way")?;
        }
        for (phase, time) in self.own_phases {
            write!(f, "{phase} {:.3} s, ", time.as_secs_f64())?;
        }
        let threads = count(self.threads as u64, "thread", "threads");
        writeln!(f, "in all {:.3} s on {threads}", self.elapsed.as_secs_f64())
    }
}

/// A whole number as an integer, for JSON.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within 53 bits")]
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x < 2_f64.powi(53) { json!(x as u64) } else { json!(x) }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
