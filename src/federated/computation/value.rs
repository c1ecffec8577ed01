//! Values of a computation, by type and placement.
//!
//! A [`Value<T, P>`] is a handle to a node of a graph. It describes a value: its type, its
//! placement, and the values from which it is computed. Nothing runs until
//! [`LocalExecutor::run`](crate::federated::LocalExecutor::run) evaluates a
//! [`Computation`](super::Computation). The intrinsics are those of TensorFlow Federated, under its
//! names where it has one. The compiler checks placements.

mod numbers;
mod numeric;
mod plain;
mod secure;
mod select;
mod structure;

pub use numeric::Numeric;

use core::{any::type_name, fmt, marker::PhantomData};
use std::sync::Arc;

use super::{
    context::Context,
    erased::{Erased, reveal, take},
    graph::{Local, LocalFunction, Node, Operation, Uses},
    operation::{Transferable, Wire},
};
use crate::federated::{Clients, Placement, Result, Server, tensor::Structure};
use rand_core::CryptoRng;

/// A placement of a [`Value`]: [`Clients`] or [`Server`].
///
/// The [`Aggregator`](crate::federated::Aggregator) is a part of the protocol of secure sums, and
/// not of the computation: no program places a value there.
#[diagnostic::on_unimplemented(
    message = "no value of a computation is placed at `{Self}`",
    note = "values are at the `Clients` or at the `Server`"
)]
pub trait ValuePlacement: Placement {}

impl ValuePlacement for Clients {}
impl ValuePlacement for Server {}

/// A value of type `T` at placement `P`, not yet computed. At the clients: one `T` for each client.
/// `P` is [`Clients`] or [`Server`]. A value that travels between them has a type that serde writes
/// and reads.
///
/// It is cheap to clone. All clones refer to the same value, which is computed once in a run (at
/// the clients, once by each client).
///
/// ```
/// use cipherfold::federated::{Clients, LocalExecutor, Server, computation::{Computation, Inputs, Value}};
/// use cipherfold::paillier::Bits2048;
///
/// // How many of each client's readings are above the server's threshold?
/// let readings = Value::<Vec<f32>, Clients>::input("readings");
/// let threshold = Value::<f32, Server>::input("threshold");
/// let above = readings
///     .zip(&threshold.broadcast())
///     .map(|(readings, threshold)| readings.iter().filter(|reading| *reading > threshold).count());
/// let computation = Computation::new(above.collect());
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let inputs = Inputs::new()
///     .clients(&readings, [vec![14.5, 15.5], vec![16.0, 17.0, 18.0], vec![]])
///     .server(&threshold, 15.0);
/// assert_eq!(executor.run(&computation, inputs)?.value, [1, 3, 0]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[must_use = "a value is computed only as part of a computation that runs"]
pub struct Value<T, P: Placement> {
    pub(super) node: Arc<Node>,
    holds: PhantomData<fn() -> (T, P)>,
}

impl<T, P: Placement> Clone for Value<T, P> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), holds: PhantomData }
    }
}

impl<T, P: Placement> fmt::Debug for Value<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} at {})", self.node.describe(), P::NAME)
    }
}

impl<T: Send + Sync + 'static, P: ValuePlacement> Value<T, P> {
    /// An input, which is bound when the computation runs: with
    /// [`Inputs::clients`](super::Inputs::clients) one item for each client, with
    /// [`Inputs::server`](super::Inputs::server) one value.
    ///
    /// The name is only for display; inputs are identified by their handles.
    pub fn input(name: &'static str) -> Self {
        Self::of(Vec::new(), Operation::Input { name })
    }

    /// The same value in every run; at the clients, for every client (TFF's `federated_value`).
    ///
    /// It is not a client's data, so a client cannot leak it.
    pub fn constant(value: T) -> Self {
        Self::of(Vec::new(), Operation::Constant(Arc::new(value)))
    }

    /// The result of a function at `P`; at the clients, it runs once for each client (TFF's
    /// `federated_eval`).
    ///
    /// Results may differ between clients: the [`Context`] has a client's number and its own
    /// generator. At the clients, a secure operation on the result is a
    /// [leak](crate::federated::computation::LeakKind::ClientNumber), because the closure can
    /// choose the client whose value the sum shows. For a closure that needs only randomness, use
    /// [`draw`](Self::draw).
    pub fn eval(function: impl Fn(&mut Context<'_, P>) -> T + Send + Sync + 'static) -> Self {
        Self::local("eval", Uses::Party, Vec::new(), move |_, context| Ok(function(context)))
    }

    /// The result of a function of the party's own generator at `P`; at the clients, it runs once
    /// for each client.
    pub fn draw(function: impl Fn(&mut dyn CryptoRng) -> T + Send + Sync + 'static) -> Self {
        Self::local("draw", Uses::Randomness, Vec::new(), move |_, context| Ok(function(context.rng())))
    }

    /// Applies a function to the value, at the same placement (TFF's `federated_map`).
    pub fn map<U: Send + Sync + 'static>(
        &self,
        function: impl Fn(&T) -> U + Send + Sync + 'static,
    ) -> Value<U, P> {
        Value::local("map", Uses::Values, vec![self.node()], move |values, _| {
            Ok(function(reveal(&values[0])))
        })
    }

    /// Applies a function that may fail to the value.
    ///
    /// An error ends the run with
    /// [`computation::Error::Closure`](crate::federated::computation::Error::Closure). At a client
    /// it is wrapped in [`Error::Client`](crate::federated::Error::Client) with the client's
    /// number. The caller of the computation receives the error's text, so the text should not
    /// contain the client's data.
    pub fn try_map<U: Send + Sync + 'static, E: fmt::Display>(
        &self,
        function: impl Fn(&T) -> Result<U, E> + Send + Sync + 'static,
    ) -> Value<U, P> {
        Value::local("try_map", Uses::Values, vec![self.node()], move |values, _| {
            function(reveal(&values[0])).map_err(|error| Node::failed("try_map", &error))
        })
    }

    /// The same for functions of this crate, whose errors are returned unchanged.
    pub(in crate::federated) fn fallible<U: Send + Sync + 'static>(
        &self,
        name: &'static str,
        function: impl Fn(&T) -> Result<U> + Send + Sync + 'static,
    ) -> Value<U, P> {
        Value::local(name, Uses::Values, vec![self.node()], move |values, _| function(reveal(&values[0])))
    }

    /// Applies a function of this crate to the value and its party's randomness.
    pub(in crate::federated) fn drawing<U: Send + Sync + 'static>(
        &self,
        name: &'static str,
        function: impl Fn(&T, &mut dyn CryptoRng) -> Result<U> + Send + Sync + 'static,
    ) -> Value<U, P> {
        Value::local(name, Uses::Randomness, vec![self.node()], move |values, context| {
            function(reveal(&values[0]), context.rng())
        })
    }

    /// Applies a function to the value and its party's own generator.
    ///
    /// ```
    /// use cipherfold::federated::{Clients, computation::{Computation, Value}};
    /// use cipherfold::packing::IntegerRange;
    ///
    /// // Randomized response: a true answer, or a random one.
    /// let answer = Value::<bool, Clients>::input("answer");
    /// let response = answer.map_drawing(|answer, rng| match rng.next_u32() % 4 {
    ///     0 => 0_u32,
    ///     1 => 1,
    ///     _ => u32::from(*answer),
    /// });
    /// let computation = Computation::new(response.secure_sum(IntegerRange::up_to(1))).secure_only()?;
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn map_drawing<U: Send + Sync + 'static>(
        &self,
        function: impl Fn(&T, &mut dyn CryptoRng) -> U + Send + Sync + 'static,
    ) -> Value<U, P> {
        self.drawing("map_drawing", move |value, rng| Ok(function(value, rng)))
    }

    /// Applies a function to the value and its party's [`Context`]: its randomness and its number.
    ///
    /// At the clients, a secure operation on the result is a
    /// [leak](crate::federated::computation::LeakKind::ClientNumber), as for [`eval`](Self::eval).
    /// [`map_drawing`](Self::map_drawing) has the randomness without the number.
    pub fn map_with<U: Send + Sync + 'static>(
        &self,
        function: impl Fn(&T, &mut Context<'_, P>) -> U + Send + Sync + 'static,
    ) -> Value<U, P> {
        Value::local("map_with", Uses::Party, vec![self.node()], move |values, context| {
            Ok(function(reveal(&values[0]), context))
        })
    }

    /// This value and another one at the same placement, as a pair (TFF's `federated_zip`).
    ///
    /// A value is moved into the pair if nothing else reads it, and cloned otherwise. `Value::from`
    /// makes tuples of up to six values and [`Structure`]s; [`all`](Self::all) makes a `Vec` of any
    /// number of values.
    pub fn zip<U: Clone + Send + Sync + 'static>(&self, other: &Value<U, P>) -> Value<(T, U), P>
    where
        T: Clone,
    {
        Value::from((self.clone(), other.clone()))
    }

    /// Many values at the same placement, as one value.
    pub fn all(values: impl IntoIterator<Item = Self>) -> Value<Vec<T>, P>
    where
        T: Clone,
    {
        let nodes = values.into_iter().map(|value| value.node).collect();
        Value::local("zip", Uses::Values, nodes, |values, _| Ok(values.into_iter().map(take::<T>).collect()))
    }

    /// Sets a label that leaks and printed computations show. All clones share it; the last call
    /// counts.
    pub fn named(self, label: &str) -> Self {
        self.node.set_label(label);
        self
    }

    /// Marks the operation that was just built: its result has the structure of its first input, so
    /// the declaration of that input holds for the result. Of a tuple, the first member has this
    /// structure.
    pub(in crate::federated) fn keeping_structure(mut self) -> Self {
        let node = Arc::get_mut(&mut self.node).expect("a node that was just built has one reference");
        if let Operation::Local(local) = &mut node.operation {
            local.keeps_structure = true;
        }
        self
    }

    /// A node at `P`.
    fn of(inputs: Vec<Arc<Node>>, operation: Operation) -> Self {
        Self { node: Node::new(P::KIND, type_name::<T>(), inputs, operation), holds: PhantomData }
    }

    /// A function of values at `P`.
    fn local(
        name: &'static str,
        uses: Uses,
        inputs: Vec<Arc<Node>>,
        function: impl Fn(Vec<Erased>, &mut Context<'_, P>) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let function: LocalFunction = Box::new(move |values, scope| {
            let value: Erased = Arc::new(function(values, &mut Context::new(scope))?);
            Ok(value)
        });
        let keeps_structure = false;
        Self::of(inputs, Operation::Local(Local { name, uses, keeps_structure, function }))
    }

    fn node(&self) -> Arc<Node> {
        Arc::clone(&self.node)
    }
}

impl<T: Send + Sync + 'static> Value<T, Server> {
    /// Sends the server's value to every client (TFF's `federated_broadcast`).
    pub fn broadcast(&self) -> Value<T, Clients>
    where
        T: Transferable,
    {
        Value::of(vec![self.node()], Operation::Broadcast(Wire::of::<T>()))
    }
}

/// A structure of values at one placement, as one value.
impl<T: Clone + Send + Sync + 'static, P: ValuePlacement> From<Structure<Value<T, P>>>
    for Value<Structure<T>, P>
{
    fn from(structure: Structure<Value<T, P>>) -> Self {
        let nodes = structure.iter().map(Value::node).collect();
        let outline = structure.map(drop);
        Value::local("zip", Uses::Values, nodes, move |values, _| {
            let mut values = values.into_iter();
            Ok(outline.clone().map(|()| take(values.next().expect("there is a value for each input"))))
        })
    }
}

/// Values at one placement, as one value of a tuple.
macro_rules! tuples {
    ($($value:ident: $type:ident),+) => {
        impl<P: ValuePlacement, $($type: Clone + Send + Sync + 'static),+> From<($(Value<$type, P>,)+)>
            for Value<($($type,)+), P>
        {
            fn from(($($value,)+): ($(Value<$type, P>,)+)) -> Self {
                Value::local("zip", Uses::Values, vec![$($value.node),+], |values, _| {
                    let mut values = values.into_iter();
                    $(let $value = take(values.next().expect("there is a value for each input"));)+
                    Ok(($($value,)+))
                })
            }
        }
    };
}

tuples!(a: A, b: B);
tuples!(a: A, b: B, c: C);
tuples!(a: A, b: B, c: C, d: D);
tuples!(a: A, b: B, c: C, d: D, e: E);
tuples!(a: A, b: B, c: C, d: D, e: E, f: F);
