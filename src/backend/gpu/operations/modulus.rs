//! A modulus on a device, and the code that all operations modulo it share.

use std::sync::Arc;

use crypto_bigint::Word;
use zeroize::Zeroizing;

use crate::{
    backend::gpu::{
        device::Fault,
        kernels::{self, LaneLayout},
        memory::DeviceBuffer,
        stream::{Binding, Commands, Runtime},
    },
    residue::{Limbs, Modulus, Pair},
};

/// Results that stay on the device: buffers, each with its number of residues.
pub(crate) type ResidentPieces = Vec<(DeviceBuffer, usize)>;

/// A modulus on a device.
pub(crate) struct ModulusOnDevice<U: Limbs> {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) layout: LaneLayout,
    pub(crate) modulus: Arc<Modulus<U>>,
    pub(crate) constants: DeviceBuffer,
    /// R and R² mod n².
    pub(crate) factors: DeviceBuffer,
    pub(crate) r2: DeviceBuffer,
    /// One, as the factor that converts from Montgomery form.
    pub(crate) one: DeviceBuffer,
    pub(crate) is_secret: bool,
}

impl<U: Limbs> ModulusOnDevice<U> {
    pub(crate) fn new(
        runtime: &Arc<Runtime>,
        modulus: &Arc<Modulus<U>>,
        is_secret: bool,
    ) -> Result<Self, Fault> {
        let layout = runtime.pipelines.layout(U::WORDS as u32 * Word::BITS);
        let constants = Zeroizing::new(layout.modulus_words(modulus));
        let r2 = Zeroizing::new(layout.loose(&layout.power_of_r(modulus, 2)));
        let mut factors = Zeroizing::new(Vec::with_capacity(2 * layout.loose_words()));
        factors.extend(&*Zeroizing::new(layout.loose(&layout.power_of_r(modulus, 1))));
        factors.extend(&*r2);
        Ok(Self {
            runtime: Arc::clone(runtime),
            layout,
            modulus: Arc::clone(modulus),
            constants: DeviceBuffer::new(&runtime.device, "modulus", &constants, is_secret)?,
            factors: DeviceBuffer::new(&runtime.device, "powers of R", &factors, is_secret)?,
            r2: DeviceBuffer::new(&runtime.device, "R²", &r2, is_secret)?,
            one: DeviceBuffer::new(&runtime.device, "one", &layout.loose(&Pair::<U>::one()), false)?,
            is_secret,
        })
    }

    /// A constant residue, as a factor for kernels.
    pub(crate) fn constant(&self, pair: &Pair<U>) -> Result<DeviceBuffer, Fault> {
        DeviceBuffer::new(&self.runtime.device, "factor", &self.layout.loose(pair), self.is_secret)
    }

    /// For each of `slots` slots, multiplies its `segments` accumulators in `products` with each
    /// other and with `factor`.
    pub(crate) fn finish(
        &self,
        products: Binding<'_>,
        results: Binding<'_>,
        slots: u32,
        segments: u32,
        factor: &DeviceBuffer,
        commands: &mut Commands<'_>,
    ) -> Result<(), Fault> {
        let bindings = [Binding::whole(&self.constants), products, Binding::whole(factor), results];
        commands.dispatch(self.layout, &bindings, slots, segments, |first, end| kernels::Finish {
            slots,
            segments,
            first,
            end,
        })
    }
}
