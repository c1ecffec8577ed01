//! Moves messages between placements: the only way from one to another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::Result;
use crate::federated::{
    At, ChannelGrid, Envelope, Party, Placed, Placement, PlacementKind, SessionId, channel::message::Message,
    report::Phase, report::ledger::Ledger,
};

/// The channels, with the numbers that messages carry.
#[derive(Debug)]
pub(in crate::federated) struct Network {
    channels: ChannelGrid,
    directions: Mutex<Directions>,
}

/// By sender and receiver, each with a lock of its own.
type Directions = BTreeMap<(Party, Party), Arc<Mutex<Direction>>>;

/// What the next message from one party to another is numbered.
#[derive(Debug, Default)]
struct Direction {
    /// The latest round that a message has named.
    round: u64,
    sequence: u64,
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
        Self { channels, directions: Mutex::default() }
    }

    /// Refuses a grid that lacks one of these channels.
    pub(in crate::federated) fn check(&self, ways: &[(PlacementKind, PlacementKind)]) -> Result<()> {
        ways.iter().try_for_each(|(from, to)| self.channels.get(*from, *to).map(drop))
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
    /// Receivers want numbers that grow, also where several runs send at the same time. So a message arrives before
    /// the next one of its direction is sealed; and when a later round has sent there already, a message names that
    /// round instead of its own. Its sequence number, which no other message of the session has, tells them apart.
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
        let direction = {
            let mut directions = self.directions.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(directions.entry((from, to)).or_default())
        };
        let mut direction = direction.lock().unwrap_or_else(PoisonError::into_inner);
        direction.round = direction.round.max(round);
        let Direction { round, sequence } = *direction;
        direction.sequence += 1;
        let envelope = Envelope { session, round, sequence, from, to };
        // At the sender.
        let wire = ledger.time(Phase::Transfer, P::KIND, || {
            let message = message.into_inner(&At::new());
            let payload = Zeroizing::new(message.to_bytes()?);
            let wire = channel.seal(&envelope, &payload, rng)?;
            let ciphertexts = message.ciphertexts();
            ledger.message((P::KIND, Q::KIND), channel.name(), ciphertexts, payload.len(), wire.len());
            Ok::<_, crate::Error>(wire)
        })?;
        // At the receiver.
        ledger.time(Phase::Transfer, Q::KIND, || {
            let payload = channel.open(&envelope, &wire)?;
            drop(direction);
            Ok(Placed::new(M::from_bytes(&payload)?, &At::new()))
        })
    }

    /// Has the channels forget what they know of a session that is over. Numbers of messages start anew in the next one.
    pub(in crate::federated) fn end_session(&self, session: SessionId) {
        for (_, _, channel) in self.channels.iter() {
            channel.end_session(session);
        }
        self.directions.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
    use super::*;
    use crate::{
        federated::{
            BoxChannel, Channel, Clients, Computation, Inputs, KeyHolding, LocalExecutor, PlaintextChannel,
            ReplayGuard, Value, channel::tests::rng,
        },
        packing::IntegerRange,
        paillier::hazmat::InsecureBits512,
    };

    /// Sessions that channels remember, directions in them, and directions that the network numbers.
    fn remembered(executor: &LocalExecutor<InsecureBits512>, guards: [&ReplayGuard; 2]) -> [usize; 5] {
        let [(sealed, from_sealed), (open, from_open)] = guards.map(ReplayGuard::counts);
        let numbered = executor.network.directions.lock().unwrap().len();
        [sealed, from_sealed, open, from_open, numbered]
    }

    #[test]
    fn nothing_is_remembered_of_sessions_that_are_over() {
        let (boxes, plain) = (Arc::new(BoxChannel::new()), Arc::new(PlaintextChannel::new()));
        let guards = [&boxes.guard, &plain.guard];
        let mut grid = ChannelGrid::empty();
        for (i, a) in PlacementKind::ALL.into_iter().enumerate() {
            for b in PlacementKind::ALL.into_iter().skip(i + 1) {
                let channel: Arc<dyn Channel> = if b == PlacementKind::Aggregator {
                    Arc::<BoxChannel>::clone(&boxes)
                } else {
                    Arc::<PlaintextChannel>::clone(&plain)
                };
                grid = grid.with(a, b, channel).unwrap();
            }
        }
        let build = |seed| {
            let builder = LocalExecutor::<InsecureBits512>::builder().channels(grid.clone()).rng(rng(seed));
            builder.key_holding(KeyHolding::KeyHolder).threads(1).build().unwrap()
        };
        let x = Value::<u32, Clients>::input("x");
        let total = x.secure_sum(IntegerRange::up_to(9));
        let computation = Computation::new((total, x.collect()));
        let run = |executor: &LocalExecutor<_>| {
            let run = executor.run(&computation, Inputs::new().clients(&x, 0..8)).unwrap();
            assert_eq!(run.value.0, 28);
        };

        let mut executor = build(1);
        run(&executor);
        let one_session = remembered(&executor, guards);
        assert_eq!((one_session[0], one_session[2]), (1, 1));
        for _ in 0..5 {
            for _ in 0..2 {
                run(&executor);
                assert_eq!(remembered(&executor, guards), one_session, "more rounds take no more");
            }
            executor.rotate_keys();
            assert_eq!(remembered(&executor, guards), [0; 5]);
        }
        // Another executor on the same channels.
        run(&executor);
        let other = build(2);
        run(&other);
        assert_eq!(guards.map(|guard| guard.counts().0), [2, 2]);
        drop(executor);
        assert_eq!(remembered(&other, guards), one_session);
        run(&other);
        drop(other);
        assert_eq!(guards.map(ReplayGuard::counts), [(0, 0), (0, 0)]);
    }
}
