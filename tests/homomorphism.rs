//! Arithmetic on ciphertexts: every operation has its documented effect on plaintexts, modulo n.

#![allow(clippy::many_single_char_names, reason = "formulas")]

mod common;

use cipherfold::paillier::{
    Bits2048, Bits3072, Bits4096, Ciphertext, CiphertextBatch, Encryptor, Error, KeySize, Plaintext,
    SecretKey,
};
use common::{Setup, Small, below, number, plaintext};
use num_bigint::BigUint;
use rand_core::Rng;

const LENGTHS: [usize; 5] = [0, 1, 31, 32, 33];

type Batch = CiphertextBatch<Small>;

/// Every pair of edge plaintexts, and random ones.
fn pairs<S: KeySize>(setup: &mut Setup<S>, random: usize) -> Vec<(BigUint, BigUint)> {
    let edges: Vec<_> = setup.edge_plaintexts().into_iter().map(|(_, m)| m).collect();
    let mut pairs: Vec<_> =
        edges.iter().flat_map(|a| edges.iter().map(move |b| (a.clone(), b.clone()))).collect();
    pairs.extend((0..random).map(|_| (setup.below_n(), setup.below_n())));
    pairs
}

// --- one at a time ---

#[test]
fn add_matches_plaintext_sum() {
    let mut setup = Setup::<Small>::new(100);
    for (a, b) in pairs(&mut setup, 100) {
        let (x, y) = (setup.encrypt(&a), setup.encrypt(&b));
        let sum = setup.public().add(&x, &y).expect("good ciphertexts");
        assert_eq!(setup.decrypt(&sum), (&a + &b) % setup.n(), "{a} + {b}");
        // It is the product modulo n², for every form in memory and in any order.
        assert_eq!(setup.integer(&sum), setup.integer(&x) * setup.integer(&y) % &setup.oracle.n2);
        assert_eq!(setup.public().add(&y, &x), Ok(sum));
    }
}

#[test]
fn sub_matches_plaintext_difference() {
    let mut setup = Setup::<Small>::new(101);
    for (a, b) in pairs(&mut setup, 100) {
        let (x, y) = (setup.encrypt(&a), setup.encrypt(&b));
        let difference = setup.public().sub(&x, &y).expect("units");
        assert_eq!(setup.decrypt(&difference), (&a + setup.n() - &b) % setup.n(), "{a} - {b}");
        let n2 = &setup.oracle.n2;
        assert_eq!(setup.integer(&difference) * setup.integer(&y) % n2, setup.integer(&x));
    }
}

#[test]
fn negate_matches_plaintext_negative() {
    let mut setup = Setup::<Small>::new(102);
    let mut ms: Vec<_> = setup.edge_plaintexts().into_iter().map(|(_, m)| m).collect();
    ms.extend(setup.some_below_n(100));
    for m in ms {
        let c = setup.encrypt(&m);
        let negative = setup.public().negate(&c).expect("a unit");
        assert_eq!(setup.decrypt(&negative), (setup.n() - &m) % setup.n());
        assert_eq!(setup.integer(&negative) * setup.integer(&c) % &setup.oracle.n2, number(1));
        assert_eq!(setup.public().negate(&negative), Ok(c), "twice");
    }
}

#[test]
fn add_plain_matches_plaintext_sum() {
    let mut setup = Setup::<Small>::new(103);
    for (a, k) in pairs(&mut setup, 100) {
        let c = setup.encrypt(&a);
        let sum = setup.public().add_plain(&c, &plaintext(&k)).expect("k is below n");
        assert_eq!(setup.decrypt(&sum), (&a + &k) % setup.n(), "{a} + {k}");
        let (n, n2) = (setup.n(), &setup.oracle.n2);
        assert_eq!(setup.integer(&sum), setup.integer(&c) * (number(1) + &k * n) % n2);
    }
}

#[test]
fn mul_plain_matches_plaintext_product() {
    let mut setup = Setup::<Small>::new(104);
    for (a, k) in pairs(&mut setup, 60) {
        let c = setup.encrypt(&a);
        let product = setup.public().mul_plain(&c, &plaintext(&k)).expect("k is below n");
        assert_eq!(setup.decrypt(&product), &a * &k % setup.n(), "{a} · {k}");
        assert_eq!(setup.integer(&product), setup.integer(&c).modpow(&k, &setup.oracle.n2));
    }
}

#[test]
fn mul_plain_bounded_gives_what_mul_plain_gives() {
    let mut setup = Setup::<Small>::new(105);
    let m = setup.below_n();
    let c = setup.encrypt(&m);
    for bits in [0, 1, 2, 5, 6, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512] {
        let limit: BigUint = number(1) << bits;
        let mut multipliers = vec![number(0), &limit - 1u8, &limit >> 1];
        multipliers.push(below(&limit, &mut setup.rng));
        for k in multipliers.into_iter().filter(|k| k < &limit && k < setup.n()) {
            let bounded = setup.public().mul_plain_bounded(&c, &plaintext(&k), bits).expect("short enough");
            assert_eq!(bounded, setup.public().mul_plain(&c, &plaintext(&k)).expect("below n"));
            assert_eq!(setup.decrypt(&bounded), &m * &k % setup.n(), "{bits} bits");
        }
        if &limit < setup.n() {
            let refused = setup.public().mul_plain_bounded(&c, &plaintext(&limit), bits);
            assert_eq!(refused, Err(Error::MultiplierBits { index: 0, bits }));
        }
    }
}

/// A stated length beyond that of n costs no more than that of n, and nothing overflows.
#[test]
fn a_multiplier_can_be_stated_longer_than_n() {
    let mut setup = Setup::<Small>::new(106);
    let (c, k) = (setup.encrypt(&number(11)), plaintext::<Small>(&setup.below_n()));
    let expected = setup.public().mul_plain(&c, &k).expect("below n");
    for bits in [513, 4096, u32::MAX] {
        assert_eq!(setup.public().mul_plain_bounded(&c, &k, bits), Ok(expected.clone()));
        let batch = Batch::from_ciphertexts(setup.public().fingerprint(), [c.clone()]).expect("one key");
        let products = setup.public().mul_plain_batch(&batch, core::slice::from_ref(&k), bits);
        assert_eq!(products.expect("short enough").get(0).as_ref(), Some(&expected));
    }
}

#[test]
fn rerandomize_keeps_the_plaintext_and_changes_the_ciphertext() {
    let mut setup = Setup::<Small>::new(107);
    for _ in 0..50 {
        let m = setup.below_n();
        let c = setup.encrypt(&m);
        let short = setup.encryptor.randomizers(1, &mut setup.rng).remove(0);
        let full = setup.secret.public_key().randomizer_full_range(&mut setup.rng).unwrap();
        for randomizer in [short, full] {
            let other = setup.public().rerandomize(&c, randomizer).expect("its own randomizer");
            assert_ne!(other, c);
            assert_eq!(setup.decrypt(&other), m);
        }
    }
}

/// The laws of addition, over chains of operations and signed numbers.
#[test]
fn mixed_expressions_match_signed_arithmetic() {
    let mut setup = Setup::<Small>::new(108);
    for _ in 0..50 {
        let mut signed = || i128::from(setup.rng.next_u64().cast_signed());
        let (a, b, k, l) = (signed(), signed(), signed() >> 20, signed());
        let m = |x| setup.secret.public_key().plaintext_from_i128(x);
        let mut encrypt = |x| setup.encryptor.encrypt(&m(x), &mut setup.rng).expect("below n");
        let (x, y) = (encrypt(a), encrypt(b));
        let public = setup.public();
        // k·(a − b) + l − (−a)
        let run = || -> Result<Ciphertext<Small>, Error> {
            let scaled = public.mul_plain(&public.sub(&x, &y)?, &m(k))?;
            public.sub(&public.add_plain(&scaled, &m(l))?, &public.negate(&x)?)
        };
        let found = setup.secret.decrypt(&run().expect("all good")).expect("a good ciphertext");
        assert_eq!(public.plaintext_to_i128(&found), Some(k * (a - b) + l + a));
    }
}

// --- batches ---

#[test]
fn batch_operations_agree_with_single_ones() {
    let mut setup = Setup::<Small>::new(110);
    for len in LENGTHS {
        let (ms, ks) = (setup.some_below_n(len), setup.some_below_n(len));
        let (a, b) = (setup.encrypt_batch(&ms), setup.encrypt_batch(&ks));
        let plain: Vec<_> = ks.iter().map(plaintext).collect();
        let public = setup.public();
        let singles = |each: &dyn Fn(usize) -> Result<Ciphertext<Small>, Error>| {
            Batch::from_ciphertexts(public.fingerprint(), (0..len).map(|i| each(i).expect("a good one")))
        };
        let (x, y) = (|i| a.get(i).expect("in range"), |i| b.get(i).expect("in range"));
        assert_eq!(public.add_batch(&a, &b), singles(&|i| public.add(&x(i), &y(i))), "add {len}");
        assert_eq!(public.sub_batch(&a, &b), singles(&|i| public.sub(&x(i), &y(i))), "sub {len}");
        assert_eq!(public.negate_batch(&a), singles(&|i| public.negate(&x(i))), "negate {len}");
        assert_eq!(
            public.add_plain_batch(&a, &plain),
            singles(&|i| public.add_plain(&x(i), &plain[i])),
            "add_plain {len}"
        );
        assert_eq!(
            public.mul_plain_batch(&a, &plain, Small::BITS),
            singles(&|i| public.mul_plain(&x(i), &plain[i])),
            "mul_plain {len}"
        );
        let other = setup.encryptor.rerandomize_batch(&a, &mut setup.rng).expect("good ciphertexts");
        assert_eq!(setup.decrypt_batch(&other), ms, "rerandomize {len}");
        let factors = setup.encryptor.randomizers(len, &mut setup.rng);
        let again = setup.public().rerandomize_batch(&a, factors).expect("good ciphertexts");
        assert_eq!(setup.decrypt_batch(&again), ms, "rerandomize {len}");
        for i in 0..len {
            assert!(other.get(i) != a.get(i) && again.get(i) != a.get(i) && other.get(i) != again.get(i));
        }
    }
}

#[test]
fn short_multipliers_of_a_batch_match_plaintext_products() {
    let mut setup = Setup::<Small>::new(111);
    for len in LENGTHS {
        let ms = setup.some_below_n(len);
        let a = setup.encrypt_batch(&ms);
        let ks: Vec<_> = (0..len).map(|_| u64::from(setup.rng.next_u32() >> 16)).collect();
        let plain: Vec<_> = ks.iter().map(|k| Plaintext::from(*k)).collect();
        let products = setup.public().mul_plain_batch(&a, &plain, 16).expect("16 bits");
        let expected: Vec<_> = ms.iter().zip(&ks).map(|(m, k)| m * k % setup.n()).collect();
        assert_eq!(setup.decrypt_batch(&products), expected, "{len} products");
    }
}

#[test]
fn batches_are_collected_indexed_and_appended() {
    let mut setup = Setup::<Small>::new(112);
    let ms = setup.some_below_n(5);
    let batch = setup.encrypt_batch(&ms);
    assert_eq!(batch.iter().len(), 5);
    assert_eq!(batch.get(5), None);
    let mut collected = Batch::from_ciphertexts(batch.key(), batch.iter().take(3)).expect("one key");
    let rest = Batch::from_ciphertexts(batch.key(), batch.iter().skip(3)).expect("one key");
    collected.append(rest).expect("one key");
    assert_eq!(collected, batch);
    assert_eq!(batch.get(2).expect("in range").key(), batch.key());
}

// --- sums ---

#[test]
fn sum_matches_plaintext_sum_for_any_count() {
    let mut setup = Setup::<Small>::new(120);
    let ms = setup.some_below_n(300);
    let all: Vec<_> = setup.encrypt_batch(&ms).iter().collect();
    assert_eq!(setup.public().sum([]), Err(Error::EmptySum));
    for count in [1, 2, 3, 64, 65, 300] {
        let sum = setup.public().sum(&all[..count]).expect("good ciphertexts");
        let expected = ms[..count].iter().fold(number(0), |sum, m| (sum + m) % setup.n());
        assert_eq!(setup.decrypt(&sum), expected, "{count} summands");
        // Bit for bit the product modulo n².
        let product =
            all[..count].iter().fold(number(1), |product, c| product * setup.integer(c) % &setup.oracle.n2);
        assert_eq!(setup.integer(&sum), product, "{count} summands");
        let reversed = setup.public().sum(all[..count].iter().rev()).expect("good ciphertexts");
        assert_eq!(reversed, sum, "the order does not matter");
    }
    assert_eq!(setup.public().sum([&all[0]]), Ok(all[0].clone()), "a sum of one is that one");
}

#[test]
fn sum_batches_matches_slotwise_sums() {
    let mut setup = Setup::<Small>::new(121);
    assert_eq!(setup.public().sum_batches([]), Err(Error::EmptySum));
    for (len, count) in [(0, 1), (0, 3), (1, 1), (1, 300), (31, 2), (32, 3), (33, 5), (2, 300)] {
        let ms: Vec<_> = (0..count).map(|_| setup.some_below_n(len)).collect();
        let batches: Vec<_> = ms.iter().map(|ms| setup.encrypt_batch(ms)).collect();
        let sum = setup.public().sum_batches(&batches).expect("equal lengths");
        let expected: Vec<_> =
            (0..len).map(|slot| ms.iter().fold(number(0), |sum, ms| sum + &ms[slot]) % setup.n()).collect();
        assert_eq!(setup.decrypt_batch(&sum), expected, "{count} contributions of {len}");
        assert_eq!(setup.public().sum_batches(batches.iter().rev()), Ok(sum), "the order does not matter");
    }
}

#[test]
fn accumulator_takes_contributions_in_any_order_and_counts_them() {
    let mut setup = Setup::<Small>::new(122);
    for (len, count) in [(3, 1), (3, 2), (33, 3), (1, 300)] {
        let ms: Vec<_> = (0..count).map(|_| setup.some_below_n(len)).collect();
        let batches: Vec<_> = ms.iter().map(|ms| setup.encrypt_batch(ms)).collect();
        let mut orders: Vec<Vec<usize>> = vec![(0..count).collect(), (0..count).rev().collect()];
        // A shuffle: by Fisher and Yates.
        let mut shuffled: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            shuffled.swap(i, setup.rng.next_u32() as usize % (i + 1));
        }
        orders.push(shuffled);
        let sums: Vec<_> = orders
            .iter()
            .map(|order| {
                let mut sum = setup.public().accumulator(len);
                assert_eq!((sum.len(), sum.is_empty()), (len, len == 0));
                for (done, at) in order.iter().enumerate() {
                    assert_eq!(sum.contributions(), done as u64);
                    sum.add(&batches[*at]).expect("a good contribution");
                }
                sum.finish().expect("not empty")
            })
            .collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]), "the order does not matter");
        assert_eq!(Ok(&sums[0]), setup.public().sum_batches(&batches).as_ref());
        let expected: Vec<_> =
            (0..len).map(|slot| ms.iter().fold(number(0), |sum, ms| sum + &ms[slot]) % setup.n()).collect();
        assert_eq!(setup.decrypt_batch(&sums[0]), expected);
    }
}

#[test]
fn a_refused_contribution_leaves_the_sum_as_it_was() {
    let mut setup = Setup::<Small>::new(123);
    let foreign_key = SecretKey::<Small>::generate(&mut setup.rng).unwrap();
    let foreign = Encryptor::new(foreign_key.public_key(), &mut setup.rng)
        .unwrap()
        .encrypt_batch(&[Plaintext::from(1u64)], &mut setup.rng)
        .expect("below n");
    let (one, two) = (setup.encrypt_batch(&[number(1)]), setup.encrypt_batch(&[number(1), number(1)]));
    let mut sum = setup.public().accumulator(1);
    sum.add(&one).expect("good");
    assert_eq!(sum.add(&two), Err(Error::BatchLength { expected: 1, found: 2 }));
    assert!(matches!(sum.add(&foreign), Err(Error::KeyMismatch { .. })));
    sum.add(&one).expect("good");
    assert_eq!(sum.contributions(), 2);
    assert_eq!(setup.decrypt_batch(&sum.finish().expect("not empty")), [number(2)]);
    let debug = format!("{:?}", setup.public().accumulator(3));
    assert_eq!(debug, "Accumulator { len: 3, contributions: 0, .. }");
}

#[test]
fn an_empty_accumulator_refuses_to_finish() {
    let setup = Setup::<Small>::new(125);
    for len in [0, 1, 5] {
        assert_eq!(setup.public().accumulator(len).finish(), Err(Error::EmptySum));
    }
}

// --- real key sizes ---

fn every_operation_at<S: KeySize>(seed: u64) {
    let mut setup = Setup::<S>::new(seed);
    let (a, b, k) = (setup.n() - 1u8, setup.below_n(), setup.below_n());
    let batch = setup.encrypt_batch(&[a.clone(), b.clone()]);
    let (x, y) = (batch.get(0).expect("two"), batch.get(1).expect("two"));
    let n = setup.n().clone();
    let public = setup.public();
    let check = |name: &str, c: Result<Ciphertext<S>, Error>, expected: BigUint| {
        assert_eq!(setup.decrypt(&c.expect(name)), expected, "{} bits: {name}", S::BITS);
    };
    check("add", public.add(&x, &y), (&a + &b) % &n);
    check("sub", public.sub(&x, &y), (&a + &n - &b) % &n);
    check("negate", public.negate(&y), &n - &b);
    check("add_plain", public.add_plain(&x, &plaintext(&k)), (&a + &k) % &n);
    check("mul_plain", public.mul_plain(&y, &plaintext(&k)), &b * &k % &n);
    check(
        "mul_plain_bounded",
        public.mul_plain_bounded(&y, &Plaintext::from(65_521u64), 16),
        &b * 65_521u32 % &n,
    );
    check("sum", public.sum([&x, &y, &y, &x, &x]), (&a * 3u8 + &b * 2u8) % &n);
    let folded = public.sum_batches([&batch, &batch, &batch]).expect("equal lengths");
    assert_eq!(setup.decrypt_batch(&folded), [&a * 3u8 % &n, &b * 3u8 % &n]);
    assert_eq!(
        setup.integer(&public.add(&x, &y).expect("good")),
        setup.integer(&x) * setup.integer(&y) % &setup.oracle.n2
    );
    let other = setup.encryptor.rerandomize_batch(&batch, &mut setup.rng).expect("good ciphertexts");
    assert_ne!(other, batch);
    assert_eq!(setup.decrypt_batch(&other), [a, b]);
}

#[test]
fn every_operation_at_real_key_sizes() {
    every_operation_at::<Bits2048>(130);
    every_operation_at::<Bits3072>(131);
    every_operation_at::<Bits4096>(132);
}
