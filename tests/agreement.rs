//! The same tests ("battery") for every backend, through the common traits. Every backend must
//! agree with `Portable`, bit for bit, and `Portable` with an unrelated big-integer library.
//!
//! A backend that cannot run here is skipped. With `REQUIRE_BACKENDS=name,name`, it is a failure
//! instead. A software adapter for GPUs takes minutes: unless it is required, it runs only the
//! short key.

mod common;

use std::sync::Arc;

use cipherfold::{
    backend::BackendChoice,
    diagnostics::{Backend, Limbs, Modulus, Pair, Portable, Widths},
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use common::{Oracle, Small, below, number};
use crypto_bigint::Word;
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;

/// The backends that must agree with [`Portable`], one line each.
const BACKENDS: &[(&str, BackendChoice)] = &[
    ("portable", BackendChoice::Portable),
    ("ifma", BackendChoice::Ifma),
    ("avx2", BackendChoice::Avx2),
    ("gpu", BackendChoice::Gpu),
    ("gpu-with-secret-keys", BackendChoice::GpuWithSecretKeys),
];

/// Lengths around the lanes of a vector and the tasks and workgroups of a batch.
const LENGTHS: [usize; 8] = [0, 1, 7, 8, 9, 31, 32, 33];

/// Integers as wide as a key, from and to those of the oracle.
fn small<U: Limbs>(value: &BigUint) -> U {
    let bytes = size_of::<Word>();
    let mut digits = value.to_bytes_le();
    assert!(digits.len() <= U::WORDS * bytes, "the value fits");
    digits.resize(U::WORDS * bytes, 0);
    let mut out = U::zero();
    for (word, chunk) in out.words_mut().iter_mut().zip(digits.chunks_exact(bytes)) {
        *word = Word::from_le_bytes(chunk.try_into().expect("a word's bytes"));
    }
    out
}

fn wide<U: Limbs>(value: &U) -> BigUint {
    let digits: Vec<u8> = value.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    BigUint::from_bytes_le(&digits)
}

/// A key, and inputs for a backend.
struct Battery<S: KeySize> {
    oracle: Oracle,
    modulus: Arc<Modulus<S::Full>>,
    p: S::Half,
    q: S::Half,
    rng: ChaCha20Rng,
}

impl<S: KeySize> Battery<S> {
    fn new(seed: u64) -> Self {
        let (p, q) = common::stored_primes(S::BITS);
        let (p_limbs, q_limbs) = (small(&p), small(&q));
        let oracle = Oracle::new(p, q);
        let modulus = Arc::new(Modulus::new(small(&oracle.n)).expect("odd"));
        Self { oracle, modulus, p: p_limbs, q: q_limbs, rng: common::rng(seed) }
    }

    fn pair(&self, value: &BigUint) -> Pair<S::Full> {
        Pair::new(small(&(value % &self.oracle.n)), small(&(value / &self.oracle.n)))
    }

    /// Residues modulo n² at edge cases of carries, by name.
    fn edge_residues(&self) -> Vec<(&'static str, BigUint)> {
        let (n, n2) = (&self.oracle.n, &self.oracle.n2);
        let r: BigUint = number(1) << S::BITS;
        let ones = &r - 1u8;
        let low_ones: BigUint = (number(1) << (S::BITS / 2)) - 1u8;
        vec![
            ("one", number(1)),
            ("n² − 1", n2 - 1u8),
            ("n − 1", n - 1u8),
            ("n + 1", n + 1u8),
            ("R mod n²", &r % n2),
            ("R² mod n²", &r * &r % n2),
            ("R mod n in both halves", &r % n + (&r % n) * n),
            ("all-ones limbs as far as they fit", &ones % n + (&ones % n) * n),
            ("all-ones limbs, one bit short, in both halves", (&ones >> 1) + (&ones >> 1) * n),
            ("ones in the lower limbs only", &low_ones + &low_ones * n),
            ("a lonely top bit in both halves", (number(1) << (S::BITS - 1)) * (n + 1u8)),
            ("n − 1 in the second half only", number(1) + (n - 1u8) * n),
            ("short second half", (n - 1u8) + number(1) * n),
        ]
    }

    /// Residues for a batch: edges and random ones, rotated by `turn`.
    fn residues(&mut self, len: usize, turn: usize) -> Vec<BigUint> {
        let edges = self.edge_residues();
        (0..len)
            .map(|i| match (i + turn) % (edges.len() + 3) {
                at if at < edges.len() => edges[at].1.clone(),
                _ => below(&self.oracle.n2, &mut self.rng),
            })
            .collect()
    }

    /// Numbers below a bound: its ends, all ones, single bits, random ones.
    fn numbers(&mut self, bound: &BigUint, len: usize, turn: usize) -> Vec<BigUint> {
        let bits = bound.bits();
        let edges = [
            number(0),
            bound - 1u8,
            number(1),
            (number(1) << (bits - 1)) - 1u8,
            (number(1) << (bits - 1)) % bound,
            bound >> 1,
            (number(1) << (bits / 2)) - 1u8,
        ];
        (0..len)
            .map(|i| match (i + turn) % (edges.len() + 3) {
                at if at < edges.len() => edges[at].clone(),
                _ => below(bound, &mut self.rng),
            })
            .collect()
    }

    fn pairs(&self, values: &[BigUint]) -> Vec<Pair<S::Full>> {
        values.iter().map(|value| self.pair(value)).collect()
    }
}

/// The reference for the answers of backends.
enum Against {
    /// An unrelated library, with a maximum number of items for its slow operations.
    Oracle(usize),
    Portable,
}

/// Backends that get the same cases. The expected answers are computed once for all of them.
type Backends<'a, S> = [&'a dyn Backend<<S as Widths>::Full, <S as Widths>::Half>];

fn mul_agrees<S: KeySize>(battery: &mut Battery<S>, backends: &Backends<'_, S>, against: &Against) {
    let n2 = battery.oracle.n2.clone();
    let engines: Vec<_> = backends.iter().map(|backend| backend.public(&battery.modulus)).collect();
    let reference = Backend::<S::Full, S::Half>::public(&Portable, &battery.modulus);
    // Every edge with every edge, named, and every length.
    let edges = battery.edge_residues();
    let every: Vec<_> = edges.iter().map(|(_, y)| y.clone()).collect();
    let mut cases: Vec<_> = edges
        .iter()
        .map(|(name, x)| ((*name).to_owned(), vec![x.clone(); every.len()], every.clone()))
        .collect();
    for len in LENGTHS {
        cases.push((format!("{len} items"), battery.residues(len, 1), battery.residues(len, 5)));
    }
    for (name, xs, ys) in cases {
        let (x, y) = (battery.pairs(&xs), battery.pairs(&ys));
        let expected = match against {
            Against::Oracle(_) => {
                let products: Vec<_> = xs.iter().zip(&ys).map(|(x, y)| x * y % &n2).collect();
                battery.pairs(&products)
            }
            Against::Portable => reference.mul(&x, &y),
        };
        for (backend, engine) in backends.iter().zip(&engines) {
            assert!(engine.mul(&x, &y) == expected, "{}: mul, {name}", backend.name());
        }
    }
}

fn fold_agrees<S: KeySize>(battery: &mut Battery<S>, backends: &Backends<'_, S>, against: &Against) {
    let n2 = battery.oracle.n2.clone();
    let engines: Vec<_> = backends.iter().map(|backend| backend.public(&battery.modulus)).collect();
    let reference = Backend::<S::Full, S::Half>::public(&Portable, &battery.modulus);
    let mut shapes: Vec<_> = LENGTHS.iter().flat_map(|len| [0, 1, 2, 3].map(|count| (*len, count))).collect();
    shapes.extend([(1, 300), (9, 64), (8, 65), (3, 300)]);
    for (len, count) in shapes {
        let mut folds: Vec<_> = engines.iter().map(|engine| engine.fold(len)).collect();
        let mut expected_fold = reference.fold(len);
        let mut products = vec![number(1); len];
        for turn in 0..count {
            let xs = battery.residues(len, turn);
            let pairs = Arc::new(battery.pairs(&xs));
            for fold in &mut folds {
                fold.add(&pairs);
            }
            match against {
                Against::Oracle(_) => {
                    products.iter_mut().zip(&xs).for_each(|(product, x)| *product = &*product * x % &n2);
                }
                Against::Portable => expected_fold.add(&pairs),
            }
        }
        let expected = match against {
            Against::Oracle(_) => battery.pairs(&products),
            Against::Portable => expected_fold.finish(),
        };
        for (backend, fold) in backends.iter().zip(folds) {
            assert!(fold.finish() == expected, "{}: fold of {count} contributions of {len}", backend.name());
        }
    }
}

fn pow_agrees<S: KeySize>(battery: &mut Battery<S>, backends: &Backends<'_, S>, against: &Against) {
    let n2 = battery.oracle.n2.clone();
    let engines: Vec<_> = backends.iter().map(|backend| backend.public(&battery.modulus)).collect();
    let reference = Backend::<S::Full, S::Half>::public(&Portable, &battery.modulus);
    let all_ones: BigUint = (number(1) << S::BITS) - 1u8;
    let slow = if let Against::Oracle(items) = against { *items } else { 9 };
    let mut shapes = LENGTHS.map(|len| (len, 17)).to_vec();
    shapes.extend([0, 1, 2, 5, 6, 7, 31, 32, 33, 63, 64, 65].map(|bits| (9, bits)));
    shapes.push((slow, S::BITS));
    for (turn, (len, bits)) in shapes.into_iter().enumerate() {
        let xs = battery.residues(len, turn);
        // Exponents of full width: bits beyond the used ones do not count.
        let exponents = battery.numbers(&(&all_ones + 1u8), len, 1);
        let x = battery.pairs(&xs);
        let e: Vec<S::Full> = exponents.iter().map(small).collect();
        let expected = match against {
            Against::Oracle(_) => {
                let read: BigUint = number(1) << bits;
                let powers: Vec<_> =
                    xs.iter().zip(&exponents).map(|(x, e)| x.modpow(&(e % &read), &n2)).collect();
                battery.pairs(&powers)
            }
            Against::Portable => reference.pow(&x, &e, bits),
        };
        for (backend, engine) in backends.iter().zip(&engines) {
            let name = format!("{}: pow, {len} items of {bits} bits", backend.name());
            assert!(engine.pow(&x, &e, bits) == expected, "{name}");
        }
    }
}

fn add_plain_agrees<S: KeySize>(battery: &mut Battery<S>, backends: &Backends<'_, S>, against: &Against) {
    let engines: Vec<_> = backends.iter().map(|backend| backend.public(&battery.modulus)).collect();
    let reference = Backend::<S::Full, S::Half>::public(&Portable, &battery.modulus);
    let (n, n2) = (battery.oracle.n.clone(), battery.oracle.n2.clone());
    for (turn, len) in LENGTHS.into_iter().chain([200]).enumerate() {
        let (xs, ms) = (battery.residues(len, turn), battery.numbers(&n, len, turn * 3));
        let (x, m) = (battery.pairs(&xs), ms.iter().map(small).collect::<Vec<S::Full>>());
        let expected = match against {
            Against::Oracle(_) => {
                let sums: Vec<_> = xs.iter().zip(&ms).map(|(x, m)| x * (number(1) + m * &n) % &n2).collect();
                battery.pairs(&sums)
            }
            Against::Portable => reference.add_plain(&x, &m),
        };
        for (backend, engine) in backends.iter().zip(&engines) {
            assert!(engine.add_plain(&x, &m) == expected, "{}: add_plain, {len} items", backend.name());
        }
    }
}

fn fixed_base_agrees<S: KeySize>(battery: &mut Battery<S>, backends: &Backends<'_, S>, against: &Against) {
    let (n, n2) = (battery.oracle.n.clone(), battery.oracle.n2.clone());
    let full = S::BITS / 2;
    let random = below(&n2, &mut battery.rng);
    for (base_name, base, bits) in [
        ("random", &random, full),
        ("n² − 1", &(&n2 - 1u8), full),
        ("random, few bits", &random, 13),
        ("random, one bit", &random, 1),
    ] {
        let pair = battery.pair(base);
        let engines: Vec<_> =
            backends.iter().map(|backend| backend.fixed_base(&battery.modulus, &pair, bits)).collect();
        let reference = Backend::<S::Full, S::Half>::fixed_base(&Portable, &battery.modulus, &pair, bits);
        assert!(engines.iter().all(|engine| engine.table_bytes() > 0));
        let slow = if let Against::Oracle(items) = against { *items } else { usize::MAX };
        // At full length the oracle is slow, so the edge cases come first.
        let lengths = if bits == full && slow < 33 { vec![0, slow] } else { LENGTHS.to_vec() };
        for (turn, len) in lengths.into_iter().enumerate() {
            // Exponents of full width: bits beyond the stated ones do not count.
            let exponents = battery.numbers(&(number(1) << full), len, turn);
            let ms = battery.numbers(&n, len, turn + 1);
            let e: Vec<S::Half> = exponents.iter().map(small).collect();
            let m: Vec<S::Full> = ms.iter().map(small).collect();
            let (expected_powers, expected_ciphertexts) = match against {
                Against::Oracle(_) => {
                    let read: BigUint = number(1) << bits;
                    let powers: Vec<_> = exponents.iter().map(|e| base.modpow(&(e % &read), &n2)).collect();
                    let ciphertexts: Vec<_> =
                        powers.iter().zip(&ms).map(|(x, m)| x * (number(1) + m * &n) % &n2).collect();
                    (battery.pairs(&powers), battery.pairs(&ciphertexts))
                }
                Against::Portable => (reference.pow(&e), reference.encrypt(&m, &e)),
            };
            for (backend, engine) in backends.iter().zip(&engines) {
                let name = format!("{}: base {base_name}, {bits} bits, {len} items", backend.name());
                assert!(engine.pow(&e) == expected_powers, "{name}: pow");
                assert!(engine.encrypt(&m, &e) == expected_ciphertexts, "{name}: encrypt");
            }
        }
    }
}

/// Short exponents at the ends of windows, words and lengths, by name. Some have bits above the
/// stated ones, which do not count.
fn edge_exponents<S: KeySize>() -> Vec<(String, BigUint)> {
    let bits = S::SHORT_EXPONENT_BITS;
    let top: BigUint = number(1) << (bits - 1);
    let all: BigUint = (number(1) << bits) - 1u8;
    let all_there_is: BigUint = (number(1) << (S::BITS / 2)) - 1u8;
    let mut edges = vec![
        ("zero".to_owned(), number(0)),
        ("only the lowest bit".to_owned(), number(1)),
        ("only the top bit".to_owned(), top.clone()),
        ("top and lowest bit".to_owned(), &top + 1u8),
        ("all ones".to_owned(), all.clone()),
        ("all ones but the lowest".to_owned(), &all - 1u8),
        ("all ones but the top".to_owned(), &all - &top),
        ("only the bit above".to_owned(), number(1) << bits),
        ("all ones above, zero below".to_owned(), &all_there_is - &all),
        ("ones everywhere".to_owned(), all_there_is),
    ];
    // On both sides of the ends of the backends' words, of 32, 52 and 64 bits.
    for bit in [31, 32, 51, 52, 63, 64, 103, 104, 127, 128] {
        edges.push((format!("only bit {bit}"), number(1) << bit));
    }
    // For all window widths of a table.
    for window in 2..=12 {
        let full: BigUint = (number(1) << window) - 1u8;
        let every_other = |first: u32| {
            let windows = (first..bits.div_ceil(window)).step_by(2);
            windows.fold(number(0), |sum, at| sum + (&full << (at * window))) & &all
        };
        edges.push((format!("every other window of {window} bits full"), every_other(0)));
        edges.push((format!("the other windows of {window} bits full"), every_other(1)));
        edges.push((
            format!("only the last window of {window} bits"),
            &all ^ (&all >> ((bits - 1) % window + 1)),
        ));
    }
    edges
}

fn short_exponents_agree<S: KeySize>(
    battery: &mut Battery<S>,
    backends: &Backends<'_, S>,
    against: &Against,
) {
    let (n, n2) = (battery.oracle.n.clone(), battery.oracle.n2.clone());
    let bits = S::SHORT_EXPONENT_BITS;
    let read: BigUint = number(1) << bits;
    // A base like that of an encryptor, and the largest residue.
    let random = below(&n, &mut battery.rng);
    let negative_square = (&n2 - &random * &random % &n) % &n;
    for (base_name, base) in [("h_s", negative_square.modpow(&n, &n2)), ("n² − 1", &n2 - 1u8)] {
        let pair = battery.pair(&base);
        let engines: Vec<_> =
            backends.iter().map(|backend| backend.fixed_base(&battery.modulus, &pair, bits)).collect();
        let reference = Backend::<S::Full, S::Half>::fixed_base(&Portable, &battery.modulus, &pair, bits);
        let mut exponents = edge_exponents::<S>();
        for i in 0..33 {
            exponents.push((format!("random {i}"), below(&read, &mut battery.rng)));
        }
        let names: Vec<_> = exponents.iter().map(|(name, _)| name).collect();
        let ms = battery.numbers(&n, exponents.len(), 0);
        let e: Vec<S::Half> = exponents.iter().map(|(_, exponent)| small(exponent)).collect();
        let m: Vec<S::Full> = ms.iter().map(small).collect();
        let (expected_powers, expected_ciphertexts) = match against {
            Against::Oracle(_) => {
                let powers: Vec<_> = exponents.iter().map(|(_, e)| base.modpow(&(e % &read), &n2)).collect();
                let ciphertexts: Vec<_> =
                    powers.iter().zip(&ms).map(|(x, m)| x * (number(1) + m * &n) % &n2).collect();
                (battery.pairs(&powers), battery.pairs(&ciphertexts))
            }
            Against::Portable => (reference.pow(&e), reference.encrypt(&m, &e)),
        };
        for (backend, engine) in backends.iter().zip(engines) {
            let (backend, found) = (backend.name(), engine.pow(&e));
            for (i, name) in names.iter().enumerate() {
                assert!(found[i] == expected_powers[i], "{backend}: base {base_name}, exponent {name}: pow");
            }
            let found = engine.encrypt(&m, &e);
            for (i, name) in names.iter().enumerate() {
                assert!(found[i] == expected_ciphertexts[i], "{backend}: base {base_name}, {name}: encrypt");
            }
            // Batches that do not fill the lanes, single items, and batches that stay in the
            // backend's memory.
            for len in [0, 1, 5, 9] {
                assert!(engine.pow(&e[..len]) == expected_powers[..len], "{backend}: {len} exponents");
            }
            let resident = Arc::clone(&engine).encrypt_resident(&m, &e).pairs();
            assert!(resident == expected_ciphertexts, "{backend}: base {base_name}: encrypt_resident");
        }
    }
}

fn decrypt_agrees<S: KeySize>(battery: &mut Battery<S>, backends: &Backends<'_, S>, against: &Against) {
    let engines: Vec<_> =
        backends.iter().map(|backend| (backend.name(), backend.secret(&battery.p, &battery.q))).collect();
    let swapped: Vec<_> = backends.iter().map(|backend| backend.secret(&battery.q, &battery.p)).collect();
    let reference = Backend::<S::Full, S::Half>::secret(&Portable, &battery.p, &battery.q);
    let (p, q) = (battery.oracle.p.clone(), battery.oracle.q.clone());
    let unit = |x: &BigUint| x % &p != BigUint::ZERO && x % &q != BigUint::ZERO;
    for (turn, len) in LENGTHS.into_iter().enumerate() {
        let xs = battery.residues(len, turn);
        assert!(xs.iter().all(unit), "edges and random residues are units");
        let x = battery.pairs(&xs);
        let expected: Option<Vec<BigUint>> = match against {
            // The last length has all edge cases. Known plaintexts follow below.
            Against::Oracle(items) if len == 33 => {
                Some(xs.iter().take(*items).map(|x| battery.oracle.decrypt(x)).collect())
            }
            Against::Oracle(_) => None,
            Against::Portable => {
                Some(reference.decrypt(&x).expect("all are units").iter().map(wide).collect())
            }
        };
        for ((name, engine), swapped) in engines.iter().zip(&swapped) {
            let name = format!("{name}: decrypt, {len} items");
            let found = engine.decrypt(&x).expect("all are units");
            assert!(Some(&found) == swapped.decrypt(&x).as_ref(), "{name}: primes swapped");
            if let Some(expected) = &expected {
                assert_eq!(found.len(), len, "{name}");
                let found: Vec<_> = found.iter().take(expected.len()).map(wide).collect();
                assert_eq!(&found, expected, "{name}");
            }
        }
    }
    // Known plaintexts, which are cheap for the oracle: (1 + n)^m·(−1)^n is 1 + m·n or its
    // negative.
    let (n, n2) = (battery.oracle.n.clone(), battery.oracle.n2.clone());
    let ms = battery.numbers(&n, 33, 0);
    let bare: Vec<_> = ms.iter().map(|m| battery.pair(&((number(1) + m * &n) % &n2))).collect();
    let negative: Vec<_> = ms.iter().map(|m| battery.pair(&(&n2 - (number(1) + m * &n) % &n2))).collect();
    for (name, engine) in &engines {
        let found = engine.decrypt(&bare).expect("units");
        assert_eq!(found.iter().map(wide).collect::<Vec<_>>(), ms, "{name}: 1 + m·n");
        let found = engine.decrypt(&negative).expect("units");
        assert_eq!(found.iter().map(wide).collect::<Vec<_>>(), ms, "{name}: −(1 + m·n)");
    }

    // One residue that is not a unit makes a batch fail, at every index. So does zero.
    for bad in [&p, &q, &(&p * &p), &(&n * 7u8), &number(0)] {
        for (len, at) in [(1, 0), (9, 0), (9, 8), (33, 32), (33, 7)] {
            let mut xs = battery.residues(len, at);
            xs[at].clone_from(bad);
            let pairs = battery.pairs(&xs);
            for (name, engine) in &engines {
                assert!(engine.decrypt(&pairs).is_none(), "{name}: {len} items");
            }
        }
    }
}

/// Runs the battery on all backends, and decryption on those that may have secret keys.
fn agrees<S: KeySize>(backends: &Backends<'_, S>, with_secret_keys: &Backends<'_, S>, against: &Against) {
    let mut battery = Battery::<S>::new(u64::from(S::BITS));
    let battery = &mut battery;
    mul_agrees(battery, backends, against);
    fold_agrees(battery, backends, against);
    pow_agrees(battery, backends, against);
    add_plain_agrees(battery, backends, against);
    fixed_base_agrees(battery, backends, against);
    short_exponents_agree(battery, backends, against);
    decrypt_agrees(battery, with_secret_keys, against);
}

fn portable_agrees<S: KeySize>(against: &Against) {
    agrees::<S>(&[&Portable], &[&Portable], against);
}

// --- portable against the oracle ---

#[test]
fn portable_agrees_with_an_unrelated_library_at_512() {
    portable_agrees::<Small>(&Against::Oracle(33));
}

#[test]
fn portable_agrees_with_an_unrelated_library_at_2048() {
    portable_agrees::<Bits2048>(&Against::Oracle(4));
}

#[test]
fn portable_agrees_with_an_unrelated_library_at_3072() {
    portable_agrees::<Bits3072>(&Against::Oracle(1));
}

#[test]
fn portable_agrees_with_an_unrelated_library_at_4096() {
    portable_agrees::<Bits4096>(&Against::Oracle(1));
}

// --- the others against portable ---

/// The names in `REQUIRE_BACKENDS`.
fn required() -> Vec<String> {
    let list = std::env::var("REQUIRE_BACKENDS").unwrap_or_default();
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn in_battery(name: &str) -> bool {
    BACKENDS.iter().any(|(known, _)| *known == name)
}

#[test]
fn the_battery_knows_all_backends_and_those_required() {
    for name in BackendChoice::NAMES.iter().filter(|name| **name != "auto") {
        assert!(in_battery(name), "`{name}` is not in the list of this battery");
    }
    let auto = BackendChoice::Auto.backend_name();
    assert!(in_battery(auto.expect("one runs everywhere")));
    for name in required() {
        assert!(in_battery(&name), "REQUIRE_BACKENDS names `{name}`, which is none of {BACKENDS:?}");
    }
}

/// Whether this GPU is a software adapter.
fn is_slow(choice: BackendChoice) -> bool {
    #[cfg(feature = "gpu")]
    let is_software =
        || cipherfold::diagnostics::gpu::Gpu::process_wide().is_ok_and(|gpu| gpu.report().is_software);
    #[cfg(not(feature = "gpu"))]
    let is_software = || false;
    matches!(choice, BackendChoice::Gpu | BackendChoice::GpuWithSecretKeys) && is_software()
}

fn agrees_with_portable<S: KeySize>() {
    let (mut backends, mut with_secret_keys) = (Vec::new(), Vec::new());
    for (name, choice) in BACKENDS {
        match S::backend(*choice) {
            Ok(_)
                if S::BITS > Small::BITS && is_slow(*choice) && !required().iter().any(|one| one == name) =>
            {
                println!("{name} is skipped at {} bits: a software adapter, and not required", S::BITS);
            }
            Ok(backend) => {
                assert_eq!(backend.name(), *name);
                println!("{name} runs at {} bits", S::BITS);
                match choice {
                    BackendChoice::Portable => {}
                    // The same GPU for everything else.
                    BackendChoice::GpuWithSecretKeys => with_secret_keys.push(backend),
                    _ => {
                        backends.push(backend);
                        with_secret_keys.push(backend);
                    }
                }
            }
            Err(reason) => {
                assert!(!required().iter().any(|required| required == name), "{name} is required: {reason}");
                println!("{name} is skipped: {reason}");
            }
        }
    }
    agrees::<S>(&backends, &with_secret_keys, &Against::Portable);
}

#[test]
fn all_backends_agree_with_portable() {
    agrees_with_portable::<Small>();
    agrees_with_portable::<Bits2048>();
    agrees_with_portable::<Bits3072>();
    agrees_with_portable::<Bits4096>();
    // If a GPU fails, the CPU computes instead, and would agree with itself.
    #[cfg(feature = "gpu")]
    if let Ok(gpu) = cipherfold::diagnostics::gpu::Gpu::process_wide() {
        assert_eq!(gpu.faults(), Vec::<String>::new(), "{}", gpu.report());
    }
}

/// The other half of the battery. No other backend runs it yet.
#[test]
fn the_battery_passes_portable_itself() {
    portable_agrees::<Small>(&Against::Portable);
}
