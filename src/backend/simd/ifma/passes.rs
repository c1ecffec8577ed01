//! The product with one and with two limbs of the multiplier a pass, side by side.

use std::time::{Duration, Instant};

use super::{
    super::{
        Simd,
        domain::Domain,
        lanes::{Lanes, Limb as _},
    },
    Ifma, Limb,
};
use crate::residue::{Limbs, Modulus, Pair};

/// Products of a turn.
const PRODUCTS: u32 = 2000;

/// The time of eight products modulo n² by the `ifma` kernels, on this thread: with one limb of the
/// multiplier a pass, as products are computed, and with two. The minimum of `turns` turns each, in
/// alternation. `None` on a processor without the instructions.
///
/// # Panics
///
/// If the two disagree.
pub fn limbs_a_pass<U: Limbs, const K: usize>(modulus: &Modulus<U>, turns: u32) -> Option<[Duration; 2]> {
    let ifma = Ifma::detect()?;
    let domain = Domain::<Ifma, K>::new(ifma, [modulus; 2]);
    let factor = modulus.add(modulus.one_mont(), modulus.one_mont());
    let y = Lanes::<Limb, K>::load(&[factor; Limb::LANES]);
    let mut products = [domain.r2; 2];
    let mut best = [Duration::MAX; 2];
    for _ in 0..turns {
        for (two, (x, best)) in products.iter_mut().zip(&mut best).enumerate() {
            let begin = Instant::now();
            for _ in 0..PRODUCTS {
                if two == 0 {
                    ifma.mul(&domain.constants, x, &y);
                } else {
                    ifma.mul_by_two(&domain.constants, x, &y);
                }
            }
            *best = (*best).min(begin.elapsed() / PRODUCTS);
        }
        let [one, two] = products.each_ref().map(|x| x.pair(0, modulus));
        let same = |one: Pair<U>, two: Pair<U>| one == two;
        assert!(same(one, two), "both variants give the same residues");
    }
    Some(best)
}
