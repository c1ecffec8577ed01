//! Summands: clients' values for a secure sum, with matching codecs.

use std::collections::BTreeMap;

use super::{Codec, Codecs, Encoding, Structure, Tensor, TensorTree, TensorType, Tensors, tree::members_of};
use crate::federated::tensor::error::Result;

/// Builds a result from decoded tensors, in the order of the structure's leaves.
#[doc(hidden)]
pub type Assembler<O> = Box<dyn FnOnce(&mut dyn Iterator<Item = Tensor>) -> O + Send>;

/// A client's value for a secure sum: tensors of any element types, with codecs `C` of a matching
/// structure.
///
/// | a client's value | codecs | the result |
/// | :-- | :-- | :-- |
/// | [`Tensors`], all of one element type | [`Codecs`]: one for all tensors, or one for each | the same structure |
/// | a tuple of up to six | a tuple of codecs, one entry for each member | a tuple |
/// | a struct `Model` with `#[derive(Summand)]` or `#[derive(Tensors)]` | `ModelOf` codecs, one entry for each member | `ModelOf` results |
/// | [`Tensor`], `Vec<Tensor>`, `BTreeMap<String, Tensor>`, [`Structure<Tensor>`](Structure) | [`Encoding`]s, one for all tensors or one for each | the same structure of `Tensor`s |
///
/// They can be nested: a member of a tuple or of a struct is itself a summand, and its codecs are
/// the entry of this member. A reference counts as the value to which it refers.
///
/// [`LocalExecutor::secure_aggregate`](crate::federated::LocalExecutor::secure_aggregate) and
/// [`Value::secure_aggregate`](crate::federated::computation::Value::secure_aggregate) take summands;
/// [`SumSpec::of`](crate::federated::round::SumSpec::of) declares a sum of them for a round.
/// Sealed, except for the derives.
///
/// ```
/// use cipherfold::federated::LocalExecutor;
/// use cipherfold::{packing::{IntegerRange, Quantizer}, paillier::Bits2048};
/// use ndarray::{Array1, array};
///
/// // Metrics of each client: two losses, and the number of its examples.
/// let clients: [(Array1<f32>, u32); 2] = [(array![0.5, 1.5], 30), (array![1.5, 2.5], 12)];
/// let codecs = (Quantizer::new(0.0, 10.0, 16)?, IntegerRange::up_to(1000));
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let (losses, examples) = executor.secure_aggregate(&clients, codecs)?.value;
/// assert!((losses - array![1.0, 2.0]).iter().all(|error| error.abs() < 0.001)); // the mean
/// assert_eq!(examples, 42); // the sum
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// # Structs
///
/// `#[derive(Summand)]` makes a struct `ModelOf` beside a struct `Model`, with the same members,
/// each of any type. `ModelOf` holds one codec for each member, or one result for each. The names
/// of the members are names of the [`Structure`].
///
/// ```
/// use cipherfold::federated::{LocalExecutor, tensor::{FloatSum, Summand}};
/// use cipherfold::{packing::{IntegerRange, Quantizer}, paillier::Bits2048};
/// use ndarray::{Array1, array};
///
/// #[derive(Summand)]
/// struct Report {
///     gradient: Array1<f32>,
///     loss: f64,
///     examples: u32,
/// }
///
/// let clients = [(0.5, 30), (1.5, 12)].map(|(loss, examples)| Report { gradient: array![0.25, -0.5], loss, examples });
/// let quantizer = Quantizer::symmetric(10.0, 20)?;
/// let codecs =
///     ReportOf { gradient: FloatSum::new(quantizer), loss: quantizer, examples: IntegerRange::up_to(1000) };
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let ReportOf { gradient, loss, examples } = executor.secure_aggregate(&clients, codecs)?.value;
/// assert!((gradient - array![0.5, -1.0]).iter().all(|error| error.abs() < 0.001)); // the sum
/// assert!((loss - 1.0).abs() < 0.001); // the mean
/// assert_eq!(examples, 42);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not summed by codecs `{C}`",
    note = "a tuple or a struct needs one codec for each member, for the member's element type: an `IntegerRange` or a `Modular` for \
            integers, a `Quantizer` or a `FloatSum` for floating-point numbers; `Tensor`s need an `Encoding`"
)]
pub trait Summand<C>: TensorTree {
    /// The type of the result at the server.
    type Output: Clone + Send + Sync + 'static;

    /// Appends the encoding of each tensor of this structure.
    #[doc(hidden)]
    fn encodings(codecs: &C, structure: &Structure<TensorType>, encodings: &mut Vec<Encoding>) -> Result<()>;

    /// Builds results with the structure of this value.
    #[doc(hidden)]
    fn assembler(&self) -> Assembler<Self::Output>;
}

/// Builds the result from decoded tensors, for clients like this one.
pub(in crate::federated) fn assemble<O>(assembler: Assembler<O>, decoded: Structure<Tensor>) -> O {
    let mut tensors = Vec::new();
    decoded.map(|tensor| tensors.push(tensor));
    assembler(&mut tensors.into_iter())
}

impl<T, C> Summand<C> for T
where
    T: Tensors,
    C: Codecs<Codec: Codec<T::Scalar>>,
{
    type Output = T::With<<C::Codec as Codec<T::Scalar>>::Output>;

    fn encodings(codecs: &C, structure: &Structure<TensorType>, encodings: &mut Vec<Encoding>) -> Result<()> {
        encodings.extend(codecs.per_tensor().of(structure)?.iter().map(Codec::encoding));
        Ok(())
    }

    fn assembler(&self) -> Assembler<Self::Output> {
        let rebuild = self.rebuilder();
        Box::new(|decoded| {
            rebuild(
                &mut decoded
                    .map(|tensor| tensor.into_array().expect("tensors have the output type of their codec")),
            )
        })
    }
}

/// The same for references to values.
macro_rules! references {
    ([$($generics:tt)*] $summand:ty, $codecs:ty) => {
        impl<$($generics)*> Summand<$codecs> for &$summand {
            type Output = <$summand as Summand<$codecs>>::Output;

            fn encodings(
                codecs: &$codecs,
                structure: &Structure<TensorType>,
                encodings: &mut Vec<Encoding>,
            ) -> Result<()> {
                <$summand as Summand<$codecs>>::encodings(codecs, structure, encodings)
            }

            fn assembler(&self) -> Assembler<Self::Output> {
                <$summand as Summand<$codecs>>::assembler(self)
            }
        }
    };
}

macro_rules! tuples {
    ($(($($member:ident $codec:ident $none:ident),+)),*) => {$(
        #[allow(non_snake_case, reason = "members have the names of their types")]
        impl<$($codec, $member: Summand<$codec>),+> Summand<($($codec,)+)> for ($($member,)+) {
            type Output = ($($member::Output,)+);

            fn encodings(
                codecs: &($($codec,)+),
                structure: &Structure<TensorType>,
                encodings: &mut Vec<Encoding>,
            ) -> Result<()> {
                let ($($codec,)+) = codecs;
                let mut members = members_of(structure, &[$($none),+])?.into_iter();
                $($member::encodings(
                    $codec,
                    members.next().expect("there is a member for each codec"),
                    encodings,
                )?;)+
                Ok(())
            }

            fn assembler(&self) -> Assembler<Self::Output> {
                let ($($member,)+) = self;
                let ($($member,)+) = ($($member.assembler(),)+);
                Box::new(move |decoded| ($($member(decoded),)+))
            }
        }

        references!([$($codec, $member: Summand<$codec>),+] ($($member,)+), ($($codec,)+));
    )*};
}

tuples!(
    (A U None),
    (A U None, B V None),
    (A U None, B V None, C W None),
    (A U None, B V None, C W None, D X None),
    (A U None, B V None, C W None, D X None, E Y None),
    (A U None, B V None, C W None, D X None, E Y None, F Z None)
);

macro_rules! of_any_type {
    ($($collection:ty: |$value:ident, $decoded:ident| $shape:expr => $build:expr),*) => {$(
        impl<P: Codecs<Codec = Encoding>> Summand<P> for $collection {
            type Output = Self;

            fn encodings(
                codecs: &P,
                structure: &Structure<TensorType>,
                encodings: &mut Vec<Encoding>,
            ) -> Result<()> {
                encodings.extend(codecs.per_tensor().of(structure)?);
                Ok(())
            }

            fn assembler(&self) -> Assembler<Self> {
                let $value = self;
                let $value = $shape;
                Box::new(move |$decoded| $build)
            }
        }

        references!([P: Codecs<Codec = Encoding>] $collection, P);
    )*};
}

/// The next decoded tensor.
fn next(decoded: &mut dyn Iterator<Item = Tensor>) -> Tensor {
    decoded.next().expect("there is a tensor for each leaf of the structure")
}

of_any_type!(
    Tensor: |_tensor, decoded| () => next(decoded),
    Vec<Tensor>: |list, decoded| list.len() => (0..list).map(|_| next(decoded)).collect(),
    BTreeMap<String, Tensor>: |map, decoded| map.keys().cloned().collect::<Vec<_>>() => {
        map.into_iter().map(|name| (name, next(decoded))).collect()
    },
    Structure<Tensor>: |structure, decoded| structure.as_ref().map(drop) => structure.map(|()| next(decoded))
);
