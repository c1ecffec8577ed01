//! The end of a round: the aggregator closes the sums, and the server opens and decodes them.

use std::{sync::mpsc::sync_channel, thread};

use super::{
    RoundSums, RunningRound,
    clear::ClearSums,
    own_thread::{OwnThread, SUMMED_ALONE},
};
use crate::federated::{
    Error, PlacementKind, Result,
    executor::erased::no_thread,
    report::Phase,
    round::{self, Aggregator, SumResult, chunking::Chunk, server::Decoder},
};

impl RunningRound<'_> {
    /// Closes the sums at the aggregator and sends them to the server, which opens and decodes
    /// them.
    pub(super) fn open(&mut self, participants: u32) -> Result<Vec<SumResult>> {
        match core::mem::replace(&mut self.sums, RoundSums::Closed) {
            RoundSums::Clear(sums) => self.open_clear(sums, participants),
            RoundSums::Encrypted(aggregator) => self.open_encrypted(aggregator, participants),
            RoundSums::Closed => unreachable!("a round is opened once"),
        }
    }

    fn open_clear(&self, mut sums: ClearSums, participants: u32) -> Result<Vec<SumResult>> {
        let mut decoder = Decoder::new(self.spec);
        let clients = participants.into();
        for chunk in self.spec.chunking().chunks() {
            let slots = sums.finish(chunk.index);
            let decode = || decoder.decode(&chunk, slots, clients);
            self.ledger.time(Phase::Unpacking, PlacementKind::Server, decode)?;
            self.progress.add(Phase::Decryption, chunk.plaintexts)?;
        }
        Ok(decoder.finish(clients)?)
    }

    fn open_encrypted(&self, aggregator: Aggregator, participants: u32) -> Result<Vec<SumResult>> {
        let Self { executor, spec, ledger, .. } = self;
        let mut sum = aggregator.close()?.for_server()?;
        let counted = sum.participants();
        if counted.len() != participants as usize {
            let (expected, found) = (participants.into(), counted.len() as u64);
            return Err(Error::Contributions { expected, found });
        }
        let mut opening = executor.opening(spec, ledger)?;
        let mut rng = executor.stream();
        // A separate thread makes small messages, so that they do not wait for the threads that
        // decrypt.
        let is_small =
            spec.chunking().chunk_count() > 1 && spec.parameters().chunk_ciphertexts as usize <= SUMMED_ALONE;
        // It borrows the generator: the closure of a new thread is moved, and freed without being
        // wiped.
        let mut message = |chunk: &Chunk, own: &OwnThread| {
            let at = PlacementKind::Aggregator;
            let finish = || sum.finish(chunk.index as u64);
            let finish = || match is_small.then(|| own.get()).flatten() {
                Some(thread) => Ok(thread.install(finish)),
                None => executor.on_pool(finish),
            };
            let message = ledger.time(Phase::Aggregation, at, finish)??;
            let channel = executor.network.channel(at, PlacementKind::Server)?;
            let seal = || sum.seal(chunk.index, &message, &**channel, &mut rng);
            let wire = ledger.time(Phase::Transfer, at, seal)?;
            let ends = (at, PlacementKind::Server);
            ledger.message(ends, channel.name(), chunk.plaintexts, message.len(), wire.len());
            Ok((wire, chunk.plaintexts))
        };
        // The aggregator makes a message while the server opens the previous one. Both begin only
        // after all clients are counted. Otherwise the server could open one sum before a client
        // drops out and another one without it; their difference is the client's values.
        let (sender, receiver) = sync_channel(0);
        thread::scope(|scope| {
            let chunks = spec.chunking().chunks();
            let make = move || {
                let own = OwnThread::default();
                for chunk in chunks {
                    let message: Result<_> = message(&chunk, &own);
                    let is_last = message.is_err();
                    if sender.send(message).is_err() || is_last {
                        break;
                    }
                }
            };
            thread::Builder::new().spawn_scoped(scope, make).map_err(no_thread)?;
            for message in receiver {
                let (wire, plaintexts) = message?;
                opening.open(&wire)?;
                self.progress.add(Phase::Decryption, plaintexts)?;
            }
            Ok::<_, Error>(())
        })?;
        // The server relies on the aggregator for the set of clients. The simulation can compare it
        // with its own count.
        let result = opening.finish()?;
        if result.participants == counted { Ok(result.sums) } else { Err(round::Error::Participants.into()) }
    }
}
