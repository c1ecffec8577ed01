//! The secure maximum of integers: secure sums of single bits, from the most significant one down.
//!
//! In each round, a client contributes 1 if its value begins with all bits found so far and has a 1
//! next, otherwise 0. If the sum is not zero, the next bit of the maximum is 1. The clients receive
//! the bits found so far. The server learns the maximum and, for each of its bits, the number of
//! clients that contributed 1, which is the number of values that share this leading part.

use cipherfold::{
    federated::{LocalExecutor, Outcome, report::Report},
    packing::IntegerRange,
    paillier::KeySize,
};
use ndarray::Array1;

/// The maximum over all clients, value by value, and the reports of all rounds.
///
/// `values` returns a client's tensors; `bits` are their bits. It is called once for each round and
/// client.
pub(crate) fn secure_maximum<S: KeySize>(
    executor: &LocalExecutor<S>,
    clients: &[usize],
    bits: &[u32],
    values: impl Fn(usize) -> Result<Vec<Array1<u64>>, cipherfold::files::Error> + Sync,
) -> cipherfold::federated::Result<(Vec<Array1<u64>>, Vec<Report>)> {
    let mut maximum: Vec<Array1<u64>> = Vec::new();
    let mut reports = Vec::new();
    for bit in (0..bits.iter().copied().max().unwrap_or(0)).rev() {
        let found = &maximum;
        let answers = clients.iter().map(|client| {
            let tensors = values(*client)?.into_iter().enumerate().filter(|(place, _)| bits[*place] > bit);
            let answers =
                tensors.map(|(place, tensor)| match found.get(place).filter(|found| !found.is_empty()) {
                    None => tensor.mapv(|value| answer(value, 0, bit)),
                    Some(found) => ndarray::Zip::from(&tensor)
                        .and(found)
                        .map_collect(|value, found| answer(*value, *found, bit)),
                });
            Ok::<_, cipherfold::files::Error>(answers.collect::<Vec<Array1<u8>>>())
        });
        let Outcome { value, rounds, .. } = executor.secure_sum(answers, IntegerRange::unsigned_bits(1)?)?;
        reports.extend(rounds);
        if maximum.is_empty() {
            maximum = bits.iter().map(|_| Array1::zeros(0)).collect();
        }
        let places = (0..bits.len()).filter(|place| bits[*place] > bit);
        for (place, counts) in places.zip(value) {
            let found = &mut maximum[place];
            if found.is_empty() {
                *found = Array1::zeros(counts.len());
            }
            found.zip_mut_with(&counts, |found, count| *found = (*found << 1) | u64::from(*count > 0));
        }
    }
    Ok((maximum, reports))
}

/// Whether a value begins with the bits found so far and has a 1 at this position.
fn answer(value: u64, found: u64, bit: u32) -> u8 {
    let leading = value.checked_shr(bit + 1).unwrap_or(0);
    u8::from(leading == found && (value >> bit) & 1 == 1)
}
