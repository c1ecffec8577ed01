//! Evaluation of a computation: the server's part, then a round over the clients, and again.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};
use zeroize::Zeroizing;

use super::{
    Computation, Found, Inputs, Outputs,
    aggregation::Fold,
    context::Scope,
    graph::Graph,
    inputs::{Bound, Item, Items},
    node::{Erased, Operation},
    secure::Assemble,
    wire::Courier,
};
use crate::{
    Error, Result,
    federated::{
        Clients, LocalExecutor, Party, PlacementKind, Server,
        ledger::Ledger,
        message::Encoded,
        plan::Group,
        report::Report,
        round::{Contributor, Roster, Work},
    },
    paillier::KeySize,
};

/// What a computation gave: its outputs, and what happened in its rounds.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Run<T> {
    /// The outputs.
    pub value: T,
    /// One for each round over the clients. Traffic between clients and server is also what travelled in the clear:
    /// broadcasts, and values that left the clients outside secure operations.
    pub rounds: Vec<Report>,
}

impl<S: KeySize> LocalExecutor<S> {
    /// Runs a computation.
    ///
    /// Inputs are checked before any work is done. Clients' items are then taken as clients begin to work, and each
    /// client's values are forgotten when it has sent what the round needs, unless a later round needs them too.
    ///
    /// See [`Value`](crate::federated::Value) for an example.
    ///
    /// # Errors
    ///
    /// Before any work: [`Error::Leaks`] if the executor is
    /// [`secure_only`](crate::federated::LocalExecutorBuilder::secure_only); [`Error::NotAnInput`],
    /// [`Error::ForeignInput`], [`Error::RepeatedInput`], [`Error::MissingInput`]; [`Error::ConflictingInputs`],
    /// [`Error::ClientCount`], [`Error::UnknownClientCount`], [`Error::NoClients`] unless all agree on a number of
    /// clients; [`Error::MissingChannel`].
    ///
    /// Then [`Error::Client`] with whatever failed at a client, such as [`Error::Closure`], [`Error::NoUpdate`],
    /// [`Error::PayloadEncoding`]; [`Error::ClientCount`] if an iterator without a length ends too early or too late;
    /// [`Error::TooFewClients`]; those of the secure operations.
    pub fn run<O: Outputs>(
        &self,
        computation: &Computation<O>,
        inputs: Inputs<'_>,
    ) -> Result<Run<O::Output>> {
        let graph = &computation.graph;
        if self.settings.secure_only {
            let leaks = computation.leaks();
            if !leaks.is_empty() {
                return Err(Error::Leaks { leaks });
            }
        }
        let Bound { server, mut clients } = inputs.bind(graph)?;
        let mut evaluation = Evaluation::new(self, graph, server);
        let mut rounds = Vec::with_capacity(graph.rounds);
        if graph.rounds > 0 {
            evaluation.clients = super::inputs::client_count(graph, &clients, self.settings.clients)?;
            if graph.speaks_in_the_clear() {
                self.network.check(&[(PlacementKind::Clients, PlacementKind::Server)])?;
            }
        }
        evaluation.serve(0)?;
        for round in 0..graph.rounds {
            rounds.push(evaluation.round(round, &mut clients)?);
            evaluation.serve(round + 1)?;
        }
        let mut found = evaluation.outputs().into_iter();
        Ok(Run { value: computation.outputs.output(&mut found), rounds })
    }
}

/// A run in progress.
struct Evaluation<'r, S: KeySize> {
    executor: &'r LocalExecutor<S>,
    graph: &'r Graph,
    clients: u32,
    /// At the server, by node.
    server: Vec<Option<Erased>>,
    /// How often each of these will still be read.
    reads: Vec<usize>,
    server_rng: ChaCha20Rng,
    /// At the clients, by node and client.
    kept: Mutex<Vec<Vec<Option<Erased>>>>,
}

impl<'r, S: KeySize> Evaluation<'r, S> {
    fn new(executor: &'r LocalExecutor<S>, graph: &'r Graph, server: Vec<Option<Erased>>) -> Self {
        let mut reads = vec![0; graph.nodes.len()];
        graph.inputs.iter().flatten().chain(&graph.outputs).for_each(|&input| reads[input] += 1);
        let kept = Mutex::new(vec![Vec::new(); graph.nodes.len()]);
        Self { executor, graph, clients: 0, server, reads, server_rng: executor.data_stream(), kept }
    }

    /// The server's value, and no longer here if this was the last time that someone asks.
    fn read(&mut self, node: usize) -> Erased {
        self.reads[node] -= 1;
        let value = &mut self.server[node];
        if self.reads[node] == 0 { value.take() } else { value.clone() }.expect("computed before it is read")
    }

    /// Computes what the server can compute when so many rounds are over.
    fn serve(&mut self, over: usize) -> Result<()> {
        for node in self.graph.server_nodes(over) {
            match &self.graph.nodes[node].operation {
                Operation::Input { .. } => {}
                Operation::Constant(value) => self.server[node] = Some(value.clone()),
                Operation::Local(local) => {
                    let values = self.graph.inputs[node].iter().map(|&input| self.read(input)).collect();
                    let mut scope = Scope { party: Party::Server, rng: &mut self.server_rng };
                    self.server[node] = Some((local.function)(values, &mut scope)?);
                }
                Operation::Broadcast(_)
                | Operation::Select(_)
                | Operation::Plain(_)
                | Operation::Secure(_) => {
                    unreachable!("these are the clients' part")
                }
            }
        }
        Ok(())
    }

    /// Has all clients do their part of a round.
    fn round(&mut self, round: usize, inputs: &mut [Option<Items<'_>>]) -> Result<Report> {
        let ledger = Ledger::default();
        let (graph, executor) = (self.graph, self.executor);
        let nodes: Vec<usize> = graph.client_nodes(round).collect();
        let exits: Vec<usize> = graph.exits(round).collect();

        // What each client reads how often.
        let mut reads = vec![0; graph.nodes.len()];
        for node in nodes.iter().chain(&exits) {
            for &input in graph.inputs[*node].iter().filter(|&&input| graph.at_clients(input)) {
                reads[input] += 1;
            }
        }
        // What it reads from before, and what it is given.
        let restored =
            (0..graph.nodes.len()).filter(|&i| reads[i] > 0 && graph.is_kept(i) && graph.when[i] < round);
        let restored: Vec<usize> = restored.collect();
        let items = inputs.iter_mut().enumerate().filter(|(node, _)| nodes.contains(node));
        let items: Vec<_> = items.filter_map(|(node, items)| Some((node, items.as_mut()?))).collect();

        let mut broadcasts = HashMap::new();
        let mut selects = HashMap::new();
        for &node in &nodes {
            match &graph.nodes[node].operation {
                Operation::Broadcast(wire) => {
                    let value = self.read(graph.inputs[node][0]);
                    broadcasts.insert(node, wire.encode(&value)?);
                }
                Operation::Select(_) => {
                    selects.insert(node, self.read(graph.inputs[node][0]));
                }
                _ => {}
            }
        }
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for &node in nodes.iter().filter(|&&node| graph.is_kept(node)) {
                kept[node] = vec![None; self.clients as usize];
            }
        }
        let arrivals = exits.iter().map(|&exit| match &graph.nodes[exit].operation {
            Operation::Plain(plain) => Arrival::Plain(plain.fold(executor.settings.max_fanout)),
            _ => Arrival::Secure(None),
        });
        let arrivals = Mutex::new(Arrivals { by_exit: arrivals.collect(), failure: None });
        let courier = Courier {
            network: &executor.network,
            ledger: &ledger,
            session: executor.session(),
            round: executor.upcoming_round(),
        };
        let stage = Stage {
            graph,
            round,
            nodes,
            exits,
            reads,
            restored,
            broadcasts,
            selects,
            courier,
            arrivals,
            kept: &self.kept,
        };
        let clients = self.clients;
        let work = Works { stage: &stage, items, clients, next: 0, ended: false };
        let outcome = executor.round(Roster { clients, in_order: true, work })?;

        let Stage { exits, arrivals, .. } = stage;
        let Arrivals { by_exit, failure } = arrivals.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failure {
            return Err(error);
        }
        let mut sums = outcome.sums.into_iter();
        for (exit, arrival) in exits.into_iter().zip(by_exit) {
            self.server[exit] = Some(match arrival {
                Arrival::Plain(fold) => fold.finish()?,
                Arrival::Secure(assemble) => {
                    let assemble = assemble.expect("a round has a participant");
                    assemble(sums.next().expect("a sum for each secure operation"))
                }
            });
        }
        let mut report = outcome.report;
        report.add_traffic(ledger.traffic());
        Ok(report)
    }

    fn outputs(mut self) -> Vec<Found> {
        let kept = mem::take(&mut self.kept).into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut outputs = Vec::new();
        for &node in &self.graph.outputs {
            outputs.push(match &self.graph.nodes[node].operation {
                _ if !self.graph.at_clients(node) => Found::Server(self.read(node)),
                Operation::Constant(value) => Found::Clients(vec![value.clone(); self.clients as usize]),
                _ => Found::Clients(kept[node].iter().flatten().cloned().collect()),
            });
        }
        outputs
    }
}

/// One round as its clients see it.
struct Stage<'r> {
    graph: &'r Graph,
    round: usize,
    /// What each client computes, in order.
    nodes: Vec<usize>,
    /// What takes values to the server.
    exits: Vec<usize>,
    /// How often a client reads each of its values.
    reads: Vec<usize>,
    /// What clients kept for this round.
    restored: Vec<usize>,
    /// Messages to all clients, by the node that receives them.
    broadcasts: HashMap<usize, Encoded>,
    /// What the server selects from.
    selects: HashMap<usize, Erased>,
    courier: Courier<'r>,
    /// What has arrived at the server.
    arrivals: Mutex<Arrivals>,
    kept: &'r Mutex<Vec<Vec<Option<Erased>>>>,
}

/// What has arrived at the server in a round.
struct Arrivals {
    /// One for each exit.
    by_exit: Vec<Arrival>,
    /// What was wrong first. The round ends, but its result is not given out: what was added up before is no longer known.
    failure: Option<Error>,
}

/// What has arrived of one operation.
enum Arrival {
    /// In the clear, from all clients so far.
    Plain(Box<dyn Fold>),
    /// Under encryption; what will turn the sums into the result, once there is a client.
    Secure(Option<Assemble>),
}

/// The clients of a round, one after the other.
struct Works<'s, 'r, 'i, 'a> {
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

impl<'s, 'r> Iterator for Works<'s, 'r, '_, '_> {
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
    /// What a client kept for this round.
    fn restore(&self, client: u32) -> Vec<(usize, Option<Erased>)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let restored = self.restored.iter().map(|&node| {
            let value = kept[node].get_mut(client as usize);
            let is_last = self.graph.until[node] == self.round && !self.graph.outputs.contains(&node);
            (node, value.and_then(|value| if is_last { value.take() } else { value.clone() }))
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
            Values { stage, values: vec![None; stage.graph.nodes.len()], reads: stage.reads.clone() };
        for (node, item) in items {
            match item.map_err(|reason| Error::NoUpdate { reason })? {
                Some(item) => values.values[node] = Some(item),
                None => return Ok(None),
            }
        }
        for (node, value) in restored {
            match value {
                Some(value) => values.values[node] = Some(value),
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
                Operation::Constant(_) => continue,
                Operation::Input { .. } => values.values[node].take().expect("every input has an item"),
                Operation::Local(local) => {
                    let inputs = inputs.map(|input| values.read(input)).collect();
                    (local.function)(inputs, &mut scope)?
                }
                Operation::Broadcast(wire) => wire.decode(&ways.down(stage.broadcasts[&node].clone())?)?,
                Operation::Select(select) => {
                    let keys = values.read(inputs.nth(1).expect("keys come second"));
                    let asked = select.keys.decode(&ways.up(select.keys.encode(&keys)?)?)?;
                    let answer = (select.function)(&stage.selects[&node], &asked)?;
                    select.answer.decode(&ways.down(select.answer.encode(&answer)?)?)?
                }
                Operation::Plain(_) | Operation::Secure(_) => unreachable!("the result is at the server"),
            };
            if stage.graph.is_kept(node) {
                keep.push((node, value.clone()));
            }
            values.values[node] = Some(value);
        }
        let mut leaving = Vec::with_capacity(stage.exits.len());
        for &exit in &stage.exits {
            let mut inputs = stage.graph.inputs[exit].iter().map(|&input| values.read(input));
            leaving.push(if let Operation::Plain(plain) = &stage.graph.nodes[exit].operation {
                let value = inputs.next().expect("what leaves in the clear is one value");
                Leaving::Plain(plain.wire().decode(&ways.up(plain.wire().encode(&value)?)?)?)
            } else {
                Leaving::Secure(inputs.collect())
            });
        }
        Ok(Some(Box::new(Ready { stage, client, keep, leaving })))
    }
}

impl Contributor for Ready<'_, '_> {
    fn groups(&self) -> Result<Vec<Group<'_>>> {
        let mut groups = Vec::new();
        for (exit, leaving) in self.stage.exits.iter().zip(&self.leaving) {
            if let (Operation::Secure(secure), Leaving::Secure(inputs)) =
                (&self.stage.graph.nodes[*exit].operation, leaving)
            {
                groups.push(secure.group(inputs));
            }
        }
        Ok(groups)
    }

    fn sent(self: Box<Self>) -> Result<()> {
        let Self { stage, client, keep, leaving } = *self;
        let mut arrivals = stage.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let arrivals = &mut *arrivals;
        if arrivals.failure.is_some() {
            return Ok(());
        }
        for ((exit, arrival), leaving) in stage.exits.iter().zip(&mut arrivals.by_exit).zip(leaving) {
            match (arrival, leaving) {
                (Arrival::Plain(fold), Leaving::Plain(value)) => {
                    if let Err(source) = fold.push(value) {
                        arrivals.failure = Some(Error::Client { client, source: Box::new(source) });
                        return Ok(());
                    }
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
            kept[node][client as usize] = Some(value);
        }
        Ok(())
    }
}

/// What a client has computed so far in a round.
struct Values<'s, 'r> {
    stage: &'s Stage<'r>,
    values: Vec<Option<Erased>>,
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
        let value = &mut self.values[node];
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
