//! The error of a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use cipherfold::files::Printable;

/// The operating system returned an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", Printable::path(path), Printable::name(reason))]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The kind of the system's error.
    pub kind: io::ErrorKind,
    /// The system's message.
    pub reason: String,
}

impl FileError {
    /// Adds the file to an error of the system.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }
}
