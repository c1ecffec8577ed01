//! Products and squarings with one and with two limbs of the multiplier a pass, side by side.

use std::time::{Duration, Instant};

use super::{
    super::{
        Simd,
        lanes::{Lanes, Limb as _},
        moduli::PreparedModuli,
    },
    Ifma, Limb,
};
use crate::residue::{Limbs, Modulus, Pair};

/// Operations of a turn.
const TIMES: u32 = 2000;

/// The times of eight products and of eight squarings modulo n² by the `ifma` kernels, on this
/// thread: with one limb of the multiplier a pass, and with two. The minimum of `turns` turns each,
/// in alternation. `None` on a processor without the instructions.
///
/// # Panics
///
/// If the two disagree.
pub fn limbs_a_pass<U: Limbs, const K: usize>(
    modulus: &Modulus<U>,
    turns: u32,
) -> Option<[(&'static str, [Duration; 2]); 2]> {
    let both = Ifma::detect_both()?;
    let prepared = PreparedModuli::<Ifma, K>::new(both[0], [modulus; 2]);
    let factor = modulus.add(modulus.one_mont(), modulus.one_mont());
    let y = Lanes::<Limb, K>::load(&[factor; Limb::LANES]);
    let constants = &prepared.constants;
    let mut operations = [
        ("product", [prepared.r2; 2], [Duration::MAX; 2]),
        ("squaring", [prepared.r2; 2], [Duration::MAX; 2]),
    ];
    for _ in 0..turns {
        for (name, results, best) in &mut operations {
            for ((ifma, x), best) in both.into_iter().zip(&mut *results).zip(best) {
                let begin = Instant::now();
                for _ in 0..TIMES {
                    if *name == "product" {
                        ifma.mul(constants, x, &y);
                    } else {
                        ifma.square(constants, x);
                    }
                }
                *best = (*best).min(begin.elapsed() / TIMES);
            }
            let [one, two] = results.each_ref().map(|x| x.pair(0, modulus));
            let same = |one: Pair<U>, two: Pair<U>| one == two;
            assert!(same(one, two), "both give the same residues");
        }
    }
    Some(operations.map(|(name, _, best)| (name, best)))
}
