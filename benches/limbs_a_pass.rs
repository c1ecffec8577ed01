//! The AVX-512 products and squarings with one limb of the multiplier a pass, and with two, to see
//! which are faster on a processor. `src/backend/simd/ifma/kernel.rs` says which are used, and why.
//!
//! ```text
//! cargo bench --bench limbs_a_pass
//! ```
//!
//! Both variants take turns on one thread, and the best turn of each counts.

fn main() {
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    measure();
    #[cfg(not(all(target_arch = "x86_64", not(cipherfold_no_simd))))]
    println!("this build has no kernels of AVX-512");
}

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
fn measure() {
    use cipherfold::diagnostics::{Limbs, Modulus, limbs_a_pass};
    use crypto_bigint::{U1024, U2048, U3072, U4096};

    fn row<U: Limbs, const K: usize>(bits: u32, turns: u32) {
        let mut n = U::zero();
        n.words_mut().fill(!0); // 2^bits − 1: odd, like any modulus
        let modulus = Modulus::<U>::new(n).expect("an odd modulus");
        let Some(operations) = limbs_a_pass::<U, K>(&modulus, turns) else {
            println!("{bits} bits: this processor has no AVX-512 IFMA");
            return;
        };
        for (operation, [one, two]) in operations {
            println!(
                "{bits} bits, eight times one {operation}: one limb a pass {one:?}, two limbs {two:?}, ratio {:.3}",
                two.as_secs_f64() / one.as_secs_f64()
            );
        }
    }

    // `cargo test --benches` does not pass `--bench`: one turn shows that everything runs.
    let turns = if std::env::args().any(|argument| argument == "--bench") { 50 } else { 1 };
    row::<U1024, 20>(1024, turns); // a prime of a key of 2048 bits
    row::<U2048, 40>(2048, turns);
    row::<U3072, 60>(3072, turns);
    row::<U4096, 79>(4096, turns);
}
