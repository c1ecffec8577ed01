//! Memory of the device and of the host: buffers, their pool, and the host's threads that fill and
//! read them.

mod buffer;
mod host_memory;
mod host_pages;
mod packed;
mod pool;
mod purpose;
mod staging;
mod threads;
mod upload_memory;

pub use self::upload_memory::UploadMemory;
pub(crate) use self::{
    buffer::DeviceBuffer,
    host_pages::HostPages,
    packed::{bits_at, read_pair, write_pair, write_words},
    pool::{BufferPool, PooledBuffer, read_back},
    purpose::Purpose,
    staging::{Sink, fill, grow_pairs, replace_words, with_words, write_pairs},
    threads::Threads,
};
