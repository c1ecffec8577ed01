//! One round over the clients: a stand-in that only has everyone's work done.

use rand_chacha::ChaCha20Rng;

use super::LocalExecutor;
use crate::{Error, Result, paillier::KeySize};

pub(super) struct RoundOutcome {
    pub participants: Vec<u32>,
}

pub(super) trait Work: Send {
    fn start<'a>(
        self: Box<Self>,
        client: u32,
        rng: &mut ChaCha20Rng,
    ) -> Result<Option<Box<dyn Contributor + 'a>>>
    where
        Self: 'a;
}

pub(super) trait Contributor: Send + Sync {
    fn sent(self: Box<Self>) -> Result<()>;
}

impl<S: KeySize> LocalExecutor<S> {
    pub(super) fn round<'a>(
        &self,
        clients: u32,
        work: impl Iterator<Item = Box<dyn Work + 'a>> + Send,
    ) -> Result<RoundOutcome> {
        let mut participants = Vec::new();
        let mut found = 0;
        for work in work {
            let client = found;
            found += 1;
            if found > clients {
                break;
            }
            let at_client = |source| Error::Client { client, source: Box::new(source) };
            if let Some(contributor) = work.start(client, &mut self.stream()).map_err(at_client)? {
                contributor.sent().map_err(at_client)?;
                participants.push(client);
            }
        }
        if found != clients {
            return Err(Error::ClientCount { stated: clients.into(), found: found.into() });
        }
        Ok(RoundOutcome { participants })
    }
}
