//! Tests that need private parts of the backend: both kinds of exchange, small limits, and devices
//! that fail.
//!
//! They are skipped if there is no card. If `REQUIRE_BACKENDS` names `gpu`, they also run on a
//! software adapter, which takes minutes, and fail if there is no adapter.

mod concurrency;
mod pieces;
mod uploads;

use crypto_bigint::{U256, U512, U1024, U1536, U2048, U3072, U4096};

use super::{
    operations::{ModulusOnDevice, TableOnDevice},
    self_test::{SelfTest, TestedDevice},
    *,
};
use crate::backend::portable::Portable;

/// A GPU opened for one test.
fn gpu(change: impl FnOnce(&mut Options)) -> Option<Gpu> {
    let mut options = Options::default();
    change(&mut options);
    let required = std::env::var("REQUIRE_BACKENDS").unwrap_or_default();
    let is_required = required.split(',').any(|name| name.trim() == "gpu");
    match Gpu::open(&options) {
        Ok(gpu) if gpu.report().is_software && !is_required => {
            println!("skipped: {} is slow, and not required", gpu.report());
            None
        }
        Ok(gpu) => Some(gpu),
        Err(reason) => {
            assert!(!is_required, "gpu is required: {reason}");
            println!("skipped: {reason}");
            None
        }
    }
}

fn device(gpu: &Gpu) -> Arc<TestedDevice> {
    gpu.failover.current_device()
}

fn passes_tests<U: Limbs>(device: &TestedDevice, tests: &[SelfTest]) {
    let bits = U::WORDS as u32 * Word::BITS;
    for &test in tests {
        let begin = std::time::Instant::now();
        let passed = device.tested::<U>(test).map(drop);
        passed.unwrap_or_else(|fault| panic!("{bits} bits, {test:?}: {fault:?}"));
        println!("{bits} bits, {test:?}: {:?}", begin.elapsed());
    }
}

fn passes_all_tests(device: &TestedDevice) {
    fn pass<U: Limbs>(device: &TestedDevice) {
        passes_tests::<U>(device, &[SelfTest::Mul, SelfTest::Fold, SelfTest::FixedBase, SelfTest::Pow]);
    }
    pass::<U256>(device);
    pass::<U512>(device);
    pass::<U1024>(device);
    pass::<U1536>(device);
    pass::<U2048>(device);
    pass::<U3072>(device);
    pass::<U4096>(device);
}

#[test]
fn every_kernel_gives_known_answers() {
    let Some(gpu) = gpu(|_| ()) else { return };
    println!("{}", gpu.report());
    passes_all_tests(&device(&gpu));
}

#[test]
fn every_kernel_gives_known_answers_without_subgroups() {
    let Some(gpu) = gpu(|options| options.exchange = Some(Exchange::Workgroup)) else { return };
    passes_all_tests(&device(&gpu));
}

/// Sums come close to 2^64 if all limbs are maximal.
fn extremes_agree<U: Limbs>(device: &TestedDevice) {
    let bits = U::WORDS as u32 * Word::BITS;
    let mut ones = U::zero();
    ones.words_mut().fill(Word::MAX);
    let mut outer_bits = U::zero();
    outer_bits.words_mut()[0] = 1;
    outer_bits.words_mut()[U::WORDS - 1] = 1 << (Word::BITS - 1);
    for n in [ones, outer_bits] {
        let modulus = Arc::new(Modulus::new(n).expect("odd"));
        // n − 1, the longest run of one bits below n, a single bit, one, zero.
        let (mut below, mut ones, mut bit, mut one) = (n, ones, U::zero(), U::zero());
        below.words_mut()[0] -= 1;
        ones.words_mut()[U::WORDS - 1] >>= 1;
        bit.words_mut()[U::WORDS - 1] = 1 << (Word::BITS - 2);
        one.words_mut()[0] = 1;
        let halves = [below, ones, bit, one, U::zero()];
        let all = || halves.iter().flat_map(|lo| halves.iter().map(|hi| Pair::new(*lo, *hi)));
        let xs: Vec<Pair<U>> = all().flat_map(|x| all().map(move |_| x)).collect();
        let ys: Vec<Pair<U>> = all().flat_map(|_| all()).collect();
        let on_device = ModulusOnDevice::new(device.runtime(), &modulus, false).expect("the device works");
        let expected: Vec<_> = xs.iter().zip(&ys).map(|(x, y)| modulus.mul(&modulus.to_mont(x), y)).collect();
        assert!(on_device.mul(&xs, &ys).expect("correct samples") == expected, "{bits} bits, products");
        // Many squarings, starting from the same extremes.
        let (few, exponent): (Vec<_>, _) = (all().collect(), [Word::MAX]);
        let power = |x| modulus.from_mont(&modulus.pow(&modulus.to_mont(x), &exponent, 32));
        let expected: Vec<_> = few.iter().map(power).collect();
        let found = on_device.pow(&few, &|_| &exponent[..], true, 32).expect("correct samples");
        assert!(found == expected, "{bits} bits, powers");
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    for exchange in [None, Some(Exchange::Workgroup)] {
        let Some(gpu) = gpu(|options| options.exchange = exchange) else { return };
        let device = device(&gpu);
        extremes_agree::<U256>(&device);
        extremes_agree::<U512>(&device);
        extremes_agree::<U1024>(&device);
        extremes_agree::<U1536>(&device);
        extremes_agree::<U2048>(&device);
        extremes_agree::<U3072>(&device);
        extremes_agree::<U4096>(&device);
    }
}

/// A software rasteriser does not get tables as large as a card's, so this test makes all widths
/// itself.
#[test]
fn windows_of_every_width_give_the_same_powers() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let device = device(&gpu);
    let pairs = Pairs::new(&gpu);
    let base = residues(1, 99)[0];
    let mut exponents: Vec<U256> = residues(17, 5).iter().map(|x| x.lo.resize()).collect();
    exponents.extend([U256::ZERO, U256::ONE, U256::MAX]);
    let expected = pairs.fixed_base(&Portable).pow(&exponents);
    for window in 2..=12 {
        let on_device =
            ModulusOnDevice::new(device.runtime(), &pairs.modulus, false).expect("the device works");
        let layout = on_device.layout;
        let bytes = (256_usize.div_ceil(window) * 4 * layout.packed_words()) << window;
        let table = Arc::new(Table::new(layout, &pairs.modulus, &base, 256, bytes));
        assert_eq!((table.window as usize, table.bytes()), (window, bytes));
        let table = TableOnDevice::new(on_device, &table, base).expect("the device works");
        assert!(table.pow(None, &exponents).expect("correct samples") == expected, "{window} bits");
    }
}

/// Only the words that short exponents have are uploaded.
#[test]
fn exponents_of_every_length_give_the_same_powers() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let pairs = Pairs::new(&gpu);
    let base = residues(1, 99)[0];
    // With two words each, these exponents are larger than the pool's smallest buffer.
    let all: Vec<U256> = residues(1 << 14, 5).iter().map(|x| x.lo.resize()).collect();
    for bits in [1, 31, 32, 33, 40, 63, 64, 65, 128, 129, 255, 256] {
        let engine = |backend: &dyn Backend<U512, U256>| backend.fixed_base(&pairs.modulus, &base, bits);
        let len = if bits == 40 { all.len() } else { 20 };
        let mask = U256::MAX.shr_vartime(256 - bits);
        let mut exponents: Vec<U256> = all[..len].iter().map(|exponent| exponent & mask).collect();
        exponents[1] = mask;
        assert!(engine(&gpu).pow(&exponents) == engine(&Portable).pow(&exponents), "{bits} bits");
        let ms = halves(&residues(20, 7));
        let expected = engine(&Portable).encrypt(&ms, &exponents[..20]);
        assert!(engine(&gpu).encrypt(&ms, &exponents[..20]) == expected, "{bits} bits");
    }
    // Two words each, not the eight of their type.
    let largest = device(&gpu).runtime().pool.largest_free_upload();
    assert_eq!(largest, Some((4 * 2) << 14));
}

#[test]
fn every_number_of_lanes_gives_the_same_results() {
    for lanes in [4, 16] {
        let Some(gpu) = gpu(|options| options.lanes = Some(lanes)) else { return };
        let device = device(&gpu);
        passes_tests::<U2048>(&device, &[SelfTest::Mul, SelfTest::Fold]);
        passes_tests::<U256>(&device, &[SelfTest::Mul, SelfTest::Fold]);
        // Cards use this layout at 4096 bits, and software rasterisers do not.
        if lanes == 16 {
            passes_tests::<U4096>(&device, &[SelfTest::Mul, SelfTest::Fold, SelfTest::FixedBase]);
        }
    }
    let options = Options { lanes: Some(3), ..Options::default() };
    assert!(Gpu::open(&options).expect_err("three").to_string().contains("3 lanes"));
}

// --- batches at 512 bits; larger sizes would test the same code ---

/// Engines of a GPU and of the portable backend for one modulus, and residues for them.
struct Pairs {
    modulus: Arc<Modulus<U512>>,
    gpu: Arc<dyn PublicEngine<U512>>,
    portable: Arc<dyn PublicEngine<U512>>,
}

impl Pairs {
    fn new(gpu: &Gpu) -> Self {
        let n = U512::from_be_hex(concat!(
            "d1f0c2b3a4958677d1f0c2b3a4958677d1f0c2b3a4958677d1f0c2b3a4958677",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        ));
        let modulus = Arc::new(Modulus::new(n).expect("odd"));
        let engine = |backend: &dyn Backend<U512, U256>| backend.public(&modulus);
        Self { gpu: engine(gpu), portable: engine(&Portable), modulus }
    }

    fn fixed_base(&self, backend: &dyn Backend<U512, U256>) -> Arc<dyn FixedBaseEngine<U512, U256>> {
        backend.fixed_base(&self.modulus, &residues(1, 99)[0], 256)
    }

    /// Folds contributions on both, and calls `between` before each one, which may make the device
    /// fail.
    fn folds_agree(&self, len: usize, count: usize, mut between: impl FnMut(usize)) {
        let (mut fold, mut expected) = (self.gpu.fold(len), self.portable.fold(len));
        for round in 0..count {
            between(round);
            let contribution = Arc::new(residues(len, round));
            fold.add(&contribution);
            expected.add(&contribution);
        }
        assert!(fold.finish() == expected.finish(), "fold of {count} contributions of {len}");
    }
}

/// Residues that differ in every word and for every `seed`.
fn residues(len: usize, seed: usize) -> Vec<Pair<U512>> {
    let word = |i: usize, j: usize| ((i + 1) * 0x9e37_79b9 + seed * 0x7f4a_7c15 + j * 0x85eb_ca6b) as Word;
    let half = |i: usize| {
        let mut half = U512::ZERO;
        for (j, out) in half.as_mut_words().iter_mut().enumerate() {
            *out = word(i, j).wrapping_mul(0xbf58_476d_1ce4_e5b9_u64 as Word) >> usize::from(j == 7);
        }
        half
    };
    (0..len).map(|i| Pair::new(half(2 * i), half(2 * i + 1))).collect()
}

fn halves(pairs: &[Pair<U512>]) -> Vec<U512> {
    pairs.iter().map(|pair| pair.lo).collect()
}

/// Batches of every kind. Small bindings divide them into several pieces.
fn batches_agree(gpu: &Gpu, pairs: &Pairs) {
    let (encryptor, reference) = (pairs.fixed_base(gpu), pairs.fixed_base(&Portable));
    for len in [1, 65, 300] {
        let (xs, ys) = (residues(len, 1), residues(len, 2));
        let ms = halves(&ys);
        let es: Vec<U256> = ms.iter().map(U512::resize).collect();
        assert!(pairs.gpu.mul(&xs, &ys) == pairs.portable.mul(&xs, &ys), "{len} items");
        assert!(pairs.gpu.add_plain(&xs, &ms) == pairs.portable.add_plain(&xs, &ms), "{len} items");
        assert!(pairs.gpu.pow(&xs, &ms, 64) == pairs.portable.pow(&xs, &ms, 64), "{len} items");
        assert!(encryptor.pow(&es) == reference.pow(&es), "{len} items");
        assert!(encryptor.encrypt(&ms, &es) == reference.encrypt(&ms, &es), "{len} items");
        pairs.folds_agree(len, 5, |_| ());
    }
}

#[test]
fn a_lost_device_is_replaced_and_no_result_is_lost() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let pairs = Pairs::new(&gpu);
    let (xs, ys) = (residues(100, 1), residues(100, 2));
    let expected = pairs.portable.mul(&xs, &ys);
    assert!(pairs.gpu.mul(&xs, &ys) == expected);
    assert_eq!(gpu.faults(), Vec::<String>::new());

    gpu.failover.injection().lose_devices(0, 1);
    assert!(pairs.gpu.mul(&xs, &ys) == expected);
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());

    // A power has many dispatches. The device is lost in the middle of them.
    let (es, bits) = (halves(&ys), 512);
    gpu.failover.injection().lose_devices(4, 1);
    assert!(pairs.gpu.pow(&xs, &es, bits) == pairs.portable.pow(&xs, &es, bits));
    assert_eq!(gpu.faults().len(), 2, "{:?}", gpu.faults());
}

#[test]
fn a_fold_survives_the_loss_of_its_device() {
    for lost_at in [0, 1, 17, 39] {
        let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 16)) else { return };
        let pairs = Pairs::new(&gpu);
        // With 128 bytes for a residue, contributions are sent 16 at a time, and the accumulators
        // are copied several times.
        pairs.folds_agree(33, 64 + lost_at, |round| {
            if round == lost_at {
                gpu.failover.injection().lose_devices(0, 1);
            }
        });
        assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());
    }
}

/// Several pages of accumulators, which are read back while the device works on others.
#[test]
fn a_fold_survives_a_loss_at_any_dispatch() {
    for dispatches in (0..55).step_by(5) {
        let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 14)) else { return };
        let pairs = Pairs::new(&gpu);
        pairs.folds_agree(300, 9, |round| {
            if round == 0 {
                gpu.failover.injection().lose_devices(dispatches, 1);
            }
        });
        // Some of these dispatches belong to the known-answer test, so the device also fails during
        // that test.
        assert_eq!(gpu.faults().len(), 1, "{dispatches}: {:?}", gpu.faults());
    }
}

#[test]
fn the_cpu_takes_over_from_a_device_that_fails_twice() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 16)) else { return };
    let pairs = Pairs::new(&gpu);
    let (xs, ms) = (residues(70, 1), halves(&residues(70, 2)));
    let es: Vec<U256> = residues(70, 3).iter().map(|x| x.lo.resize()).collect();
    let encryptor = pairs.fixed_base(&gpu);
    // The host has a copy of the accumulators of the first part, and the rest in the journal.
    pairs.folds_agree(33, 150, |round| {
        if round == 120 {
            gpu.failover.injection().lose_devices(0, 2);
        }
    });
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (2, false), "{:?}", gpu.faults());
    assert!(pairs.gpu.add_plain(&xs, &ms) == pairs.portable.add_plain(&xs, &ms));
    assert!(encryptor.encrypt(&ms, &es) == pairs.fixed_base(&Portable).encrypt(&ms, &es));
    pairs.folds_agree(5, 3, |_| ());
    assert_eq!(gpu.faults().len(), 2, "the device is not used any more");
}

#[test]
fn resident_ciphertexts_are_folded_on_the_device_and_survive_its_loss() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 17)) else { return };
    let pairs = Pairs::new(&gpu);
    // More than one piece.
    let len = 2000;
    let (encryptor, reference) = (pairs.fixed_base(&gpu), pairs.fixed_base(&Portable));
    let ms = halves(&residues(len, 2));
    let es: Vec<U256> = residues(len, 3).iter().map(|x| x.lo.resize()).collect();
    let expected = Arc::new(reference.encrypt(&ms, &es));
    let resident = Arc::clone(&encryptor).encrypt_resident(&ms, &es);
    assert_eq!(resident.len(), len);
    assert!(resident.pairs() == *expected);

    let other = Arc::new(residues(len, 4));
    for lost in [false, true] {
        let (mut fold, mut expected_fold) = (pairs.gpu.fold(len), pairs.portable.fold(len));
        // First three resident contributions in a row, which share a dispatch. Then others in
        // between.
        for round in 0..15 {
            if round % 4 != 3 || round > 8 {
                fold.add_resident(&resident);
                expected_fold.add(&expected);
            } else {
                fold.add(&other);
                expected_fold.add(&other);
            }
            if lost && round == 5 {
                gpu.failover.injection().lose_devices(0, 1);
            }
        }
        assert!(fold.finish() == expected_fold.finish(), "lost: {lost}");
    }
    assert_eq!(gpu.faults().len(), 1);
    assert!(resident.pairs() == *expected, "computed again");
    // Another backend's fold accepts them too, and a GPU's fold accepts those on the host.
    let mut fold = pairs.portable.fold(len);
    fold.add_resident(&resident);
    assert!(fold.finish() == *expected);
    let mut fold = pairs.gpu.fold(len);
    fold.add_resident(&Arc::clone(&reference).encrypt_resident(&ms, &es));
    assert!(fold.finish() == *expected);
}

#[test]
fn batches_larger_than_a_binding_are_split() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 14)) else { return };
    let pairs = Pairs::new(&gpu);
    for len in [1, 63, 64, 65, 127, 128, 129, 500] {
        let (xs, ys) = (residues(len, 1), residues(len, 2));
        assert!(pairs.gpu.mul(&xs, &ys) == pairs.portable.mul(&xs, &ys), "{len} items");
        let ms = halves(&ys);
        assert!(pairs.gpu.add_plain(&xs, &ms) == pairs.portable.add_plain(&xs, &ms), "{len} items");
    }
    for (len, count) in [(1, 1000), (3, 300), (200, 5), (500, 3)] {
        pairs.folds_agree(len, count, |_| ());
    }
    assert_eq!(gpu.faults(), Vec::<String>::new());
}

#[test]
fn wrong_results_are_found_and_secrets_are_cleared() {
    for memory in [UploadMemory::Device, UploadMemory::Host] {
        // Several pieces, so that others are being filled or in flight when one is found wrong.
        let change = |options: &mut Options| {
            (options.upload_memory, options.binding_bytes) = (Some(memory), Some(1 << 14));
        };
        let Some(gpu) = gpu(change) else { return };
        wrong_results_leave_no_secrets(&gpu);
    }
}

fn wrong_results_leave_no_secrets(gpu: &Gpu) {
    let pairs = Pairs::new(gpu);
    let (xs, ms) = (residues(600, 1), halves(&residues(600, 2)));
    let es: Vec<U256> = ms.iter().map(U512::resize).collect();
    let (powers, expected) = (pairs.fixed_base(gpu), pairs.fixed_base(&Portable).encrypt(&ms, &es));
    assert!(powers.encrypt(&ms, &es) == expected);

    let first = device(gpu);
    gpu.failover.injection().reject_samples(1);
    assert!(powers.encrypt(&ms, &es) == expected, "done again on a new device");
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());
    assert!(gpu.faults()[0].contains("a sample of the results is wrong"), "{:?}", gpu.faults());
    let second = device(gpu);
    assert_ne!(first.generation(), second.generation());
    // Buffers that were not released because of a fault are cleared when dropped.
    let (dropped, nonzero) = first.runtime().pool.nonzero_dropped_words().expect("the device works");
    assert!(dropped > 0);
    assert_eq!(nonzero, 0);
    assert_eq!(first.runtime().pool.nonzero_free_words().expect("the device works"), 0);

    gpu.failover.injection().reject_samples(2);
    assert!(pairs.gpu.pow(&xs, &ms, 512) == pairs.portable.pow(&xs, &ms, 512), "done on the CPU");
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (3, false), "{:?}", gpu.faults());
    let (dropped, nonzero) = second.runtime().pool.nonzero_dropped_words().expect("the device works");
    assert!(dropped > 0);
    assert_eq!(nonzero, 0);
}

#[test]
fn a_fold_with_a_wrong_sample_is_done_again() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 16)) else { return };
    let pairs = Pairs::new(&gpu);
    gpu.failover.injection().reject_samples(1);
    pairs.folds_agree(33, 150, |_| ());
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());
    assert!(gpu.faults()[0].contains("a sample of a fold is wrong"), "{:?}", gpu.faults());
}

#[test]
fn buffers_that_held_secrets_are_cleared() {
    for memory in [UploadMemory::Device, UploadMemory::Host] {
        let Some(gpu) = gpu(|options| options.upload_memory = Some(memory)) else { return };
        let pairs = Pairs::new(&gpu);
        let (xs, ms) = (residues(40, 1), halves(&residues(40, 2)));
        let _ = pairs.gpu.pow(&xs, &ms, 512);
        let _ = pairs.gpu.add_plain(&xs, &ms);
        let es: Vec<U256> = ms.iter().map(U512::resize).collect();
        let _ = pairs.fixed_base(&gpu).encrypt(&ms, &es);
        let device = device(&gpu);
        assert!(device.runtime().pool.free_buffers() > 3);
        assert_eq!(device.runtime().pool.nonzero_free_words().expect("the device works"), 0, "{memory}");
    }
}

#[test]
fn the_rate_of_multiply_adds_is_measured() {
    let Some(gpu) = gpu(|_| ()) else { return };
    assert_eq!(gpu.multiply_add_rate().is_some(), gpu.report().has_timestamps);
    assert_eq!(gpu.faults(), Vec::<String>::new(), "its sums are the host's");
}

#[test]
fn a_missing_adapter_is_an_error_that_names_it() {
    let options = Options { adapter: Some("no such card".to_owned()), ..Options::default() };
    let error = Gpu::open(&options).expect_err("no adapter has this name").to_string();
    assert!(error.contains("`gpu`"), "{error}");
    assert!(error.contains("no such card") || error.contains("no Vulkan or Metal adapter"), "{error}");
}
