use cipherfold::residue::*;
use crypto_bigint::{Odd, Random, U1024, U2048, U4096, modular::*};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Instant;
fn time<T>(name: &str, n: u32, mut f: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let t = Instant::now();
        for _ in 0..n {
            std::hint::black_box(f());
        }
        best = best.min(t.elapsed().as_secs_f64() / n as f64);
    }
    println!("{name}: {:.1} ns", best * 1e9);
    best
}
fn main() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let p: U1024 = crypto_primes::random_prime(&mut rng, crypto_primes::Flavor::Any, 1024);
    let q: U1024 = crypto_primes::random_prime(&mut rng, crypto_primes::Flavor::Any, 1024);
    let n: U2048 = p.concatenating_mul(&q);
    let n2: U4096 = n.concatenating_mul(&n);
    let m = Modulus::new(n).unwrap();
    let params = FixedMontyParams::new_vartime(Odd::new(n2).unwrap());
    let c = FixedMontyForm::new(&U4096::random_from_rng(&mut rng), &params);
    let y = time("crypto-bigint mul 4096", 2000, || c * c);
    let ys = time("crypto-bigint square 4096", 2000, || c.square());
    let x = Pair::new(
        U2048::random_from_rng(&mut rng).wrapping_shr_vartime(1),
        U2048::random_from_rng(&mut rng).wrapping_shr_vartime(1),
    );
    let t = time("pair mul", 2000, || m.mul(std::hint::black_box(&x), &x));
    println!("  ratio {:.2}", y / t);
    let t = time("pair square", 2000, || m.square(std::hint::black_box(&x)));
    println!("  ratio {:.2}", ys / t);
    let mp = Modulus::new(p).unwrap();
    let xp = Pair::new(
        U1024::random_from_rng(&mut rng).wrapping_shr_vartime(1),
        U1024::random_from_rng(&mut rng).wrapping_shr_vartime(1),
    );
    time("pair mul p", 2000, || mp.mul(std::hint::black_box(&xp), &xp));
    time("pair square p", 2000, || mp.square(std::hint::black_box(&xp)));
    let e = U2048::random_from_rng(&mut rng);
    let pw = time("crypto-bigint pow n", 2, || c.pow(&e));
    let pa = time("crypto-bigint pow_amm n", 2, || c.pow_amm_bounded_exp(&e.resize(), 2048));
    let t = time("dec 2x pow p", 2, || (mp.pow(&xp, p.as_words(), 1024), mp.pow(&xp, p.as_words(), 1024)));
    println!("  ratio {:.2} {:.2}", pw / t, pa / t);
    let base = m.to_mont(&x);
    for w in 4..=8 {
        let fb = FixedBase::new(&m, &base, 1024, w);
        let es: Vec<U1024> = (0..32).map(|_| U1024::random_from_rng(&mut rng)).collect();
        let t = time(&format!("fixed base w={w} batch"), 1, || fb.pow_batch(&m, &es)) / 32.0;
        println!("   one {:.1} ratio {:.2} {:.2}", t * 1e9, pw / t, pa / t);
        time(" single", 4, || fb.pow(&m, es[0].as_words()));
    }
}
