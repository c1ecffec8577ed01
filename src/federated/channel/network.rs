//! Transfers of messages between placements. There is no other way from one placement to another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::federated::channel::error::{Error, Result};
use crate::federated::{
    At, Digest, Party, Placed, Placement, PlacementKind, SessionId,
    channel::{Channel, ChannelGrid, Envelope, message::Message, route::Route},
    report::{Phase, ledger::Ledger},
};

/// The channels, with the sequence numbers of messages.
#[derive(Debug)]
pub(in crate::federated) struct Network {
    channels: ChannelGrid,
    /// The sequence number of the next message, by sender and receiver.
    next: Mutex<BTreeMap<(Party, Party), u64>>,
}

impl Network {
    pub(in crate::federated) fn new(channels: ChannelGrid) -> Self {
        Self { channels, next: Mutex::default() }
    }

    /// Refuses a grid that lacks one of these channels.
    pub(in crate::federated) fn check(&self, routes: &[(PlacementKind, PlacementKind)]) -> Result<()> {
        routes.iter().try_for_each(|(from, to)| self.channels.get(*from, *to).map(drop))
    }

    /// The channel between two placements.
    pub(in crate::federated) fn channel(
        &self,
        from: PlacementKind,
        to: PlacementKind,
    ) -> Result<&Arc<dyn Channel>> {
        self.channels.get(from, to)
    }

    /// Refuses a grid in which one of these channels is not confidential.
    pub(in crate::federated) fn check_confidential(
        &self,
        routes: &[(PlacementKind, PlacementKind)],
    ) -> Result<()> {
        routes.iter().try_for_each(|&(from, to)| {
            if self.channels.get(from, to)?.is_confidential() {
                Ok(())
            } else {
                Err(Error::OpenChannel { from, to })
            }
        })
    }

    /// Prepares the channels for server, aggregator and key holder.
    pub(in crate::federated) fn prepare(&self, rng: &mut dyn CryptoRng) {
        for (a, b, channel) in self.channels.iter() {
            for party in [Party::Server, Party::Aggregator, Party::KeyHolder] {
                if [a, b].contains(&party.placement()) {
                    channel.prepare(party, rng);
                }
            }
        }
    }

    /// Sends a message from a party at P to one at Q, through the channel between the two
    /// placements.
    ///
    /// The message has a sequence number that no other message of the session, sender and receiver
    /// has. The receiver expects exactly that message, so it refuses any other one.
    pub(in crate::federated) fn transfer<M: Message, P: Placement, Q: Placement>(
        &self,
        message: Placed<M, P>,
        route: Route,
        ledger: &Ledger,
        rng: &mut dyn CryptoRng,
    ) -> Result<Placed<M, Q>> {
        let Route { session, round, from, to } = route;
        assert!(
            from.placement() == P::KIND && to.placement() == Q::KIND,
            "sender and receiver live at P and Q"
        );
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

    /// Ends the session in all channels. The next session numbers its messages from zero again.
    pub(in crate::federated) fn end_session(&self, session: SessionId) {
        for (_, _, channel) in self.channels.iter() {
            channel.end_session(session);
        }
        self.next.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Bytes of public keys that the channels exchanged. A channel that serves two pairs counts
    /// once.
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
        federated::{
            Clients, KeyHolding, LocalExecutor,
            channel::tests::rng,
            computation::{Computation, Inputs, Value},
        },
        packing::IntegerRange,
        paillier::hazmat::InsecureBits512,
    };

    #[test]
    fn no_state_of_ended_sessions_is_kept() {
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
        let numbered = |executor: &LocalExecutor<_>| executor.erased.network.next.lock().unwrap().len();

        let mut executor = build(1);
        run(&executor);
        let one_session = numbered(&executor);
        for _ in 0..3 {
            for _ in 0..2 {
                run(&executor);
                assert_eq!(numbered(&executor), one_session, "more rounds need no more memory");
            }
            executor.rotate_keys();
            assert_eq!(numbered(&executor), 0);
        }
    }
}
