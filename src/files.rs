//! Model updates in files: opening, comparing, reading and writing piece by piece.
//!
//! - An [`UpdateFile`] is one client's update: a safetensors file, or the shards of a large model
//!   with the index beside them. [`UpdateFile::open`] reads headers only and checks them against
//!   the files' lengths. For a file of another format, the error names the [`Format`].
//! - A [`Reader`] reads values in blocks of any size, and refuses NaN and infinity.
//! - An [`Output`] checks a name before the work starts. A [`Writer`] writes tensors to a temporary
//!   file, which takes this name when it is complete.
//!
//! # Requirements
//!
//! Files must not change while they are read. A change of length, modification time or identity is
//! detected when a file is opened again ([`Error::Changed`]). The format has no checksums.
//!
//! # Contents of a written file
//!
//! A written file contains the names, types and shapes, which are the same in all updates
//! ([`UpdateFile::arrange_like`]), in the order of the first update; the written values; and the
//! given metadata. [`common_metadata`] keeps only metadata that all files share. The output
//! therefore contains nothing of a single client's file, unless it is copied.
//!
//! ```
//! use cipherfold::files::{Output, UpdateFile, common_metadata};
//!
//! # let folder = tempfile::tempdir()?;
//! # let paths = [folder.path().join("a"), folder.path().join("b")];
//! # for path in &paths {
//! #     let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
//! #     std::fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat())?;
//! # }
//! # let out = folder.path().join("out");
//! let first = UpdateFile::open(&paths[0])?;
//! let mut second = UpdateFile::open(&paths[1])?;
//! second.arrange_like(&first)?;
//!
//! let output = Output::check(&out, [&first, &second])?; // before the work
//! let (a, b) = (first.floats::<f32>()?, second.floats::<f32>()?);
//! let mut writer = output.create(first.tensors(), &common_metadata(&[first.clone(), second]))?;
//! for (a, b) in a.iter().zip(&b) {
//!     writer.next_tensor()?;
//!     writer.write_floats((a + b).as_slice().expect("one dimension is contiguous"))?;
//! }
//! writer.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod element;
mod error;
mod format;
mod index;
mod minifloat;
mod output;
mod printable;
mod reader;
mod safetensors;
mod update;

pub use element::{Float, FloatType, IntegerType};
pub use error::{Error, OutputProblem};
pub use format::Format;
pub use output::{Output, Writer};
pub use printable::Printable;
pub use reader::Reader;
pub use update::{TensorInfo, UpdateFile, common_metadata};

/// Number of values that are converted at a time.
const BLOCK: usize = 1 << 16;
