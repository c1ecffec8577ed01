//! One tensor of an update with its codec: what the rounds of the protocol work on, whatever the types.

use core::{any::Any, marker::PhantomData, ops::Deref};

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Codec, PerTensor, Scalar, Tensors, codec::at};
use crate::Result;

/// One tensor of a client's update with its codec, both hidden.
pub(super) trait Column: Send + Sync {
    fn len(&self) -> usize;
    fn value_bits(&self) -> u32;
    /// Whether all elements can be encoded.
    fn check(&self) -> Result<()>;
    /// Encodes elements from the given one on and returns how many were clipped.
    fn encode(&self, from: usize, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize>;
    fn decoder(&self) -> Box<dyn Decode>;
}

/// Collects a tensor's elements from the sums of its slots.
pub(super) trait Decode: Send {
    /// Decodes further sums. `Err(i)` if the i-th of them is out of range.
    fn push(&mut self, sums: &[u128], weight: u64) -> Result<(), usize>;
    fn finish(self: Box<Self>) -> Decoded;
}

/// A decoded tensor: its shape, and a `Vec` of its elements behind `Any`.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) shape: Vec<usize>,
    pub(super) values: Box<dyn Any + Send>,
}

/// All tensors of an update, in order, each with its codec.
///
/// # Errors
///
/// [`Error::ParameterCount`](crate::Error::ParameterCount),
/// [`Error::ParameterStructure`](crate::Error::ParameterStructure).
pub(super) fn columns<'a, U: Tensors + ?Sized, C: Codec<U::Scalar>>(
    update: &'a U,
    codecs: &PerTensor<C>,
) -> Result<Vec<Box<dyn Column + 'a>>> {
    let codecs = codecs.of(&update.structure())?;
    let column = |(view, codec): (ArrayViewD<'a, U::Scalar>, C)| -> Box<dyn Column + 'a> {
        Box::new(TensorColumn { shape: view.shape().to_vec(), values: RowMajor::of(&view), codec })
    };
    Ok(update.tensors().into_iter().zip(codecs).map(column).collect())
}

/// Puts decoded tensors together to the structure of an update.
#[expect(clippy::type_complexity, reason = "said in words it is shorter than with names")]
pub(super) fn assembler<U: Tensors + ?Sized, C: Codec<U::Scalar>>(
    update: &U,
) -> Box<dyn FnOnce(&mut dyn Iterator<Item = Decoded>) -> U::With<C::Output> + Send> {
    let rebuild = update.rebuilder::<C::Output>();
    Box::new(|decoded| {
        rebuild(&mut decoded.map(|Decoded { shape, values }| {
            let values: Vec<C::Output> = *values.downcast().expect("decoded by the codec that encoded");
            ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many elements as the shape has")
        }))
    })
}

struct TensorColumn<'a, T: Scalar, C> {
    shape: Vec<usize>,
    values: RowMajor<'a, T>,
    codec: C,
}

/// Values in row-major order, copied only if the array has another one. The copy is wiped.
enum RowMajor<'a, T: Scalar> {
    InPlace(&'a [T]),
    Copied(Zeroizing<Vec<T>>),
}

impl<'a, T: Scalar> RowMajor<'a, T> {
    fn of(view: &ArrayViewD<'a, T>) -> Self {
        if let Some(values) = view.to_slice() {
            return Self::InPlace(values);
        }
        // Room for all from the start: growing would leave copies behind.
        let mut values = Zeroizing::new(Vec::with_capacity(view.len()));
        values.extend(view.iter().copied());
        Self::Copied(values)
    }
}

impl<T: Scalar> Deref for RowMajor<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::InPlace(values) => values,
            Self::Copied(values) => values,
        }
    }
}

impl<T: Scalar, C: Codec<T>> Column for TensorColumn<'_, T, C> {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn value_bits(&self) -> u32 {
        self.codec.value_bits()
    }

    fn check(&self) -> Result<()> {
        self.codec.check(&self.values)
    }

    fn encode(&self, from: usize, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize> {
        let values = &self.values[from..from + out.len()];
        self.codec.encode(values, out, rng).map_err(|error| at(error, from))
    }

    fn decoder(&self) -> Box<dyn Decode> {
        let values = Vec::with_capacity(self.values.len());
        Box::new(Sums::<T, C> {
            shape: self.shape.clone(),
            codec: self.codec.clone(),
            values,
            element: PhantomData,
        })
    }
}

/// The elements so far of a tensor that is being decoded.
struct Sums<T: Scalar, C: Codec<T>> {
    shape: Vec<usize>,
    codec: C,
    values: Vec<C::Output>,
    element: PhantomData<fn() -> T>,
}

impl<T: Scalar, C: Codec<T>> Decode for Sums<T, C> {
    fn push(&mut self, sums: &[u128], weight: u64) -> Result<(), usize> {
        for (i, sum) in sums.iter().enumerate() {
            self.values.push(self.codec.decode(*sum, weight).ok_or(i)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Decoded {
        Decoded { shape: self.shape, values: Box::new(self.values) }
    }
}
