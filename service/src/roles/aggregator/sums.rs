//! The sums of a fold, written to the store.

use cipherfold::federated::Party;

use super::fold::Fold;
use crate::{
    error::Result,
    objects::{End, PartDigest, RoundKey, Signed},
    progress::Progress,
    roles::{Timeout, faults},
    round::OpenRound,
};

/// Writes the sums of a fold, and returns their digests in order.
pub(super) fn put_sums(
    round: &OpenRound,
    fold: Fold<'_>,
    end: &Signed<End>,
    timeout: Timeout,
    progress: &dyn Progress,
) -> Result<Vec<PartDigest>> {
    let server = timeout.wait(
        round.store(),
        || "the server's key".to_owned(),
        || round.session().announced(Party::Server),
    )?;
    let mut sums = Vec::new();
    for (shard, sum) in fold.close(end, server, progress)? {
        sums.push(PartDigest::of(&sum));
        round.store().put(&round.key(RoundKey::Sum(shard)), sum)?;
        faults::point("aggregator-sum");
    }
    Ok(sums)
}
