//! Sums, means and extremes in the clear, number by number.

use std::sync::Arc;

use ndarray::ArrayD;

use super::{
    Value,
    numeric::{Numeric, Total as _},
};
use crate::{
    federated::{
        Clients, Result, Server,
        computation::{erased::reveal, graph::Uses, operation::Transferable},
        tensor::{
            self, Scalar, Structure, TensorType, Tensors,
            tensors::Rebuild,
            weight::{divides, float_weight, quotient},
        },
    },
    packing::Float,
};

/// In the clear: **the server sees every client's value**
/// ([`Computation::leaks`](crate::federated::computation::Computation::leaks)).
///
/// Numbers are combined element by element, in the clients' order, so results are the same in every
/// run. All clients' values must have the same structure ([`tensor::Error::StructureMismatch`]).
impl<T: Send + Sync + 'static> Value<T, Clients> {
    /// The sum over all clients (TFF's `federated_sum`).
    ///
    /// Integers are summed exactly, in a type wide enough where TFF would wrap: `i64` and `u64` for
    /// those of up to 32 bits, `i128` and `u128` for those of 64. Floating-point numbers are summed
    /// as `f64`, and rounded to their type in the end.
    pub fn sum<R>(&self) -> Value<R, Server>
    where
        T: Tensors<Scalar: Numeric, With<<<T as Tensors>::Scalar as Numeric>::Sum> = R> + Transferable,
    {
        let sum = Combination {
            parts: alone,
            lift: |x: T::Scalar, _| x.to_total(),
            join: T::Scalar::add,
            check: |_| Ok(()),
            report: |total, _| Ok(T::Scalar::to_sum(total)),
        };
        sum.of(self, "sum")
    }

    /// The minimum of all clients' numbers, element by element (TFF's `federated_min`). NaN stays
    /// NaN.
    pub fn min<R>(&self) -> Value<R, Server>
    where
        T: Tensors<Scalar: Numeric, With<<T as Tensors>::Scalar> = R> + Transferable,
    {
        self.extreme("min", |a, b| b < a)
    }

    /// The maximum of all clients' numbers, element by element (TFF's `federated_max`). NaN stays
    /// NaN.
    pub fn max<R>(&self) -> Value<R, Server>
    where
        T: Tensors<Scalar: Numeric, With<<T as Tensors>::Scalar> = R> + Transferable,
    {
        self.extreme("max", |a, b| b > a)
    }

    fn extreme(
        &self,
        name: &'static str,
        gives_way: fn(T::Scalar, T::Scalar) -> bool,
    ) -> Value<T::With<T::Scalar>, Server>
    where
        T: Tensors<Scalar: Numeric> + Transferable,
    {
        let extreme = Combination {
            parts: alone,
            lift: |x, _| x,
            join: move |a: T::Scalar, b: T::Scalar| {
                if !a.is_nan() && (b.is_nan() || gives_way(a, b)) { b } else { a }
            },
            check: |_| Ok(()),
            report: |x, _| Ok(x),
        };
        extreme.of(self, name)
    }
}

/// In the clear: **the server sees every client's value**
/// ([`Computation::leaks`](crate::federated::computation::Computation::leaks)).
impl<T: Send + Sync + 'static> Value<T, Clients> {
    /// The mean over all clients (TFF's `federated_mean`), computed as `f64` and then rounded.
    ///
    /// A mean that is not finite ends the run with [`tensor::Error::NotFiniteSum`]: a client's
    /// number is not finite, or the sum of `f64` overflows. A run has at least one client, so the
    /// mean never divides by zero.
    pub fn mean<R>(&self) -> Value<R, Server>
    where
        T: Tensors<Scalar: Float, With<<T as Tensors>::Scalar> = R> + Transferable,
    {
        let mean = Combination {
            parts: alone,
            lift: |x: T::Scalar, _| x.to_f64(),
            join: |a, b| a + b,
            check: |_| Ok(()),
            report: |total, clients| quotient(total, clients, false).map(<T::Scalar as Float>::from_f64),
        };
        mean.of(self, "mean")
    }

    /// The mean with weights, `Σ wᵢ·xᵢ / Σ wᵢ` (TFF's `federated_mean` with a weight), computed as
    /// `f64` and then rounded.
    ///
    /// Weights are integers of up to 32 bits or floating-point numbers. A weight that is negative
    /// or not finite is refused at its client with [`tensor::Error::Weight`]. A weight below 2⁻¹⁰⁰
    /// counts as zero. If all weights are zero, the run ends with
    /// [`tensor::Error::ZeroTotalWeight`]; TFF's mean is then not a number. A mean that is not
    /// finite ends the run with [`tensor::Error::NotFiniteSum`].
    pub fn weighted_mean<W, R>(&self, weights: &Value<W, Clients>) -> Value<R, Server>
    where
        T: Tensors<Scalar: Float, With<<T as Tensors>::Scalar> = R> + Transferable + Clone,
        W: Copy + Into<f64> + Send + Sync + 'static,
    {
        self.weighted_in_the_clear(weights, "weighted_mean", divides_or_fails, |total, weight| {
            quotient(total, weight, false).map(<T::Scalar as Float>::from_f64)
        })
    }

    /// The same, but the mean is zero if all weights are zero (TFF: `no_nan_division`).
    pub fn weighted_mean_no_nan<W, R>(&self, weights: &Value<W, Clients>) -> Value<R, Server>
    where
        T: Tensors<Scalar: Float, With<<T as Tensors>::Scalar> = R> + Transferable + Clone,
        W: Copy + Into<f64> + Send + Sync + 'static,
    {
        self.weighted_in_the_clear(
            weights,
            "weighted_mean_no_nan",
            |_| Ok(()),
            |total, weight| quotient(total, weight, true).map(<T::Scalar as Float>::from_f64),
        )
    }

    fn weighted_in_the_clear<W>(
        &self,
        weights: &Value<W, Clients>,
        name: &'static str,
        check: fn(f64) -> Result<(), tensor::Error>,
        report: fn(f64, f64) -> Result<T::Scalar, tensor::Error>,
    ) -> Value<T::With<T::Scalar>, Server>
    where
        T: Tensors<Scalar: Float> + Transferable + Clone,
        W: Copy + Into<f64> + Send + Sync + 'static,
    {
        let weights = Value::local("weights", Uses::Values, vec![weights.node()], |values, _| {
            Ok(float_weight((*reveal::<W>(&values[0])).into())?)
        });
        let (parts, join) = (weighted, |a, b| a + b);
        let lift = |x: T::Scalar, weight| x.to_f64() * weight;
        Combination { parts, lift, join, check, report }.of(&self.zip(&weights), name)
    }
}

/// Refuses a total weight of zero, even if there are no numbers to divide.
fn divides_or_fails(total: f64) -> Result<(), tensor::Error> {
    divides(total, false).map(drop)
}

fn alone<T>(value: &T) -> (&T, f64) {
    (value, 1.0)
}

fn weighted<T>((value, weight): &(T, f64)) -> (&T, f64) {
    (value, *weight)
}

/// How tensors of all clients become tensors at the server, element by element.
struct Combination<X, T, Lift, Join, Report> {
    /// A client's tensors, and their weight.
    parts: fn(&X) -> (&T, f64),
    /// Turns one element and the weight into the form that is combined.
    lift: Lift,
    /// Combines two of these.
    join: Join,
    /// Checks that there is a result for this total weight.
    check: fn(f64) -> Result<(), tensor::Error>,
    /// Makes the server's result from the combined form and the total weight.
    report: Report,
}

/// The combination so far.
struct Combined<T: Tensors, A, O: Scalar> {
    structure: Structure<TensorType>,
    rebuild: Rebuild<O, T::With<O>>,
    tensors: Vec<ArrayD<A>>,
    weight: f64,
}

/// Combines the results of two groups of clients.
type JoinAll<T, A, O> =
    dyn Fn(Combined<T, A, O>, &Combined<T, A, O>) -> Result<Combined<T, A, O>, tensor::Error> + Send + Sync;

impl<X: Transferable, T: Tensors + 'static, Lift, Join, Report> Combination<X, T, Lift, Join, Report> {
    fn of<A, O>(self, values: &Value<X, Clients>, name: &'static str) -> Value<T::With<O>, Server>
    where
        A: Copy + Send + Sync + 'static,
        O: Scalar,
        Lift: Fn(T::Scalar, f64) -> A + Send + Sync + 'static,
        Join: Fn(A, A) -> A + Send + Sync + 'static,
        Report: Fn(A, f64) -> Result<O, tensor::Error> + Send + Sync + 'static,
    {
        let Self { parts, lift, join, check, report } = self;
        let join: Arc<JoinAll<T, A, O>> = Arc::new(move |mut a, b| {
            if a.structure != b.structure {
                let [expected, found] = [&a, b].map(|x| x.structure.to_string());
                return Err(tensor::Error::StructureMismatch { expected, found });
            }
            for (a, b) in a.tensors.iter_mut().zip(&b.tensors) {
                a.zip_mut_with(b, |a, b| *a = join(*a, *b));
            }
            a.weight += b.weight;
            Ok(a)
        });
        let merge = Arc::clone(&join);
        values.federated_aggregate(
            name,
            || None,
            move |combined, value| {
                let (tensors, weight) = parts(&value);
                let next = Combined {
                    structure: tensors.structure()?,
                    rebuild: tensors.rebuilder(),
                    tensors: tensors.tensors().iter().map(|view| view.mapv(|x| lift(x, weight))).collect(),
                    weight,
                };
                match combined {
                    None => Ok(Some(next)),
                    Some(combined) => Ok(Some(join(combined, &next)?)),
                }
            },
            move |a, b| match (a, b) {
                (Some(a), Some(b)) => Ok(Some(merge(a, &b)?)),
                (a, b) => Ok(a.or(b)),
            },
            move |combined| {
                let Combined { rebuild, tensors, weight, .. } = combined.expect("a round has a participant");
                check(weight)?;
                let tensors: Vec<ArrayD<O>> = tensors
                    .into_iter()
                    .map(|tensor| reported(tensor, |x| report(x, weight)))
                    .collect::<Result<_, tensor::Error>>()?;
                Ok(rebuild(&mut tensors.into_iter()))
            },
        )
    }
}

/// Applies a function that may fail to each element of a tensor.
fn reported<A, O, E>(tensor: ArrayD<A>, report: impl Fn(A) -> Result<O, E>) -> Result<ArrayD<O>, E> {
    let shape = tensor.raw_dim();
    let elements = tensor.into_iter().map(report).collect::<Result<_, E>>()?;
    Ok(ArrayD::from_shape_vec(shape, elements).expect("the number of elements has not changed"))
}
