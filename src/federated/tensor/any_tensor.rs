//! Tensors with dynamic element types, between the static types of a program and the protocol.

use core::fmt::{self, Debug};

use ndarray::{ArrayD, ArrayViewD};

use super::{DType, Scalar, TensorType};

macro_rules! tensors {
    ($($scalar:ty: $variant:ident),*) => {
        /// A borrowed tensor of any element type, in any memory order.
        ///
        /// `Debug` shows type and shape, never an element.
        #[derive(Clone)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "every variant has the name of its element type")]
        pub enum TensorView<'a> {
            $($variant(ArrayViewD<'a, $scalar>)),*
        }

        /// An owned tensor of any element type.
        ///
        /// `Debug` shows type and shape, never an element.
        #[derive(Clone, PartialEq)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "every variant has the name of its element type")]
        pub enum Tensor {
            $($variant(ArrayD<$scalar>)),*
        }

        impl TensorView<'_> {
            /// Length of each dimension.
            pub fn shape(&self) -> &[usize] {
                match self {
                    $(Self::$variant(view) => view.shape()),*
                }
            }

            /// The elements' type.
            pub fn dtype(&self) -> DType {
                match self {
                    $(Self::$variant(_) => DType::$variant),*
                }
            }
        }

        impl Tensor {
            /// The same tensor, borrowed.
            pub fn view(&self) -> TensorView<'_> {
                match self {
                    $(Self::$variant(array) => TensorView::$variant(array.view())),*
                }
            }
        }

        $(
            impl super::dtype::Erase for $scalar {
                fn erase(array: ArrayD<Self>) -> Tensor {
                    Tensor::$variant(array)
                }

                fn erase_view(view: ArrayViewD<'_, Self>) -> TensorView<'_> {
                    TensorView::$variant(view)
                }

                fn reveal(tensor: Tensor) -> Option<ArrayD<Self>> {
                    if let Tensor::$variant(array) = tensor { Some(array) } else { None }
                }
            }

            impl<'a> From<ArrayViewD<'a, $scalar>> for TensorView<'a> {
                fn from(view: ArrayViewD<'a, $scalar>) -> Self {
                    Self::$variant(view)
                }
            }

            impl From<ArrayD<$scalar>> for Tensor {
                fn from(array: ArrayD<$scalar>) -> Self {
                    Self::$variant(array)
                }
            }
        )*
    };
}

tensors!(
    i8: I8, i16: I16, i32: I32, i64: I64, i128: I128, u8: U8, u16: U16, u32: U32, u64: U64, u128: U128, f32: F32,
    f64: F64, bool: Bool
);

impl TensorView<'_> {
    /// Element type and shape.
    pub fn tensor_type(&self) -> TensorType {
        TensorType { dtype: self.dtype(), shape: self.shape().to_vec() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor {
    /// Element type and shape.
    pub fn tensor_type(&self) -> TensorType {
        self.view().tensor_type()
    }

    /// The array, if its elements have this type.
    pub fn into_array<T: Scalar>(self) -> Option<ArrayD<T>> {
        T::reveal(self)
    }
}

impl Debug for TensorView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TensorView({})", self.tensor_type())
    }
}

impl Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({})", self.tensor_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr0, array};

    #[test]
    fn types_are_erased_and_recovered() {
        let tensor = Tensor::from(array![[1.5_f32, 2.0]].into_dyn());
        assert_eq!(tensor.tensor_type().to_string(), "f32[1,2]");
        assert_eq!((tensor.view().len(), tensor.view().is_empty()), (2, false));
        assert_eq!(tensor.clone().into_array::<f64>(), None);
        assert_eq!(tensor.into_array(), Some(array![[1.5_f32, 2.0]].into_dyn()));
        assert_eq!(Tensor::from(arr0(true).into_dyn()).tensor_type().to_string(), "bool");
    }

    #[test]
    fn elements_are_not_shown() {
        let secret = array![123_456_u64].into_dyn();
        let text = format!("{:?} {:?}", TensorView::from(secret.view()), Tensor::from(secret.clone()));
        assert_eq!(text, "TensorView(u64[1]) Tensor(u64[1])");
    }
}
