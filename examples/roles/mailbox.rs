//! A directory for the messages. Parties with access to it need not be trusted: messages are
//! encrypted and authenticated.

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The reason why a party gives up.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Messages in files, by name.
pub(crate) struct Mailbox {
    directory: PathBuf,
    timeout: Duration,
}

impl Mailbox {
    /// A mailbox in this directory. A party that waits longer than `timeout` for a message gives
    /// up.
    pub(crate) fn new(directory: &Path, timeout: Duration) -> Self {
        Self { directory: directory.to_owned(), timeout }
    }

    /// Posts a message. It appears under its name when it is complete.
    pub(crate) fn post(&self, name: &str, message: &[u8]) -> io::Result<()> {
        let path = self.directory.join(name);
        let folder = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(message)?;
        file.persist(&path)?;
        Ok(())
    }

    /// Waits for a message.
    pub(crate) fn wait_for(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let start = Instant::now();
        loop {
            match fs::read(self.directory.join(name)) {
                Ok(message) => return Ok(message),
                Err(_) if start.elapsed() < self.timeout => thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(format!("{name} did not come: {error}").into()),
            }
        }
    }

    /// Waits for a message of a certain length.
    pub(crate) fn wait_for_bytes<const N: usize>(&self, name: &str) -> Result<[u8; N], Failure> {
        let message = self.wait_for(name)?;
        message.try_into().map_err(|_| format!("{name} does not have {N} bytes").into())
    }
}
