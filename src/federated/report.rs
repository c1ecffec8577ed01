//! Reports of a run: time by phase, traffic by channel, and progress.
//!
//! ```
//! use cipherfold::federated::report::{
//!     Absence, AbsenceReason, Operations, Phase, PhaseTime, Progress, Report, Traffic,
//! };
//! use cipherfold::federated::{LocalExecutor, PlacementKind};
//! use cipherfold::{packing::IntegerRange, paillier::Bits2048};
//! use std::ops::ControlFlow;
//!
//! let show = |progress: &Progress| {
//!     println!("{:?}: {} of {}", progress.phase, progress.done, progress.total);
//!     ControlFlow::Continue(())
//! };
//! let executor = LocalExecutor::<Bits2048>::builder().min_clients(2).on_progress(show).build()?;
//! let sum = executor.secure_sum([Some(1_u8), None, Some(3)], IntegerRange::of::<u8>())?;
//!
//! let report: &Report = sum.report();
//! let Operations { encryptions, additions, decryptions, .. } = report.operations;
//! assert_eq!((encryptions, additions, decryptions), (2, 2, 1));
//!
//! let absent: &Absence = &report.absent[0];
//! assert_eq!((absent.client, absent.reason), (1, AbsenceReason::DroppedOut));
//!
//! let slowest: &PhaseTime = report.phases.iter().max_by_key(|entry| entry.time).expect("phases");
//! println!("{} at the {}: {:?}", slowest.phase.name(), slowest.placement, slowest.time);
//! assert!(report.time(Phase::Encryption) > std::time::Duration::ZERO);
//!
//! let sent = report.traffic(PlacementKind::Clients, PlacementKind::Aggregator);
//! let sent: &Traffic = sent.expect("clients have sent");
//! assert_eq!((sent.channel, sent.messages, sent.ciphertexts), ("hpke", 2, 2));
//! # Ok::<(), cipherfold::Error>(())
//! ```

mod absence;
mod figures;
pub(super) mod ledger;
pub(super) mod progress;

pub use absence::{Absence, AbsenceReason};
pub use figures::{Operations, Phase, PhaseTime, Traffic};

use core::{fmt, ops::ControlFlow, time::Duration};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{PlacementKind, SessionId, report::ledger::Ledger};
use crate::paillier::Exponents;

/// The report of a run.
///
/// `Display` writes a table for people; it names the exponents only where they are short. Times are
/// those of the simulation on one machine. The time of a phase is the sum over all clients that
/// worked at the same time, and includes waiting for threads that other phases keep busy. So the
/// phases can add up to more than the duration of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Name of the Paillier backend, or `in the clear` where nothing was encrypted.
    pub backend: &'static str,
    /// The exponents that clients encrypted with; `None` where nothing was encrypted.
    pub exponents: Option<Exponents>,
    /// Bits of the Paillier key.
    pub key_bits: u32,
    /// The session, which has one key.
    #[serde(serialize_with = "as_text")]
    pub session: SessionId,
    /// Number of the round, over the life of the executor.
    pub round: u64,
    /// Number of clients that took part: all of their values are in the sums.
    pub clients: u32,
    /// Clients that were asked and did not take part, in ascending order. The sums contain none of
    /// their values.
    #[serde(serialize_with = "as_texts")]
    pub absent: Vec<Absence>,
    /// Values of one client.
    pub values: u64,
    /// Ciphertexts of one client.
    pub ciphertexts: u64,
    /// Maximum number of ciphertexts in one message from a client.
    pub chunk_ciphertexts: u32,
    /// Number of values that a quantizer clipped, over all clients that took part, whatever the
    /// client's weight. Only a simulation knows this number: in a deployment it stays with the
    /// clients.
    pub clipped_values: u64,
    /// The operations, including those for clients that were left out later.
    pub operations: Operations,
    /// Time from the call to the result.
    #[serde(serialize_with = "figures::seconds")]
    pub elapsed: Duration,
    /// Time by phase and placement, in the order of the protocol. Phases that did not occur are left
    /// out.
    pub phases: Vec<PhaseTime>,
    /// Messages by channel and direction, including those of clients that were left out later.
    pub traffic: Vec<Traffic>,
    /// Bytes of public keys that channels exchanged for their own use, over the life of the
    /// channels.
    pub channel_setup_bytes: u64,
}

fn as_text<S: Serializer>(session: &SessionId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(session)
}

fn as_texts<S: Serializer>(absent: &[Absence], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(absent.iter().map(ToString::to_string))
}

impl Report {
    /// Time of one phase, over all parties.
    pub fn time(&self, phase: Phase) -> Duration {
        self.phases.iter().filter(|entry| entry.phase == phase).map(|entry| entry.time).sum()
    }

    /// Time of one placement, over all phases.
    pub fn time_at(&self, placement: PlacementKind) -> Duration {
        self.phases.iter().filter(|entry| entry.placement == placement).map(|entry| entry.time).sum()
    }

    /// Adds times and messages from another ledger.
    pub(super) fn add(&mut self, ledger: &Ledger) {
        for more in ledger.phases() {
            let same =
                |known: &&mut PhaseTime| (known.phase, known.placement) == (more.phase, more.placement);
            match self.phases.iter_mut().find(same) {
                Some(known) => known.time += more.time,
                None => self.phases.push(more),
            }
        }
        self.phases.sort_by_key(|time| (time.phase, time.placement));
        for more in ledger.traffic() {
            let same = |known: &&mut Traffic| (known.from, known.to) == (more.from, more.to);
            match self.traffic.iter_mut().find(same) {
                Some(known) => {
                    known.messages += more.messages;
                    known.ciphertexts += more.ciphertexts;
                    known.payload_bytes += more.payload_bytes;
                    known.wire_bytes += more.wire_bytes;
                }
                None => self.traffic.push(more),
            }
        }
        self.traffic.sort_by_key(|traffic| (traffic.from, traffic.to));
    }

    /// Messages from one placement to another.
    pub fn traffic(&self, from: PlacementKind, to: PlacementKind) -> Option<&Traffic> {
        self.traffic.iter().find(|traffic| traffic.from == from && traffic.to == to)
    }

    /// The numbers of the clients that took part, in ascending order.
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().min_clients(1).build()?;
    /// let sum = executor.secure_sum([Some(1_u8), None, Some(3)], IntegerRange::of::<u8>())?;
    /// assert_eq!(sum.report().participants().collect::<Vec<_>>(), [0, 2]);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn participants(&self) -> impl Iterator<Item = u32> {
        let mut absent = self.absent.iter().map(|absence| absence.client).peekable();
        (0..).filter(move |client| absent.next_if_eq(client).is_none()).take(self.clients as usize)
    }

    /// Bytes that a client sends for each of its values; zero if it has no values.
    ///
    /// This is the average over all messages with values, including those of clients that were left
    /// out later.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bytes_per_value(&self) -> f64 {
        let Some(sent) = self.traffic(PlacementKind::Clients, PlacementKind::Aggregator) else { return 0.0 };
        if self.values == 0 || sent.ciphertexts == 0 {
            return 0.0;
        }
        sent.wire_bytes as f64 / sent.ciphertexts as f64 * (self.ciphertexts as f64 / self.values as f64)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, key_bits, clients, values, ciphertexts, .. } = self;
        let exponents = match self.exponents {
            Some(Exponents::Short) => format!(" with {}", Exponents::Short),
            Some(Exponents::Half) | None => String::new(),
        };
        writeln!(
            f,
            "{}, {} each in {} of a {key_bits}-bit key, {:.2} bytes a value, backend {backend}{exponents}, {:.3} s",
            count((*clients).into(), "client"),
            count(*values, "value"),
            count(*ciphertexts, "ciphertext"),
            self.bytes_per_value(),
            self.elapsed.as_secs_f64()
        )?;
        let Operations { encryptions, additions, decryptions } = self.operations;
        writeln!(
            f,
            "session {}, round {}: {}, {}, {}, up to {} a message",
            self.session,
            self.round,
            count(encryptions, "encryption"),
            count(additions, "addition"),
            count(decryptions, "decryption"),
            count(self.chunk_ciphertexts.into(), "ciphertext")
        )?;
        if self.clipped_values > 0 {
            let were = if self.clipped_values == 1 { "was" } else { "were" };
            writeln!(f, "{} {were} clipped", count(self.clipped_values, "value"))?;
        }
        if !self.absent.is_empty() {
            writeln!(f, "{} did not take part", count(self.absent.len() as u64, "client"))?;
            for absence in self.absent.iter().take(ABSENT_SHOWN) {
                writeln!(f, "  {absence}")?;
            }
            if self.absent.len() > ABSENT_SHOWN {
                writeln!(f, "  and {} more", self.absent.len() - ABSENT_SHOWN)?;
            }
        }
        let phases = self.phases.iter().map(|PhaseTime { phase, placement, time }| {
            [phase.name().to_owned(), placement.name().to_owned(), format!("{:.6}", time.as_secs_f64())]
        });
        table(f, ["phase", "placement", "seconds"], 2, phases)?;
        let traffic = self.traffic.iter().map(|traffic| {
            let Traffic { from, to, channel, messages, ciphertexts, wire_bytes, .. } = traffic;
            let [messages, ciphertexts, bytes] = [messages, ciphertexts, wire_bytes].map(u64::to_string);
            [format!("{from} > {to}"), (*channel).to_owned(), messages, ciphertexts, bytes]
        });
        table(f, ["from > to", "channel", "messages", "ciphertexts", "bytes"], 2, traffic)
    }
}

/// A number with its noun: `1 client`, `2 clients`.
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Writes a table. Each column is as wide as its widest cell. The first `texts` columns are aligned
/// left.
fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    headings: [&str; N],
    texts: usize,
    rows: impl Iterator<Item = [String; N]>,
) -> fmt::Result {
    let rows: Vec<_> = [headings.map(str::to_owned)].into_iter().chain(rows).collect();
    let widths: [usize; N] =
        core::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    for row in &rows {
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if i == 0 { "" } else { "  " };
            if i < texts { write!(f, "{gap}{cell:<width$}")? } else { write!(f, "{gap}{cell:>width$}")? }
        }
        writeln!(f)?;
    }
    Ok(())
}

/// Maximum number of absent clients that a table names.
const ABSENT_SHOWN: usize = 10;

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The last completed step: [`Phase::Aggregation`] of a client's part, or [`Phase::Decryption`]
    /// of a part of the sum.
    pub phase: Phase,
    /// Ciphertexts done so far: first those of all clients, then those of the sum.
    pub done: u64,
    /// Total number of ciphertexts to be done.
    pub total: u64,
}

/// Callback after every part of a run. `ControlFlow::Break` cancels the run.
pub(super) type OnProgress = Arc<dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync>;

#[cfg(test)]
mod tests {
    use ndarray::array;

    use crate::{
        federated::LocalExecutor,
        packing::{IntegerRange, Quantizer},
        paillier::hazmat::InsecureBits512,
    };

    fn executor() -> LocalExecutor<InsecureBits512> {
        LocalExecutor::builder().min_clients(1).show_client_errors().build().unwrap()
    }

    #[test]
    fn nouns_with_count_one_are_singular() {
        let report =
            executor().secure_sum(&[array![1_u8]], IntegerRange::of::<u8>()).unwrap().report().clone();
        assert!(report.to_string().starts_with("1 client, 1 value each in 1 ciphertext of "), "{report}");
        let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
        let report =
            executor().secure_mean([Some(array![2.0_f32]), None], quantizer).unwrap().report().clone();
        let text = report.to_string();
        assert!(text.contains("\n1 value was clipped\n1 client did not take part\n"), "{text}");
    }

    #[test]
    fn a_reason_is_displayed_on_one_line_without_control_characters() {
        let clients = [Ok(array![1_u8]), Err("\u{1b}[2J\nerror: forged é")];
        let report = executor().secure_sum(clients, IntegerRange::of::<u8>()).unwrap().report().clone();
        let text = report.to_string();
        assert!(text.contains("\n  client 1: no update: \\u{1b}[2J\\nerror: forged é\n"), "{text}");
    }
}
