//! Files with secrets. They are written completely or not at all, and only their owner can read
//! them.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::Path,
};

use pyo3::exceptions::PyOSError;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::error::{Error, Own, Result};

/// First bytes of a file with a session's secret key.
pub(crate) const KEY: &[u8] = b"cipherfold secret key 1\n";

/// First bytes of a file with an identity.
pub(crate) const IDENTITY: &[u8] = b"cipherfold identity 1\n";

/// First bytes of a file with a party's session key.
pub(crate) const CHANNEL: &[u8] = b"cipherfold session key 1\n";

/// Writes a file that only this user can read. It is a temporary file in the same folder, which is
/// renamed when it is complete and synced.
///
/// # Errors
///
/// An `OSError`, also if the file exists and must not be replaced.
pub(crate) fn write_secret(path: &Path, first: &[u8], contents: &[u8], replace: bool) -> Result<()> {
    let at_path = |error: std::io::Error| at(path, &error);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Created with mode 0600, if the system has modes.
    let mut file = NamedTempFile::new_in(folder).map_err(at_path)?;
    let check = checksum(first, contents);
    for part in [first, contents, &check] {
        file.write_all(part).map_err(at_path)?;
    }
    file.as_file().sync_all().map_err(at_path)?;
    let named = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    named.map_err(|error| at(path, &error.error))?;
    sync_folder(folder).map_err(at_path)
}

/// Syncs the folder, which contains the name of the new file.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The contents of a file that only its owner can read.
///
/// # Errors
///
/// An `OSError`; [`Own::KeyFile`] for a file that others may read, that begins with other bytes, or
/// that is damaged.
pub(crate) fn read_secret(path: &Path, first: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path).map_err(|error| at(path, &error))?;
    let metadata = file.metadata().map_err(|error| at(path, &error))?;
    let refuse = |reason: &str| Own::KeyFile { path: path.display().to_string(), reason: reason.to_owned() };
    check_mode(&metadata, refuse)?;
    if metadata.len() > LARGEST {
        return Err(refuse("larger than any key file").into());
    }
    // The full capacity at once, because growth would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    file.read_to_end(&mut bytes).map_err(|error| at(path, &error))?;
    let contents = contents_of(&bytes, first).map_err(refuse)?;
    Ok(Zeroizing::new(contents.to_vec()))
}

/// The contents between the first bytes of a file and its checksum.
///
/// # Errors
///
/// The reason why the file is invalid.
pub(crate) fn contents_of<'a>(bytes: &'a [u8], first: &[u8]) -> Result<&'a [u8], &'static str> {
    let rest = bytes.strip_prefix(first).ok_or("a file of another kind or version")?;
    let (contents, check) = rest.split_last_chunk().ok_or("it is truncated")?;
    if *check == checksum(first, contents) { Ok(contents) } else { Err("it is damaged") }
}

/// A checksum against accidents. It does not detect manipulation.
fn checksum(first: &[u8], contents: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(first).chain_update(contents).finalize().into()
}

/// Refuses a file that other users may read.
#[cfg(unix)]
fn check_mode(metadata: &fs::Metadata, refuse: impl Fn(&str) -> Own) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    const OTHERS: u32 = 0o077;
    if metadata.permissions().mode() & OTHERS == 0 {
        Ok(())
    } else {
        Err(refuse("other users may read or write it: chmod 600").into())
    }
}

#[cfg(not(unix))]
fn check_mode(_: &fs::Metadata, _: impl Fn(&str) -> Own) -> Result<()> {
    Ok(())
}

/// Converts an error of the system to the `OSError` that Python raises for the same path.
pub(crate) fn at(path: &Path, error: &std::io::Error) -> Error {
    // Wrapped errors have a kind, but no number.
    let by_kind = || match error.kind() {
        ErrorKind::NotFound => Some(libc::ENOENT),
        ErrorKind::PermissionDenied => Some(libc::EACCES),
        ErrorKind::AlreadyExists => Some(libc::EEXIST),
        ErrorKind::NotADirectory => Some(libc::ENOTDIR),
        ErrorKind::IsADirectory => Some(libc::EISDIR),
        ErrorKind::StorageFull => Some(libc::ENOSPC),
        ErrorKind::ReadOnlyFilesystem => Some(libc::EROFS),
        _ => None,
    };
    let raised = match error.raw_os_error().or_else(by_kind) {
        Some(code) => PyOSError::new_err((code, text_of(code), path.as_os_str().to_owned())),
        None => PyOSError::new_err(format!("{}: {error}", path.display())),
    };
    Error::Python(raised)
}

/// The system's text, without the number that Rust adds.
fn text_of(code: i32) -> String {
    let text = std::io::Error::from_raw_os_error(code).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Maximum bytes of a file with a key. The opened rounds may take some megabytes.
const LARGEST: u64 = 1 << 30;
