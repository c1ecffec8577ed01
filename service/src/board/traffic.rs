//! Traffic and refusals of each party, for the status page.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::parties::{Consortium, Member, label};

/// Traffic of one party since the board started.
pub(super) struct PartyTraffic {
    /// The organisation's name.
    pub(super) name: String,
    /// The label of its role, such as `client-0`.
    pub(super) role: String,
    /// Bytes of objects that it has written.
    pub(super) received: u64,
    /// Bytes of objects that it has read.
    pub(super) sent: u64,
    /// Its refused requests, by kind.
    pub(super) refused: Vec<(&'static str, u64)>,
}

/// Bytes a second over all parties, written and read.
#[derive(Clone, Copy, Default)]
pub(super) struct Rates {
    pub(super) received: f64,
    pub(super) sent: f64,
}

/// The counts that Prometheus' library does not return, and earlier counts for the rates.
pub(super) struct Traffic {
    refused: Mutex<BTreeMap<(String, &'static str), u64>>,
    sample: Mutex<Sample>,
}

struct Sample {
    at: Instant,
    received: u64,
    sent: u64,
    rates: Rates,
}

impl Traffic {
    pub(super) fn new() -> Self {
        let sample = Sample { at: Instant::now(), received: 0, sent: 0, rates: Rates::default() };
        Self { refused: Mutex::default(), sample: Mutex::new(sample) }
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, role: String, kind: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry((role, kind)).or_default() += 1;
    }

    /// The traffic of all parties of a consortium, in its order. `bytes` gives the bytes received
    /// from a role and sent to it.
    pub(super) fn of(
        &self,
        consortium: &Consortium,
        bytes: impl Fn(&str) -> (u64, u64),
    ) -> Vec<PartyTraffic> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let party = |member: &Member| {
            let role = label(member.party);
            let (received, sent) = bytes(&role);
            let from_role = refused.range((role.clone(), "")..);
            let of_role = from_role.take_while(|((party, _), _)| *party == role);
            PartyTraffic {
                name: member.name.clone(),
                received,
                sent,
                refused: of_role.map(|((_, kind), count)| (*kind, *count)).collect(),
                role,
            }
        };
        consortium.members().iter().map(party).collect()
    }

    /// Rates since the previous page. Pages within a second have the same rates.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn rates(&self, parties: &[PartyTraffic]) -> Rates {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = sample.at.elapsed().as_secs_f64();
        if seconds >= 1.0 {
            let received = parties.iter().map(|party| party.received).sum::<u64>();
            let sent = parties.iter().map(|party| party.sent).sum::<u64>();
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            let rates = Rates { received: rate(received, sample.received), sent: rate(sent, sample.sent) };
            *sample = Sample { at: Instant::now(), received, sent, rates };
        }
        sample.rates
    }
}
