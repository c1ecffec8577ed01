//! What a client contributes: tensors, one or many, owned, borrowed or still to be made.

use core::{fmt::Display, ops::Deref};

use ndarray::{Array, ArrayBase, Data, Dimension, IxDyn};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    Error, Result,
    packing::{Float, Integer, IntegerRange, Quantizer},
};

mod sealed {
    pub trait Sealed {}
}

/// A number that can be summed securely: integers from `i8` to `u64` as they are, `f32` and `f64` through a
/// [`Quantizer`].
///
/// Sealed.
pub trait Element: sealed::Sealed + Copy + Zeroize + Send + Sync + 'static {
    /// How values become small integers: [`IntegerRange`] or [`Quantizer`].
    type Parameter: Parameter;

    /// What the server gets of them: a sum in a type wide enough, or a mean.
    type Output: Clone + Send + 'static;

    /// The type's name in messages.
    const NAME: &'static str;

    /// Whether all values can be encoded; the error names the first that cannot.
    #[doc(hidden)]
    fn check(values: &[Self], parameter: &Self::Parameter) -> Result<()>;

    /// Encodes values and returns how many were clipped.
    #[doc(hidden)]
    fn encode(
        values: &[Self],
        parameter: &Self::Parameter,
        out: &mut [u64],
        rng: &mut dyn CryptoRng,
    ) -> Result<usize>;

    /// What a slot's sum stands for, or `None` if that does not fit the type.
    #[doc(hidden)]
    fn decode(sum: u128, weight: u64, parameter: &Self::Parameter) -> Option<Self::Output>;
}

/// How the values of a tensor become small integers: [`IntegerRange`] or [`Quantizer`]. Sealed.
pub trait Parameter: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Bits of an encoded value.
    fn value_bits(&self) -> u32;

    /// The greatest encoded value.
    fn greatest_encoding(&self) -> u64;
}

impl sealed::Sealed for IntegerRange {}
impl Parameter for IntegerRange {
    fn value_bits(&self) -> u32 {
        IntegerRange::value_bits(self)
    }

    fn greatest_encoding(&self) -> u64 {
        u64::try_from(self.max() - self.min()).expect("a range spans at most 64 bits")
    }
}

impl sealed::Sealed for Quantizer {}
impl Parameter for Quantizer {
    fn value_bits(&self) -> u32 {
        self.bits()
    }

    fn greatest_encoding(&self) -> u64 {
        self.intervals()
    }
}

macro_rules! integer_elements {
    ($($integer:ty),*) => {$(
        impl sealed::Sealed for $integer {}
        impl Element for $integer {
            type Parameter = IntegerRange;
            type Output = <$integer as Integer>::Sum;
            const NAME: &'static str = <$integer as Integer>::NAME;

            fn check(values: &[Self], range: &IntegerRange) -> Result<()> {
                let mut scratch = Zeroizing::new([0; 256]);
                for (i, part) in values.chunks(scratch.len()).enumerate() {
                    range.encode(part, &mut scratch[..part.len()]).map_err(|error| at(error, i * 256))?;
                }
                Ok(())
            }

            fn encode(
                values: &[Self],
                range: &IntegerRange,
                out: &mut [u64],
                _: &mut dyn CryptoRng,
            ) -> Result<usize> {
                range.encode(values, out).map(|()| 0)
            }

            fn decode(sum: u128, weight: u64, range: &IntegerRange) -> Option<Self::Output> {
                Self::sum_from_i128(range.decode_sum(sum, weight))
            }
        }
    )*};
}

macro_rules! float_elements {
    ($($float:ty),*) => {$(
        impl sealed::Sealed for $float {}
        impl Element for $float {
            type Parameter = Quantizer;
            type Output = $float;
            const NAME: &'static str = <$float as Float>::NAME;

            fn check(values: &[Self], _: &Quantizer) -> Result<()> {
                let all_finite = values.iter().fold(true, |all, value| all & value.is_finite());
                if all_finite {
                    return Ok(());
                }
                let index = values.iter().position(|value| !value.is_finite());
                Err(Error::NotFinite { index: index.expect("one of them is not finite") })
            }

            fn encode(
                values: &[Self],
                quantizer: &Quantizer,
                out: &mut [u64],
                rng: &mut dyn CryptoRng,
            ) -> Result<usize> {
                quantizer.encode(values, out, rng)
            }

            fn decode(sum: u128, weight: u64, quantizer: &Quantizer) -> Option<Self::Output> {
                Some(Self::from_f64(quantizer.decode_mean(sum, weight)))
            }
        }
    )*};
}

integer_elements!(i8, i16, i32, i64, u8, u16, u32, u64);
float_elements!(f32, f64);

/// Moves the index in an error about a part to where the part begins.
fn at(error: Error, from: usize) -> Error {
    match error {
        Error::ValueOutOfRange { index, min, max } => {
            Error::ValueOutOfRange { index: from + index, min, max }
        }
        Error::NotFinite { index } => Error::NotFinite { index: from + index },
        other => other,
    }
}

/// One client's tensors.
///
/// An array of any [`Element`] and any number of dimensions (none and empty ones included), a `Vec` or an array of
/// such, or a reference to one. All clients of a run have the same tensors: as many, of the same shapes. Sealed.
pub trait Update: sealed::Sealed + Send + Sync {
    /// How values become small integers: [`IntegerRange`] or [`Quantizer`].
    type Parameter: Parameter;

    /// What comes back: the same structure with sums or means as elements.
    type Output: Send + 'static;

    /// All tensors, in order.
    #[doc(hidden)]
    fn leaves<'a>(&'a self, leaves: &mut Vec<Box<dyn Leaf<Self::Parameter> + 'a>>);

    /// Puts decoded tensors together to the structure of this update.
    #[doc(hidden)]
    fn assembler(&self) -> Assembler<Self::Output>;
}

/// Takes decoded tensors, in order, and builds what the caller gets.
#[doc(hidden)]
pub type Assembler<O> = Box<dyn FnOnce(&mut dyn Iterator<Item = Decoded>) -> O + Send>;

/// A decoded tensor: its shape, and a `Vec` of its elements behind `Any`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Decoded {
    pub(super) shape: Vec<usize>,
    pub(super) values: Box<dyn std::any::Any + Send>,
}

/// One tensor of an update, its element type hidden.
#[doc(hidden)]
pub trait Leaf<P>: Send + Sync {
    fn dtype(&self) -> &'static str;
    fn shape(&self) -> &[usize];
    fn len(&self) -> usize;
    fn check(&self, parameter: &P) -> Result<()>;
    fn encode(&self, from: usize, parameter: &P, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize>;
    fn decoder(&self, parameter: &P) -> Box<dyn Decode>;
}

/// Collects a tensor's elements from the sums of its slots.
#[doc(hidden)]
pub trait Decode: Send {
    /// Decodes further sums. `Err(i)` if the i-th of them is out of range.
    fn push(&mut self, sums: &[u128], weight: u64) -> Result<(), usize>;
    fn finish(self: Box<Self>) -> Decoded;
}

struct ArrayLeaf<'a, T: Element> {
    shape: Vec<usize>,
    values: RowMajor<'a, T>,
}

/// Values in row-major order, copied only if the array has another one. The copy is wiped.
enum RowMajor<'a, T: Element> {
    InPlace(&'a [T]),
    Copied(Zeroizing<Vec<T>>),
}

impl<T: Element> Deref for RowMajor<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::InPlace(values) => values,
            Self::Copied(values) => values,
        }
    }
}

impl<T: Element> Leaf<T::Parameter> for ArrayLeaf<'_, T> {
    fn dtype(&self) -> &'static str {
        T::NAME
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn check(&self, parameter: &T::Parameter) -> Result<()> {
        T::check(&self.values, parameter)
    }

    fn encode(
        &self,
        from: usize,
        parameter: &T::Parameter,
        out: &mut [u64],
        rng: &mut dyn CryptoRng,
    ) -> Result<usize> {
        T::encode(&self.values[from..from + out.len()], parameter, out, rng).map_err(|error| at(error, from))
    }

    fn decoder(&self, parameter: &T::Parameter) -> Box<dyn Decode> {
        let values = Vec::with_capacity(self.values.len());
        Box::new(Elements::<T> { shape: self.shape.clone(), parameter: *parameter, values })
    }
}

struct Elements<T: Element> {
    shape: Vec<usize>,
    parameter: T::Parameter,
    values: Vec<T::Output>,
}

impl<T: Element> Decode for Elements<T> {
    fn push(&mut self, sums: &[u128], weight: u64) -> Result<(), usize> {
        // What honest clients reach: below 2^127, as encodings have at most 64 bits and the total weight is at most 2^63.
        let greatest = u128::from(self.parameter.greatest_encoding()) * u128::from(weight);
        for (i, sum) in sums.iter().enumerate() {
            if *sum > greatest {
                return Err(i);
            }
            self.values.push(T::decode(*sum, weight, &self.parameter).ok_or(i)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Decoded {
        Decoded { shape: self.shape, values: Box::new(self.values) }
    }
}

impl<S: Data + Send + Sync, D: Dimension> sealed::Sealed for ArrayBase<S, D> {}

impl<S, D> Update for ArrayBase<S, D>
where
    S: Data + Send + Sync,
    S::Elem: Element,
    D: Dimension + 'static,
{
    type Parameter = <S::Elem as Element>::Parameter;
    type Output = Array<<S::Elem as Element>::Output, D>;

    fn leaves<'a>(&'a self, leaves: &mut Vec<Box<dyn Leaf<Self::Parameter> + 'a>>) {
        let values = if let Some(slice) = self.as_slice() {
            RowMajor::InPlace(slice)
        } else {
            // Room for all from the start: growing would leave copies behind.
            let mut values = Zeroizing::new(Vec::with_capacity(self.len()));
            values.extend(self.iter().copied());
            RowMajor::Copied(values)
        };
        leaves.push(Box::new(ArrayLeaf { shape: self.shape().to_vec(), values }));
    }

    fn assembler(&self) -> Assembler<Self::Output> {
        Box::new(|decoded| {
            let Decoded { shape, values } = decoded.next().expect("a decoded tensor for each of the update");
            let values = *values.downcast().expect("decoded as the element type that was encoded");
            Array::from_shape_vec(IxDyn(&shape), values)
                .expect("as many elements as the shape has")
                .into_dimensionality()
                .expect("as many dimensions as the update has")
        })
    }
}

impl<U: sealed::Sealed + ?Sized> sealed::Sealed for &U {}

impl<U: Update + ?Sized> Update for &U {
    type Parameter = U::Parameter;
    type Output = U::Output;

    fn leaves<'a>(&'a self, leaves: &mut Vec<Box<dyn Leaf<Self::Parameter> + 'a>>) {
        (**self).leaves(leaves);
    }

    fn assembler(&self) -> Assembler<Self::Output> {
        (**self).assembler()
    }
}

impl<U: sealed::Sealed> sealed::Sealed for [U] {}

impl<U: Update> Update for [U] {
    type Parameter = U::Parameter;
    type Output = Vec<U::Output>;

    fn leaves<'a>(&'a self, leaves: &mut Vec<Box<dyn Leaf<Self::Parameter> + 'a>>) {
        for update in self {
            update.leaves(leaves);
        }
    }

    fn assembler(&self) -> Assembler<Self::Output> {
        let assemblers: Vec<_> = self.iter().map(Update::assembler).collect();
        Box::new(|decoded| assemblers.into_iter().map(|assemble| assemble(decoded)).collect())
    }
}

macro_rules! like_a_slice {
    ($([$($generics:tt)*] $collection:ty),*) => {$(
        impl<$($generics)*> sealed::Sealed for $collection {}

        impl<$($generics)*> Update for $collection {
            type Parameter = U::Parameter;
            type Output = Vec<U::Output>;

            fn leaves<'a>(&'a self, leaves: &mut Vec<Box<dyn Leaf<Self::Parameter> + 'a>>) {
                self.as_slice().leaves(leaves);
            }

            fn assembler(&self) -> Assembler<Self::Output> {
                self.as_slice().assembler()
            }
        }
    )*};
}

like_a_slice!([U: Update] Vec<U>, [U: Update, const N: usize] [U; N]);

/// What an iterator over clients yields: an [`Update`], a `Result` with one where making it can fail, or an `Option` of either
/// where clients may drop out.
pub trait IntoUpdate: Send {
    /// The update.
    type Update: Update;

    /// The update, if the client has not dropped out.
    ///
    /// # Errors
    ///
    /// The text of whatever kept the client from making it.
    fn into_update(self) -> Result<Option<Self::Update>, String>;
}

impl<U: Update> IntoUpdate for U {
    type Update = U;

    fn into_update(self) -> Result<Option<U>, String> {
        Ok(Some(self))
    }
}

impl<U: Update, E: Display + Send> IntoUpdate for Result<U, E> {
    type Update = U;

    fn into_update(self) -> Result<Option<U>, String> {
        self.map(Some).map_err(|error| error.to_string())
    }
}

impl<U: IntoUpdate> IntoUpdate for Option<U> {
    type Update = U::Update;

    fn into_update(self) -> Result<Option<U::Update>, String> {
        self.map_or(Ok(None), IntoUpdate::into_update)
    }
}

/// One parameter for all tensors of an update, or one for each, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum PerTensor<P> {
    /// The same for all.
    All(P),
    /// One for each.
    Each(Vec<P>),
}

impl<P: Parameter> PerTensor<P> {
    pub(super) fn of(&self, tensors: usize) -> Result<Vec<P>> {
        match self {
            Self::All(parameter) => Ok(vec![*parameter; tensors]),
            Self::Each(parameters) if parameters.len() == tensors => Ok(parameters.clone()),
            Self::Each(parameters) => Err(Error::ParameterCount { tensors, found: parameters.len() }),
        }
    }
}

impl<P: Parameter> From<P> for PerTensor<P> {
    fn from(parameter: P) -> Self {
        Self::All(parameter)
    }
}

impl<P: Parameter> From<Vec<P>> for PerTensor<P> {
    fn from(parameters: Vec<P>) -> Self {
        Self::Each(parameters)
    }
}

impl<P: Parameter> From<&[P]> for PerTensor<P> {
    fn from(parameters: &[P]) -> Self {
        Self::Each(parameters.to_vec())
    }
}

impl<P: Parameter, const N: usize> From<[P; N]> for PerTensor<P> {
    fn from(parameters: [P; N]) -> Self {
        Self::Each(parameters.into())
    }
}
