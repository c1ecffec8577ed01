//! Copied elements, in Rust types.

use cipherfold::{
    federated::tensor::{DType, Tensor, TensorView},
    ndarray::{ArrayD, ArrayView1, IxDyn},
};
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::kind::Kind;
use crate::error::Result;

macro_rules! elements {
    ($($variant:ident: $scalar:ty),*) => {
        /// Elements of one type, wiped when dropped.
        pub(crate) enum Elements {
            $($variant(Zeroizing<Vec<$scalar>>)),*
        }

        impl Elements {
            pub(crate) fn len(&self) -> usize {
                match self {
                    $(Self::$variant(values) => values.len()),*
                }
            }

            /// A view of the elements for the core.
            pub(crate) fn view(&self) -> TensorView<'_> {
                match self {
                    $(Self::$variant(values) => ArrayView1::from(values.as_slice()).into_dyn().into()),*
                }
            }

            /// The elements as a tensor of this shape.
            pub(crate) fn into_tensor(self, shape: &[usize]) -> Tensor {
                match self {
                    $(Self::$variant(mut values) => {
                        let values = core::mem::take(&mut *values);
                        ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many elements as the shape has").into()
                    }),*
                }
            }

            fn native(array: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Option<Self>> {
                Ok(match dtype {
                    $(DType::$variant => Some(Self::$variant(read(array)?)),)*
                    _ => None,
                })
            }
        }
    };
}

elements!(I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64, F32: f32, F64: f64);

impl Elements {
    /// Reads the elements of a one-dimensional array that has no other owner.
    pub(super) fn read(array: &Bound<'_, PyAny>, kind: Kind) -> Result<Self> {
        let widened = |widen: fn(u16) -> f32| -> PyResult<Self> {
            let bits = read::<u16>(array)?;
            Ok(Self::F32(Zeroizing::new(bits.iter().copied().map(widen).collect())))
        };
        Ok(match kind {
            Kind::Native(dtype) => Self::native(array, dtype)?.expect("a type that sources have"),
            Kind::Bool => Self::U8(read(array)?),
            Kind::F16 => widened(|bits| half::f16::from_bits(bits).to_f32())?,
            Kind::Bf16 => widened(|bits| f32::from_bits(u32::from(bits) << 16))?,
        })
    }
}

fn read<T: Element + Copy + Zeroize>(array: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<T>>> {
    let array = array.cast::<PyArray1<T>>()?.readonly();
    Ok(Zeroizing::new(array.as_slice()?.to_vec()))
}
