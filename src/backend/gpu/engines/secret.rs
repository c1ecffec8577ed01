//! Decryption.

use core::fmt;
use std::sync::Arc;

use crypto_bigint::Word;
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{failover::Failover, per_device::PerDevice};
use crate::{
    backend::{
        crt::{Crt, all_or_none},
        engine::SecretEngine,
        gpu::{operations::ModulusOnDevice, self_test::SelfTest},
    },
    residue::{Limbs, Modulus, Pair},
};

/// Decryption on the device: see [`Gpu::with_secret_keys`](crate::backend::gpu::Gpu::with_secret_keys).
pub(crate) struct Secret<F: Limbs, H: Limbs> {
    pub(crate) gpu: Arc<Failover>,
    pub(crate) crt: Crt<H>,
    pub(crate) moduli: [Arc<Modulus<H>>; 2],
    pub(crate) on_device: [PerDevice<ModulusOnDevice<H>>; 2],
    pub(crate) cpu: Arc<dyn SecretEngine<F>>,
}

impl<F: Limbs, H: Limbs> SecretEngine<F> for Secret<F, H> {
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>> {
        if xs.is_empty() {
            return Some(Vec::new());
        }
        let bits = H::WORDS as u32 * Word::BITS;
        let primes = [&self.crt.p, &self.crt.q];
        let powers = |i: usize| -> Option<Zeroizing<Vec<Pair<H>>>> {
            let prime = primes[i];
            let to_mont = |x| prime.modulus.from_mont(&prime.to_mont(x));
            let bases = Zeroizing::new(xs.par_iter().map(to_mont).collect::<Vec<_>>());
            self.gpu.run(
                xs.len(),
                &mut |device| {
                    let runtime = device.tested::<H>(SelfTest::Pow)?;
                    let on_device = self.on_device[i]
                        .get(device.generation(), || ModulusOnDevice::new(runtime, &self.moduli[i], true))?;
                    let exponent = |_| prime.exponent();
                    on_device.pow(&bases, &exponent, true, bits).map(|powers| Some(Zeroizing::new(powers)))
                },
                || None,
            )
        };
        // While the device works modulo the square of one prime, the host reduces modulo the square
        // of the other.
        let (Some(p_powers), Some(q_powers)) = rayon::join(|| powers(0), || powers(1)) else {
            return self.cpu.decrypt(xs);
        };
        let (mut plaintexts, mut units) = (Zeroizing::new(Vec::new()), Vec::new());
        p_powers
            .par_iter()
            .zip(q_powers.par_iter())
            .map(|(p, q)| self.crt.combine(p, q))
            .unzip_into_vecs(&mut *plaintexts, &mut units);
        all_or_none(plaintexts, &units)
    }
}

impl<F: Limbs, H: Limbs> fmt::Debug for Secret<F, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}
