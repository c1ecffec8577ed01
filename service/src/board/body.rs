//! Bodies of requests, read completely in bounded memory and bounded time.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::refusal::Refusal;

/// Minimum average bytes a second of a long body.
const SLOWEST: u64 = 16 * 1024;

/// Buffers of bodies that were written to the store, for the next ones. Fresh memory must be cleared
/// by the system first, which costs a tenth of the whole transfer.
pub(super) struct Buffers {
    idle: Mutex<Vec<BytesMut>>,
    /// Maximum bytes of idle buffers.
    limit: usize,
}

/// Shorter buffers are not kept.
const LONG: usize = 64 << 10;

impl Buffers {
    pub(super) fn new(limit: usize) -> Self {
        Self { idle: Mutex::default(), limit }
    }

    /// An empty buffer that holds this number of bytes.
    fn take(&self, bytes: usize) -> BytesMut {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &BytesMut| (bytes..=bytes.saturating_mul(2)).contains(&buffer.capacity());
        match idle.iter().position(fits) {
            Some(found) => idle.swap_remove(found),
            None => BytesMut::with_capacity(bytes),
        }
    }

    /// Keeps the memory of a body that no one else uses any more. The buffers that were unused for
    /// longest are dropped.
    pub(super) fn give_back(&self, body: Bytes) {
        let Ok(mut buffer) = body.try_into_mut() else { return };
        buffer.clear();
        if !(LONG..=self.limit).contains(&buffer.capacity()) {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(buffer);
        let mut kept = idle.iter().map(BytesMut::capacity).sum::<usize>();
        let leaving = idle.iter().take_while(|buffer| {
            let leaves = kept > self.limit;
            kept -= buffer.capacity();
            leaves
        });
        let leaving = leaving.count();
        idle.drain(..leaving);
    }
}

/// Reads a body of the announced length.
pub(super) async fn read(
    body: Body,
    announced: u64,
    grace: Duration,
    buffers: &Buffers,
) -> Result<Bytes, Refusal> {
    let deadline = Instant::now() + grace + Duration::from_secs(announced / SLOWEST);
    let capacity = usize::try_from(announced).map_err(|_| Refusal::Busy)?;
    let mut stream = body.into_data_stream();
    let mut read = buffers.take(capacity);
    let cut = |found: usize| Refusal::Cut { announced, found: found as u64 };
    loop {
        match timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(Refusal::Slow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(cut(read.len())),
            Ok(Some(Ok(block))) => {
                if read.len() + block.len() > capacity {
                    return Err(cut(read.len() + block.len()));
                }
                read.extend_from_slice(&block);
            }
        }
    }
    if read.len() == capacity { Ok(read.freeze()) } else { Err(cut(read.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_within_the_limit() {
        let buffers = Buffers::new(3 * LONG);
        let idle = || buffers.idle.lock().unwrap().len();
        let filled = || Bytes::from(vec![7; LONG]);
        buffers.give_back(filled());
        let again = buffers.take(LONG);
        assert_eq!((again.len(), again.capacity(), idle()), (0, LONG, 0), "empty, with its memory");
        (0..5).for_each(|_| buffers.give_back(filled()));
        assert_eq!(idle(), 3, "the limit");
        assert_eq!(buffers.take(LONG / 2 - 1).capacity(), LONG / 2 - 1, "none is too long by half");
        assert!(buffers.take(LONG + 1).capacity() > LONG && idle() == 3, "and none is too short");
    }

    #[test]
    fn buffers_that_someone_reads_are_not_used_again() {
        let buffers = Buffers::new(3 * LONG);
        let body = Bytes::from(vec![7; LONG]);
        let reader = body.clone();
        buffers.give_back(body);
        buffers.give_back(Bytes::from(vec![7; 10]));
        buffers.give_back(Bytes::from(vec![7; 4 * LONG]));
        assert!(buffers.idle.lock().unwrap().is_empty());
        assert_eq!(reader, vec![7; LONG]);
    }
}
