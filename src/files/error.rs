//! The errors of this layer.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Format, printable::Printable};

/// An error about a file of an update.
///
/// Every message begins with a path. Paths, names and text from files are printed through
/// [`Printable`], so that they neither move a terminal's cursor nor break a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{}: {}", Printable::path(path), Printable::name(reason))]
    Io {
        /// The file.
        path: PathBuf,
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// The system's message.
        reason: String,
    },
    /// A pipe, a socket or a device. An update is read more than once.
    #[error("{}: not a regular file, and an update is read more than once", Printable::path(path))]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// A file of another format.
    #[error(
        "{}: no safetensors file: this is {format}{}",
        Printable::path(path),
        format.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format according to its first bytes.
        format: Format,
    },
    /// The header cannot be read.
    #[error("{}: no safetensors file: {}", Printable::path(path), Printable::name(reason))]
    Header {
        /// The file.
        path: PathBuf,
        /// The fault of the header.
        reason: String,
    },
    /// The file is shorter or longer than its header states.
    #[error(
        "{}: has {found} bytes, but its header states {expected}: truncated or corrupted",
        Printable::path(path)
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes according to the header.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// A file without tensors.
    #[error("{}: has no tensors", Printable::path(path))]
    NoTensors {
        /// The file.
        path: PathBuf,
    },
    /// A directory in which the model's file is ambiguous or missing.
    #[error("{}: a directory with {found}; name the file, or the index of its shards", Printable::path(path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// A description of the files in it.
        found: String,
    },
    /// The index of a sharded model cannot be read.
    #[error("{}: no index of a sharded model: {}", Printable::path(path), Printable::name(reason))]
    Index {
        /// The index.
        path: PathBuf,
        /// The fault of the index.
        reason: String,
    },
    /// An index names a shard that is not in the index's directory.
    #[error(
        "{}: the shard `{}` does not lie beside its index",
        Printable::path(path),
        Printable::name(shard)
    )]
    ShardPath {
        /// The index.
        path: PathBuf,
        /// The shard's name in the index.
        shard: String,
    },
    /// Index and shard do not agree on a tensor.
    #[error(
        "{}: tensor `{}` is {}, according to {}",
        Printable::path(path),
        Printable::name(tensor),
        if *expected { "not in this shard, but should be" } else { "in this shard, but should not be" },
        Printable::path(index)
    )]
    ShardTensor {
        /// The shard.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Whether the index lists the tensor in this shard.
        expected: bool,
        /// The index.
        index: PathBuf,
    },
    /// A tensor is missing that another update has.
    #[error(
                "{}: tensor `{}` is missing, but {} has it{}",
        Printable::path(path),
        Printable::name(tensor),
        Printable::path(first),
        if *shards { " (for shards of one model, name their index)" } else { "" }
    )]
    Missing {
        /// The update.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The update that has it.
        first: PathBuf,
        /// Whether the two files have names of shards of one model.
        shards: bool,
    },
    /// An update has a tensor that another update does not have.
    #[error(
        "{}: has a tensor `{}`, but {} does not",
        Printable::path(path),
        Printable::name(tensor),
        Printable::path(first)
    )]
    Unexpected {
        /// The update.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The update without it.
        first: PathBuf,
    },
    /// A tensor's type or shape differs from that in another update.
    #[error(
        "{}: tensor `{}` is {found}, but {expected} in {}",
        Printable::path(path),
        Printable::name(tensor),
        Printable::path(first)
    )]
    Differs {
        /// The update.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Type and shape here.
        found: String,
        /// Type and shape in the other update.
        expected: String,
        /// The other update.
        first: PathBuf,
    },
    /// A floating-point tensor has NaN or an infinity.
    #[error(
        "{}: tensor `{}` has {value} at index {index}, which has no mean",
        Printable::path(path),
        Printable::name(tensor)
    )]
    NotFinite {
        /// The update.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The index of the first such value in the tensor.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: &'static str,
    },
    /// A truth value is neither 0 nor 1.
    #[error(
        "{}: tensor `{}` is BOOL, and neither 0 nor 1 at index {index}",
        Printable::path(path),
        Printable::name(tensor)
    )]
    NotBool {
        /// The update.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The first such value's place in the tensor.
        index: usize,
    },
    /// A file has changed since it was opened first.
    #[error("{}: was changed while this ran", Printable::path(path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// An output is not a file and cannot become one.
    #[error("{}: {reason}", Printable::path(path))]
    Output {
        /// The output's name as given.
        path: PathBuf,
        /// The reason.
        reason: OutputProblem,
    },
    /// An output would replace an input.
    #[error("{}: is the input {}, and is not overwritten", Printable::path(path), Printable::path(input))]
    OutputIsInput {
        /// The output.
        path: PathBuf,
        /// The input.
        input: PathBuf,
    },
    /// The written values do not match the header.
    #[error("{}: {found} bytes of values, but the header states {expected}", Printable::path(path))]
    Written {
        /// The output.
        path: PathBuf,
        /// Bytes by the header.
        expected: u64,
        /// Bytes written.
        found: u64,
    },
}

/// The reason why an output cannot be written.
///
/// ```
/// use cipherfold::files::{Error, Output, OutputProblem, UpdateFile};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().to_owned(); // a directory
/// let refused = Output::check(&path, std::iter::empty::<&UpdateFile>()).unwrap_err();
/// assert!(matches!(refused, Error::Output { reason: OutputProblem::Directory, .. }), "{refused}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputProblem {
    /// A directory has this name.
    #[error("is a directory, not a file")]
    Directory,
    /// A device, a pipe or a socket has this name.
    #[error("exists, but is not a regular file")]
    NotAFile,
    /// The name ends like the name of a directory.
    #[error("is not a file name")]
    NoName,
    /// Symbolic links that form a loop.
    #[error("is a symbolic link that leads nowhere: too many links")]
    LinkLoop,
    /// More bytes than a header can state on this machine: 4 GiB where addresses have 32 bits.
    #[error("would be larger than this machine can address")]
    TooLarge,
}

impl Error {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }
}
