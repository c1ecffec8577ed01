//! A directory as a relay: whoever can read and write it is a post office, and needs no trust.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Messages by name, in files.
pub(crate) struct Mailbox {
    directory: PathBuf,
    patience: Duration,
}

impl Mailbox {
    /// Messages in a directory. Whoever waits longer than `patience` for one gives up.
    pub(crate) fn new(directory: &Path, patience: Duration) -> Self {
        Self { directory: directory.to_owned(), patience }
    }

    /// Posts a message. It appears under its name when it is complete.
    pub(crate) fn post(&self, name: &str, message: &[u8]) {
        let path = self.directory.join(name);
        let folder = path.parent().expect("names lie in the directory");
        fs::create_dir_all(folder).expect("a folder for messages");
        let mut file = tempfile::NamedTempFile::new_in(folder).expect("a file for a message");
        std::io::Write::write_all(&mut file, message).expect("room for a message");
        file.persist(&path).expect("a name for a message");
    }

    /// Waits for a message.
    ///
    /// # Panics
    ///
    /// If it does not come in time.
    pub(crate) fn wait_for(&self, name: &str) -> Vec<u8> {
        let start = Instant::now();
        loop {
            match fs::read(self.directory.join(name)) {
                Ok(message) => return message,
                Err(_) if start.elapsed() < self.patience => thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("no {name}: {error}"),
            }
        }
    }
}
