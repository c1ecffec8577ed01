//! Items of iterators over clients: values, or reasons why there are none.

use core::fmt::Display;

use crate::federated::{At, Clients, Placed, tensor::TensorTree};

/// One client's item in an iterator over clients: a value of type `T`, or the reason why there is
/// none.
///
/// | item | meaning |
/// | :-- | :-- |
/// | `T` | the client's value |
/// | `Option<T>` | `None`: the client is absent |
/// | `Result<T, E>` | an error: the client could not make its value, [`Error::NoUpdate`](crate::federated::Error::NoUpdate) |
/// | `Result<Option<T>, E>`, `Option<Result<T, E>>` | either of the two |
/// | `Placed<T, Clients>`, `Option<Placed<T, Clients>>` | an output at the clients of an earlier [`Computation`](crate::federated::computation::Computation) |
///
/// [`Inputs::clients`](crate::federated::computation::Inputs::clients),
/// [`Process::run`](crate::federated::aggregation::Process::run), and the sums and means of
/// [`LocalExecutor`](crate::federated::LocalExecutor) take the same items. The sums and means also
/// accept borrowed values: `T` may be `&Array1<f32>`, for example.
///
/// ```
/// use cipherfold::federated::IntoInput;
///
/// /// The number of clients that have a value.
/// fn present<T>(clients: impl IntoIterator<Item: IntoInput<T>>) -> usize {
///     clients.into_iter().filter_map(|item| item.into_input().ok()?).count()
/// }
/// assert_eq!(present::<u8>([Some(1), None, Some(3)]), 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a client's item with a `{T}`",
    note = "an item is a `{T}`, or an `Option`, a `Result` or a `Placed` value at the clients with one"
)]
pub trait IntoInput<T>: Sized {
    /// The value, or `None` if the client is absent.
    ///
    /// # Errors
    ///
    /// The text of the error that kept the client from making the value.
    fn into_input(self) -> Result<Option<T>, String>;
}

impl<T> IntoInput<T> for T {
    fn into_input(self) -> Result<Option<T>, String> {
        Ok(Some(self))
    }
}

impl<T> IntoInput<T> for Option<T> {
    fn into_input(self) -> Result<Self, String> {
        Ok(self)
    }
}

impl<T, E: Display> IntoInput<T> for Result<T, E> {
    fn into_input(self) -> Result<Option<T>, String> {
        self.map(Some).map_err(|error| error.to_string())
    }
}

impl<T, E: Display> IntoInput<T> for Result<Option<T>, E> {
    fn into_input(self) -> Result<Option<T>, String> {
        self.map_err(|error| error.to_string())
    }
}

impl<T, E: Display> IntoInput<T> for Option<Result<T, E>> {
    fn into_input(self) -> Result<Option<T>, String> {
        self.transpose().into_input()
    }
}

impl<T> IntoInput<T> for Placed<T, Clients> {
    fn into_input(self) -> Result<Option<T>, String> {
        Ok(Some(self.into_inner(&At::new())))
    }
}

impl<T> IntoInput<T> for Option<Placed<T, Clients>> {
    fn into_input(self) -> Result<Option<T>, String> {
        Ok(self.map(|placed| placed.into_inner(&At::new())))
    }
}

/// A [client's item](IntoInput) with [tensors](TensorTree), whose type follows from that of the
/// item.
///
/// It has no methods. With it, `secure_sum([Some(update), None])` needs no type annotation.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, Result, TensorInput};
/// use cipherfold::{packing::IntegerRange, paillier::Bits2048};
///
/// /// The number of clients for which a condition holds.
/// fn count<I>(executor: &LocalExecutor<Bits2048>, clients: I) -> Result<u64>
/// where
///     I: IntoIterator<Item: TensorInput<Update = u8>, IntoIter: Send>,
/// {
///     Ok(executor.secure_sum(clients, IntegerRange::up_to(1))?.value)
/// }
/// let executor = LocalExecutor::builder().min_clients(2).build()?;
/// assert_eq!(count(&executor, [Some(1_u8), None, Some(0), Some(1)])?, 2);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a client's item with tensors",
    note = "an item is tensors (numbers, `ndarray` arrays, and `Vec`s, tuples, `BTreeMap`s and `Structure`s of them), or an \
            `Option`, a `Result` or a `Placed` value at the clients with them"
)]
pub trait TensorInput: IntoInput<Self::Update> {
    /// The client's tensors.
    type Update: TensorTree;
}

impl<T: TensorTree> TensorInput for T {
    type Update = T;
}

impl<T: TensorTree> TensorInput for Option<T> {
    type Update = T;
}

impl<T: TensorTree, E: Display> TensorInput for Result<T, E> {
    type Update = T;
}

impl<T: TensorTree, E: Display> TensorInput for Result<Option<T>, E> {
    type Update = T;
}

impl<T: TensorTree, E: Display> TensorInput for Option<Result<T, E>> {
    type Update = T;
}

impl<T: TensorTree> TensorInput for Placed<T, Clients> {
    type Update = T;
}

impl<T: TensorTree> TensorInput for Option<Placed<T, Clients>> {
    type Update = T;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_a_value_an_absence_or_a_reason() {
        fn input<U: TensorInput>(item: U) -> Result<Option<U::Update>, String> {
            item.into_input()
        }
        let placed = || Placed::new(7_u32, &At::<Clients>::new());
        let refused = || Err("disk full".to_owned());
        assert_eq!(input(7_u32), Ok(Some(7)));
        assert_eq!((input(Some(7_u32)), input(None::<u32>)), (Ok(Some(7)), Ok(None)));
        assert_eq!(
            (input(Ok::<_, &str>(7_u32)), input(Err::<u32, _>("disk full"))),
            (Ok(Some(7)), refused())
        );
        assert_eq!(input(Ok::<_, &str>(Some(7_u32))), Ok(Some(7)));
        assert_eq!(input(Ok::<_, &str>(None::<u32>)), Ok(None));
        assert_eq!(input(Err::<Option<u32>, _>("disk full")), refused());
        assert_eq!(input(Some(Ok::<_, &str>(7_u32))), Ok(Some(7)));
        assert_eq!(input(None::<Result<u32, &str>>), Ok(None));
        assert_eq!(input(Some(Err::<u32, _>("disk full"))), refused());
        assert_eq!((input(placed()), input(Some(placed()))), (Ok(Some(7)), Ok(Some(7))));
        assert_eq!(input(None::<Placed<u32, Clients>>), Ok(None));
        assert_eq!(input(&7_u32), Ok(Some(&7)));
    }
}
