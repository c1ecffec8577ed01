//! Moves messages between placements: the only way from one to another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    At, ChannelGrid, Envelope, Party, Placed, Placement, PlacementKind, SessionId, message::Message,
    report::Traffic,
};
use crate::Result;

/// One session's channels, with the numbers that its messages carry.
#[derive(Debug)]
pub(super) struct Network {
    channels: ChannelGrid,
    session: SessionId,
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

/// Traffic of one run.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<BTreeMap<(PlacementKind, PlacementKind), Traffic>>);

impl Meter {
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Network {
    pub(super) fn new(channels: ChannelGrid, session: SessionId) -> Self {
        Self { channels, session, directions: Mutex::default() }
    }

    /// Refuses a grid that lacks one of the channels that every round needs.
    pub(super) fn check(&self) -> Result<()> {
        use PlacementKind::{Aggregator, Clients, Server};
        for (from, to) in [(Server, Clients), (Clients, Aggregator), (Aggregator, Server)] {
            self.channels.get(from, to)?;
        }
        Ok(())
    }

    /// Has the channels make what server and aggregator need.
    pub(super) fn prepare(&self, rng: &mut dyn CryptoRng) {
        for (a, b, channel) in self.channels.iter() {
            for party in [Party::Server, Party::Aggregator] {
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
    pub(super) fn transfer<M: Message, P: Placement, Q: Placement>(
        &self,
        message: Placed<M, P>,
        (from, to): (Party, Party),
        round: u64,
        meter: &Meter,
        rng: &mut dyn CryptoRng,
    ) -> Result<Placed<M, Q>> {
        assert!(from.placement() == P::KIND && to.placement() == Q::KIND, "parties live where they say");
        let channel = self.channels.get(P::KIND, Q::KIND)?;
        // At the sender.
        let message = message.into_inner(&At::new());
        let payload = Zeroizing::new(message.to_bytes()?);
        let direction = {
            let mut directions = self.directions.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(directions.entry((from, to)).or_default())
        };
        let mut direction = direction.lock().unwrap_or_else(PoisonError::into_inner);
        direction.round = direction.round.max(round);
        let Direction { round, sequence } = *direction;
        direction.sequence += 1;
        let envelope = Envelope { session: self.session, round, sequence, from, to };
        let wire = channel.seal(&envelope, &payload, rng)?;
        {
            let mut traffic = meter.0.lock().unwrap_or_else(PoisonError::into_inner);
            let traffic = traffic.entry((P::KIND, Q::KIND)).or_insert_with(|| Traffic {
                from: P::KIND,
                to: Q::KIND,
                channel: channel.name(),
                messages: 0,
                ciphertexts: 0,
                payload_bytes: 0,
                wire_bytes: 0,
            });
            traffic.messages += 1;
            traffic.ciphertexts += message.ciphertexts() as u64;
            traffic.payload_bytes += payload.len() as u64;
            traffic.wire_bytes += wire.len() as u64;
        }
        drop((message, payload));
        // At the receiver.
        let payload = channel.open(&envelope, &wire)?;
        drop(direction);
        Ok(Placed::new(M::from_bytes(&payload)?, &At::new()))
    }

    /// Bytes of public keys that the channels exchanged. A channel that serves two pairs counts once.
    pub(super) fn setup_bytes(&self) -> u64 {
        let by_channel =
            self.channels.iter().map(|(_, _, channel)| (Arc::as_ptr(channel).cast::<()>(), channel));
        let channels: BTreeMap<_, _> = by_channel.collect();
        channels.values().map(|channel| channel.setup_bytes()).sum()
    }
}
