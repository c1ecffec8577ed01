//! Opening the sum of a round in the simulation: by the server, or masked by the key holder.

use std::sync::Arc;

use crate::federated::{
    KeyHolding, Party, PlacementKind, Result,
    executor::erased::ErasedExecutor,
    report::{Phase, ledger::Ledger},
    round::{
        self, KeyHolder, RoundResult, RoundSpec, Server,
        chunking::Chunk,
        keys::{Batch, Plaintexts},
    },
};

/// The server of a round, and the key holder if there is one.
pub(super) struct Opening<'a> {
    executor: &'a ErasedExecutor,
    ledger: &'a Ledger,
    server: Server,
    key_holder: Option<KeyHolder>,
}

impl ErasedExecutor {
    /// The parties that open the sum of a round.
    pub(super) fn opening<'a>(&'a self, spec: &RoundSpec, ledger: &'a Ledger) -> Result<Opening<'a>> {
        use PlacementKind::{Aggregator, KeyHolder as Holder, Server as AtServer};
        let owner = self.keys(ledger)?;
        let aggregator = Arc::clone(self.network.channel(Aggregator, AtServer)?);
        let (server, key_holder) = match self.settings.key_holding {
            KeyHolding::Server => (Server::new(spec, owner, aggregator)?, None),
            KeyHolding::KeyHolder => {
                let key = self.received_key(Party::Server, spec.round(), ledger, &mut self.stream())?;
                let channel = self.network.channel(AtServer, Holder)?;
                let server = Server::with_key_holder(spec, &key, aggregator, Arc::clone(channel))?;
                (server, Some(KeyHolder::new(owner, Arc::clone(channel))))
            }
        };
        Ok(Opening { executor: self, ledger, server, key_holder })
    }
}

impl Opening<'_> {
    /// Opens a message of the aggregator.
    pub(super) fn open(&mut self, wire: &[u8]) -> Result<()> {
        let Self { executor, ledger, server, key_holder } = self;
        let at = PlacementKind::Server;
        let Some((chunk, sum, id)) = ledger.time(Phase::Transfer, at, || server.receive(wire))? else {
            return Ok(());
        };
        ledger.decrypted(chunk.plaintexts);
        let (chunk, opened) = if let Some(key_holder) = key_holder {
            open_masked(executor, ledger, server, key_holder, &chunk, &sum)?
        } else {
            let decrypt = || executor.on_pool(|| server.decrypt(&chunk, &sum, id));
            let opened = ledger.time(Phase::Decryption, at, decrypt)??;
            (chunk, opened)
        };
        Ok(ledger.time(Phase::Unpacking, at, || server.decode(&chunk, &*opened))?)
    }

    pub(super) fn finish(self) -> Result<RoundResult, round::Error> {
        self.server.finish()
    }
}

/// The server masks a sum, the key holder decrypts the masked sum, and the server removes the
/// masks.
fn open_masked(
    executor: &ErasedExecutor,
    ledger: &Ledger,
    server: &mut Server,
    key_holder: &KeyHolder,
    chunk: &Chunk,
    sum: &Batch,
) -> Result<(Chunk, Box<dyn Plaintexts>)> {
    let (at_server, at_holder) = (PlacementKind::Server, PlacementKind::KeyHolder);
    let channel = executor.network.channel(at_server, at_holder)?;
    let spec = server.spec().clone();
    let (mut rng, mut holder_rng) = (executor.stream(), executor.stream());

    let hide = || executor.on_pool(|| server.hide(chunk, sum, &mut rng));
    let hidden = ledger.time(Phase::Masking, at_server, hide)??;
    let len = hidden.1.len();
    let question = ledger.time(Phase::Transfer, at_server, || server.ask(chunk, hidden, &mut rng))?;
    ledger.message((at_server, at_holder), channel.name(), chunk.plaintexts, len, question.len());

    let (number, masked) =
        ledger.time(Phase::Transfer, at_holder, || key_holder.receive(&spec, &question))?;
    let decrypt = || executor.on_pool(|| key_holder.decrypt(&masked));
    let totals = ledger.time(Phase::Decryption, at_holder, decrypt)??;
    let seal = || key_holder.answer(&spec, number, &*totals, &mut holder_rng);
    let answer = ledger.time(Phase::Transfer, at_holder, seal)?;
    let len = answer.len() - channel.overhead();
    ledger.message((at_holder, at_server), channel.name(), 0, len, answer.len());

    let (number, answer) = ledger.time(Phase::Transfer, at_server, || server.read_answer(&answer))?;
    Ok(ledger.time(Phase::Masking, at_server, || server.take_off(number, &answer))?)
}
