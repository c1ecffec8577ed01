//! Known-answer tests. Every kernel must pass one on a device before its first batch.
//!
//! A driver may compile a kernel wrongly, or stop it early without an error. So every kernel
//! computes, for every key size, values that the portable code computes too: resumed folds, the
//! longest loops over a table, and whole exponents.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crypto_bigint::Word;

use super::{
    device::Fault,
    kernels::LaneLayout,
    memory::{DeviceBuffer, write_pair},
    operations::{Accumulators, ModulusOnDevice, ResidentPieces, Table, TableOnDevice},
    stream::Runtime,
    sync::lock,
};
use crate::residue::{Limbs, Modulus, Pair};

/// The known-answer tests, one for each group of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SelfTest {
    Mul,
    Fold,
    FixedBase,
    Pow,
}

/// A device whose kernels are tested before their first use.
pub(crate) struct TestedDevice {
    runtime: Arc<Runtime>,
    passed: Mutex<HashMap<(SelfTest, LaneLayout), Passed>>,
}

/// Whether a test has passed. The mutex is locked while the test runs.
type Passed = Arc<Mutex<bool>>;

impl TestedDevice {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { runtime: Arc::new(runtime), passed: Mutex::default() }
    }

    /// The device, without a test.
    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub(crate) fn generation(&self) -> u64 {
        self.runtime.device.generation()
    }

    /// The device, after the test has passed for this width of n. The test runs once, and other
    /// callers wait for it.
    pub(crate) fn tested<U: Limbs>(&self, test: SelfTest) -> Result<&Arc<Runtime>, Fault> {
        let bits = U::WORDS as u32 * Word::BITS;
        let key = (test, self.runtime.pipelines.layout(bits));
        let passed = Arc::clone(lock(&self.passed).entry(key).or_default());
        let mut passed = lock(&passed);
        if !*passed {
            if !test.passes::<U>(&self.runtime)? {
                let fault = format!("known-answer test {test:?} failed at {bits} bits");
                return Err(self.runtime.device.fault(&fault));
            }
            *passed = true;
        }
        Ok(&self.runtime)
    }
}

/// Items of a test: more than a workgroup has, and not a multiple of them.
const ITEMS: usize = 19;

impl SelfTest {
    fn passes<U: Limbs>(self, runtime: &Arc<Runtime>) -> Result<bool, Fault> {
        let mut numbers = Numbers(0x5eed);
        let mut n: U = numbers.next();
        n.words_mut()[0] |= 1;
        n.words_mut()[U::WORDS - 1] |= 1 << (Word::BITS - 1);
        let n = Arc::new(Modulus::new(n).expect("odd, and above one"));
        let on_device = ModulusOnDevice::new(runtime, &n, false)?;
        let xs: Vec<Pair<U>> = (0..ITEMS).map(|_| numbers.residue(&n)).collect();
        let ys: Vec<Pair<U>> = (0..ITEMS).map(|_| numbers.residue(&n)).collect();
        match self {
            Self::Mul => {
                let product = |(x, y): (&Pair<U>, &Pair<U>)| n.mul(&n.to_mont(x), y);
                let expected: Vec<_> = xs.iter().zip(&ys).map(product).collect();
                let ms: Vec<U> = ys.iter().map(|y| y.lo).collect();
                let sum = |(x, m): (&Pair<U>, &U)| n.mul(&n.to_mont(x), &Pair::new(Pair::<U>::one().lo, *m));
                let sums: Vec<_> = xs.iter().zip(&ms).map(sum).collect();
                Ok(on_device.mul(&xs, &ys)? == expected && on_device.add_plain(&xs, &ms)? == sums)
            }
            Self::Fold => {
                // A first call starts the fold, and a second one resumes it.
                let layout = on_device.layout;
                let mut accumulators = Accumulators::new(&Arc::new(on_device), ITEMS, 3)?;
                accumulators.add(&[&xs, &ys, &xs, &xs], None)?;
                accumulators.add(&[&ys, &xs, &ys], None)?;
                // Resident contributions: a full group, and an incomplete one.
                let resident = |pairs: &[Pair<U>]| -> Result<ResidentPieces, Fault> {
                    let pair_words = layout.packed_words();
                    let mut words = vec![0; pair_words * pairs.len()];
                    for (pair, words) in pairs.iter().zip(words.chunks_exact_mut(pair_words)) {
                        write_pair(pair, words);
                    }
                    Ok(vec![(
                        DeviceBuffer::new(&runtime.device, "contribution", &words, false)?,
                        pairs.len(),
                    )])
                };
                let (there_x, there_y) = (resident(&xs)?, resident(&ys)?);
                accumulators.add_resident(&[&there_x, &there_y, &there_x, &there_y, &there_y])?;
                let expected = xs.iter().zip(&ys).map(|(x, y)| {
                    let (x, y) = (n.to_mont(x), n.to_mont(y));
                    let both = n.mul(&x, &y);
                    let square = n.square(&both);
                    n.from_mont(&n.mul(&n.square(&square), &square))
                });
                Ok(accumulators.finish(12)? == expected.collect::<Vec<_>>())
            }
            Self::FixedBase => {
                // The narrowest windows make the longest loop.
                let bits = U::WORDS as u32 * Word::BITS / 2;
                let table = Arc::new(Table::narrow(on_device.layout, &n, &xs[0], bits));
                let base = TableOnDevice::new(on_device, &table, xs[0])?;
                let exponents: Vec<U> = ys.iter().map(|y| y.hi).collect();
                let ms: Vec<U> = ys.iter().map(|y| y.lo).collect();
                let expected = |i: usize| {
                    let power = n.pow(&n.to_mont(&xs[0]), exponents[i].words(), bits);
                    n.mul(&power, &Pair::new(Pair::<U>::one().lo, ms[i]))
                };
                let found = base.pow(Some(&ms), &exponents)?;
                Ok([0, ITEMS - 1].iter().all(|i| found[*i] == expected(*i)))
            }
            Self::Pow => {
                let bits = U::WORDS as u32 * Word::BITS;
                let exponent = |i: usize| ys[i].hi.words();
                let found = on_device.pow(&xs, &exponent, false, bits)?;
                let expected = |i: usize| n.from_mont(&n.pow(&n.to_mont(&xs[i]), exponent(i), bits));
                Ok([0, ITEMS - 1].iter().all(|i| found[*i] == expected(*i)))
            }
        }
    }
}

/// The same pseudorandom numbers in every run (Steele, Lea, Flood, "Fast splittable pseudorandom
/// number generators", 2014).
struct Numbers(u64);

impl Numbers {
    fn next<U: Limbs>(&mut self) -> U {
        let mut number = U::zero();
        for word in number.words_mut() {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *word = (z ^ (z >> 31)) as Word;
        }
        number
    }

    /// A residue. Its halves are below n, because their top bits are zero.
    fn residue<U: Limbs>(&mut self, _: &Modulus<U>) -> Pair<U> {
        let (mut lo, mut hi) = (self.next::<U>(), self.next::<U>());
        for half in [&mut lo, &mut hi] {
            half.words_mut()[U::WORDS - 1] &= Word::MAX >> 1;
        }
        Pair::new(lo, hi)
    }
}
