//! Bodies of requests, read completely in bounded memory and bounded time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::refusal::Refusal;

/// Minimum average bytes a second of a long body.
const SLOWEST: u64 = 16 * 1024;

/// Reads a body of the announced length.
pub(super) async fn read(body: Body, announced: u64, grace: Duration) -> Result<Bytes, Refusal> {
    let deadline = Instant::now() + grace + Duration::from_secs(announced / SLOWEST);
    let capacity = usize::try_from(announced).map_err(|_| Refusal::Busy)?;
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::with_capacity(capacity);
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
