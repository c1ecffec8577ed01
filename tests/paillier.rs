//! Quick check.
use cipherfold::paillier::*;
use rand_core::SeedableRng;
#[test]
fn quick() {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    fn go<S: KeySize>(rng: &mut rand_chacha::ChaCha20Rng) {
        let t = std::time::Instant::now();
        let sk = SecretKey::<S>::generate(rng);
        println!("{} keygen {:?}", S::BITS, t.elapsed());
        let t = std::time::Instant::now();
        let enc = Encryptor::new(sk.public_key(), rng);
        println!("encryptor {:?}", t.elapsed());
        let pk = sk.public_key();
        let a = enc.encrypt(&Plaintext::from(1000u64), rng).unwrap();
        let b = pk.encrypt_with(&Plaintext::from(77u64), pk.randomizer_full_range(rng)).unwrap();
        let d = |c: &Ciphertext<S>| pk.plaintext_to_i128(&sk.decrypt(c).unwrap()).unwrap();
        assert_eq!(d(&a), 1000);
        assert_eq!(d(&b), 77);
        assert_eq!(d(&pk.add(&a, &b).unwrap()), 1077);
        assert_eq!(d(&pk.sub(&b, &a).unwrap()), -923);
        assert_eq!(d(&pk.negate(&a).unwrap()), -1000);
        assert_eq!(d(&pk.add_plain(&a, &pk.plaintext_from_i128(-1)).unwrap()), 999);
        assert_eq!(d(&pk.mul_plain(&a, &pk.plaintext_from_i128(-3)).unwrap()), -3000);
        assert_eq!(d(&pk.mul_plain_bounded(&a, &Plaintext::from(65535u64), 16).unwrap()), 65_535_000);
        assert_eq!(d(&pk.sum([&a, &b, &a, &a]).unwrap()), 3077);
        let c = pk.rerandomize(&a, enc.randomizers(1, rng).pop().unwrap()).unwrap();
        assert_ne!(c, a);
        assert_eq!(d(&c), 1000);
        let int = pk.ciphertext_to_integer(&a).unwrap();
        assert_eq!(pk.ciphertext_from_integer(&int).unwrap(), a);
    }
    go::<hazmat::InsecureBits512>(&mut rng);
    go::<Bits2048>(&mut rng);
    go::<Bits3072>(&mut rng);
    go::<Bits4096>(&mut rng);
}
