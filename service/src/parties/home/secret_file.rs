//! Files that only their owner can read, written completely or not at all.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{
    file_error::FileError,
    parties::error::{Error, Result},
};

/// Makes a directory, and those above it, which only their owner can enter.
pub(super) fn create_directory(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    Ok(builder.create(path).map_err(FileError::at(path))?)
}

/// Writes a file that must not exist yet.
pub(super) fn create(path: &Path, contents: &[u8]) -> Result<()> {
    let file = write(path, contents)?;
    file.persist_noclobber(path).map_err(|error| FileError::at(path)(error.error))?;
    sync_directory(path)
}

/// Writes a file, and replaces an existing one.
pub(super) fn replace(path: &Path, contents: &[u8]) -> Result<()> {
    let file = write(path, contents)?;
    file.persist(path).map_err(|error| FileError::at(path)(error.error))?;
    sync_directory(path)
}

/// A temporary file has mode 0600 from the start.
fn write(path: &Path, contents: &[u8]) -> Result<tempfile::NamedTempFile> {
    let directory = path.parent().expect("files of a home are in a directory");
    let written = || {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    Ok(written().map_err(FileError::at(path))?)
}

fn sync_directory(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let directory = path.parent().expect("files of a home are in a directory");
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(FileError::at(path))?;
    }
    Ok(())
}

/// Reads a secret. Refuses a file that other users can read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).map_err(FileError::at(path))?;
    let status = file.metadata().map_err(FileError::at(path))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&status.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::OpenToOthers { path: path.to_owned(), mode });
        }
    }
    // The full capacity at once, because growth would leave copies behind.
    let len = usize::try_from(status.len()).unwrap_or(usize::MAX);
    if len > LARGEST {
        return Err(FileError::at(path)(io::ErrorKind::FileTooLarge.into()).into());
    }
    let mut contents = Zeroizing::new(Vec::with_capacity(len + 1));
    file.take(len as u64 + 1).read_to_end(&mut contents).map_err(FileError::at(path))?;
    Ok(contents)
}

/// Maximum bytes of a secret file. The state of a key owner grows with the rounds that it has
/// opened.
const LARGEST: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_their_owner_and_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one").unwrap();
        let again = create(&path, b"two").unwrap_err();
        assert!(
            matches!(again, Error::File(FileError { kind: io::ErrorKind::AlreadyExists, .. })),
            "{again}"
        );
        assert_eq!(read(&path).unwrap().as_slice(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().as_slice(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).unwrap_err();
            assert!(matches!(refused, Error::OpenToOthers { mode: found, .. } if found == mode), "{refused}");
        }
    }
}
