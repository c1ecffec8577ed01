//! Moves messages between placements: the only way from one to another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::federated::{
    At, Channel, ChannelGrid, Digest, Envelope, Party, Placed, Placement, PlacementKind, SessionId,
    channel::message::Message, report::Phase, report::ledger::Ledger,
};
use crate::federated::{Error, Result};

/// The channels, with the numbers that messages carry.
#[derive(Debug)]
pub(in crate::federated) struct Network {
    channels: ChannelGrid,
    /// The sequence number of the next message, by sender and receiver.
    next: Mutex<BTreeMap<(Party, Party), u64>>,
}

/// The facts of a message that its sender knows.
#[derive(Clone, Copy, Debug)]
pub(in crate::federated) struct Way {
    pub(in crate::federated) session: SessionId,
    pub(in crate::federated) round: u64,
    pub(in crate::federated) from: Party,
    pub(in crate::federated) to: Party,
}

impl Network {
    pub(in crate::federated) fn new(channels: ChannelGrid) -> Self {
        Self { channels, next: Mutex::default() }
    }

    /// Refuses a grid that lacks one of these channels.
    pub(in crate::federated) fn check(&self, ways: &[(PlacementKind, PlacementKind)]) -> Result<()> {
        ways.iter().try_for_each(|(from, to)| self.channels.get(*from, *to).map(drop))
    }

    /// The channel between two placements.
    pub(in crate::federated) fn channel(
        &self,
        from: PlacementKind,
        to: PlacementKind,
    ) -> Result<&Arc<dyn Channel>> {
        self.channels.get(from, to)
    }

    /// Refuses a grid in which others than the two ends could read one of these channels.
    pub(in crate::federated) fn check_confidential(
        &self,
        ways: &[(PlacementKind, PlacementKind)],
    ) -> Result<()> {
        ways.iter().try_for_each(|&(from, to)| {
            if self.channels.get(from, to)?.is_confidential() {
                Ok(())
            } else {
                Err(Error::OpenChannel { from, to })
            }
        })
    }

    /// Has the channels make what the single parties need.
    pub(in crate::federated) fn prepare(&self, rng: &mut dyn CryptoRng) {
        for (a, b, channel) in self.channels.iter() {
            for party in [Party::Server, Party::Aggregator, Party::KeyHolder] {
                if [a, b].contains(&party.placement()) {
                    channel.prepare(party, rng);
                }
            }
        }
    }

    /// Sends a message from a party at P to one at Q, through the channel between the two placements.
    ///
    /// The message has a sequence number that no other one of the session, sender and receiver has. The receiver expects just
    /// that message, so that any other one is refused.
    pub(in crate::federated) fn transfer<M: Message, P: Placement, Q: Placement>(
        &self,
        message: Placed<M, P>,
        way: Way,
        ledger: &Ledger,
        rng: &mut dyn CryptoRng,
    ) -> Result<Placed<M, Q>> {
        let Way { session, round, from, to } = way;
        assert!(from.placement() == P::KIND && to.placement() == Q::KIND, "parties live where they say");
        let channel = self.channels.get(P::KIND, Q::KIND)?;
        let sequence = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let next = next.entry((from, to)).or_default();
            let sequence = *next;
            *next += 1;
            sequence
        };
        let envelope = Envelope { session, round, sequence, from, to, context: Digest::NONE };
        // At the sender.
        let wire = ledger.time(Phase::Transfer, P::KIND, || {
            let message = message.into_inner(&At::new());
            let payload = Zeroizing::new(message.to_bytes()?);
            let wire = channel.seal(&envelope, &payload, rng)?;
            let ciphertexts = message.ciphertexts();
            ledger.message((P::KIND, Q::KIND), channel.name(), ciphertexts, payload.len(), wire.len());
            Ok::<_, Error>(wire)
        })?;
        // At the receiver.
        ledger.time(Phase::Transfer, Q::KIND, || {
            let payload = channel.open_expected(&envelope, &wire)?;
            Ok(Placed::new(M::from_bytes(&payload)?, &At::new()))
        })
    }

    /// Has the channels forget what they know of a session that is over. Numbers of messages start anew in the next one.
    pub(in crate::federated) fn end_session(&self, session: SessionId) {
        for (_, _, channel) in self.channels.iter() {
            channel.end_session(session);
        }
        self.next.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Bytes of public keys that the channels exchanged. A channel that serves two pairs counts once.
    pub(in crate::federated) fn setup_bytes(&self) -> u64 {
        let by_channel =
            self.channels.iter().map(|(_, _, channel)| (Arc::as_ptr(channel).cast::<()>(), channel));
        let channels: BTreeMap<_, _> = by_channel.collect();
        channels.values().map(|channel| channel.setup_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        federated::{Clients, Computation, Inputs, KeyHolding, LocalExecutor, Value, channel::tests::rng},
        packing::IntegerRange,
        paillier::hazmat::InsecureBits512,
    };

    #[test]
    fn nothing_is_remembered_of_sessions_that_are_over() {
        let build = |seed| {
            let builder = LocalExecutor::<InsecureBits512>::builder().rng(rng(seed));
            builder.key_holding(KeyHolding::KeyHolder).threads(1).build().unwrap()
        };
        let x = Value::<u32, Clients>::input("x");
        let total = x.secure_sum(IntegerRange::up_to(9));
        let computation = Computation::new((total, x.collect()));
        let run = |executor: &LocalExecutor<_>| {
            let run = executor.run(&computation, Inputs::new().clients(&x, 0..8)).unwrap();
            assert_eq!(run.value.0, 28);
        };
        let numbered = |executor: &LocalExecutor<_>| executor.core.network.next.lock().unwrap().len();

        let mut executor = build(1);
        run(&executor);
        let one_session = numbered(&executor);
        for _ in 0..3 {
            for _ in 0..2 {
                run(&executor);
                assert_eq!(numbered(&executor), one_session, "more rounds take no more");
            }
            executor.rotate_keys();
            assert_eq!(numbered(&executor), 0);
        }
    }
}
