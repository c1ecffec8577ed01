//! Elements that can be summed in the clear.

use crate::{
    federated::tensor::Scalar,
    packing::{Float, Integer},
};

/// An element that can be summed in the clear: `i8` to `i64`, `u8` to `u64`, `f32` and `f64`.
///
/// Sealed.
///
/// ```
/// use cipherfold::federated::{Clients, Server, computation::{Value, Numeric}};
/// use ndarray::Array1;
///
/// /// The sum of arrays of any numbers. **The server sees every client's array.**
/// fn plain_sum<T: Numeric>(values: &Value<Array1<T>, Clients>) -> Value<Array1<T::Sum>, Server> {
///     values.sum()
/// }
///
/// let counts = plain_sum(&Value::<Array1<u8>, Clients>::input("counts")); // of `Array1<u64>`
/// let losses = plain_sum(&Value::<Array1<f32>, Clients>::input("losses")); // of `Array1<f32>`
/// ```
#[diagnostic::on_unimplemented(
    message = "elements of type `{Self}` have no sum in the clear",
    note = "integers of 8 to 64 bits and floating-point numbers have one"
)]
pub trait Numeric: Total<Result = <Self as Numeric>::Sum> {
    /// The element type of a sum: 64 bits for integers of up to 32 bits, 128 bits for those of 64
    /// bits, and the same type for floating-point numbers.
    type Sum: Scalar;
}

/// The arithmetic of sums in the clear.
pub trait Total: Scalar {
    /// The element type of the result.
    type Result: Scalar;

    /// The type of the running total.
    type Total: Copy + Send + Sync + 'static;

    /// The number as a total.
    fn to_total(self) -> Self::Total;

    /// The sum of two totals.
    fn add(a: Self::Total, b: Self::Total) -> Self::Total;

    /// The total as a result.
    fn to_sum(total: Self::Total) -> Self::Result;

    /// Whether this is not a number.
    fn is_nan(self) -> bool;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Numeric for $integer {
            type Sum = <$integer as Integer>::Sum;
        }

        impl Total for $integer {
            type Result = <$integer as Integer>::Sum;
            // Room for 2^63 numbers of 64 bits.
            type Total = i128;

            fn to_total(self) -> i128 {
                self.to_i128()
            }

            fn add(a: i128, b: i128) -> i128 {
                a + b
            }

            fn to_sum(total: i128) -> Self::Result {
                Self::sum_from_i128(total).expect("a sum of fewer than 2^32 numbers fits its type")
            }

            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}

macro_rules! floats {
    ($($float:ty),*) => {$(
        impl Numeric for $float {
            type Sum = $float;
        }

        impl Total for $float {
            type Result = $float;
            type Total = f64;

            fn to_total(self) -> f64 {
                self.into()
            }

            fn add(a: f64, b: f64) -> f64 {
                a + b
            }

            fn to_sum(total: f64) -> $float {
                Float::from_f64(total)
            }

            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);
floats!(f32, f64);
