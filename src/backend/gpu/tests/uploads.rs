//! Uploads through the host's own memory.

use crypto_bigint::{U256, U512, U2048};

use super::{Pairs, batches_agree, device, gpu, passes_tests};
use crate::backend::gpu::{
    Gpu, Options, UploadMemory, memory::Threads, self_test::SelfTest, stream::faster_upload_memory,
};

fn use_host_memory(options: &mut Options) {
    options.upload_memory = Some(UploadMemory::Host);
}

fn upload_memory(gpu: &Gpu) -> UploadMemory {
    device(gpu).runtime().pool.upload_memory()
}

/// Only Vulkan offers both memories.
fn can_choose(gpu: &Gpu) -> bool {
    gpu.report().interface == "Vulkan"
}

fn assert_uses_host_memory(gpu: &Gpu) {
    assert_eq!(upload_memory(gpu) == UploadMemory::Host, can_choose(gpu));
}

#[test]
fn every_kernel_gives_known_answers_with_uploads_through_the_host() {
    let Some(gpu) = gpu(use_host_memory) else { return };
    let tests = [SelfTest::Mul, SelfTest::Fold, SelfTest::FixedBase, SelfTest::Pow];
    passes_tests::<U256>(&device(&gpu), &tests);
    passes_tests::<U512>(&device(&gpu), &tests);
    passes_tests::<U2048>(&device(&gpu), &tests[..2]);
    assert_uses_host_memory(&gpu);
}

#[test]
fn batches_agree_with_uploads_through_the_host() {
    // Pieces of 64 items.
    let change = |options: &mut Options| {
        use_host_memory(options);
        options.binding_bytes = Some(1 << 14);
    };
    let Some(gpu) = gpu(change) else { return };
    let pairs = Pairs::new(&gpu);
    batches_agree(&gpu, &pairs);
    assert_uses_host_memory(&gpu);
    assert_eq!(gpu.faults(), Vec::<String>::new());

    // A lost device takes its buffers in the host's memory with it.
    gpu.failover.injection().lose_devices(20, 1);
    batches_agree(&gpu, &pairs);
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());
    assert_uses_host_memory(&gpu);
}

#[test]
fn refused_buffers_are_replaced_by_buffers_in_the_devices_memory() {
    let Some(gpu) = gpu(use_host_memory) else { return };
    gpu.failover.injection().refuse_host_memory(1);
    let pairs = Pairs::new(&gpu);
    batches_agree(&gpu, &pairs);
    assert_eq!(upload_memory(&gpu), UploadMemory::Device);
    assert_eq!(gpu.faults(), Vec::<String>::new());
}

#[test]
fn a_refusal_during_the_measurement_selects_the_devices_memory() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let device = device(&gpu);
    let threads = std::sync::Arc::new(Threads::new().expect("threads"));
    let choose = || faster_upload_memory(&device.runtime().device, &threads).expect("the device works");
    choose(); // the result may be either
    gpu.failover.injection().refuse_host_memory(1);
    assert_eq!(choose(), UploadMemory::Device);
    assert_eq!(gpu.faults(), Vec::<String>::new());
}

#[test]
fn software_adapters_use_the_devices_memory() {
    let Some(gpu) = gpu(|_| ()) else { return };
    if gpu.report().is_software {
        assert_eq!(upload_memory(&gpu), UploadMemory::Device);
    }
}

#[test]
fn rates_name_the_memory_in_use() {
    for memory in [UploadMemory::Device, UploadMemory::Host] {
        let Some(gpu) = gpu(|options| options.upload_memory = Some(memory)) else { return };
        let rates = gpu.transfer_rates().expect("the device works");
        let expected = if can_choose(&gpu) { memory } else { UploadMemory::Device };
        assert_eq!((rates.upload_memory, rates.up_through_other.is_some()), (expected, can_choose(&gpu)));
        assert!(rates.up > 1e6 && rates.down > 1e6 && rates.up_through_other.is_none_or(|rate| rate > 1e6));
        assert_eq!(gpu.faults(), Vec::<String>::new());
    }
}
