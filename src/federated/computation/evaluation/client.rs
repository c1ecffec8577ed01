//! A client's part in a round of a computation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};
use zeroize::Zeroizing;

use super::transport::Transport;
use crate::federated::{
    Clients, Error, Party, Result, Server,
    channel::message::EncodedValue,
    computation::{
        context::Scope,
        erased::Erased,
        graph::{Graph, Operation},
        inputs::{Item, Items},
        operation::{Accumulation, Assemble},
    },
    executor::{ClientTask, Contributor, SumDeclaration},
    round::{SumSpec, Update},
};

/// One round as its clients see it.
pub(super) struct Stage<'r> {
    pub(super) graph: &'r Graph,
    pub(super) round: usize,
    /// The nodes that each client computes, in order.
    pub(super) nodes: Vec<usize>,
    /// The operations that take values to the server.
    pub(super) exits: Vec<usize>,
    /// For each secure operation among these, its sum, if the structure of the clients' values is
    /// declared.
    pub(super) sums: Vec<Option<SumSpec>>,
    /// How often a client reads each of its values.
    pub(super) reads: Vec<usize>,
    /// The values that clients kept for this round.
    pub(super) restored: Vec<usize>,
    /// Messages to all clients, by the node that receives them.
    pub(super) broadcasts: HashMap<usize, EncodedValue>,
    /// The server's values from which clients select.
    pub(super) selects: HashMap<usize, Erased>,
    /// The server's codecs of secure operations, by operation.
    pub(super) codecs: HashMap<usize, Erased>,
    pub(super) transport: Transport<'r>,
    /// The values that have arrived at the server.
    pub(super) arrivals: Mutex<Arrivals>,
    pub(super) kept: &'r Mutex<Vec<BTreeMap<u32, Erased>>>,
}

/// The values that have arrived at the server in a round.
pub(super) struct Arrivals {
    /// One entry for each operation that takes values to the server.
    pub(super) by_exit: Vec<Arrival>,
    /// The reason why a value could not be added to those of the clients before. The round then has
    /// no result, even if clients may drop out, because a part of this client is already in it.
    pub(super) failure: Option<Error>,
}

/// The arrived values of one operation.
pub(super) enum Arrival {
    /// In the clear, from all clients so far.
    Plain(Box<dyn Accumulation>),
    /// Encrypted; the function that makes the result from the sums, once there is a client.
    Secure(Option<Assemble>),
}

/// The clients of a round, one after the other.
pub(super) struct StageClients<'s, 'r, 'i, 'a> {
    stage: &'s Stage<'r>,
    items: Vec<(usize, &'i mut Items<'a>)>,
    clients: u32,
    next: u32,
    ended: bool,
}

/// A client that begins to work.
struct StageClient<'s, 'r> {
    stage: &'s Stage<'r>,
    items: Vec<(usize, Item)>,
    restored: Vec<(usize, Option<Erased>)>,
}

/// The results of a client's work: for later rounds, and already at the server.
struct ClientResult<'s, 'r> {
    stage: &'s Stage<'r>,
    client: u32,
    keep: Vec<(usize, Erased)>,
    /// One entry for each operation that takes values to the server.
    leaving: Vec<Leaving>,
}

/// The value that leaves a client through one operation.
enum Leaving {
    /// In the clear, as the server received it.
    Plain(Erased),
    /// The inputs to be encrypted.
    Secure(Vec<Erased>),
}

impl<'s, 'r, 'i, 'a> StageClients<'s, 'r, 'i, 'a> {
    /// Each client takes one item of each of these inputs.
    pub(super) fn new(stage: &'s Stage<'r>, items: Vec<(usize, &'i mut Items<'a>)>, clients: u32) -> Self {
        Self { stage, items, clients, next: 0, ended: false }
    }
}

impl<'s> Iterator for StageClients<'s, '_, '_, '_> {
    type Item = Box<dyn ClientTask<'s> + 's>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let client = self.next;
        let items: Vec<_> = self.items.iter_mut().map(|(node, items)| (*node, items.next())).collect();
        self.ended = if client < self.clients {
            items.iter().any(|(_, item)| item.is_none())
        } else {
            // One client too many; the round reports it.
            items.iter().all(|(_, item)| item.is_none())
        };
        if self.ended {
            return None;
        }
        self.next += 1;
        let items = items.into_iter().filter_map(|(node, item)| Some((node, item?))).collect();
        let restored = self.stage.restore(client);
        Some(Box::new(StageClient { stage: self.stage, items, restored }))
    }
}

impl Stage<'_> {
    /// Whether values leave the clients in the clear, so that their order matters.
    pub(super) fn has_plain_exits(&self) -> bool {
        self.exits.iter().any(|&exit| matches!(self.graph.nodes[exit].operation, Operation::Plain(_)))
    }

    /// The secure sums of the round. Undeclared sums follow the updates of the first client that
    /// takes part.
    pub(super) fn declared_sums(&self) -> SumDeclaration<'_> {
        if let Some(sums) = self.sums.iter().cloned().collect() {
            return SumDeclaration::Known(sums);
        }
        SumDeclaration::LikeTheFirst(Box::new(move |updates| {
            let is_secure =
                |exit: &&usize| matches!(self.graph.nodes[**exit].operation, Operation::Secure(_));
            let exits = self.exits.iter().filter(is_secure);
            let mut sums = Vec::with_capacity(updates.len());
            for ((exit, sum), update) in exits.zip(&self.sums).zip(updates) {
                let Operation::Secure(secure) = &self.graph.nodes[*exit].operation else { continue };
                sums.push(match sum {
                    Some(sum) => sum.clone(),
                    None => secure.declare(update.structure(), self.codecs.get(exit))?,
                });
            }
            Ok(sums)
        }))
    }

    /// The values that a client kept for this round.
    fn restore(&self, client: u32) -> Vec<(usize, Option<Erased>)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let restored = self.restored.iter().map(|&node| {
            let is_last = self.graph.until[node] == self.round && !self.graph.outputs.contains(&node);
            let kept = &mut kept[node];
            (node, if is_last { kept.remove(&client) } else { kept.get(&client).cloned() })
        });
        restored.collect()
    }
}

impl<'s> ClientTask<'s> for StageClient<'s, '_> {
    fn start(
        self: Box<Self>,
        client: u32,
        rng: &mut ChaCha20Rng,
    ) -> Result<Option<Box<dyn Contributor + 's>>> {
        let Self { stage, items, restored } = *self;
        let mut values =
            Values { stage, by_node: vec![None; stage.graph.nodes.len()], reads: stage.reads.clone() };
        for (node, item) in items {
            match item.map_err(|reason| Error::NoUpdate { reason })? {
                Some(item) => values.by_node[node] = Some(item),
                None => return Ok(None),
            }
        }
        for (node, value) in restored {
            match value {
                Some(value) => values.by_node[node] = Some(value),
                None => return Ok(None),
            }
        }
        // Independent streams: for closures, for the client's messages, and for the server's
        // messages to it.
        let [mut own_rng, mut client_rng, mut server_rng] = [(); 3].map(|()| child(rng));
        let mut scope = Scope { party: Party::Client(client), rng: &mut own_rng };
        let mut transport =
            ClientTransport { stage, client, client_rng: &mut client_rng, server_rng: &mut server_rng };
        let mut keep = Vec::new();
        for &node in &stage.nodes {
            let mut inputs = stage.graph.inputs[node].iter().copied();
            let value = match &stage.graph.nodes[node].operation {
                Operation::Constant(value) => {
                    if stage.graph.is_kept(node) {
                        keep.push((node, value.clone()));
                    }
                    continue;
                }
                Operation::Input { .. } => {
                    values.by_node[node].take().expect("there is an item for every input")
                }
                Operation::Local(local) => {
                    let inputs = inputs.map(|input| values.read(input)).collect();
                    (local.function)(inputs, &mut scope)?
                }
                Operation::Declare(_) => values.read(inputs.next().expect("the value comes first")),
                Operation::Broadcast(wire) => {
                    wire.decode(&transport.download(stage.broadcasts[&node].clone())?)?
                }
                Operation::Select(select) => {
                    let keys = values.read(inputs.nth(1).expect("keys come second"));
                    let asked = select.keys.decode(&transport.upload(select.keys.encode(&keys)?)?)?;
                    let answer = (select.function)(&stage.selects[&node], &asked);
                    select.answer.decode(&transport.download(select.answer.encode(&answer)?)?)?
                }
                Operation::Plain(_) | Operation::Secure(_) => unreachable!("the result is at the server"),
            };
            if stage.graph.is_kept(node) {
                keep.push((node, value.clone()));
            }
            values.by_node[node] = Some(value);
        }
        let mut leaving = Vec::with_capacity(stage.exits.len());
        let mut sums = stage.sums.iter();
        for &exit in &stage.exits {
            // The round's declaration already contains the server's inputs.
            let inputs = stage.graph.inputs[exit].iter().filter(|&&input| stage.graph.at_clients(input));
            let mut inputs = inputs.map(|&input| values.read(input));
            leaving.push(match &stage.graph.nodes[exit].operation {
                Operation::Plain(plain) => {
                    let value = inputs.next().expect("an operation in the clear has one input");
                    Leaving::Plain(plain.wire().decode(&transport.upload(plain.wire().encode(&value)?)?)?)
                }
                Operation::Secure(secure) => {
                    let inputs: Vec<_> = inputs.collect();
                    if let Some(sum) = sums.next().expect("there is one sum for each secure operation") {
                        secure.check_structure(&inputs, &sum.structure())?;
                    }
                    Leaving::Secure(inputs)
                }
                _ => unreachable!("these do not leave the clients"),
            });
        }
        Ok(Some(Box::new(ClientResult { stage, client, keep, leaving })))
    }
}

impl Contributor for ClientResult<'_, '_> {
    fn updates(&self) -> Result<Vec<Update<'_>>> {
        let mut updates = Vec::new();
        for (exit, leaving) in self.stage.exits.iter().zip(&self.leaving) {
            if let (Operation::Secure(secure), Leaving::Secure(inputs)) =
                (&self.stage.graph.nodes[*exit].operation, leaving)
            {
                updates.push(secure.update(inputs)?);
            }
        }
        Ok(updates)
    }

    fn sent(self: Box<Self>) -> Result<()> {
        let Self { stage, client, keep, leaving } = *self;
        let mut arrivals = stage.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let Arrivals { by_exit, failure } = &mut *arrivals;
        if failure.is_some() {
            return Ok(());
        }
        for ((exit, arrival), leaving) in stage.exits.iter().zip(by_exit).zip(leaving) {
            match (arrival, leaving) {
                (Arrival::Plain(accumulation), Leaving::Plain(value)) => {
                    accumulation.push(value).map_err(|source| {
                        let error = Error::Client { client, source: Box::new(source) };
                        failure.insert(error).clone()
                    })?;
                }
                (Arrival::Secure(assemble @ None), Leaving::Secure(inputs)) => {
                    if let Operation::Secure(secure) = &stage.graph.nodes[*exit].operation {
                        *assemble = Some(secure.assembler(&inputs));
                    }
                }
                _ => {}
            }
        }
        let mut kept = stage.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (node, value) in keep {
            kept[node].insert(client, value);
        }
        Ok(())
    }
}

/// The values that a client has computed so far in a round.
struct Values<'s, 'r> {
    stage: &'s Stage<'r>,
    by_node: Vec<Option<Erased>>,
    /// Remaining number of reads of each value.
    reads: Vec<usize>,
}

impl Values<'_, '_> {
    /// A value. It is dropped here after its last read.
    fn read(&mut self, node: usize) -> Erased {
        if let Operation::Constant(value) = &self.stage.graph.nodes[node].operation {
            return value.clone();
        }
        self.reads[node] -= 1;
        let value = &mut self.by_node[node];
        if self.reads[node] == 0 { value.take() } else { value.clone() }
            .expect("a value is computed before it is read")
    }
}

/// Sends messages between a client and the server.
struct ClientTransport<'s, 'r> {
    stage: &'s Stage<'r>,
    client: u32,
    client_rng: &'s mut ChaCha20Rng,
    server_rng: &'s mut ChaCha20Rng,
}

impl ClientTransport<'_, '_> {
    fn upload(&mut self, message: EncodedValue) -> Result<EncodedValue> {
        let ends = (Party::Client(self.client), Party::Server);
        self.stage.transport.send::<Clients, Server>(message, ends, self.client_rng)
    }

    fn download(&mut self, message: EncodedValue) -> Result<EncodedValue> {
        let ends = (Party::Server, Party::Client(self.client));
        self.stage.transport.send::<Server, Clients>(message, ends, self.server_rng)
    }
}

/// An independent stream, seeded from another one.
fn child(rng: &mut ChaCha20Rng) -> ChaCha20Rng {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    ChaCha20Rng::from_seed(*seed)
}
