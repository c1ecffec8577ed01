//! What a run tells: a table for people, or one JSON object.

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use cipherfold::{
    federated::{Phase, Report},
    packing::{Quantizer, Rounding},
};
use serde_json::{Map, Value, json};

use crate::{compare::Deviation, model::Model};

pub(crate) struct Summary<'a> {
    pub(crate) models: &'a [Model],
    pub(crate) out: &'a Path,
    pub(crate) quantizer: &'a Quantizer,
    /// Weights and their public limit.
    pub(crate) weights: Option<(&'a [u32], u32)>,
    pub(crate) threads: usize,
    pub(crate) report: &'a Report,
    /// By type.
    pub(crate) deviations: &'a [Deviation],
    /// Time of what the executor knows nothing of.
    pub(crate) own_phases: [(&'static str, Duration); 3],
    pub(crate) elapsed: Duration,
}

impl Summary<'_> {
    /// Tensors that are in the output as they were.
    fn kept(&self) -> usize {
        let first = &self.models[0];
        first.tensors.len() - first.floats().count()
    }

    fn update_bytes(&self) -> u64 {
        4 * self.report.values
    }

    /// A ciphertext is a number below n².
    fn sum_bytes(&self) -> u64 {
        self.report.ciphertexts * u64::from(self.report.key_bits / 4)
    }

    /// Largest deviation of all types, and where; largest bound; largest deviation from what was not clipped.
    fn worst(&self) -> Option<(&Deviation, f64, f64)> {
        let by =
            |of: fn(&Deviation) -> f64| self.deviations.iter().max_by(move |a, b| of(a).total_cmp(&of(b)));
        let largest = by(|deviation| deviation.largest)?;
        let bound = by(|deviation| deviation.bound)?.bound;
        Some((largest, bound, by(|deviation| deviation.largest_unclipped)?.largest_unclipped))
    }

    /// What a user should know about this very run.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let [only] = self.models {
            notes.push(format!(
                "one client: the mean is the update in {}, and hides nothing",
                only.path.display()
            ));
        }
        if let Some((weights, _)) = self.weights
            && self.models.len() > 1
            && weights.iter().filter(|weight| **weight > 0).count() == 1
        {
            notes.push(
                "one weight is not zero: the mean is that client's update, and hides nothing".to_owned(),
            );
        }
        let mut seen = HashSet::new();
        for model in self.models {
            let path = model.path.canonicalize().unwrap_or_else(|_| PathBuf::from(&model.path));
            if !seen.insert(path) {
                notes.push(format!("{} counts more than once", model.path.display()));
            }
        }
        if self.kept() > 0 {
            let first = self.models[0].path.display();
            let kept = count(self.kept() as u64, "tensor of another type is", "tensors of other types are");
            notes.push(format!("{kept} kept as in {first}"));
        }
        if self.report.clipped_values > 0 {
            let clipped = count(self.report.clipped_values, "value was", "values were");
            notes.push(format!("{clipped} clipped: the bound is for the mean of the clipped values"));
        }
        notes
    }

    fn rounding(&self) -> &'static str {
        if self.quantizer.rounding() == Rounding::Stochastic { "stochastic" } else { "nearest" }
    }

    pub(crate) fn json(&self) -> Value {
        let Self { report, quantizer, .. } = self;
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
        json!({
            "out": self.out.to_string_lossy(),
            "updates": self.models.iter().map(|model| model.path.to_string_lossy()).collect::<Vec<_>>(),
            "clients": report.clients,
            "weights": self.weights.map(|(weights, _)| weights),
            "max_weight": self.weights.map(|(_, max)| max),
            "tensors": self.models[0].tensors.len(),
            "kept_tensors": self.kept(),
            "parameters": report.values,
            "bits": quantizer.bits(),
            "clip": quantizer.upper(),
            "step": quantizer.step(),
            "rounding": self.rounding(),
            "key_bits": report.key_bits,
            "backend": report.backend,
            "threads": self.threads,
            "error_bound": worst.map(|(_, bound, _)| bound),
            "quantization_error_bound": quantizer.error_bound(),
            "largest_deviation": worst.map(|(largest, _, _)| largest.largest),
            "largest_deviation_tensor": worst.map(|(largest, _, _)| &largest.tensor),
            "largest_deviation_unclipped": worst.map(|(_, _, unclipped)| unclipped),
            "types": by_type,
            "clipped_values": report.clipped_values,
            "bytes_per_value": report.bytes_per_value(),
            "ciphertexts": report.ciphertexts,
            "update_bytes": self.update_bytes(),
            "sum_bytes": self.sum_bytes(),
            "seconds": seconds,
            "elapsed": self.elapsed.as_secs_f64(),
            "traffic": traffic,
            "notes": self.notes(),
        })
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, quantizer, .. } = self;
        writeln!(
            f,
            "{}: mean of {}, {} in {}",
            self.out.display(),
            count(report.clients, "update", "updates"),
            count(report.values, "parameter", "parameters"),
            count(self.models[0].floats().count() as u64, "tensor", "tensors")
        )?;
        for note in self.notes() {
            writeln!(f, "note: {note}")?;
        }
        writeln!(
            f,
            "{} bits from {:?} to {:?}, a grid of step {:.3e}, {} rounding",
            quantizer.bits(),
            quantizer.lower(),
            quantizer.upper(),
            quantizer.step(),
            self.rounding()
        )?;
        for deviation in self.deviations {
            let Deviation { float, values, bound, largest, tensor, largest_unclipped, .. } = deviation;
            let parameters = count(*values as u64, "parameter", "parameters");
            writeln!(
                f,
                "{float}, {parameters}: largest deviation from the plain mean {largest:.3e} (in {tensor}), \
                 bound {bound:.3e}"
            )?;
            if report.clipped_values > 0 {
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
        for (phase, time) in self.own_phases {
            write!(f, "{phase} {:.3} s, ", time.as_secs_f64())?;
        }
        let threads = count(self.threads as u64, "thread", "threads");
        writeln!(f, "in all {:.3} s on {threads}", self.elapsed.as_secs_f64())
    }
}

/// A number of things, in words.
fn count(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{number} {}", if number == 1 { one } else { many })
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
