//! Memory of the device and of the host: buffers, a pool of them, and the host's threads that fill and read them.

mod buffer;
mod host_memory;
mod packed;
mod pool;
mod purpose;
mod staging;
mod threads;
mod upload_memory;

pub use self::upload_memory::UploadMemory;
pub(crate) use self::{
    buffer::DeviceBuffer,
    packed::{bits_at, write_pair, write_words},
    pool::{BufferPool, PooledBuffer, read_back},
    purpose::Purpose,
    staging::{Sink, append_pairs, fill, replace_words, with_words},
    threads::{Threads, alongside},
};
