//! Batches that need only n.

use core::fmt;
use std::sync::Arc;

use super::{failover::Failover, fold::DeviceFold, per_device::PerDevice};
use crate::{
    backend::{
        engine::{Fold, PublicEngine},
        gpu::{
            device::Fault,
            operations::ModulusOnDevice,
            self_test::{SelfTest, TestedDevice},
        },
    },
    residue::{Limbs, Modulus, Pair},
};

pub(crate) struct Public<F: Limbs> {
    pub(crate) gpu: Arc<Failover>,
    pub(crate) modulus: Arc<Modulus<F>>,
    pub(crate) on_device: Arc<PerDevice<ModulusOnDevice<F>>>,
    pub(crate) cpu: Arc<dyn PublicEngine<F>>,
}

impl<F: Limbs> Public<F> {
    fn on_device(&self, device: &TestedDevice, test: SelfTest) -> Result<Arc<ModulusOnDevice<F>>, Fault> {
        let runtime = device.tested::<F>(test)?;
        self.on_device.get(device.generation(), || ModulusOnDevice::new(runtime, &self.modulus, false))
    }
}

impl<F: Limbs> PublicEngine<F> for Public<F> {
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ys.len(), "factors come in pairs");
        self.gpu.run(xs.len(), &mut |device| self.on_device(device, SelfTest::Mul)?.mul(xs, ys), || {
            self.cpu.mul(xs, ys)
        })
    }

    fn fold(&self, len: usize) -> Box<dyn Fold<F>> {
        Box::new(DeviceFold::new(&self.gpu, &self.modulus, &self.on_device, &self.cpu, len))
    }

    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), exponents.len(), "every base has its exponent");
        self.gpu.run(
            xs.len(),
            &mut |device| {
                let exponent = |i: usize| exponents[i].words();
                self.on_device(device, SelfTest::Pow)?.pow(xs, &exponent, false, bits)
            },
            || self.cpu.pow(xs, exponents, bits),
        )
    }

    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ms.len(), "every ciphertext has its plaintext");
        self.gpu.run(xs.len(), &mut |device| self.on_device(device, SelfTest::Mul)?.add_plain(xs, ms), || {
            self.cpu.add_plain(xs, ms)
        })
    }
}

impl<F: Limbs> fmt::Debug for Public<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Public").finish_non_exhaustive()
    }
}
