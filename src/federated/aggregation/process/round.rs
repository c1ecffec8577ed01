//! The rounds of a process: their computation, and the account of their costs.

use super::state::ProcessState;
use crate::{
    federated::{
        Clients, IntoInput, LocalExecutor, Outcome, Result, Server,
        aggregation::{
            factory::Step,
            privacy_cost::{PrivacyCost, Terms},
        },
        computation::{self, Computation, Inputs, ServerView, Value},
    },
    paillier::KeySize,
};

/// The computation of a round, and the state from which the next one starts.
pub(super) struct Rounds<S, R, M>
where
    S: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    before: Value<S, Server>,
    cost: Value<PrivacyCost, Server>,
    pub(super) computation: Computation<RoundOutputs<S, R, M>>,
    pub(super) state: ProcessState<S>,
    /// Probability that a client takes part, if participation is random.
    pub(super) sampling: Option<f64>,
}

/// The outputs of a [`Step`].
type RoundOutputs<S, R, M> =
    (Value<PrivacyCost, Server>, Value<S, Server>, Value<R, Server>, Value<M, Server>);

impl<S, R, M> Rounds<S, R, M>
where
    S: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    pub(super) fn new(state: ProcessState<S>, next: impl FnOnce(&Value<S, Server>) -> Step<S, R, M>) -> Self {
        let before = Value::input("state");
        let step = next(&before);
        let cost = step.cost.clone();
        let computation = Computation::new((step.cost, step.state, step.result, step.measurements));
        Self { before, cost, computation, state, sampling: None }
    }

    /// The same, with another computation of a round.
    pub(super) fn rebuilt(self, next: impl FnOnce(&Value<S, Server>) -> Step<S, R, M>) -> Self {
        Self { sampling: self.sampling, ..Self::new(self.state, next) }
    }

    pub(super) fn secure_only(self) -> Result<Self, computation::Error> {
        Ok(Self { computation: self.computation.secure_only()?, ..self })
    }

    /// Binds the clients' items, unless the aggregation does not use this input.
    pub(super) fn bind<'a, T, I>(&self, inputs: Inputs<'a>, input: &Value<T, Clients>, items: I) -> Inputs<'a>
    where
        T: Send + Sync + 'static,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send + 'a>,
    {
        if self.computation.has(input) { inputs.clients(input, items) } else { inputs }
    }

    pub(super) fn run<K: KeySize>(
        &mut self,
        executor: &LocalExecutor<K>,
        mut inputs: Inputs<'_>,
    ) -> Result<Outcome<R, M>> {
        if self.computation.has(&self.before) {
            inputs = inputs.server(&self.before, self.state.aggregation.clone());
        }
        let mut view = ServerView::default();
        let run = executor.run_with_view(&self.computation, inputs, &self.cost, &mut view);
        self.charge(run.is_ok(), &view);
        let run = run?;
        let (_, state, result, measurements) = run.value;
        self.state.aggregation = state;
        Ok(Outcome::new(result, measurements, run.rounds))
    }

    /// Charges for a round.
    ///
    /// A failed round has released nothing. However, the server may have seen its sums, and
    /// distributed noise must protect against the server, too. So the round is charged if sums were
    /// opened. The cost is computed before anything that can fail. If it is missing nevertheless,
    /// it counts as unknown. A round that failed before a sum was opened is not charged.
    fn charge(&mut self, succeeded: bool, view: &ServerView) {
        if succeeded || view.opened {
            let terms = Terms { neighbours: self.state.neighbours, sampling: self.sampling };
            let unknown = PrivacyCost::unknown();
            let cost = view.first::<PrivacyCost>().unwrap_or(&unknown);
            cost.charge_under(&mut self.state.accountant, 1, &terms);
        }
    }
}
