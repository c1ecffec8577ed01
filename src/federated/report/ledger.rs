//! The record of a run: time, messages and operations, from any number of threads.

use core::time::Duration;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::figures::{Operations, Phase, PhaseTime, Traffic};
use crate::federated::PlacementKind;

/// The record of one run.
#[derive(Debug, Default)]
pub(in crate::federated) struct Ledger {
    /// Nanoseconds by phase and placement.
    times: [[AtomicU64; PlacementKind::ALL.len()]; Phase::ALL.len()],
    traffic: Mutex<BTreeMap<(PlacementKind, PlacementKind), Traffic>>,
    encryptions: AtomicU64,
    additions: AtomicU64,
    decryptions: AtomicU64,
    clipped: AtomicU64,
}

impl Ledger {
    /// Runs a piece of a placement's work and counts its time.
    pub(in crate::federated) fn time<T>(
        &self,
        phase: Phase,
        placement: PlacementKind,
        work: impl FnOnce() -> T,
    ) -> T {
        #[cfg(feature = "tracing")]
        let _span =
            tracing::trace_span!("phase", phase = phase.name(), placement = placement.name()).entered();
        let start = Instant::now();
        let result = work();
        // u64 holds nanoseconds of more than 500 years.
        let nanos = start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        self.times[phase as usize][placement as usize].fetch_add(nanos, Ordering::Relaxed);
        result
    }

    /// Counts a message.
    pub(in crate::federated) fn message(
        &self,
        (from, to): (PlacementKind, PlacementKind),
        channel: &'static str,
        ciphertexts: usize,
        payload_bytes: usize,
        wire_bytes: usize,
    ) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        let traffic = traffic.entry((from, to)).or_insert_with(|| Traffic {
            from,
            to,
            channel,
            messages: 0,
            ciphertexts: 0,
            payload_bytes: 0,
            wire_bytes: 0,
        });
        traffic.messages += 1;
        traffic.ciphertexts += ciphertexts as u64;
        traffic.payload_bytes += payload_bytes as u64;
        traffic.wire_bytes += wire_bytes as u64;
    }

    pub(in crate::federated) fn encrypted(&self, ciphertexts: usize) {
        self.encryptions.fetch_add(ciphertexts as u64, Ordering::Relaxed);
    }

    pub(in crate::federated) fn added(&self, ciphertexts: usize) {
        self.additions.fetch_add(ciphertexts as u64, Ordering::Relaxed);
    }

    pub(in crate::federated) fn decrypted(&self, ciphertexts: usize) {
        self.decryptions.fetch_add(ciphertexts as u64, Ordering::Relaxed);
    }

    pub(in crate::federated) fn clipped(&self, values: u64) {
        self.clipped.fetch_add(values, Ordering::Relaxed);
    }

    /// Times in the order of the protocol. Phases that did not occur are left out.
    pub(in crate::federated) fn phases(&self) -> Vec<PhaseTime> {
        let mut phases = Vec::new();
        for phase in Phase::ALL {
            for placement in PlacementKind::ALL {
                let nanos = self.times[phase as usize][placement as usize].load(Ordering::Relaxed);
                if nanos > 0 {
                    phases.push(PhaseTime { phase, placement, time: Duration::from_nanos(nanos) });
                }
            }
        }
        phases
    }

    pub(in crate::federated) fn traffic(&self) -> Vec<Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(in crate::federated) fn operations(&self) -> Operations {
        Operations {
            encryptions: self.encryptions.load(Ordering::Relaxed),
            additions: self.additions.load(Ordering::Relaxed),
            decryptions: self.decryptions.load(Ordering::Relaxed),
        }
    }

    pub(in crate::federated) fn clipped_values(&self) -> u64 {
        self.clipped.load(Ordering::Relaxed)
    }
}
