//! Declared structures: the structure of the clients' tensors, known before a client works.

use super::Value;
use crate::federated::{
    Clients, Result, Server,
    computation::{
        erased::reveal,
        graph::{Operation, Uses},
        operation::Declaration,
    },
    tensor::{self, Scalar, Structure, TensorTree, TensorType, Tensors},
};

/// Declared structures. A secure operation shows the server the structure of the clients' values:
/// names, nesting and shapes. It must be known before a client works, because a structure that is
/// taken from a client reveals something about that client.
///
/// | source of the structure | how |
/// | :-- | :-- |
/// | the Rust type | numbers, 0-dimensional arrays, and tuples and arrays `[T; N]` of these |
/// | a statement | [`declare`](Self::declare), [`declare_like`](Self::declare_like) |
/// | a value at the server | [`shaped_like`](Self::shaped_like) |
///
/// An undeclared structure is a
/// [leak](crate::federated::computation::LeakKind::UndeclaredStructure). A client whose value does
/// not have the declared structure is refused. Other parties learn only [this
/// fact](crate::federated::report::AbsenceReason::Structure), and nothing of the client's
/// structure.
///
/// A `Structure` whose members are lists of any length stays a leak, because a declaration does not
/// tell where its members begin.
///
/// A declaration returns a new value, and holds for uses of this value. An input with a declaration
/// is bound like the input itself. A closure's result has no declaration, whatever the closure
/// reads, except for [`map_elements`](Self::map_elements). The crate's aggregations keep the
/// declaration of values that they clip, scale or round.
///
/// ```
/// use cipherfold::federated::{Clients, LocalExecutor, Server, computation::{Computation, Inputs, Value}};
/// use cipherfold::{packing::Quantizer, paillier::Bits2048};
/// use ndarray::{Array1, array};
///
/// let model = Value::<Array1<f32>, Server>::input("model");
/// let target = Value::<f32, Clients>::input("target");
/// let step = target.zip(&model.broadcast()).map(|(target, model)| model.mapv(|x| (target - x) / 2.0));
/// let mean = step.secure_mean(Quantizer::symmetric(1.0, 16)?);
/// let leaks = Computation::new(mean).leaks();
/// assert_eq!(
///     leaks[0].to_string(),
///     "secure_mean takes its structure from a client: input `target` → zip → map → secure_mean"
/// );
///
/// let mean = step.shaped_like(&model).secure_mean(Quantizer::symmetric(1.0, 16)?);
/// let computation = Computation::new(mean).secure_only()?;
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let inputs = Inputs::new().clients(&target, [0.5, 1.5]).server(&model, array![0.0, 1.0]);
/// let mean = executor.run(&computation, inputs)?.value;
/// assert!((mean - array![0.5, 0.0]).iter().all(|error| error.abs() < 0.001));
/// # Ok::<(), cipherfold::Error>(())
/// ```
impl<T: Send + Sync + 'static> Value<T, Clients> {
    /// States the structure.
    ///
    /// Element types must be those of `T`, where it fixes them (a
    /// [`Tensor`](crate::federated::tensor::Tensor) does not). Other types end a run with
    /// [`tensor::Error::StructureMismatch`](crate::federated::tensor::Error::StructureMismatch),
    /// before any client works.
    pub fn declare(&self, structure: Structure<TensorType>) -> Self
    where
        T: TensorTree,
    {
        Self::of(vec![self.node()], Operation::Declare(Declaration::stated::<T>(structure)))
    }

    /// States the structure by an example. Its numbers and its element type do not matter.
    ///
    /// # Errors
    ///
    /// [`tensor::Error::StructureDepth`](crate::federated::tensor::Error::StructureDepth).
    pub fn declare_like<M: TensorTree + ?Sized>(&self, template: &M) -> Result<Self, tensor::Error>
    where
        T: TensorTree,
    {
        Ok(self.declare(T::retyped(template.structure()?)))
    }

    /// Takes the structure, in each run, from a value at the server: its names, nesting and shapes,
    /// with the element types of `T`.
    ///
    /// The server must know that value before the round: it cannot be a result of a sum that needs
    /// the structure.
    pub fn shaped_like<M: TensorTree + 'static>(&self, template: &Value<M, Server>) -> Self
    where
        T: TensorTree,
    {
        let declaration = Declaration::like::<T, M>();
        Self::of(vec![self.node(), template.node()], Operation::Declare(declaration))
    }

    /// Applies a function to each element of all tensors. The structure stays, and so does the
    /// declaration of the value.
    ///
    /// ```
    /// use cipherfold::federated::{Clients, computation::{Computation, Value}};
    /// use cipherfold::packing::IntegerRange;
    /// use ndarray::Array1;
    ///
    /// let answers = Value::<Array1<bool>, Clients>::input("answers").declare_like(&Array1::<bool>::default(20))?;
    /// let counts = answers.map_elements(u32::from).secure_sum(IntegerRange::up_to(1));
    /// assert!(Computation::new(counts).leaks().is_empty());
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn map_elements<U: Scalar>(
        &self,
        function: impl Fn(T::Scalar) -> U + Send + Sync + 'static,
    ) -> Value<T::With<U>, Clients>
    where
        T: Tensors,
    {
        let mapped = Value::local("map_elements", Uses::Values, vec![self.node()], move |values, _| {
            let values: &T = reveal(&values[0]);
            Ok(values.map_tensors(|_, tensor| tensor.mapv(&function)))
        });
        mapped.keeping_structure()
    }
}
