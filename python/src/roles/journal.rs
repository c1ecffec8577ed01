//! The key holder's journal: a file with the opened rounds.
//!
//! ```text
//! "cipherfold journal 1\n"  digest of the session's offer (32)  opened rounds, as the core writes them  checksum (32)
//! ```
//!
//! Several processes may share it. Each locks a second file (`flock`), reads the rounds that others
//! have opened, decides, writes and syncs the new journal, and only then releases an answer.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cipherfold::federated::{Digest, round::KeyOwner};
use pyo3::Python;

use crate::{
    error::{Own, Result},
    secrets::files,
    work,
};

/// The path of a journal.
pub(crate) struct Journal {
    path: PathBuf,
}

/// The journal while this process has its lock.
pub(crate) struct Locked<'a> {
    journal: &'a Journal,
    /// The lock ends when this file is closed.
    _lock: File,
}

impl Journal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Waits for the lock. Ctrl-C ends the wait.
    pub(crate) fn lock(&self, py: Python<'_>) -> Result<Locked<'_>> {
        let path = lock_path(&self.path);
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(|error| files::at(&path, &error))?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Locked { journal: self, _lock: lock }),
                Err(TryLockError::WouldBlock) => {
                    py.check_signals()?;
                    py.detach(|| thread::sleep(WAIT));
                }
                Err(TryLockError::Error(error)) => return Err(files::at(&path, &error)),
            }
        }
    }
}

impl Locked<'_> {
    /// Adds the opened rounds in the journal to those of the key owner.
    pub(crate) fn read(&self, py: Python<'_>, owner: &KeyOwner) -> Result<()> {
        let path = &self.journal.path;
        work::detached(py, || {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(files::at(path, &error)),
            };
            let shown = || path.display().to_string();
            let refuse = |reason: &str| Own::Journal { path: shown(), reason: reason.to_owned() };
            let contents = files::contents_of(&bytes, FIRST).map_err(refuse)?;
            let (found, opened) = contents.split_first_chunk().ok_or_else(|| refuse("it is truncated"))?;
            let (expected, found) = (owner.offer().digest(), Digest::from_bytes(*found));
            if found != expected {
                let (expected, found) = (expected.to_string(), found.to_string());
                return Err(Own::JournalKey { path: shown(), expected, found }.into());
            }
            Ok(owner.restore_opened_rounds(opened)?)
        })
    }

    /// Writes the opened rounds. They are on the disk when this returns.
    pub(crate) fn write(&self, py: Python<'_>, owner: &KeyOwner) -> Result<()> {
        work::detached(py, || {
            let digest = owner.offer().digest().to_bytes();
            let contents = [&digest[..], &owner.opened_rounds()].concat();
            files::write_secret(&self.journal.path, FIRST, &contents, true)
        })
    }
}

/// The path of the lock file. The journal itself cannot be the lock, because it is replaced, and a
/// lock belongs to the old file.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

const FIRST: &[u8] = b"cipherfold journal 1\n";

const WAIT: Duration = Duration::from_millis(20);
