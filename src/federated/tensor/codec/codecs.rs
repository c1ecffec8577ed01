//! Codecs for tensors: one for all, one for each in order, or one for each by its place in the
//! structure.

use std::collections::BTreeMap;

use super::{Encoding, FloatSum, PerTensor};
use crate::{
    federated::tensor::Structure,
    packing::{IntegerRange, Modular, Quantized, QuantizedSum, Quantizer},
};

mod sealed {
    pub trait Sealed {}
}

/// Codecs of one type for one or many tensors, from which [`PerTensor`] is made.
///
/// | codecs | meaning |
/// | :-- | :-- |
/// | a codec: [`IntegerRange`], [`Quantizer`], [`FloatSum`], [`QuantizedSum`], [`Modular`], or an [`Encoding`] | the same for all tensors |
/// | a `Vec` or an array `[C; N]` of a codec | one for each tensor, in order |
/// | a `BTreeMap` or a [`Structure`] of a codec | one for each, with the names and the nesting of the tensors |
/// | [`PerTensor`] of a codec | any of these |
///
/// ```
/// use cipherfold::federated::tensor::{Codec, Codecs};
/// use cipherfold::federated::{LocalExecutor, Result};
/// use cipherfold::{packing::Quantizer, paillier::Bits2048};
/// use ndarray::{Array1, array};
///
/// /// Aggregates vectors, with one codec or with a list of one.
/// fn aggregate<C>(clients: &[Array1<f64>], codecs: C) -> Result<Array1<f64>>
/// where
///     C: Codecs<Codec: Codec<f64, Output = f64>> + Send + Sync,
/// {
///     let executor = LocalExecutor::<Bits2048>::builder().build()?;
///     Ok(executor.secure_aggregate(clients, codecs)?.value)
/// }
/// let clients = [array![0.5], array![-0.25]];
/// let mean = aggregate(&clients, [Quantizer::symmetric(1.0, 16)?])?;
/// assert!((mean[0] - 0.125).abs() < 1e-4);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec, or a list or map of codecs",
    note = "codecs are `IntegerRange`, `Modular`, `Quantizer`, `FloatSum` and `QuantizedSum`; `Encoding` is any of them as a value"
)]
pub trait Codecs: sealed::Sealed {
    /// The codec's type.
    type Codec: Clone;

    /// The same codecs as a value.
    #[doc(hidden)]
    fn per_tensor(&self) -> PerTensor<Self::Codec>;
}

macro_rules! codecs {
    ($([$($generics:tt)*] $codecs:ty => $codec:ty),* $(,)?) => {$(
        impl<$($generics)*> sealed::Sealed for $codecs {}

        impl<$($generics)*> Codecs for $codecs {
            type Codec = $codec;

            fn per_tensor(&self) -> PerTensor<$codec> {
                self.clone().into()
            }
        }
    )*};
}

codecs!(
    [] IntegerRange => IntegerRange,
    [] Modular => Modular,
    [] Quantizer => Quantizer,
    [] FloatSum => FloatSum,
    [T: Quantized + Clone] QuantizedSum<T> => QuantizedSum<T>,
    [] Encoding => Encoding,
    [C: Clone] PerTensor<C> => C,
    [C: Clone] Vec<C> => C,
    [C: Clone, const N: usize] [C; N] => C,
    [C: Clone] Structure<C> => C,
    [C: Clone] BTreeMap<String, C> => C,
);
