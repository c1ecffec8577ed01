//! Integer tensors: their secure mean and maximum, both exact.

use cipherfold::{
    federated::{LocalExecutor, Outcome, report::Report},
    files::{self, IntegerType, UpdateFile},
    packing::IntegerRange,
    paillier::KeySize,
};
use ndarray::Array1;

use crate::maximum::secure_maximum;

/// Integer tensors of updates, by index.
pub(crate) struct Integers<'a> {
    pub(crate) models: &'a [UpdateFile],
    /// Indices of the tensors, and their types.
    pub(crate) tensors: Vec<(usize, IntegerType)>,
    /// A weight for each client.
    pub(crate) weights: Vec<u32>,
    /// Their public limit.
    pub(crate) max_weight: u32,
}

/// Values of all tensors, as distances from the minima of their types, and the reports of the
/// rounds.
pub(crate) type Found = (Vec<Array1<u64>>, Vec<Report>);

/// Values of 64 bits are sent in two parts, so that the product with a weight fits 64 bits.
const HALF_BITS: u32 = 32;

impl Integers<'_> {
    pub(crate) fn values(&self) -> usize {
        self.tensors.iter().map(|(place, _)| self.models[0].tensors()[*place].values()).sum()
    }

    /// A client's tensors.
    fn read(&self, client: usize) -> Result<Vec<Array1<u64>>, files::Error> {
        let model = &self.models[client];
        let mut reader = model.reader();
        let tensors = self.tensors.iter().map(|(place, _)| {
            let mut values = vec![0; model.tensors()[*place].values()];
            reader.read_integers(*place, 0, &mut values)?;
            Ok(values.into())
        });
        tensors.collect()
    }

    /// The weighted mean, rounded to the nearest integer, halves up.
    pub(crate) fn mean<S: KeySize>(
        &self,
        executor: &LocalExecutor<S>,
    ) -> cipherfold::federated::Result<Found> {
        let mut ranges = Vec::new();
        for (_, integer) in &self.tensors {
            let parts = integer.bits().div_ceil(HALF_BITS);
            let largest = (1 << integer.bits().min(HALF_BITS)) - 1;
            let range = IntegerRange::up_to(largest * u64::from(self.max_weight));
            ranges.extend((0..parts).map(|_| range));
        }
        let updates = self.weights.iter().enumerate().map(|(client, weight)| {
            let tensors = self.read(client)?;
            let parts = tensors.into_iter().zip(&self.tensors).flat_map(|(values, (_, integer))| {
                let weigh = |part: fn(u64) -> u64| values.mapv(|value| part(value) * u64::from(*weight));
                if integer.bits() > HALF_BITS {
                    vec![weigh(|value| value & u64::from(u32::MAX)), weigh(|value| value >> HALF_BITS)]
                } else {
                    vec![weigh(|value| value)]
                }
            });
            Ok::<_, files::Error>(parts.collect::<Vec<_>>())
        });
        let Outcome { value, rounds, .. } = executor.secure_sum(updates, ranges)?;
        let mut sums = value.into_iter();
        let mut next = || sums.next().expect("a sum for each part");
        let mean = self.tensors.iter().map(|(_, integer)| {
            let mut sum = next();
            if integer.bits() > HALF_BITS {
                // At most the total weight, below 2^63, times a value, below 2^64.
                sum.zip_mut_with(&next(), |low, high| *low += high << HALF_BITS);
            }
            sum.mapv(|sum| self.divided(sum))
        });
        Ok((mean.collect(), rounds))
    }

    fn total_weight(&self) -> u128 {
        self.weights.iter().map(|weight| u128::from(*weight)).sum()
    }

    fn divided(&self, sum: u128) -> u64 {
        let total = self.total_weight();
        let rounded = sum / total + u128::from(sum % total >= total.div_ceil(2));
        u64::try_from(rounded).expect("a mean of numbers of 64 bits")
    }

    /// The maximum of clients whose weight is not zero.
    pub(crate) fn maximum<S: KeySize>(
        &self,
        executor: &LocalExecutor<S>,
    ) -> cipherfold::federated::Result<Found> {
        let bits: Vec<u32> = self.tensors.iter().map(|(_, integer)| integer.bits()).collect();
        secure_maximum(executor, &self.weighted_clients(), &bits, |client| self.read(client))
    }

    fn weighted_clients(&self) -> Vec<usize> {
        (0..self.models.len()).filter(|client| self.weights[*client] > 0).collect()
    }

    /// The index of the first tensor that differs from the plain mean or maximum.
    pub(crate) fn differs(
        &self,
        found: &[Array1<u64>],
        is_mean: bool,
    ) -> Result<Option<usize>, files::Error> {
        let weighted = self.weighted_clients();
        for (number, (place, _)) in self.tensors.iter().enumerate() {
            let mut expected = vec![0_u128; found[number].len()];
            let mut values = vec![0; expected.len()];
            for client in &weighted {
                let mut reader = self.models[*client].reader();
                reader.read_integers(*place, 0, &mut values)?;
                let weight = u128::from(self.weights[*client]);
                for (expected, value) in expected.iter_mut().zip(&values) {
                    *expected = if is_mean {
                        *expected + weight * u128::from(*value)
                    } else {
                        (*expected).max((*value).into())
                    };
                }
            }
            let expected =
                expected.into_iter().map(|x| if is_mean { u128::from(self.divided(x)) } else { x });
            if !expected.eq(found[number].iter().map(|value| u128::from(*value))) {
                return Ok(Some(*place));
            }
        }
        Ok(None)
    }
}
