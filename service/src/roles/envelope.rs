//! The envelope of a sum, for the aggregator that seals it and the server that opens it.

use cipherfold::federated::{Digest, Party, channel::Envelope};

use crate::{digest::Sha256, round::OpenRound};

/// The facts that are bound to the sum of a shard.
pub(super) fn sum_envelope(round: &OpenRound, shard: u32, end: Sha256) -> Envelope {
    let spec = round.spec().digest().to_bytes();
    let context = Sha256::for_purpose("cipherfold service sum of a shard", &[&spec, &end.to_bytes()]);
    Envelope {
        session: round.session().id(),
        round: round.number(),
        sequence: shard.into(),
        from: Party::Aggregator,
        to: Party::Server,
        context: Digest::from_bytes(context.to_bytes()),
    }
}
