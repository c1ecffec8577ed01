//! The GPU's part of the table; empty without the feature.

use cipherfold::paillier::KeySize;

use super::{common::Fixture, rows::Card};
use crate::common::subject::Subject;

/// Backends and operations, in the order of their rows.
pub(crate) const OPERATIONS: [(&str, &str); 6] = [
    ("gpu", "encrypt"),
    ("gpu", "encrypt_short"),
    ("gpu", "add"),
    ("gpu-with-secret-keys", "decrypt"),
    ("gpu", "mul_plain_16"),
    ("gpu", "randomizer"),
];

/// A GPU and keys on it.
#[cfg(feature = "gpu")]
pub(crate) struct OnCard<S: KeySize> {
    gpu: &'static cipherfold::diagnostics::gpu::Gpu,
    batches: crate::common::Batches,
    fixture: Fixture<S>,
    with_secret_keys: Fixture<S>,
}

#[cfg(feature = "gpu")]
impl<S: KeySize> OnCard<S> {
    pub(crate) fn detect(made: &Fixture<S>) -> Option<Self> {
        use cipherfold::backend::BackendChoice;
        let gpu = crate::common::gpu()?;
        let batches = crate::common::gpu_batches(gpu);
        let fixture = made.on_with(BackendChoice::Gpu, batches);
        let with_secret_keys = made.on_with(BackendChoice::GpuWithSecretKeys, batches);
        Some(Self { gpu, batches, fixture, with_secret_keys })
    }

    /// The routine to time for one of [`OPERATIONS`], with checked results.
    pub(crate) fn subject(&self, operation: &str) -> Subject<'_> {
        let (batches, fixture) = (self.batches, &self.fixture);
        match operation {
            "encrypt" => Subject::new(batches.encrypt, fixture.encrypt()),
            "encrypt_short" => Subject::new(batches.encrypt, fixture.encrypt_short()),
            "add" => Subject::new(crate::common::SUMMED * batches.add, fixture.sum()),
            "decrypt" => Subject::new(batches.decrypt, self.with_secret_keys.decrypt()),
            "mul_plain_16" => Subject::new(batches.encrypt, fixture.mul_plain_16()),
            "randomizer" => Subject::new(batches.encrypt, fixture.randomizer()),
            _ => unreachable!("no operation {operation} in the list"),
        }
    }

    pub(crate) fn card(&self) -> Card {
        Card {
            adapter: self.gpu.report().name.clone(),
            driver: self.gpu.report().driver.clone(),
            peak: self.gpu.multiply_add_rate(),
        }
    }

    /// The rate of the kernels behind a routine, by their own time.
    #[allow(clippy::cast_precision_loss, reason = "numbers of calls and items are small")]
    pub(crate) fn kernel_rate(&self, subject: &mut Subject<'_>) -> Option<f64> {
        let (calls, kernel) = (subject.calls, self.gpu.kernel_time());
        subject.measure_for(std::time::Duration::from_millis(200));
        let kernel = self.gpu.kernel_time().saturating_sub(kernel);
        let items = (subject.calls - calls) as f64 * subject.elements as f64;
        (!kernel.is_zero()).then(|| items / kernel.as_secs_f64())
    }

    #[allow(clippy::cast_precision_loss, reason = "limbs are few")]
    pub(crate) fn multiply_adds_of_an_add(&self) -> f64 {
        self.gpu.layout(S::BITS).multiply_adds() as f64
    }
}

/// No GPU.
#[cfg(not(feature = "gpu"))]
pub(crate) struct OnCard<S: KeySize>(core::convert::Infallible, core::marker::PhantomData<S>);

#[cfg(not(feature = "gpu"))]
impl<S: KeySize> OnCard<S> {
    pub(crate) fn detect(_: &Fixture<S>) -> Option<Self> {
        None
    }

    pub(crate) fn subject(&self, _: &str) -> Subject<'_> {
        match self.0 {}
    }

    pub(crate) fn card(&self) -> Card {
        match self.0 {}
    }

    pub(crate) fn kernel_rate(&self, _: &mut Subject<'_>) -> Option<f64> {
        match self.0 {}
    }

    pub(crate) fn multiply_adds_of_an_add(&self) -> f64 {
        match self.0 {}
    }
}
