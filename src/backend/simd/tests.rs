//! The kernels against an unrelated big-integer library, with operands up to 2n − 1. No batch
//! reaches such operands.

use crypto_bigint::{Uint, Word};
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::{
    Avx2, Ifma, Simd,
    lanes::{Lanes, Limb},
    moduli::{PreparedModuli, digits},
    table::{GROUPS, WIDEST},
};
use crate::residue::{Limbs, Modulus, Pair};

fn big(words: &[Word]) -> BigUint {
    BigUint::from_bytes_le(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
}

fn small<U: Limbs>(value: &BigUint) -> U {
    let mut small = U::zero();
    for (word, digit) in small.words_mut().iter_mut().zip(value.iter_u64_digits()) {
        *word = digit;
    }
    small
}

fn limbs<L: Limb, const K: usize>(value: &BigUint) -> [u64; K] {
    core::array::from_fn(|j| {
        let limb = (value >> (j * L::BITS as usize)) & BigUint::from(L::MASK);
        limb.iter_u64_digits().next().unwrap_or(0)
    })
}

fn value<L: Limb>(limbs: &[u64]) -> BigUint {
    limbs.iter().rev().fold(BigUint::ZERO, |value, limb| {
        assert!(*limb <= L::MASK, "limbs are normalised");
        (value << L::BITS) + limb
    })
}

struct Test<V: Simd, U: Limbs, const K: usize> {
    prepared: PreparedModuli<V, K>,
    moduli: [BigUint; 2],
    r: BigUint,
    rng: ChaCha20Rng,
    words: core::marker::PhantomData<U>,
}

impl<V: Simd, U: Limbs, const K: usize> Test<V, U, K> {
    fn new(vectors: V, moduli: [BigUint; 2]) -> Self {
        let inputs = moduli.each_ref().map(|n| Modulus::<U>::new(small(n)).expect("odd"));
        Self {
            prepared: PreparedModuli::new(vectors, inputs.each_ref()),
            r: BigUint::from(1u8) << (K * V::Limb::BITS as usize),
            moduli,
            rng: ChaCha20Rng::seed_from_u64(K as u64),
            words: core::marker::PhantomData,
        }
    }

    fn random(&mut self, bound: &BigUint) -> BigUint {
        let bytes: Vec<u8> = (0..bound.bits() / 8 + 16).map(|_| self.rng.next_u32() as u8).collect();
        BigUint::from_bytes_le(&bytes) % bound
    }

    /// Digits up to 2n − 1: values where carries and borrows end, and random values.
    fn digit(&mut self, n: &BigUint, which: usize) -> BigUint {
        let one = BigUint::from(1u8);
        let twice = n * 2u8;
        match which % 12 {
            0 => BigUint::ZERO,
            1 => one,
            2 => n - one,
            3 => n.clone(),
            4 => n + one,
            5 => twice - one,
            6 => &self.r % n,
            // All limbs full except the highest ones.
            7 => (&one << (n.bits() - 1)) - one,
            8 => (&one << (V::Limb::BITS as usize * (K / 2))) - one,
            9 => (&one << n.bits()).min(twice) - one,
            _ => self.random(&twice),
        }
    }

    fn operand(&mut self, turn: usize) -> (Lanes<V::Limb, K>, Vec<[BigUint; 2]>) {
        let mut lanes = Lanes::default();
        let mut digits = Vec::new();
        for lane in 0..V::Limb::LANES {
            let n = self.moduli[lane % 2].clone();
            let pair = [self.digit(&n, turn + lane), self.digit(&n, turn / 12 + 5 * lane)];
            lanes.set(lane, pair.each_ref().map(limbs::<V::Limb, K>));
            digits.push(pair);
        }
        (lanes, digits)
    }

    /// Checks that every lane has `x·y/R mod n²`, in digits below 2n.
    fn check(&self, found: &Lanes<V::Limb, K>, x: &[[BigUint; 2]], y: &[[BigUint; 2]], name: &str) {
        for lane in 0..V::Limb::LANES {
            let n = &self.moduli[lane % 2];
            let [lo, hi] = found.get(lane).map(|limbs| value::<V::Limb>(&limbs));
            let name = format!("{} {name}, {K} limbs, lane {lane}, n = {n:x}", V::NAME);
            assert!(lo < n * 2u8 && hi < n * 2u8, "{name}: below 2n");
            let of = |[lo, hi]: &[BigUint; 2]| lo + hi * n;
            assert_eq!((lo + hi * n) * &self.r % (n * n), of(&x[lane]) * of(&y[lane]) % (n * n), "{name}");
        }
    }

    fn run(&mut self) {
        for turn in 0..48 {
            let ((x, x_digits), (y, y_digits)) = (self.operand(turn), self.operand(7 * turn + 3));
            let mut product = x;
            self.prepared.mul(&mut product, &y);
            self.check(&product, &x_digits, &y_digits, "product");
            let mut product = x;
            let to_prefetch = [V::Limb::default(); 100];
            self.prepared.vectors.mul_and_prefetch(&self.prepared.constants, &mut product, &y, &to_prefetch);
            self.check(&product, &x_digits, &y_digits, "product while fetching");
            let mut square = x;
            self.prepared.square(&mut square);
            self.check(&square, &x_digits, &x_digits, "square");

            // Words only hold digits of at most the width of n.
            let width = BigUint::from(1u8) << (U::WORDS * Word::BITS as usize);
            let y_digits: Vec<_> =
                y_digits.iter().map(|pair| pair.each_ref().map(|digit| digit % &width)).collect();
            let words: Vec<_> =
                y_digits.iter().map(|[lo, hi]| Pair::<U>::new(small(lo), small(hi))).collect();
            let mut product = x;
            self.prepared.mul_words(&mut product, &words);
            self.check(&product, &x_digits, &y_digits, "product of words");
            let (loaded, expected) = (Lanes::<V::Limb, K>::load(&words), y_digits.iter());
            for (lane, pair) in expected.enumerate() {
                assert_eq!(&loaded.get(lane).map(|limbs| value::<V::Limb>(&limbs)), pair);
                assert_eq!(small::<U>(&pair[0]).words(), words[lane].lo.words());
                assert_eq!(big(words[lane].hi.words()), pair[1]);
            }

            let mut reduced = x;
            reduced.reduce(&self.prepared.constants.n);
            for (lane, [lo, hi]) in x_digits.iter().enumerate() {
                let n = &self.moduli[lane % 2];
                let found = reduced.get(lane).map(|limbs| value::<V::Limb>(&limbs));
                assert_eq!(found, [lo % n, (hi + lo / n) % n], "reduced");
            }
        }
        self.run_look_ups();
    }

    fn run_look_ups(&mut self) {
        let table: Vec<_> = (0..64).map(|turn| self.operand(turn).0).collect();
        let exponent = |group: usize, lane: usize| [(1 << 7) - 1 - ((37 * lane + 11 * group) as Word) % 128];
        for entries in [1, 2, 16, 64] {
            let exponents: Vec<_> = (0..V::Limb::LANES).map(|lane| exponent(entries, lane)).collect();
            let digits: V::Limb = digits(|lane| &exponents[lane], 0, entries.ilog2());
            let mut found = Lanes::default();
            self.prepared.vectors.select(&table[..entries], &digits, &mut found);
            for lane in 0..V::Limb::LANES {
                assert_eq!(
                    found.get(lane),
                    table[digits.lanes()[lane] as usize].get(lane),
                    "{} select",
                    V::NAME
                );
            }
        }
        for window in V::WINDOW..=WIDEST {
            self.run_look_ups_in_a_row(window);
        }
    }

    /// A row whose entries are the lanes of numbers made for it.
    fn run_look_ups_in_a_row(&mut self, window: u32) {
        let exponent = |group: usize, lane: usize| {
            [(1 << window) - 1 - ((37 * lane + 11 * group) as Word) % (1 << window)]
        };
        let entry = |e: usize, j: usize, which: usize| (e * 977 + j * 31 + which) as u64 & V::Limb::MASK;
        let per_limb = (1 << window) / 8;
        let mut row = Vec::new();
        for j in 0..K {
            for which in 0..2 {
                for register in 0..per_limb {
                    row.push(V::entry_register(core::array::from_fn(|i| entry(8 * register + i, j, which))));
                }
            }
        }
        let digits: [V::Limb; GROUPS] = core::array::from_fn(|group| {
            let exponents: Vec<_> = (0..V::Limb::LANES).map(|lane| exponent(group, lane)).collect();
            digits(|lane| &exponents[lane], 0, window)
        });
        let mut found = [Lanes::<V::Limb, K>::default(); GROUPS];
        self.prepared.vectors.look_up(&row, per_limb, &digits, &mut found);
        for (group, digits) in digits.iter().enumerate() {
            for (lane, digit) in digits.lanes().iter().enumerate() {
                let expected = [0, 1].map(|which| core::array::from_fn(|j| entry(*digit as usize, j, which)));
                assert_eq!(
                    found[group].get(lane),
                    expected,
                    "{} look-up, group {group}, lane {lane}",
                    V::NAME
                );
            }
        }
    }
}

fn width<V: Simd, U: Limbs, const K: usize>(vectors: V) {
    let bits = U::WORDS * Word::BITS as usize;
    let one = BigUint::from(1u8);
    let mut rng = ChaCha20Rng::seed_from_u64(bits as u64);
    let mut random = || {
        let bytes: Vec<u8> = (0..bits / 8).map(|_| rng.next_u32() as u8).collect();
        let mut n = BigUint::from_bytes_le(&bytes);
        n.set_bit(0, true);
        n.set_bit(bits as u64 - 1, true);
        n
    };
    let (largest, smallest) = ((&one << bits) - &one, (&one << (bits - 1)) + &one);
    for moduli in [[random(), random()], [largest, smallest]] {
        Test::<V, U, K>::new(vectors, moduli).run();
    }
}

/// On a processor without the instructions, `.ci/steps/emulated_ifma` runs this test.
#[test]
fn ifma_agrees_with_an_unrelated_library() {
    for vectors in Ifma::detect_both().into_iter().flatten() {
        width::<_, Uint<4>, 5>(vectors);
        width::<_, Uint<8>, 10>(vectors);
        width::<_, Uint<16>, 20>(vectors);
        width::<_, Uint<24>, 30>(vectors);
        width::<_, Uint<32>, 40>(vectors);
        width::<_, Uint<48>, 60>(vectors);
        width::<_, Uint<64>, 79>(vectors);
    }
}

#[test]
fn avx2_agrees_with_an_unrelated_library() {
    let Some(vectors) = Avx2::detect() else { return };
    width::<_, Uint<4>, 10>(vectors);
    width::<_, Uint<8>, 19>(vectors);
    width::<_, Uint<16>, 37>(vectors);
    width::<_, Uint<24>, 55>(vectors);
    width::<_, Uint<32>, 74>(vectors);
    width::<_, Uint<48>, 110>(vectors);
    width::<_, Uint<64>, 147>(vectors);
}
