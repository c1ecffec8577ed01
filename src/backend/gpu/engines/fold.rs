//! Folds on a device, which survive its loss.

use core::fmt;
use std::sync::Arc;

use super::{
    failover::Failover,
    per_device::PerDevice,
    resident::{OnGpu, ResidentPairs},
};
use crate::{
    backend::{
        engine::{Fold, PublicEngine},
        gpu::{
            device::Fault,
            kernels::{LaneLayout, RESIDENT_CONTRIBUTIONS},
            operations::{Accumulators, ModulusOnDevice, ResidentPieces, SavedAccumulators, random_index},
            self_test::{SelfTest, TestedDevice},
        },
        resident::Resident,
    },
    residue::{Limbs, Modulus, Pair},
};

/// A contribution that the host keeps, to send it again if the device is lost.
enum Entry<F: Limbs> {
    Pairs(Arc<Vec<Pair<F>>>),
    Resident(Arc<dyn ResidentPairs<F>>),
}

/// A random slot whose product the host computes too, as a check.
struct SampledSlot<F: Limbs> {
    slot: usize,
    /// The product of the contributions so far, not in Montgomery form.
    product: Pair<F>,
}

/// A fold whose accumulators are on a device.
///
/// In case the device is lost, the host keeps a copy of the accumulators, and a journal of the
/// contributions since that copy.
pub(crate) struct DeviceFold<F: Limbs> {
    gpu: Arc<Failover>,
    modulus: Arc<Modulus<F>>,
    on_device: Arc<PerDevice<ModulusOnDevice<F>>>,
    cpu: Arc<dyn PublicEngine<F>>,
    len: usize,
    contributions: u64,
    journal: Vec<Entry<F>>,
    /// Entries of the journal that are in the accumulators on the device.
    sent: usize,
    /// Entries of the journal that are in the copy of the accumulators that is being read back.
    copied: usize,
    saved: Option<(SavedAccumulators, LaneLayout)>,
    /// The copy before `saved`, whose memory the next copy reuses.
    spare: Option<SavedAccumulators>,
    accumulators: Option<(u64, Accumulators<F>)>,
    /// Continues the fold on the CPU when no device is left.
    fallback: Option<Box<dyn Fold<F>>>,
    /// `None` after a contribution whose residues are not on the host.
    sample: Option<SampledSlot<F>>,
}

impl<F: Limbs> DeviceFold<F> {
    /// A fold of contributions with `len` residues each.
    pub(crate) fn new(
        gpu: &Arc<Failover>,
        modulus: &Arc<Modulus<F>>,
        on_device: &Arc<PerDevice<ModulusOnDevice<F>>>,
        cpu: &Arc<dyn PublicEngine<F>>,
        len: usize,
    ) -> Self {
        Self {
            gpu: Arc::clone(gpu),
            modulus: Arc::clone(modulus),
            on_device: Arc::clone(on_device),
            cpu: Arc::clone(cpu),
            len,
            contributions: 0,
            journal: Vec::new(),
            sent: 0,
            copied: 0,
            saved: None,
            spare: None,
            accumulators: None,
            fallback: None,
            sample: (len > 0).then(|| SampledSlot { slot: random_index(&(0..len)), product: Pair::one() }),
        }
    }

    fn entry_bytes(&self) -> usize {
        self.len * size_of::<Pair<F>>()
    }

    /// Adds the rest of the journal to the accumulators on this device. Stops at an entry that was
    /// lost with its device, and returns its index. The caller then computes this entry again
    /// outside the batch, with its own thread pool.
    ///
    /// If `is_copied`, starts a copy of the accumulators to the host. The journal keeps its entries
    /// until the copy is complete.
    fn send_journal(&mut self, device: &TestedDevice, is_copied: bool) -> Result<Option<usize>, Fault> {
        let runtime = device.tested::<F>(SelfTest::Fold)?;
        let generation = device.generation();
        let modulus =
            self.on_device.get(generation, || ModulusOnDevice::new(runtime, &self.modulus, false))?;
        if self.accumulators.as_ref().is_none_or(|(found, _)| *found != generation) {
            self.accumulators = None;
            (self.sent, self.copied) = (0, 0);
            let restored = match &self.saved {
                Some((saved, _)) => Some(Accumulators::restored(&modulus, self.len, saved)?),
                None => None,
            };
            self.accumulators = restored.map(|accumulators| (generation, accumulators));
        }
        if is_copied && self.copied > 0 {
            // Only one copy is read back at a time.
            if let Some((_, accumulators)) = &mut self.accumulators {
                accumulators.wait_for_copy()?;
            }
            self.apply_copy(modulus.layout);
        }
        while self.sent < self.journal.len() {
            let waiting = &self.journal[self.sent..];
            let run: Vec<&[Pair<F>]> = waiting
                .iter()
                .map_while(|entry| match entry {
                    Entry::Pairs(pairs) => Some(pairs.as_slice()),
                    Entry::Resident(_) => None,
                })
                .collect();
            if self.accumulators.is_none() {
                // A slot gets several accumulators only if none of the first contributions is on
                // the device already.
                let count = run.len().max(1);
                let accumulators = Accumulators::new(&modulus, self.len, count)?;
                self.accumulators = Some((generation, accumulators));
            }
            let (_, accumulators) = self.accumulators.as_mut().expect("created above");
            let residents: Vec<&ResidentPieces> = waiting
                .iter()
                .map_while(|entry| match entry {
                    Entry::Pairs(_) => None,
                    Entry::Resident(resident) => resident.pieces(generation),
                })
                .collect();
            let added = run.len() + residents.len();
            if added == 0 {
                return Ok(Some(self.sent));
            }
            let is_last = waiting.len() == added;
            // The copy before this one must stay until this one is complete.
            let copy = (is_copied && is_last)
                .then(|| accumulators.prepare_copy(self.spare.take(), self.contributions));
            let is_copy_sent = copy.is_some();
            if run.is_empty() {
                accumulators.add_resident(&residents)?;
                copy.map_or(Ok(()), |copy| accumulators.copy(copy))?;
            } else {
                accumulators.add(&run, copy)?;
            }
            self.sent += added;
            if is_copy_sent {
                self.copied = self.sent;
            }
            self.apply_copy(modulus.layout);
        }
        Ok(None)
    }

    /// Stores a finished copy, and removes the journal's entries that it contains.
    fn apply_copy(&mut self, layout: LaneLayout) {
        let landed = self.accumulators.as_mut().and_then(|(_, accumulators)| accumulators.finished_copy());
        if let Some(copy) = landed {
            self.spare = self.saved.replace((copy, layout)).map(|(older, _)| older);
            self.journal.drain(..self.copied);
            self.sent -= self.copied;
            self.copied = 0;
        }
    }

    /// Adds the rest of the journal on the device and then does `work`. Without a device, falls
    /// back to the CPU and returns `None`.
    fn on_device<T>(
        &mut self,
        is_copied: bool,
        mut work: impl FnMut(&mut Self, &TestedDevice) -> Result<T, Fault>,
    ) -> Option<T> {
        let gpu = Arc::clone(&self.gpu);
        loop {
            let progress = gpu.run(
                self.len,
                &mut |device| match self.send_journal(device, is_copied)? {
                    Some(missing) => Ok(Some(Err(missing))),
                    None => work(self, device).map(|done| Some(Ok(done))),
                },
                || None,
            );
            match progress {
                Some(Ok(done)) => return Some(done),
                Some(Err(missing)) => {
                    let Entry::Resident(resident) = &self.journal[missing] else {
                        unreachable!("pairs are here")
                    };
                    self.journal[missing] = Entry::Pairs(Arc::new(resident.compute()));
                }
                None => {
                    self.fall_back();
                    return None;
                }
            }
        }
    }

    /// Sends the waiting contributions. Starts a copy of the accumulators if the journal is full.
    fn flush(&mut self) {
        self.on_device(self.is_journal_full(), |_, _| Ok(()));
    }

    /// Whether a copy of the accumulators should replace the journal.
    fn is_journal_full(&self) -> bool {
        // Resident entries keep memory of the device in use. The entries in an unfinished copy
        // leave the journal when the copy is complete.
        let journal = (self.journal.len() - self.copied) * self.entry_bytes();
        let state = self.saved.as_ref().map_or(0, |(saved, _)| saved.bytes());
        journal > self.gpu.max_journal_bytes().max(2 * state)
    }

    /// Continues on the CPU, from the host's copy and the journal.
    fn fall_back(&mut self) {
        let mut fold = self.cpu.fold(self.len);
        if let Some((saved, layout)) = self.saved.take() {
            let (mut segments, exponent) = saved.pairs(layout, self.modulus.n(), self.len);
            let factor = layout.power_of_r(&self.modulus, exponent);
            let mut product = self.cpu.mul(&segments.remove(0), &vec![factor; self.len]);
            for segment in segments {
                product = self.cpu.mul(&product, &segment);
            }
            fold.add(&Arc::new(product));
        }
        for entry in self.journal.drain(..) {
            match entry {
                Entry::Pairs(pairs) => fold.add(&pairs),
                Entry::Resident(resident) => fold.add(&Arc::new(resident.compute())),
            }
        }
        self.accumulators = None;
        self.fallback = Some(fold);
    }

    fn waiting_bytes(&self) -> usize {
        (self.journal.len() - self.sent) * self.entry_bytes()
    }
}

impl<F: Limbs> Fold<F> for DeviceFold<F> {
    fn add(&mut self, contribution: &Arc<Vec<Pair<F>>>) {
        assert_eq!(self.len, contribution.len(), "a contribution has a residue for every slot");
        self.contributions += 1;
        if let Some(fallback) = &mut self.fallback {
            return fallback.add(contribution);
        }
        if let Some(SampledSlot { slot, product }) = &mut self.sample {
            *product = self.modulus.mul(&self.modulus.to_mont(product), &contribution[*slot]);
        }
        self.journal.push(Entry::Pairs(Arc::clone(contribution)));
        if self.waiting_bytes() >= self.gpu.max_waiting_bytes() {
            self.flush();
        }
    }

    fn add_resident(&mut self, contribution: &Resident<F>) {
        let Some(OnGpu(there)) = contribution.device::<OnGpu<F>>() else {
            return self.add(&Arc::new(contribution.pairs()));
        };
        if self.fallback.is_some() || !there.is_on(&self.gpu) {
            return self.add(&Arc::new(contribution.pairs()));
        }
        assert_eq!(self.len, contribution.len(), "a contribution has a residue for every slot");
        self.contributions += 1;
        self.sample = None; // its residues are not on the host
        self.journal.push(Entry::Resident(Arc::clone(there)));
        // Waits until one dispatch can take several, unless the device's memory should be released.
        let waiting = self.journal.len() - self.sent;
        if waiting >= RESIDENT_CONTRIBUTIONS as usize || self.is_journal_full() {
            self.flush();
        }
    }

    fn finish(mut self: Box<Self>) -> Vec<Pair<F>> {
        if self.contributions == 0 || self.len == 0 {
            return vec![Pair::one(); self.len];
        }
        if self.fallback.is_none() {
            let product = self.on_device(false, |fold, device| {
                let (_, accumulators) = fold.accumulators.as_mut().expect("the journal has been added");
                let product = accumulators.finish(fold.contributions)?;
                if let Some(SampledSlot { slot, product: expected }) = &fold.sample {
                    device.runtime().device.check_sample(product[*slot] == *expected, "a fold")?;
                }
                let copies = fold.spare.take().into_iter().chain(fold.saved.take().map(|(saved, _)| saved));
                device.runtime().host_pages.release(copies.flat_map(SavedAccumulators::into_pages));
                Ok(product)
            });
            if let Some(product) = product {
                return product;
            }
        }
        self.fallback.expect("there is no device").finish()
    }
}

impl<F: Limbs> fmt::Debug for DeviceFold<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceFold").finish_non_exhaustive()
    }
}
