//! Uploads through the host's own memory.

use crypto_bigint::{U256, U512, U2048};

use super::{Pairs, batches_agree, device, gpu, passes_tests};
use crate::backend::gpu::{
    Gpu, Options, UploadMemory, memory::Threads, self_test::SelfTest, stream::faster_upload_memory,
};

fn through_the_host(options: &mut Options) {
    options.upload_memory = Some(UploadMemory::Host);
}

fn upload_memory(gpu: &Gpu) -> UploadMemory {
    device(gpu).runtime().pool.upload_memory()
}

/// Only Vulkan has the choice.
fn can_choose(gpu: &Gpu) -> bool {
    gpu.report().interface == "Vulkan"
}

fn assert_through_the_host(gpu: &Gpu) {
    assert_eq!(upload_memory(gpu) == UploadMemory::Host, can_choose(gpu));
}

#[test]
fn every_kernel_gives_known_answers_with_uploads_through_the_host() {
    let Some(gpu) = gpu(through_the_host) else { return };
    let tests = [SelfTest::Mul, SelfTest::Fold, SelfTest::FixedBase, SelfTest::Pow];
    passes_tests::<U256>(&device(&gpu), &tests);
    passes_tests::<U512>(&device(&gpu), &tests);
    passes_tests::<U2048>(&device(&gpu), &tests[..2]);
    assert_through_the_host(&gpu);
}

#[test]
fn batches_agree_with_uploads_through_the_host() {
    // Pieces of 64 items.
    let change = |options: &mut Options| {
        through_the_host(options);
        options.binding_bytes = Some(1 << 14);
    };
    let Some(gpu) = gpu(change) else { return };
    let pairs = Pairs::new(&gpu);
    batches_agree(&gpu, &pairs);
    assert_through_the_host(&gpu);
    assert_eq!(gpu.faults(), Vec::<String>::new());

    // Buffers in the host's memory go with their device.
    gpu.failover.injection().lose_devices(20, 1);
    batches_agree(&gpu, &pairs);
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());
    assert_through_the_host(&gpu);
}

#[test]
fn refused_buffers_are_the_usual_ones() {
    let Some(gpu) = gpu(through_the_host) else { return };
    gpu.failover.injection().refuse_host_memory(1);
    let pairs = Pairs::new(&gpu);
    batches_agree(&gpu, &pairs);
    assert_eq!(upload_memory(&gpu), UploadMemory::Device);
    assert_eq!(gpu.faults(), Vec::<String>::new());
}

#[test]
fn a_refusal_while_the_memory_is_chosen_leaves_the_usual_one() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let device = device(&gpu);
    let threads = std::sync::Arc::new(Threads::new().expect("threads"));
    let choose = || faster_upload_memory(&device.runtime().device, &threads).expect("the device stands");
    choose(); // whichever it is
    gpu.failover.injection().refuse_host_memory(1);
    assert_eq!(choose(), UploadMemory::Device);
    assert_eq!(gpu.faults(), Vec::<String>::new());
}

#[test]
fn software_is_not_measured() {
    let Some(gpu) = gpu(|_| ()) else { return };
    if gpu.report().is_software {
        assert_eq!(upload_memory(&gpu), UploadMemory::Device);
    }
}

#[test]
fn rates_tell_which_memory_is_taken() {
    for memory in [UploadMemory::Device, UploadMemory::Host] {
        let Some(gpu) = gpu(|options| options.upload_memory = Some(memory)) else { return };
        let rates = gpu.transfer_rates().expect("the device stands");
        let taken = if can_choose(&gpu) { memory } else { UploadMemory::Device };
        assert_eq!((rates.upload_memory, rates.up_through_other.is_some()), (taken, can_choose(&gpu)));
        assert!(rates.up > 1e6 && rates.down > 1e6 && rates.up_through_other.is_none_or(|rate| rate > 1e6));
        assert_eq!(gpu.faults(), Vec::<String>::new());
    }
}
