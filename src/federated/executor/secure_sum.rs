//! Secure sums and means: one round of the protocol.

use std::sync::{Mutex, PoisonError};

use chacha20::ChaCha20Rng;

use crate::federated::{
    LocalExecutor, Outcome, TensorInput,
    executor::{ClientTask, Contributor, ReportedSums, RoundRequest, SumDeclaration},
    round::{self, SumSpec, Update},
    tensor::{
        Codec, MaxWeight, PerTensor, Summand, Tensors,
        summand::{Assembler, assemble},
    },
};
#[cfg(doc)]
use crate::federated::{channel, tensor};
use crate::{
    federated::{Error, Result},
    packing::{IntegerRange, Quantizer},
    paillier::KeySize,
};

/// The element type of a client's item.
type Element<U> = <<U as TensorInput>::Update as Tensors>::Scalar;

/// A client's structure, with the codec's output as elements.
type Decoded<U, C> = <<U as TensorInput>::Update as Tensors>::With<<C as Codec<Element<U>>>::Output>;

impl<S: KeySize> LocalExecutor<S> {
    /// The sum over all clients of their integers. No party sees a single client's values.
    ///
    /// Every client's values must lie in `ranges`: one [`IntegerRange`] for all tensors, or one for
    /// each (see [`PerTensor`]). The narrower the range, the more values share a ciphertext. Sums
    /// are exact, in a type that is wide enough: `i64` for `i8` to `i32`, `u64` for `u8` to `u32`,
    /// `i128` and `u128` for `i64` and `u64`.
    ///
    /// `clients` yields the updates, one [item](crate::federated::IntoInput) for each client. Items
    /// are taken one at a time as clients begin to work, so a lazy iterator keeps only few of them
    /// in memory.
    ///
    /// The first update determines the structure of the tensors, and all others must have the same.
    /// This is a convenience of the simulation, whose caller owns all updates. A
    /// [`Computation`](crate::federated::computation::Computation) has [declared
    /// structures](crate::federated::computation::Value::declare).
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
    /// use ndarray::{arr0, array};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// // Two tensors each: counts of 8 bits, and a balance of 32.
    /// let clients = (0..5i32).map(|i| [array![i, i + 1].into_dyn(), arr0(-1_000_000 * i).into_dyn()]);
    /// let ranges = [IntegerRange::unsigned_bits(8)?, IntegerRange::signed_bits(32)?];
    /// let sum = executor.secure_sum(clients, ranges)?;
    /// assert_eq!(sum.value[0], array![10, 15].into_dyn());
    /// assert_eq!(sum.value[1], arr0(-10_000_000).into_dyn());
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoClients`], [`Error::ClientCount`], [`Error::UnknownClientCount`],
    /// [`tensor::Error::ParameterCount`], [`tensor::Error::ParameterStructure`]; those of
    /// [`Layout::new`](crate::packing::Layout::new); [`channel::Error::MissingChannel`], before any
    /// client works; [`Error::Cancelled`].
    ///
    /// [`Error::Client`] with the number of the first client that could not contribute (a value out
    /// of range, a structure that differs from the first client's).
    ///
    /// Nothing is decrypted unless all clients contributed, or at least
    /// [`min_clients`](crate::federated::LocalExecutorBuilder::min_clients) of them
    /// ([`round::Error::TooFewClients`]). Later failures give [`Error::RoundFailed`], for example
    /// with [`round::Error::SumOutOfRange`] as its source.
    pub fn secure_sum<I>(
        &self,
        clients: I,
        ranges: impl Into<PerTensor<IntegerRange>>,
    ) -> Result<Outcome<Decoded<I::Item, IntegerRange>>>
    where
        I: IntoIterator<Item: TensorInput<Update: Tensors>, IntoIter: Send>,
        IntegerRange: Codec<Element<I::Item>>,
    {
        self.one_round(clients.into_iter().map(|update| (1, update)), &ranges.into(), None)
    }

    /// The mean over all clients of their floating-point numbers. No party sees a single client's
    /// values.
    ///
    /// `quantizers` clip and round the values: one [`Quantizer`] for all tensors, or one for each.
    /// The rounded values are summed exactly. The mean is within [`Quantizer::error_bound`] of the
    /// mean of the clipped values, and is then rounded to the type of the input. The report counts
    /// clipped values. As in [`secure_sum`](Self::secure_sum), the first update determines the
    /// structure.
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::Quantizer, paillier::Bits2048};
    /// use ndarray::array;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let temperatures = [array![20.5f32], array![21.0], array![18.5]];
    /// let mean = executor.secure_mean(&temperatures, Quantizer::new(-50.0, 50.0, 16)?)?;
    /// assert!((mean.value[0] - 20.0).abs() < 0.001);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`secure_sum`](Self::secure_sum). NaN and infinity are refused like values out of
    /// range.
    pub fn secure_mean<I>(
        &self,
        clients: I,
        quantizers: impl Into<PerTensor<Quantizer>>,
    ) -> Result<Outcome<Decoded<I::Item, Quantizer>>>
    where
        I: IntoIterator<Item: TensorInput<Update: Tensors>, IntoIter: Send>,
        Quantizer: Codec<Element<I::Item>>,
    {
        self.one_round(clients.into_iter().map(|update| (1, update)), &quantizers.into(), None)
    }

    /// The mean with integer weights, `Σ wᵢ·xᵢ / Σ wᵢ`. No party sees a single client's update or
    /// weight.
    ///
    /// Each client multiplies its values by its weight, and adds its weight as a further value. The
    /// server learns the total weight. As in [`secure_sum`](Self::secure_sum), the first update
    /// determines the structure.
    ///
    /// `max_weight` is public: a larger weight is refused at the client, and a weight of zero is
    /// allowed. A total of zero is an error, unless [`MaxWeight::no_nan_division`] defines the mean
    /// as zero for this case.
    ///
    /// Weights and their products with rounded values are exact integers. So the mean leaves the
    /// range of the clients' clipped values by at most [`Quantizer::error_bound`].
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::Quantizer, paillier::Bits2048};
    /// use ndarray::array;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let clients = [(10, array![1.0f64]), (30, array![-1.0])]; // examples seen, update
    /// let mean = executor.secure_weighted_mean(clients, 1000, Quantizer::symmetric(1.0, 16)?)?;
    /// assert!((mean.value[0] + 0.5).abs() < 0.0001);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`secure_mean`](Self::secure_mean); [`round::Error::WeightTooLarge`] at a client;
    /// [`tensor::Error::ZeroTotalWeight`] in an [`Error::RoundFailed`].
    pub fn secure_weighted_mean<I, U>(
        &self,
        clients: I,
        max_weight: impl Into<MaxWeight>,
        quantizers: impl Into<PerTensor<Quantizer>>,
    ) -> Result<Outcome<Decoded<U, Quantizer>>>
    where
        I: IntoIterator<Item = (u32, U), IntoIter: Send>,
        U: TensorInput<Update: Tensors>,
        Quantizer: Codec<Element<U>>,
    {
        self.one_round(clients.into_iter(), &quantizers.into(), Some(max_weight.into()))
    }

    /// The sums of values whose members have different element types and codecs. The codec of each
    /// member determines its result: for example an exact sum for one member, and a mean for
    /// another. See [`Summand`] for the types of clients' values and `codecs`.
    ///
    /// As in [`secure_sum`](Self::secure_sum), the first update determines the structure.
    ///
    /// ```
    /// use cipherfold::federated::{LocalExecutor, tensor::{Encoding, Tensor}};
    /// use cipherfold::{packing::{IntegerRange, Quantizer}, paillier::Bits2048};
    /// use ndarray::{arr0, array};
    /// use std::collections::BTreeMap;
    ///
    /// // Parameters by name: weights, and a counter of batches.
    /// let state = |weight: f32, batches: i64| {
    ///     BTreeMap::from([
    ///         ("batches".to_owned(), Tensor::from(arr0(batches).into_dyn())),
    ///         ("weight".to_owned(), Tensor::from(array![weight, -weight].into_dyn())),
    ///     ])
    /// };
    /// let codecs = BTreeMap::from([
    ///     ("batches".to_owned(), Encoding::Integers(IntegerRange::up_to(1_000_000))),
    ///     ("weight".to_owned(), Encoding::Mean(Quantizer::symmetric(1.0, 16)?)),
    /// ]);
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let sum = executor.secure_aggregate([state(0.25, 100), state(0.75, 50)], codecs)?;
    /// assert_eq!(sum.value["batches"], Tensor::from(arr0(150_i128).into_dyn()));
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`secure_sum`](Self::secure_sum); [`round::Error::EncodingType`] for an
    /// [`Encoding`](crate::federated::tensor::Encoding) that does not support the elements of its
    /// tensor; [`tensor::Error::StructureMismatch`] if the first update does not have the members
    /// of its type.
    pub fn secure_aggregate<I, C>(
        &self,
        clients: I,
        codecs: C,
    ) -> Result<Outcome<<<I::Item as TensorInput>::Update as Summand<C>>::Output>>
    where
        I: IntoIterator<Item: TensorInput<Update: Summand<C>>, IntoIter: Send>,
        C: Send + Sync,
    {
        self.one_round(clients.into_iter().map(|update| (1, update)), &codecs, None)
    }

    /// The same with integer weights: each client multiplies all its values by its weight. Means
    /// are `Σ wᵢ·xᵢ / Σ wᵢ`, sums are `Σ wᵢ·xᵢ`.
    ///
    /// The server learns the total weight. Weights are as in
    /// [`secure_weighted_mean`](Self::secure_weighted_mean).
    ///
    /// # Errors
    ///
    /// Those of [`secure_aggregate`](Self::secure_aggregate); [`round::Error::WeightTooLarge`] at a
    /// client; [`tensor::Error::ZeroTotalWeight`] in an [`Error::RoundFailed`].
    pub fn secure_weighted_aggregate<I, U, C>(
        &self,
        clients: I,
        max_weight: impl Into<MaxWeight>,
        codecs: C,
    ) -> Result<Outcome<<U::Update as Summand<C>>::Output>>
    where
        I: IntoIterator<Item = (u32, U), IntoIter: Send>,
        U: TensorInput<Update: Summand<C>>,
        C: Send + Sync,
    {
        self.one_round(clients.into_iter(), &codecs, Some(max_weight.into()))
    }

    /// A round with one sum.
    fn one_round<U, C: Sync>(
        &self,
        clients: impl Iterator<Item = (u32, U)> + Send,
        codecs: &C,
        max_weight: Option<MaxWeight>,
    ) -> Result<Outcome<<U::Update as Summand<C>>::Output>>
    where
        U: TensorInput<Update: Summand<C>>,
    {
        let count = self.erased.client_count(clients.size_hint())?;
        let sum = SharedSum { max_weight, assembler: Mutex::default() };
        let declare = |updates: &[Update<'_>]| {
            let declared = |update: &Update<'_>| SumSpec::of::<U::Update, C>(update.structure(), codecs);
            let sums = updates.iter().map(declared).collect::<Result<Vec<_>, round::Error>>()?;
            Ok(sums.into_iter().map(|sum| sum.with_weights(max_weight)).collect())
        };
        let work = clients.map(|(weight, item)| {
            let client = SumTask::<_, C> { sum: &sum, weight, update: item.into_input() };
            Box::new(client) as Box<dyn ClientTask<'_> + '_>
        });
        let ReportedSums { mut sums, report } = self.erased.round(RoundRequest {
            clients: count,
            in_order: false,
            sums: SumDeclaration::LikeTheFirst(Box::new(declare)),
            work: Box::new(work),
        })?;
        let assembler = sum.assembler.into_inner().unwrap_or_else(PoisonError::into_inner);
        let assembler = assembler.expect("a client has contributed");
        let tensors = sums.pop().expect("the round has one sum").tensors;
        Ok(Outcome::new(assemble(assembler, tensors), (), vec![report]))
    }
}

/// The state that all clients of a sum share.
struct SharedSum<U: Summand<C>, C> {
    max_weight: Option<MaxWeight>,
    /// Builds the result with the structure of the first update.
    assembler: Mutex<Option<Assembler<U::Output>>>,
}

/// A client with its item.
struct SumTask<'a, U: Summand<C>, C> {
    sum: &'a SharedSum<U, C>,
    weight: u32,
    update: Result<Option<U>, String>,
}

impl<'a, U: Summand<C> + 'a, C: 'a> ClientTask<'a> for SumTask<'a, U, C> {
    fn start(self: Box<Self>, _: u32, _: &mut ChaCha20Rng) -> Result<Option<Box<dyn Contributor + 'a>>> {
        let Self { sum, weight, update } = *self;
        let Some(update) = update.map_err(|reason| Error::NoUpdate { reason })? else {
            return Ok(None);
        };
        let mut assembler = sum.assembler.lock().unwrap_or_else(PoisonError::into_inner);
        assembler.get_or_insert_with(|| update.assembler());
        drop(assembler);
        Ok(Some(Box::new(SumContributor { sum, weight, update })))
    }
}

/// A client's update, ready to be sent.
struct SumContributor<'a, U: Summand<C>, C> {
    sum: &'a SharedSum<U, C>,
    weight: u32,
    update: U,
}

impl<U: Summand<C>, C> Contributor for SumContributor<'_, U, C> {
    fn updates(&self) -> Result<Vec<Update<'_>>> {
        let update = Update::new(&self.update)?;
        Ok(vec![if self.sum.max_weight.is_some() { update.weighted(self.weight) } else { update }])
    }

    fn sent(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
