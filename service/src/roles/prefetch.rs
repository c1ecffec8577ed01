//! Prefetches shards: while one shard is worked on, the next one is fetched.

use std::{ops::Range, sync::mpsc, thread};

use crate::error::Result;

/// Fetches shard after shard on a separate thread, and works on each in order. At most two shards
/// are in memory beside the one that is worked on.
///
/// # Errors
///
/// The first error of fetching or of the work.
pub(super) fn prefetch_shards<T: Send>(
    shards: Range<u32>,
    fetch: impl Fn(u32) -> Result<T> + Send,
    mut work: impl FnMut(u32, T) -> Result<()>,
) -> Result<()> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for shard in shards {
                let fetched = fetch(shard);
                let failed = fetched.is_err();
                if send.send((shard, fetched)).is_err() || failed {
                    break; // the work has failed, or there is nothing to work on
                }
            }
        });
        for (shard, fetched) in receive {
            work(shard, fetched?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn failed(what: u32) -> Error {
        Error::RoundOver { round: what.into() }
    }

    #[test]
    fn shards_come_in_order_and_the_first_error_ends_it() {
        let mut seen = Vec::new();
        let doubled = |shard| Ok(2 * shard);
        prefetch_shards(3..6, doubled, |shard, twice| {
            seen.push((shard, twice));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(3, 6), (4, 8), (5, 10)]);
        let fetching = prefetch_shards(
            0..9,
            |shard| if shard < 2 { Ok(()) } else { Err(failed(shard)) },
            |_, ()| Ok(()),
        );
        assert_eq!(fetching, Err(failed(2)));
        let working =
            prefetch_shards(0..9, Ok, |shard, _: u32| if shard < 4 { Ok(()) } else { Err(failed(shard)) });
        assert_eq!(working, Err(failed(4)));
    }
}
