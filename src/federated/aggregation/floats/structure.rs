//! Structures of floating-point numbers.

use ndarray::{ArrayD, ArrayViewD};

use super::element::FloatElement;
use crate::federated::{computation::Transferable, tensor::Tensors};

/// [`Tensors`] of floating-point numbers that keep their type in computations. These are all
/// structures that own their numbers, except arrays `[T; N]`, which become `Vec`s.
///
/// Sums and means of them have the same type. Sealed.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, Outcome, Result, aggregation::{Clipping, Fixed, Floats, Process, SecureClippingSum}};
/// use cipherfold::paillier::Bits2048;
///
/// /// The sum of values of any structure, clipped to a norm of 1.
/// fn clipped_sum<T: Floats>(executor: &LocalExecutor<Bits2048>, clients: Vec<T>) -> Result<T> {
///     let sum = Clipping::new(Fixed::new(1.0)?, SecureClippingSum::floats_up_to(1.0)?);
///     Ok(Process::new(sum).run(executor, clients)?.value)
/// }
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// assert!((clipped_sum(&executor, vec![0.5_f64, 2.0])? - 1.5).abs() < 1e-6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an owned structure of floating-point tensors",
    note = "numbers, `ndarray` arrays, and `Vec`s, tuples, `BTreeMap`s and `Structure`s of them are, with elements of type \
            `f32` or `f64`"
)]
pub trait Floats:
    Tensors<Scalar = <Self as Floats>::Float, With<<Self as Floats>::Float> = Self> + Clone + OnGrid
{
    /// The type of all elements.
    type Float: FloatElement;
}

/// Structures of floating-point numbers that have a form on an integer grid.
pub trait OnGrid: Tensors + Transferable {
    /// The same structure on an integer grid.
    type Steps: Tensors<Scalar = i32, With<i32> = Self::Steps>
        + Tensors<With<i64> = Self::StepSums>
        + Clone
        + Transferable;

    /// Sums of these.
    type StepSums: Tensors<Scalar = i64, With<<Self as Tensors>::Scalar> = Self> + Clone + Transferable;

    /// Numbers of the grid, in order, as this structure.
    fn steps(&self, flat: &[i32]) -> Self::Steps;
}

impl<T, F> OnGrid for T
where
    F: FloatElement,
    T: Tensors<Scalar = F, With<F> = T> + Clone + Transferable,
    T::With<i32>: Tensors<Scalar = i32, With<i32> = T::With<i32>>,
    T::With<i32>: Tensors<With<i64> = T::With<i64>> + Transferable,
    T::With<i64>: Tensors<Scalar = i64, With<F> = T> + Transferable,
{
    type Steps = T::With<i32>;
    type StepSums = T::With<i64>;

    fn steps(&self, flat: &[i32]) -> T::With<i32> {
        let mut rest = flat.iter().copied();
        self.map_tensors(|_, tensor| fill(&tensor, &mut rest))
    }
}

impl<T, F> Floats for T
where
    F: FloatElement,
    T: Tensors<Scalar = F, With<F> = T> + Clone + OnGrid,
{
    type Float = F;
}

/// A tensor with the given shape, from the next elements.
pub(super) fn fill<T, U: Copy>(
    shape: &ArrayViewD<'_, T>,
    elements: &mut impl Iterator<Item = U>,
) -> ArrayD<U> {
    ArrayD::from_shape_simple_fn(shape.raw_dim(), || {
        elements.next().expect("there is an element for each place")
    })
}
