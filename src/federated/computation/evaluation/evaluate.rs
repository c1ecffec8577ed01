//! Evaluation of a computation: alternates between the server's part and a round over the clients.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Mutex, PoisonError},
};

use chacha20::ChaCha20Rng;

use super::{
    client::{Arrival, Arrivals, Stage, StageClients},
    transport::Transport,
};
#[cfg(doc)]
use crate::federated::{channel, round, tensor};
use crate::{
    federated::{
        Error, LocalExecutor, Outcome, Party, PlacementKind, Result, Server,
        computation::{
            self, Value,
            context::Scope,
            definition::Computation,
            erased::{Erased, reveal},
            graph::{Graph, Operation},
            inputs::{Bound, Inputs, Items, client_count},
            operation::{SecureOperation, mismatch},
            outputs::{Found, Outputs},
        },
        executor::{ErasedExecutor, ReportedSums, RoundRequest},
        report::{Report, ledger::Ledger},
        tensor::{Structure, TensorType},
    },
    paillier::KeySize,
};

impl<S: KeySize> LocalExecutor<S> {
    /// Runs a computation.
    ///
    /// Inputs are checked before any work is done. Clients' items are taken as clients begin to
    /// work. A client's values are dropped when it has sent everything that the round needs, unless
    /// a later round needs them too.
    ///
    /// See [`Value`](crate::federated::computation::Value) for an example.
    ///
    /// # Errors
    ///
    /// Before any work: [`computation::Error::Leaks`] if the executor is
    /// [`secure_only`](crate::federated::LocalExecutorBuilder::secure_only);
    /// [`computation::Error::NotAnInput`], [`computation::Error::ForeignInput`],
    /// [`computation::Error::RepeatedInput`], [`computation::Error::MissingInput`];
    /// [`computation::Error::ConflictingInputs`], [`Error::ClientCount`],
    /// [`Error::UnknownClientCount`], [`Error::NoClients`] unless all inputs agree on a number of
    /// clients; [`channel::Error::MissingChannel`].
    ///
    /// Before the clients of a round work: [`tensor::Error::StructureMismatch`] for a
    /// [declared](crate::federated::computation::Value::declare) structure that the type of the
    /// values cannot have; [`tensor::Error::ParameterCount`], [`tensor::Error::ParameterStructure`]
    /// for parameters that do not fit it.
    ///
    /// Then: [`Error::Client`] with the failure of a client, such as
    /// [`computation::Error::Closure`], [`Error::NoUpdate`], [`Error::NotAsDeclared`],
    /// [`channel::Error::PayloadEncoding`]; [`Error::ClientCount`] if an iterator without a length
    /// ends too early or too late; [`round::Error::TooFewClients`]; [`Error::RoundFailed`] with a
    /// failure after the clients of a round had contributed, also at the server.
    pub fn run<O: Outputs>(
        &self,
        computation: &Computation<O>,
        inputs: Inputs<'_>,
    ) -> Result<Outcome<O::Output>> {
        self.evaluate(computation, inputs, None, &mut ServerView::default())
    }

    /// Like [`run`](Self::run). The server computes `first` and its inputs before other values that
    /// it could compute at the same time. `view` is set also for a run that fails.
    pub(in crate::federated) fn run_with_view<O: Outputs, T>(
        &self,
        computation: &Computation<O>,
        inputs: Inputs<'_>,
        first: &Value<T, Server>,
        view: &mut ServerView,
    ) -> Result<Outcome<O::Output>> {
        let first = computation.graph.find(&first.node);
        self.evaluate(computation, inputs, first, view)
    }

    fn evaluate<O: Outputs>(
        &self,
        computation: &Computation<O>,
        inputs: Inputs<'_>,
        first: Option<usize>,
        view: &mut ServerView,
    ) -> Result<Outcome<O::Output>> {
        let (core, graph) = (&self.erased, &computation.graph);
        if core.settings.secure_only {
            let leaks = computation.leaks();
            if !leaks.is_empty() {
                return Err(computation::Error::Leaks { leaks }.into());
            }
        }
        let Bound { server, mut clients } = inputs.bind(graph)?;
        let mut evaluation = Evaluation::new(core, graph, server);
        if graph.rounds > 0 {
            evaluation.clients = client_count(graph, &clients, core.settings.clients)?;
            if graph.speaks_in_the_clear() {
                core.network.check(&[(PlacementKind::Clients, PlacementKind::Server)])?;
            }
        }
        evaluation.urgent = first.map(|first| graph.ancestors(first)).unwrap_or_default();
        let rounds = evaluation.all_rounds(&mut clients);
        view.opened = evaluation.opened;
        view.first = first.and_then(|first| evaluation.server[first].clone());
        let rounds = rounds?;
        let mut found = evaluation.outputs().into_iter();
        Ok(Outcome::new(computation.outputs.output(&mut found), (), rounds))
    }
}

/// The server's view of a run that may have failed.
#[derive(Default)]
pub(in crate::federated) struct ServerView {
    /// Whether it saw sums of a round.
    pub(in crate::federated) opened: bool,
    first: Option<Erased>,
}

impl ServerView {
    /// The value of `first`, if it was computed.
    pub(in crate::federated) fn first<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.first.as_ref().map(reveal)
    }
}

/// Whether the server may have decrypted sums of a failed round. Every failure after all clients
/// contributed counts, because some parts of a sum may have been opened before another part failed.
const fn may_be_of_sums(error: &Error) -> bool {
    matches!(error, Error::RoundFailed { .. })
}

/// A run in progress.
struct Evaluation<'r> {
    core: &'r ErasedExecutor,
    graph: &'r Graph,
    clients: u32,
    /// Values at the server, by node.
    server: Vec<Option<Erased>>,
    /// Remaining number of reads of each of these values.
    reads: Vec<usize>,
    server_rng: ChaCha20Rng,
    /// Declared structures of clients' values, by the node that declares them.
    declared: Vec<Option<Structure<TensorType>>>,
    /// Kept values at the clients, by node and client.
    kept: Mutex<Vec<BTreeMap<u32, Erased>>>,
    /// By node, whether it is computed before the nodes that are not urgent. Empty if there are no
    /// urgent nodes.
    urgent: Vec<bool>,
    /// Whether the server has seen sums.
    opened: bool,
}

impl<'r> Evaluation<'r> {
    fn new(core: &'r ErasedExecutor, graph: &'r Graph, server: Vec<Option<Erased>>) -> Self {
        let mut reads = vec![0; graph.nodes.len()];
        graph.inputs.iter().flatten().chain(&graph.outputs).for_each(|&input| reads[input] += 1);
        let kept = Mutex::new(vec![BTreeMap::new(); graph.nodes.len()]);
        let server_rng = core.data_stream();
        let declared = vec![None; graph.nodes.len()];
        let (urgent, opened) = (Vec::new(), false);
        Self { core, graph, clients: 0, server, reads, server_rng, declared, kept, urgent, opened }
    }

    fn all_rounds(&mut self, clients: &mut [Option<Items<'_>>]) -> Result<Vec<Report>> {
        let mut reports = Vec::with_capacity(self.graph.rounds);
        self.serve(0)?;
        for round in 0..self.graph.rounds {
            let report = self.round(round, clients)?;
            match self.serve(round + 1) {
                Ok(()) => reports.push(report),
                Err(error) => return Err(Error::of_round(report, error)),
            }
        }
        Ok(reports)
    }

    /// The server's value. It is dropped here after its last read.
    fn read(&mut self, node: usize) -> Erased {
        self.reads[node] -= 1;
        let value = &mut self.server[node];
        if self.reads[node] == 0 { value.take() } else { value.clone() }
            .expect("a value is computed before it is read")
    }

    /// Computes everything that the server can compute after this number of rounds.
    fn serve(&mut self, over: usize) -> Result<()> {
        let is_urgent = |node: usize| self.urgent.get(node).copied().unwrap_or(false);
        let (first, rest): (Vec<usize>, Vec<usize>) =
            self.graph.server_nodes(over).partition(|&node| is_urgent(node));
        for node in first.into_iter().chain(rest) {
            match &self.graph.nodes[node].operation {
                Operation::Input { .. } => {}
                Operation::Constant(value) => self.server[node] = Some(value.clone()),
                Operation::Local(local) => {
                    let values = self.graph.inputs[node].iter().map(|&input| self.read(input)).collect();
                    let mut scope = Scope { party: Party::Server, rng: &mut self.server_rng };
                    self.server[node] = Some((local.function)(values, &mut scope)?);
                }
                Operation::Declare(_)
                | Operation::Broadcast(_)
                | Operation::Select(_)
                | Operation::Plain(_)
                | Operation::Secure(_) => {
                    unreachable!("clients compute these operations")
                }
            }
        }
        Ok(())
    }

    /// Runs all clients' part of a round.
    fn round(&mut self, round: usize, inputs: &mut [Option<Items<'_>>]) -> Result<Report> {
        let (core, clients) = (self.core, self.clients);
        let ledger = Ledger::default();
        let stage = self.stage(round, &ledger)?;
        let items = inputs.iter_mut().enumerate().filter(|(node, _)| stage.nodes.contains(node));
        let items = items.filter_map(|(node, items)| Some((node, items.as_mut()?))).collect();
        let roster = RoundRequest {
            clients,
            in_order: stage.has_plain_exits(),
            sums: stage.declared_sums(),
            work: Box::new(StageClients::new(&stage, items, clients)),
        };
        let mut outcome = core.round(roster);
        match &mut outcome {
            Ok(ReportedSums { report, .. }) => report.add(&ledger),
            Err(Error::RoundFailed { report, .. }) => report.add(&ledger),
            Err(_) => {}
        }

        let Stage { exits, arrivals, .. } = stage;
        self.opened |= outcome.as_ref().err().is_none_or(may_be_of_sums);
        let Arrivals { by_exit, failure } = arrivals.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failure {
            return Err(match outcome {
                Ok(outcome) => Error::of_round(outcome.report, error),
                Err(Error::RoundFailed { report, .. }) => {
                    Error::RoundFailed { report, source: Box::new(error) }
                }
                Err(_) => error,
            });
        }
        let ReportedSums { sums, report } = outcome?;
        let mut sums = sums.into_iter();
        for (exit, arrival) in exits.into_iter().zip(by_exit) {
            self.server[exit] = Some(match arrival {
                Arrival::Plain(accumulation) => match accumulation.finish() {
                    Ok(value) => value,
                    Err(error) => return Err(Error::of_round(report, error)),
                },
                Arrival::Secure(assemble) => {
                    let assemble = assemble.expect("a round has a participant");
                    assemble(sums.next().expect("there is a sum for each secure operation"))
                }
            });
        }
        Ok(report)
    }

    /// A round as its clients see it, with the server's values for them.
    fn stage<'s>(&'s mut self, round: usize, ledger: &'s Ledger) -> Result<Stage<'s>> {
        let (graph, core) = (self.graph, self.core);
        let nodes: Vec<usize> = graph.client_nodes(round).collect();
        let exits: Vec<usize> = graph.exits(round).collect();

        let mut reads = vec![0; graph.nodes.len()];
        for node in nodes.iter().chain(&exits) {
            for &input in graph.inputs[*node].iter().filter(|&&input| graph.at_clients(input)) {
                reads[input] += 1;
            }
        }
        // A constant is available in every round.
        let is_restored = |&node: &usize| {
            reads[node] > 0 && graph.is_kept(node) && !graph.is_constant(node) && graph.when[node] < round
        };
        let restored = (0..graph.nodes.len()).filter(is_restored).collect();

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
                Operation::Declare(declaration) => {
                    let template = graph.inputs[node].get(1).map(|&template| self.read(template));
                    self.declared[node] = Some(declaration.resolve(template.as_ref())?);
                }
                _ => {}
            }
        }
        let mut codecs = HashMap::new();
        for &exit in &exits {
            let held = graph.inputs[exit].iter().find(|&&input| !graph.at_clients(input));
            if let Some(&held) = held {
                codecs.insert(exit, self.read(held));
            }
        }
        let mut sums = Vec::new();
        for &exit in &exits {
            if let Operation::Secure(secure) = &graph.nodes[exit].operation {
                let structure = self.declared(exit, secure.as_ref())?;
                let declare = |structure| secure.declare(&structure, codecs.get(&exit));
                sums.push(structure.map(declare).transpose()?);
            }
        }
        let arrivals = exits.iter().map(|&exit| match &graph.nodes[exit].operation {
            Operation::Plain(plain) => Arrival::Plain(plain.start(core.settings.max_fanout)),
            _ => Arrival::Secure(None),
        });
        let arrivals = Mutex::new(Arrivals { by_exit: arrivals.collect(), failure: None });
        let transport = Transport {
            network: &core.network,
            ledger,
            session: core.session(),
            round: core.upcoming_round(),
        };
        let kept = &self.kept;
        Ok(Stage {
            graph,
            round,
            nodes,
            exits,
            sums,
            reads,
            restored,
            broadcasts,
            selects,
            codecs,
            transport,
            arrivals,
            kept,
        })
    }

    /// The declared structure of the clients' values for a secure operation, if there is one.
    ///
    /// # Errors
    ///
    /// [`tensor::Error::StructureMismatch`] if it contradicts the structure that the type fixes.
    fn declared(&self, exit: usize, secure: &dyn SecureOperation) -> Result<Option<Structure<TensorType>>> {
        let declared = self.graph.declaring(self.graph.inputs[exit][0]).map(|node| {
            let structure =
                self.declared[node].clone().expect("a declaration is an earlier operation of the clients");
            secure.retyped(structure)
        });
        match (secure.fixed_structure(), declared) {
            (Some(fixed), Some(declared)) if fixed != declared => Err(mismatch(&fixed, &declared).into()),
            (fixed, declared) => Ok(fixed.or(declared)),
        }
    }

    fn outputs(mut self) -> Vec<Found> {
        let kept = mem::take(&mut self.kept).into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut outputs = Vec::new();
        for &node in &self.graph.outputs {
            outputs.push(if self.graph.at_clients(node) {
                let kept = &kept[node];
                Found::Clients((0..self.clients).map(|client| kept.get(&client).cloned()).collect())
            } else {
                Found::Server(self.read(node))
            });
        }
        outputs
    }
}
