//! A client's part in a round of a computation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};
use zeroize::Zeroizing;

use super::{
    aggregation::Fold,
    context::Scope,
    erased::Erased,
    graph::Graph,
    inputs::{Item, Items},
    node::Operation,
    secure::Assemble,
    wire::Courier,
};
use crate::federated::{
    Clients, Error, Party, Result, Server,
    channel::message::Encoded,
    executor::{Contributor, Declared, Work},
    round::{SumSpec, Update},
};

/// One round as its clients see it.
pub(super) struct Stage<'r> {
    pub(super) graph: &'r Graph,
    pub(super) round: usize,
    /// What each client computes, in order.
    pub(super) nodes: Vec<usize>,
    /// What takes values to the server.
    pub(super) exits: Vec<usize>,
    /// For each secure operation among those, its sum, if the structure of the clients' values is declared.
    pub(super) sums: Vec<Option<SumSpec>>,
    /// How often a client reads each of its values.
    pub(super) reads: Vec<usize>,
    /// What clients kept for this round.
    pub(super) restored: Vec<usize>,
    /// Messages to all clients, by the node that receives them.
    pub(super) broadcasts: HashMap<usize, Encoded>,
    /// What the server selects from.
    pub(super) selects: HashMap<usize, Erased>,
    /// Codecs of secure operations that the server holds, by operation.
    pub(super) codecs: HashMap<usize, Erased>,
    pub(super) courier: Courier<'r>,
    /// What has arrived at the server.
    pub(super) arrivals: Mutex<Arrivals>,
    pub(super) kept: &'r Mutex<Vec<BTreeMap<u32, Erased>>>,
}

/// What has arrived at the server in a round.
pub(super) struct Arrivals {
    /// One for each exit.
    pub(super) by_exit: Vec<Arrival>,
    /// Why a value could not be added to those of the clients before. The round has no result then, whether or not
    /// clients may drop out: half of this client is in it.
    pub(super) failure: Option<Error>,
}

/// What has arrived of one operation.
pub(super) enum Arrival {
    /// In the clear, from all clients so far.
    Plain(Box<dyn Fold>),
    /// Under encryption; what will turn the sums into the result, once there is a client.
    Secure(Option<Assemble>),
}

/// The clients of a round, one after the other.
pub(super) struct Works<'s, 'r, 'i, 'a> {
    stage: &'s Stage<'r>,
    items: Vec<(usize, &'i mut Items<'a>)>,
    clients: u32,
    next: u32,
    ended: bool,
}

/// A client that begins to work.
struct Member<'s, 'r> {
    stage: &'s Stage<'r>,
    items: Vec<(usize, Item)>,
    restored: Vec<(usize, Option<Erased>)>,
}

/// What a client has ready: for later rounds, and at the server already.
struct Ready<'s, 'r> {
    stage: &'s Stage<'r>,
    client: u32,
    keep: Vec<(usize, Erased)>,
    /// For each exit.
    leaving: Vec<Leaving>,
}

/// What leaves a client through one operation.
enum Leaving {
    /// In the clear, as the server received it.
    Plain(Erased),
    /// What is to be encrypted.
    Secure(Vec<Erased>),
}

impl<'s, 'r, 'i, 'a> Works<'s, 'r, 'i, 'a> {
    /// Each client takes one item of each of these inputs.
    pub(super) fn new(stage: &'s Stage<'r>, items: Vec<(usize, &'i mut Items<'a>)>, clients: u32) -> Self {
        Self { stage, items, clients, next: 0, ended: false }
    }
}

impl<'s> Iterator for Works<'s, '_, '_, '_> {
    type Item = Box<dyn Work<'s> + 's>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let client = self.next;
        let items: Vec<_> = self.items.iter_mut().map(|(node, items)| (*node, items.next())).collect();
        self.ended = if client < self.clients {
            items.iter().any(|(_, item)| item.is_none())
        } else {
            // A client too many, of which the round will complain.
            items.iter().all(|(_, item)| item.is_none())
        };
        if self.ended {
            return None;
        }
        self.next += 1;
        let items = items.into_iter().filter_map(|(node, item)| Some((node, item?))).collect();
        let restored = self.stage.restore(client);
        Some(Box::new(Member { stage: self.stage, items, restored }))
    }
}

impl Stage<'_> {
    /// Whether values leave the clients in the clear, so that their order matters.
    pub(super) fn has_plain_exits(&self) -> bool {
        self.exits.iter().any(|&exit| matches!(self.graph.nodes[exit].operation, Operation::Plain(_)))
    }

    /// The secure sums of the round. Those that are not declared are like the updates of the first client that takes part.
    pub(super) fn declared_sums(&self) -> Declared<'_> {
        if let Some(sums) = self.sums.iter().cloned().collect() {
            return Declared::Known(sums);
        }
        Declared::LikeTheFirst(Box::new(move |updates| {
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

    /// What a client kept for this round.
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

impl<'s> Work<'s> for Member<'s, '_> {
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
        // Streams of their own for closures, for what the client seals, and for what the server seals for it.
        let [mut own_rng, mut client_rng, mut server_rng] = [(); 3].map(|()| child(rng));
        let mut scope = Scope { party: Party::Client(client), rng: &mut own_rng };
        let mut ways = Ways { stage, client, client_rng: &mut client_rng, server_rng: &mut server_rng };
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
                Operation::Input { .. } => values.by_node[node].take().expect("every input has an item"),
                Operation::Local(local) => {
                    let inputs = inputs.map(|input| values.read(input)).collect();
                    (local.function)(inputs, &mut scope)?
                }
                Operation::Declare(_) => values.read(inputs.next().expect("the value comes first")),
                Operation::Broadcast(wire) => wire.decode(&ways.down(stage.broadcasts[&node].clone())?)?,
                Operation::Select(select) => {
                    let keys = values.read(inputs.nth(1).expect("keys come second"));
                    let asked = select.keys.decode(&ways.up(select.keys.encode(&keys)?)?)?;
                    let answer = (select.function)(&stage.selects[&node], &asked);
                    select.answer.decode(&ways.down(select.answer.encode(&answer)?)?)?
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
            // What the server holds is part of the round's declaration.
            let inputs = stage.graph.inputs[exit].iter().filter(|&&input| stage.graph.at_clients(input));
            let mut inputs = inputs.map(|&input| values.read(input));
            leaving.push(match &stage.graph.nodes[exit].operation {
                Operation::Plain(plain) => {
                    let value = inputs.next().expect("what leaves in the clear is one value");
                    Leaving::Plain(plain.wire().decode(&ways.up(plain.wire().encode(&value)?)?)?)
                }
                Operation::Secure(secure) => {
                    let inputs: Vec<_> = inputs.collect();
                    if let Some(sum) = sums.next().expect("one for each secure operation") {
                        secure.check_structure(&inputs, &sum.structure())?;
                    }
                    Leaving::Secure(inputs)
                }
                _ => unreachable!("these do not leave the clients"),
            });
        }
        Ok(Some(Box::new(Ready { stage, client, keep, leaving })))
    }
}

impl Contributor for Ready<'_, '_> {
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
                (Arrival::Plain(fold), Leaving::Plain(value)) => fold.push(value).map_err(|source| {
                    let error = Error::Client { client, source: Box::new(source) };
                    failure.insert(error).clone()
                })?,
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

/// What a client has computed so far in a round.
struct Values<'s, 'r> {
    stage: &'s Stage<'r>,
    by_node: Vec<Option<Erased>>,
    /// How often each of them will still be read.
    reads: Vec<usize>,
}

impl Values<'_, '_> {
    /// A value, and no longer here if this was the last time that something reads it.
    fn read(&mut self, node: usize) -> Erased {
        if let Operation::Constant(value) = &self.stage.graph.nodes[node].operation {
            return value.clone();
        }
        self.reads[node] -= 1;
        let value = &mut self.by_node[node];
        if self.reads[node] == 0 { value.take() } else { value.clone() }.expect("computed before it is read")
    }
}

/// The ways between a client and the server.
struct Ways<'s, 'r> {
    stage: &'s Stage<'r>,
    client: u32,
    client_rng: &'s mut ChaCha20Rng,
    server_rng: &'s mut ChaCha20Rng,
}

impl Ways<'_, '_> {
    fn up(&mut self, message: Encoded) -> Result<Encoded> {
        let ends = (Party::Client(self.client), Party::Server);
        self.stage.courier.carry::<Clients, Server>(message, ends, self.client_rng)
    }

    fn down(&mut self, message: Encoded) -> Result<Encoded> {
        let ends = (Party::Server, Party::Client(self.client));
        self.stage.courier.carry::<Server, Clients>(message, ends, self.server_rng)
    }
}

/// A stream of its own, drawn from another.
fn child(rng: &mut ChaCha20Rng) -> ChaCha20Rng {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    ChaCha20Rng::from_seed(*seed)
}
