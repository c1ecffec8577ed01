//! Operations from the clients to the server under encryption: the server sees a sum or a mean, and
//! which clients took part.

use super::Value;
use crate::{
    federated::{
        Clients, Result, Server,
        computation::{graph::Operation, operation::SecureAggregate},
        tensor::{Codec, MaxWeight, PerTensor, Summand, Tensors},
    },
    packing::{IntegerRange, Modular, Quantized, QuantizedSum, Quantizer},
};

/// The structure `T`, with the codec's output as elements.
type Decoded<T, C> = <T as Tensors>::With<<C as Codec<<T as Tensors>::Scalar>>::Output>;

/// Under encryption: the server sees the sum or mean over all clients that take part, and nothing
/// else of their values.
///
/// All operations that can run together share one round of the protocol.
/// ([`LocalExecutor::secure_sum`](crate::federated::LocalExecutor::secure_sum) is a round with one
/// operation.) Parameters are public: one for all tensors of a client's value, or one for each. The
/// structure of the values is public, too. It must be [declared](Self::declare) unless the type
/// fixes it. A result, of type `R`, has the structure of the clients' values.
///
/// ```
/// use cipherfold::federated::{Clients, LocalExecutor, computation::{Computation, Inputs, Value}};
/// use cipherfold::{packing::{IntegerRange, Quantizer}, paillier::Bits2048};
/// use ndarray::{Array1, array};
///
/// let updates = Value::<Array1<f32>, Clients>::input("updates");
/// let examples = Value::<u32, Clients>::input("examples");
/// let updates = updates.declare_like(&Array1::<f32>::zeros(2))?; // the structure of all updates
/// let mean = updates.secure_weighted_mean(&examples, 1000, Quantizer::symmetric(1.0, 16)?);
/// let total = examples.secure_sum(IntegerRange::up_to(1000));
/// let computation = Computation::new((mean, total, updates.secure_count())).secure_only()?;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let inputs = Inputs::new()
///     .clients(&updates, [array![1.0, 0.5], array![-1.0, 0.5]])
///     .clients(&examples, [10, 30]);
/// let (mean, total, count) = executor.run(&computation, inputs)?.value;
/// assert!((mean - array![-0.5, 0.5]).iter().all(|error| error.abs() < 0.001));
/// assert_eq!((total, count), (40, 2));
/// # Ok::<(), cipherfold::Error>(())
/// ```
impl<T: Send + Sync + 'static> Value<T, Clients> {
    /// The exact sum of integers, in a type that is wide enough. A value outside its range is
    /// refused at its client with
    /// [`packing::Error::ValueOutOfRange`](crate::packing::Error::ValueOutOfRange).
    pub fn secure_sum<R>(&self, ranges: impl Into<PerTensor<IntegerRange>>) -> Value<R, Server>
    where
        T: Tensors<With<<IntegerRange as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        IntegerRange: Codec<T::Scalar>,
    {
        self.secure("secure_sum", ranges.into())
    }

    /// The same, for a result that is sized for a maximum number of clients. If more clients take
    /// part, the run ends with
    /// [`round::Error::MoreClientsThanExpected`](crate::federated::round::Error::MoreClientsThanExpected)
    /// before anything is decrypted.
    pub(in crate::federated) fn secure_sum_of_at_most(
        &self,
        max_clients: Option<u32>,
        range: IntegerRange,
    ) -> Value<Decoded<T, IntegerRange>, Server>
    where
        T: Tensors,
        IntegerRange: Codec<T::Scalar>,
    {
        let sum = SecureAggregate::<T, PerTensor<IntegerRange>, _> {
            name: "secure_sum",
            codecs: Some(range.into()),
            max_weight: None,
            max_clients,
            report: |sum, _| sum,
        };
        Value::of(vec![self.node()], Operation::Secure(Box::new(sum)))
    }

    /// The exact sum of integers from 0 to 2^`bits` − 1 (TFF's `federated_secure_sum_bitwidth`).
    ///
    /// # Errors
    ///
    /// [`packing::Error::IntegerBits`](crate::packing::Error::IntegerBits).
    pub fn secure_sum_bitwidth<R>(&self, bits: u32) -> Result<Value<R, Server>>
    where
        T: Tensors<With<<IntegerRange as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        IntegerRange: Codec<T::Scalar>,
    {
        Ok(self.secure("secure_sum_bitwidth", PerTensor::All(IntegerRange::unsigned_bits(bits)?)))
    }

    /// The exact sum of integers from 0 to `max_input` (TFF's `federated_secure_sum`).
    pub fn secure_sum_up_to<R>(&self, max_input: u64) -> Value<R, Server>
    where
        T: Tensors<With<<IntegerRange as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        IntegerRange: Codec<T::Scalar>,
    {
        self.secure("secure_sum_up_to", PerTensor::All(IntegerRange::up_to(max_input)))
    }

    /// The residue of the sum (TFF's `federated_secure_modular_sum`). Clients send residues, so the
    /// server sees the sum of the residues, which reveals slightly more than its own residue.
    pub fn secure_modular_sum<R>(&self, moduli: impl Into<PerTensor<Modular>>) -> Value<R, Server>
    where
        T: Tensors<With<<Modular as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        Modular: Codec<T::Scalar>,
    {
        self.secure("secure_modular_sum", moduli.into())
    }

    /// The sum of numbers that are clipped and rounded to 2³² levels (TFF's
    /// `secure_quantized_sum`). For floating-point numbers,
    /// [`secure_aggregate`](Self::secure_aggregate) with a [`FloatSum`](crate::federated::tensor::FloatSum)
    /// has a stated number of bits.
    pub fn secure_quantized_sum<R>(
        &self,
        bounds: impl Into<PerTensor<QuantizedSum<T::Scalar>>>,
    ) -> Value<R, Server>
    where
        T: Tensors<
                Scalar: Quantized,
                With<<QuantizedSum<<T as Tensors>::Scalar> as Codec<<T as Tensors>::Scalar>>::Output> = R,
            >,
        QuantizedSum<T::Scalar>: Codec<T::Scalar>,
    {
        self.secure("secure_quantized_sum", bounds.into())
    }

    /// The same between bounds that the server holds: a lower and an upper one for all tensors, for
    /// example learned in an earlier round. The round declares them to the clients.
    ///
    /// Bounds that [`QuantizedSum::new`] refuses end the run with its error, before any client
    /// works.
    pub fn secure_quantized_sum_between<R>(
        &self,
        bounds: &Value<(T::Scalar, T::Scalar), Server>,
    ) -> Value<R, Server>
    where
        T: Tensors<
                Scalar: Quantized,
                With<<QuantizedSum<<T as Tensors>::Scalar> as Codec<<T as Tensors>::Scalar>>::Output> = R,
            >,
        QuantizedSum<T::Scalar>: Codec<T::Scalar>,
        R: Send + Sync + 'static,
    {
        let codecs =
            bounds.fallible("bounds", |&(lower, upper)| Ok(PerTensor::All(QuantizedSum::new(lower, upper)?)));
        self.secure_by("secure_quantized_sum", &codecs)
    }

    /// The sum with codecs that the server holds. The round declares them to the clients.
    pub(in crate::federated) fn secure_by<C>(
        &self,
        name: &'static str,
        codecs: &Value<C, Server>,
    ) -> Value<T::Output, Server>
    where
        T: Summand<C>,
        C: Send + Sync + 'static,
    {
        let sum = SecureAggregate::<T, C, _> {
            name,
            codecs: None,
            max_weight: None,
            max_clients: None,
            report: |sum, _| sum,
        };
        Value::of(vec![self.node(), codecs.node()], Operation::Secure(Box::new(sum)))
    }

    /// The mean of floating-point numbers, clipped and rounded by quantizers.
    pub fn secure_mean<R>(&self, quantizers: impl Into<PerTensor<Quantizer>>) -> Value<R, Server>
    where
        T: Tensors<With<<Quantizer as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        Quantizer: Codec<T::Scalar>,
    {
        self.secure("secure_mean", quantizers.into())
    }

    /// The mean with integer weights, `Σ wᵢ·xᵢ / Σ wᵢ`. The server also sees the total weight.
    ///
    /// A weight above `max_weight` is refused at its client with
    /// [`round::Error::WeightTooLarge`](crate::federated::round::Error::WeightTooLarge). If all
    /// weights are zero, the run ends with
    /// [`tensor::Error::ZeroTotalWeight`](crate::federated::tensor::Error::ZeroTotalWeight) in an
    /// [`Error::RoundFailed`](crate::federated::Error::RoundFailed), unless
    /// [`MaxWeight::no_nan_division`] defines the mean as zero for this case. The mean leaves the
    /// range of the clients' clipped values by at most [`Quantizer::error_bound`].
    pub fn secure_weighted_mean<R>(
        &self,
        weights: &Value<u32, Clients>,
        max_weight: impl Into<MaxWeight>,
        quantizers: impl Into<PerTensor<Quantizer>>,
    ) -> Value<R, Server>
    where
        T: Tensors<With<<Quantizer as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        Quantizer: Codec<T::Scalar>,
        R: Send + Sync + 'static,
    {
        self.weighted("secure_weighted_mean", (weights, max_weight.into()), quantizers.into(), |mean, _| mean)
    }

    /// The same, with the total weight.
    pub fn secure_weighted_mean_with_total<R>(
        &self,
        weights: &Value<u32, Clients>,
        max_weight: impl Into<MaxWeight>,
        quantizers: impl Into<PerTensor<Quantizer>>,
    ) -> Value<(R, u64), Server>
    where
        T: Tensors<With<<Quantizer as Codec<<T as Tensors>::Scalar>>::Output> = R>,
        Quantizer: Codec<T::Scalar>,
        R: Send + Sync + 'static,
    {
        let name = "secure_weighted_mean_with_total";
        self.weighted(name, (weights, max_weight.into()), quantizers.into(), |mean, total| (mean, total))
    }

    /// The sums of values whose members have different element types and codecs. The codec of each
    /// member determines its result: for example an exact sum for one member, and a mean for
    /// another. See [`Summand`] for the types of `codecs`.
    ///
    /// ```
    /// use cipherfold::federated::{Clients, LocalExecutor, computation::{Computation, Inputs, Value}};
    /// use cipherfold::{packing::{IntegerRange, Quantizer}, paillier::Bits2048};
    /// use ndarray::{Array1, array};
    ///
    /// let metrics = Value::<(Array1<f32>, u32), Clients>::input("losses and examples");
    /// let metrics = metrics.declare_like(&(Array1::<f32>::zeros(2), 0_u32))?; // the structure of all metrics
    /// let codecs = (Quantizer::new(0.0, 10.0, 16)?, IntegerRange::up_to(1000));
    /// let computation = Computation::new(metrics.secure_aggregate(codecs)).secure_only()?;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let inputs = Inputs::new().clients(&metrics, [(array![0.5, 1.5], 30), (array![1.5, 2.5], 12)]);
    /// let (losses, examples) = executor.run(&computation, inputs)?.value;
    /// assert!((losses - array![1.0, 2.0]).iter().all(|error| error.abs() < 0.001));
    /// assert_eq!(examples, 42);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn secure_aggregate<C>(&self, codecs: C) -> Value<T::Output, Server>
    where
        T: Summand<C>,
        C: Send + Sync + 'static,
    {
        self.secure("secure_aggregate", codecs)
    }

    /// The same with integer weights: each client multiplies all its values by its weight. Means
    /// are `Σ wᵢ·xᵢ / Σ wᵢ`, sums are `Σ wᵢ·xᵢ`. The server also sees the total weight.
    ///
    /// Weights are as in [`secure_weighted_mean`](Self::secure_weighted_mean).
    pub fn secure_weighted_aggregate<C>(
        &self,
        weights: &Value<u32, Clients>,
        max_weight: impl Into<MaxWeight>,
        codecs: C,
    ) -> Value<T::Output, Server>
    where
        T: Summand<C>,
        C: Send + Sync + 'static,
    {
        let weights = (weights, max_weight.into());
        self.weighted("secure_weighted_aggregate", weights, codecs, |sum, _| sum)
    }

    fn weighted<C, R: Send + Sync + 'static>(
        &self,
        name: &'static str,
        (weights, max_weight): (&Value<u32, Clients>, MaxWeight),
        codecs: C,
        report: fn(T::Output, u64) -> R,
    ) -> Value<R, Server>
    where
        T: Summand<C>,
        C: Send + Sync + 'static,
    {
        let codecs = Some(codecs);
        let max_weight = Some(max_weight);
        let sum = SecureAggregate::<T, _, _> { name, codecs, max_weight, max_clients: None, report };
        Value::of(vec![self.node(), weights.node()], Operation::Secure(Box::new(sum)))
    }

    fn secure<C>(&self, name: &'static str, codecs: C) -> Value<T::Output, Server>
    where
        T: Summand<C>,
        C: Send + Sync + 'static,
    {
        let sum = SecureAggregate::<T, _, _> {
            name,
            codecs: Some(codecs),
            max_weight: None,
            max_clients: None,
            report: |sum, _| sum,
        };
        Value::of(vec![self.node()], Operation::Secure(Box::new(sum)))
    }

    /// The number of clients that take part: a secure sum of ones.
    pub fn secure_count(&self) -> Value<u64, Server> {
        self.map(|_| 1_u32).secure("secure_count", PerTensor::All(IntegerRange::up_to(1)))
    }
}
