//! Element types of tensors, as types and as values.

use core::fmt::{self, Debug, Display};

use ndarray::{ArrayD, ArrayViewD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroize;

use super::{Tensor, TensorView, Tensors};

/// An element of a tensor: an integer of 8 to 128 bits, `f32`, `f64` or `bool`.
///
/// A [`Codec`](crate::federated::tensor::Codec) determines which of these types can be summed, and
/// the type of the sum. Sealed.
///
/// ```
/// use cipherfold::federated::tensor::{DType, Scalar, TensorType};
///
/// fn vector<T: Scalar>(len: usize) -> TensorType {
///     TensorType { dtype: T::DTYPE, shape: vec![len] }
/// }
/// assert_eq!(vector::<f32>(7).to_string(), "f32[7]");
/// assert_eq!(vector::<bool>(7).dtype, DType::Bool);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an element type of tensors",
    note = "elements are `i8` to `i128`, `u8` to `u128`, `f32`, `f64` and `bool`"
)]
pub trait Scalar:
    sealed::Sealed
    + Erase
    + Tensors<Scalar = Self>
    + Copy
    + Debug
    + Display
    + Default
    + PartialEq
    + PartialOrd
    + Zeroize
    + Serialize
    + DeserializeOwned
    + 'static
{
    /// The type as a value.
    const DTYPE: DType;

    /// The type's name in messages, which is its name in Rust.
    const NAME: &'static str = Self::DTYPE.name();
}

mod sealed {
    pub trait Sealed {}
}

/// Erases the element type of a tensor, and recovers it.
pub trait Erase: Sized {
    #[doc(hidden)]
    fn erase(array: ArrayD<Self>) -> Tensor;

    #[doc(hidden)]
    fn erase_view(view: ArrayViewD<'_, Self>) -> TensorView<'_>;

    /// The array, if this is its element type.
    #[doc(hidden)]
    fn reveal(tensor: Tensor) -> Option<ArrayD<Self>>;
}

macro_rules! scalars {
    ($($scalar:ident: $variant:ident),*) => {
        /// A [`Scalar`] type as a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum DType {
            $(#[doc = concat!("`", stringify!($scalar), "`.")] $variant),*
        }

        impl DType {
            /// The type's name in Rust.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($scalar)),*
                }
            }
        }

        $(
            impl sealed::Sealed for $scalar {}
            impl Scalar for $scalar {
                const DTYPE: DType = DType::$variant;
            }
        )*
    };
}

scalars!(
    i8: I8, i16: I16, i32: I32, i64: I64, i128: I128, u8: U8, u16: U16, u32: U32, u64: U64, u128: U128, f32: F32,
    f64: F64, bool: Bool
);

impl Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Element type and shape of one tensor. Displayed as `f32[2,3]`, or `f32` for a single number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// The elements' type.
    pub dtype: DType,
    /// Length of each dimension.
    pub shape: Vec<usize>,
}

impl Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dtype)?;
        for (i, len) in self.shape.iter().enumerate() {
            write!(f, "{}{len}", if i == 0 { '[' } else { ',' })?;
        }
        if self.shape.is_empty() { Ok(()) } else { f.write_str("]") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_text_and_json_are_those_of_rust() {
        assert_eq!(
            (<i8 as Scalar>::NAME, <f64 as Scalar>::NAME, <bool as Scalar>::NAME),
            ("i8", "f64", "bool")
        );
        for dtype in [i128::DTYPE, u16::DTYPE, f32::DTYPE] {
            assert_eq!(serde_json::to_value(dtype).unwrap(), dtype.name());
        }
    }

    #[test]
    fn tensor_types_are_displayed_without_spaces() {
        let display = |shape: &[usize]| TensorType { dtype: f32::DTYPE, shape: shape.to_vec() }.to_string();
        assert_eq!(display(&[]), "f32");
        assert_eq!(display(&[7]), "f32[7]");
        assert_eq!(display(&[2, 0, 3]), "f32[2,0,3]");
    }
}
