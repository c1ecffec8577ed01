//! Values that belong to one device.

use std::sync::{Arc, Mutex};

use crate::backend::gpu::{device::Fault, sync::lock};

/// A value on a device, created again for the next device.
pub(crate) struct PerDevice<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Default for PerDevice<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> PerDevice<T> {
    /// The value on the device of this generation.
    pub(crate) fn get(
        &self,
        generation: u64,
        make: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<Arc<T>, Fault> {
        let mut cached = lock(&self.0);
        match &*cached {
            Some((found, value)) if *found == generation => Ok(Arc::clone(value)),
            _ => {
                let value = Arc::new(make()?);
                *cached = Some((generation, Arc::clone(&value)));
                Ok(value)
            }
        }
    }
}
