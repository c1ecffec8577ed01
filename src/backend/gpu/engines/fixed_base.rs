//! Powers of a public base: randomizers and encryption.

use core::fmt;
use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use super::{
    failover::Failover,
    per_device::PerDevice,
    resident::{OnGpu, ResidentPairs},
};
use crate::{
    backend::{
        engine::{Backend, FixedBaseEngine},
        gpu::{
            device::Fault,
            operations::{ModulusOnDevice, ResidentPieces, Table, TableOnDevice},
            self_test::{SelfTest, TestedDevice},
        },
        resident::Resident,
    },
    residue::{Limbs, Modulus, Pair},
};

pub(crate) struct Powers<F: Limbs, H: Limbs> {
    pub(crate) gpu: Arc<Failover>,
    pub(crate) modulus: Arc<Modulus<F>>,
    pub(crate) base: Pair<F>,
    pub(crate) bits: u32,
    pub(crate) table: Arc<Table>,
    pub(crate) on_device: PerDevice<TableOnDevice<F>>,
    pub(crate) cpu_backend: &'static dyn Backend<F, H>,
    /// Made at its first use, because it has a separate table.
    pub(crate) cpu: OnceLock<Arc<dyn FixedBaseEngine<F, H>>>,
}

impl<F: Limbs, H: Limbs> Powers<F, H> {
    fn on_device(&self, device: &TestedDevice) -> Result<Arc<TableOnDevice<F>>, Fault> {
        let runtime = device.tested::<F>(SelfTest::FixedBase)?;
        self.on_device.get(device.generation(), || {
            TableOnDevice::new(ModulusOnDevice::new(runtime, &self.modulus, false)?, &self.table, self.base)
        })
    }

    fn cpu(&self) -> &Arc<dyn FixedBaseEngine<F, H>> {
        self.cpu.get_or_init(|| self.cpu_backend.fixed_base(&self.modulus, &self.base, self.bits))
    }
}

impl<F: Limbs, H: Limbs> FixedBaseEngine<F, H> for Powers<F, H> {
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>> {
        self.gpu.run(exponents.len(), &mut |device| self.on_device(device)?.pow(None, exponents), || {
            self.cpu().pow(exponents)
        })
    }

    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        self.gpu.run(ms.len(), &mut |device| self.on_device(device)?.pow(Some(ms), exponents), || {
            self.cpu().encrypt(ms, exponents)
        })
    }

    fn encrypt_resident(self: Arc<Self>, ms: &[F], exponents: &[H]) -> Resident<F> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        if ms.is_empty() {
            return Resident::on_host(Vec::new());
        }
        let pieces = self.gpu.run(
            ms.len(),
            &mut |device| {
                let pieces = self.on_device(device)?.pow_resident(Some(ms), exponents)?;
                Ok(Some((device.generation(), pieces)))
            },
            || None,
        );
        let Some((generation, pieces)) = pieces else {
            return Resident::on_host(self.cpu().encrypt(ms, exponents));
        };
        let (ms, exponents) = (Zeroizing::new(ms.to_vec()), Zeroizing::new(exponents.to_vec()));
        let there = Encrypted { engine: self, generation, pieces, ms, exponents };
        Resident::on_device(there.ms.len(), OnGpu(Arc::new(there)))
    }

    fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}

impl<F: Limbs, H: Limbs> fmt::Debug for Powers<F, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Powers").finish_non_exhaustive()
    }
}

/// Ciphertexts on a device, with the inputs to compute them again if the device is lost.
struct Encrypted<F: Limbs, H: Limbs> {
    engine: Arc<Powers<F, H>>,
    /// The generation of the device that has them.
    generation: u64,
    pieces: ResidentPieces,
    ms: Zeroizing<Vec<F>>,
    exponents: Zeroizing<Vec<H>>,
}

impl<F: Limbs, H: Limbs> ResidentPairs<F> for Encrypted<F, H> {
    fn fetch(&self) -> Vec<Pair<F>> {
        self.engine
            .gpu
            .run(
                self.ms.len(),
                &mut |device| {
                    if device.generation() != self.generation {
                        return Ok(None);
                    }
                    let on_device = self.engine.on_device(device)?;
                    on_device.fetch(&self.pieces, self.ms.len()).map(Some)
                },
                || None,
            )
            .unwrap_or_else(|| self.compute())
    }

    fn compute(&self) -> Vec<Pair<F>> {
        self.engine.cpu().encrypt(&self.ms, &self.exponents)
    }

    fn pieces(&self, generation: u64) -> Option<&ResidentPieces> {
        (generation == self.generation).then_some(&self.pieces)
    }

    fn is_on(&self, gpu: &Arc<Failover>) -> bool {
        Arc::ptr_eq(&self.engine.gpu, gpu)
    }
}
