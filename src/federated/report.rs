//! What a run did: time by phase, traffic by channel, and how far it is.

use core::{fmt, ops::ControlFlow, time::Duration};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde::{Serialize, Serializer};

use super::PlacementKind;

/// A part of the work of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Server: making the Paillier keys in a session's first run, and the table of the encryption's base, which the
    /// simulated clients share.
    KeyGeneration,
    /// Clients: making the updates, as far as the caller's iterator does so.
    Input,
    /// Clients: checking, clipping, quantising and packing.
    Packing,
    /// Clients: Paillier encryption.
    Encryption,
    /// All: encoding, sealing, opening and decoding messages.
    Transfer,
    /// Aggregator: multiplying ciphertexts.
    Aggregation,
    /// Server: Paillier decryption.
    Decryption,
    /// Server: unpacking and decoding the sums.
    Unpacking,
}

impl Phase {
    /// All phases, in the order of the protocol.
    pub const ALL: [Self; 8] = [
        Self::KeyGeneration,
        Self::Input,
        Self::Packing,
        Self::Encryption,
        Self::Transfer,
        Self::Aggregation,
        Self::Decryption,
        Self::Unpacking,
    ];

    /// The phase's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyGeneration => "key generation",
            Self::Input => "input",
            Self::Packing => "packing",
            Self::Encryption => "encryption",
            Self::Transfer => "transfer",
            Self::Aggregation => "aggregation",
            Self::Decryption => "decryption",
            Self::Unpacking => "unpacking",
        }
    }
}

/// Messages from one placement to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Where they come from.
    pub from: PlacementKind,
    /// Where they go.
    pub to: PlacementKind,
    /// The channel's name.
    pub channel: &'static str,
    /// Number of messages.
    pub messages: u64,
    /// Ciphertexts in them.
    pub ciphertexts: u64,
    /// Bytes of their contents.
    pub payload_bytes: u64,
    /// Bytes as they travel, with envelopes, nonces and authenticators.
    pub wire_bytes: u64,
}

/// What a run did.
///
/// `Display` is a table for people. Times are those of the simulation on one machine: each phase's is the sum over all
/// clients that worked at the same time, and includes waiting for threads that other phases keep busy, so that phases can
/// add up to more than the run took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Name of the Paillier backend.
    pub backend: &'static str,
    /// Bits of the Paillier key.
    pub key_bits: u32,
    /// Number of clients that took part.
    pub clients: u32,
    /// Values of one client.
    pub values: u64,
    /// Ciphertexts of one client.
    pub ciphertexts: u64,
    /// Values, over all clients, that a quantizer clipped. A simulation's knowledge: in a deployment it stays with the
    /// clients.
    pub clipped_values: u64,
    /// From the call to the result.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Time by phase, in the order of the protocol; phases that did not happen are left out.
    #[serde(serialize_with = "seconds_by_phase")]
    pub phases: Vec<(Phase, Duration)>,
    /// Messages by channel and direction.
    pub traffic: Vec<Traffic>,
    /// Bytes of public keys that channels exchanged for themselves, over the whole session.
    pub channel_setup_bytes: u64,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn seconds_by_phase<S: Serializer>(phases: &[(Phase, Duration)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(phases.iter().map(|(phase, time)| (phase, time.as_secs_f64())))
}

impl Report {
    /// Time of one phase.
    pub fn time(&self, phase: Phase) -> Duration {
        self.phases.iter().find(|(other, _)| *other == phase).map_or(Duration::ZERO, |(_, time)| *time)
    }

    /// Messages from one placement to another.
    pub fn traffic(&self, from: PlacementKind, to: PlacementKind) -> Option<&Traffic> {
        self.traffic.iter().find(|traffic| traffic.from == from && traffic.to == to)
    }

    /// Bytes that a client sends for each of its values; zero if it has none.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bytes_per_value(&self) -> f64 {
        let values = self.values * u64::from(self.clients);
        let sent = self.traffic(PlacementKind::Clients, PlacementKind::Aggregator);
        if values == 0 { 0.0 } else { sent.map_or(0.0, |sent| sent.wire_bytes as f64 / values as f64) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, key_bits, clients, values, ciphertexts, .. } = self;
        writeln!(
            f,
            "{clients} clients, {values} values each in {ciphertexts} ciphertexts of a {key_bits}-bit key, \
             {:.2} bytes a value, backend {backend}, {:.3} s",
            self.bytes_per_value(),
            self.elapsed.as_secs_f64()
        )?;
        if self.clipped_values > 0 {
            writeln!(f, "{} values were clipped", self.clipped_values)?;
        }
        writeln!(f, "{:<16} {:>12}", "phase", "seconds")?;
        for (phase, time) in &self.phases {
            writeln!(f, "{:<16} {:>12.6}", phase.name(), time.as_secs_f64())?;
        }
        writeln!(
            f,
            "{:<22} {:<10} {:>9} {:>12} {:>14}",
            "from > to", "channel", "messages", "ciphertexts", "bytes"
        )?;
        for traffic in &self.traffic {
            let direction = format!("{} > {}", traffic.from, traffic.to);
            let Traffic { channel, messages, ciphertexts, wire_bytes, .. } = traffic;
            writeln!(f, "{direction:<22} {channel:<10} {messages:>9} {ciphertexts:>12} {wire_bytes:>14}")?;
        }
        Ok(())
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What was just done: [`Phase::Aggregation`] of a client's part, or [`Phase::Decryption`] of a part of the sum.
    pub phase: Phase,
    /// Ciphertexts done so far: those of all clients, and then those of the sum.
    pub done: u64,
    /// Ciphertexts to be done in all.
    pub total: u64,
}

/// What is called after every part of a run. `ControlFlow::Break` cancels the run.
pub(super) type OnProgress = Arc<dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync>;

/// Times of a run's phases, added up by any number of threads.
#[derive(Debug, Default)]
pub(super) struct Clock([AtomicU64; Phase::ALL.len()]);

impl Clock {
    /// Runs a piece of work and counts its time.
    pub(super) fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        // Half a thousand years of nanoseconds fit.
        let nanos = start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        self.0[phase as usize].fetch_add(nanos, Ordering::Relaxed);
        result
    }

    pub(super) fn phases(&self) -> Vec<(Phase, Duration)> {
        let times = self.0.iter().map(|nanos| Duration::from_nanos(nanos.load(Ordering::Relaxed)));
        Phase::ALL.into_iter().zip(times).filter(|(_, time)| !time.is_zero()).collect()
    }
}
