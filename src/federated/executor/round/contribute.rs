//! One client's part of a round: its values are checked, encrypted, sent and counted.

use core::cell::Cell;
use std::{sync::Arc, thread};

use chacha20::ChaCha20Rng;
use rayon::ThreadPool;

use super::{
    Present, RoundSums, RunningRound,
    clear::ClearSums,
    own_thread::SUMMED_ALONE,
    queue::{Contributor, Failure, QueuedClient, Step},
    sequencer::Stop,
};
use crate::federated::{
    Error, Party, PlacementKind, Result,
    channel::Channel,
    report::{Phase, progress::Counter},
    round::{Aggregator, Client, EncodedUpdate, EncryptionKey},
};

impl RunningRound<'_> {
    /// One client's part: checks everything, then encrypts and sends chunk by chunk. Returns the
    /// client once everything has arrived, or `None` if another client failed and the round with
    /// it.
    pub(super) fn contribute<'a>(
        &self,
        present: Present<'a>,
        thread: Option<&ThreadPool>,
        stop: &Stop,
    ) -> Result<Option<Box<dyn Contributor + 'a>>, Failure> {
        let QueuedClient { client, mut data_rng, mut rng, mut key_rng, contributor } = present;
        let at = |step| move |error| Failure::at(client, step, error);
        let chunking = self.spec.chunking();
        let counted = Counted { progress: &self.progress, total: chunking.ciphertexts(), done: 0.into() };
        let all_sent = {
            let updates = contributor.updates().map_err(at(Step::Encoding))?;
            let encode = || EncodedUpdate::new(self.spec, &updates);
            let update = self.ledger.time(Phase::Packing, PlacementKind::Clients, encode);
            let update = update.map_err(Into::into).map_err(at(Step::Encoding))?;
            match &self.sums {
                RoundSums::Clear(sums) => {
                    self.contribute_in_the_clear(sums, &update, &mut data_rng, &counted, stop)
                }
                RoundSums::Encrypted(aggregator) => {
                    let (party, round) = (Party::Client(client), self.spec.round());
                    let key = self.executor.received_key(party, round, self.ledger, &mut key_rng);
                    let key = key.map_err(at(Step::Keys))?;
                    let sending =
                        Sending { round: self, aggregator, client, thread, counted: &counted, stop };
                    sending.send(&key, &update, &mut data_rng, &mut rng)
                }
                RoundSums::Closed => unreachable!("clients contribute only before the round is closed"),
            }
            .map_err(at(Step::Sending))?
        };
        Ok(all_sent.then_some(contributor))
    }

    /// Adds a client's values in the clear. `false` if the round stops before.
    fn contribute_in_the_clear(
        &self,
        sums: &ClearSums,
        update: &EncodedUpdate<'_>,
        data_rng: &mut ChaCha20Rng,
        counted: &Counted<'_>,
        stop: &Stop,
    ) -> Result<bool> {
        // If clients may be absent, a sum contains all of a client or nothing.
        let keep = self.executor.settings.min_clients.is_some();
        let (mut kept, mut clipped) = (Vec::new(), 0);
        for chunk in self.spec.chunking().chunks() {
            if stop.is_set() {
                return Ok(false);
            }
            let encode = || update.slots(&chunk, data_rng);
            let (slots, of_chunk) = self.ledger.time(Phase::Packing, PlacementKind::Clients, encode)?;
            clipped += of_chunk;
            if keep {
                kept.push((chunk.index, slots));
            } else {
                sums.add(chunk.index, &slots);
            }
            counted.add(chunk.plaintexts)?;
        }
        for (index, slots) in kept {
            sums.add(index, &slots);
        }
        // Counted only now: a client that is left out has no values in the sum.
        self.ledger.clipped(clipped);
        Ok(true)
    }
}

/// One client's encrypted contribution, while it is sent to the aggregator.
struct Sending<'a> {
    round: &'a RunningRound<'a>,
    aggregator: &'a Aggregator,
    client: u32,
    /// A thread only for this client's batches, unless they share the executor's threads.
    thread: Option<&'a ThreadPool>,
    counted: &'a Counted<'a>,
    stop: &'a Stop,
}

impl Sending<'_> {
    /// Sends a whole update. `false` if the round stops before.
    fn send(
        &self,
        key: &EncryptionKey,
        update: &EncodedUpdate<'_>,
        data_rng: &mut ChaCha20Rng,
        rng: &mut ChaCha20Rng,
    ) -> Result<bool> {
        let Self { round: RunningRound { executor, ledger, spec, .. }, aggregator, client, .. } = *self;
        let at = PlacementKind::Clients;
        let channel = executor.network.channel(at, PlacementKind::Aggregator)?;
        let sender = Client::new(client, spec, key, Arc::clone(channel))?;
        let mut clipped = 0;
        for chunk in spec.chunking().chunks() {
            if self.stop.is_set() {
                return Ok(false);
            }
            let pack = || {
                let (slots, of_chunk) = update.slots(&chunk, data_rng)?;
                clipped += of_chunk;
                Ok::<_, Error>(sender.pack(&chunk, &slots))
            };
            let packed = ledger.time(Phase::Packing, at, pack)?;
            let encrypt = || self.batch(|| sender.encrypt(packed, rng));
            let contribution = ledger.time(Phase::Encryption, at, encrypt)??;
            ledger.encrypted(chunk.plaintexts);
            let wire = ledger.time(Phase::Transfer, at, || sender.seal(&chunk, &contribution, rng))?;
            let ends = (at, PlacementKind::Aggregator);
            ledger.message(ends, channel.name(), chunk.plaintexts, contribution.len(), wire.len());
            drop(contribution);
            self.deliver(&wire, &**channel)?;
            self.counted.add(chunk.plaintexts)?;
        }
        let commit = || self.sum(|| aggregator.commit(client));
        ledger.time(Phase::Aggregation, PlacementKind::Aggregator, commit)??;
        ledger.added(spec.chunking().ciphertexts());
        // Counted only now: a client that is left out has no values in the sum.
        ledger.clipped(clipped);
        Ok(true)
    }

    /// Delivers a message to the aggregator.
    fn deliver(&self, wire: &[u8], channel: &dyn Channel) -> Result<()> {
        let Self { round: RunningRound { ledger, .. }, aggregator, client, .. } = *self;
        let at = PlacementKind::Aggregator;
        let (number, contribution) = ledger.time(Phase::Transfer, at, || aggregator.open(client, wire))?;
        let id = channel.message_id(wire);
        let keep = || {
            let contribution = aggregator.read(number, &contribution)?;
            aggregator.keep(client, number, id, contribution)
        };
        ledger.time(Phase::Aggregation, at, || self.sum(keep))??;
        Ok(())
    }
}

impl Sending<'_> {
    /// Runs batch work for this client, and waits.
    fn batch<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match self.thread {
            Some(thread) => Ok(thread.install(work)),
            None => self.round.executor.on_pool(work),
        }
    }

    /// Runs the aggregator's work on threads of the pool if there is enough of it. The calling
    /// thread sums small chunks: many clients work at a time, and sharing such small work costs
    /// more than it gains.
    fn sum<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let chunk = self.round.spec.parameters().chunk_ciphertexts as usize;
        if self.thread.is_none() && chunk <= SUMMED_ALONE { Ok(work()) } else { self.batch(work) }
    }
}

/// Counts a client's ciphertexts. If the client stops early, the rest is counted as done.
struct Counted<'a> {
    progress: &'a Counter<'a>,
    total: usize,
    done: Cell<usize>,
}

impl Counted<'_> {
    fn add(&self, ciphertexts: usize) -> Result<()> {
        self.done.set(self.done.get() + ciphertexts);
        Ok(self.progress.add(Phase::Aggregation, ciphertexts)?)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.progress.skip((self.total - self.done.get()) as u64);
        }
    }
}
