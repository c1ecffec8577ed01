//! The directory of one party: its secrets, its pinned consortium, and its persistent state.
//!
//! ```text
//! identity                              secret: name, role, signing key, TLS key
//! consortium.toml, pin                  the consortium and its digest, as they were pinned
//! sessions/{session}/box                secret: the key of the party's sealed messages
//! sessions/{session}/owner              secret: the session's decryption key, and which rounds it has opened
//! sessions/{session}/{round}/opens      the digest of the only sum, or request of the server, that is opened in a round
//! sessions/{session}/{round}/masks      secret: the server's masks, where a key holder has the key
//! sessions/{session}/{round}/…          headers of model files
//! ```
//!
//! Secrets are in files that only their owner can read. Files that other users can read are
//! refused.

mod secret_file;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Party, SessionId,
        channel::{BoxSecretKey, Identity, SessionKeys},
        round::KeyOwner,
    },
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{
    consortium::{Consortium, Member},
    error::{Error, Result},
    names::{from_label, label},
};
use crate::{digest::Sha256, file_error::FileError};

/// The environment variable that contains the text of an identity file, as an alternative to the
/// file.
pub const IDENTITY_VARIABLE: &str = "CIPHERFOLD_IDENTITY";

/// A party's directory, opened.
pub struct Home {
    directory: PathBuf,
    name: String,
    party: Party,
    identity: Identity,
    tls: Zeroizing<[u8; Identity::LEN]>,
    /// The consortium, when it has been read. With a thousand organisations that takes a tenth of a
    /// second.
    consortium: Mutex<Option<Consortium>>,
}

/// The text of an identity file. Wiped when dropped.
#[derive(Serialize, Deserialize, Zeroize)]
#[zeroize(drop)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    version: u32,
    name: String,
    role: String,
    signing: String,
    tls: String,
}

impl Home {
    /// Makes the keys of a party, and a directory for them.
    ///
    /// # Errors
    ///
    /// [`Error::File`]; of the kind `AlreadyExists` if the directory has an identity.
    pub fn create(directory: &Path, name: &str, party: Party, rng: &mut impl CryptoRng) -> Result<Self> {
        secret_file::create_directory(directory)?;
        let (identity, tls) = (Identity::generate(rng), Identity::generate(rng));
        let hex = |key: &Identity| base16ct::lower::encode_string(&*key.expose_bytes());
        let file = IdentityFile {
            version: VERSION,
            name: name.to_owned(),
            role: label(party),
            signing: hex(&identity),
            tls: hex(&tls),
        };
        let text = Zeroizing::new(toml::to_string(&file).expect("texts and numbers are TOML"));
        secret_file::create(&directory.join("identity"), text.as_bytes())?;
        Ok(Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            party,
            identity,
            tls: tls.expose_bytes(),
            consortium: Mutex::default(),
        })
    }

    /// Opens the directory of a party. The identity comes from the environment variable
    /// [`IDENTITY_VARIABLE`], or from the file.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::OpenToOthers`], [`Error::Identity`].
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("identity");
        let text = match std::env::var(IDENTITY_VARIABLE) {
            Ok(text) => Zeroizing::new(text.into_bytes()),
            Err(_) => secret_file::read(&path)?,
        };
        let refused = || Error::Identity { path: path.clone() };
        let text = std::str::from_utf8(&text).map_err(|_| refused())?;
        // The parser's own message could repeat a part of a secret.
        let file: IdentityFile = toml::from_str(text).map_err(|_| refused())?;
        let party = from_label(&file.role).filter(|_| file.version == VERSION).ok_or_else(refused)?;
        let secret = |text: &str| {
            let mut bytes = Zeroizing::new([0; Identity::LEN]);
            let found = base16ct::lower::decode(text, &mut *bytes).map_err(|_| refused())?.len();
            if found == Identity::LEN { Ok(bytes) } else { Err(refused()) }
        };
        Ok(Self {
            directory: directory.to_owned(),
            name: file.name.clone(),
            party,
            identity: Identity::from_bytes(&*secret(&file.signing)?),
            tls: secret(&file.tls)?,
            consortium: Mutex::default(),
        })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The party's role.
    pub fn party(&self) -> Party {
        self.party
    }

    /// The key of the party's signatures.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The secret key of the party's TLS certificate.
    pub fn tls_secret(&self) -> &[u8; Identity::LEN] {
        &self.tls
    }

    /// The party's public lines in `consortium.toml`.
    pub fn member(&self) -> Member {
        Member {
            name: self.name.clone(),
            party: self.party,
            signing: self.identity.key(),
            tls: Identity::from_bytes(&self.tls).key(),
        }
    }

    /// Returns an error unless the home belongs to this party.
    ///
    /// # Errors
    ///
    /// [`Error::WrongRole`].
    pub fn check_party(&self, expected: Party) -> Result<()> {
        if self.party == expected { Ok(()) } else { Err(Error::WrongRole { expected, found: self.party }) }
    }

    /// Pins a consortium whose digest was compared with the other organisations.
    ///
    /// # Errors
    ///
    /// [`Error::Consortium`]; [`Error::NotInConsortium`] if the party's own keys are not in it;
    /// [`Error::File`].
    pub fn pin(&self, text: &str, digest: Sha256) -> Result<Consortium> {
        let consortium = Consortium::parse(text)?;
        consortium.check_pin(digest)?;
        self.check_membership(&consortium)?;
        secret_file::replace(&self.directory.join("consortium.toml"), text.as_bytes())?;
        secret_file::replace(&self.directory.join("pin"), digest.to_string().as_bytes())?;
        *self.known_consortium() = Some(consortium.clone());
        Ok(consortium)
    }

    /// Continues with a consortium that this process has made, as measurements do. Nothing is
    /// written.
    ///
    /// # Errors
    ///
    /// [`Error::NotInConsortium`] if the party's own keys are not in it.
    pub fn adopt(&self, consortium: &Consortium) -> Result<()> {
        self.check_membership(consortium)?;
        *self.known_consortium() = Some(consortium.clone());
        Ok(())
    }

    /// The pinned consortium. It is read once, and does not change while the home is open.
    ///
    /// # Errors
    ///
    /// [`Error::NotPinned`]; [`ConsortiumError::PinMismatch`](super::ConsortiumError::PinMismatch)
    /// if the file was changed since; those of [`pin`](Self::pin).
    pub fn consortium(&self) -> Result<Consortium> {
        let mut known = self.known_consortium();
        if let Some(consortium) = &*known {
            return Ok(consortium.clone());
        }
        let consortium = self.read_consortium()?;
        Ok(known.insert(consortium).clone())
    }

    fn known_consortium(&self) -> std::sync::MutexGuard<'_, Option<Consortium>> {
        self.consortium.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_consortium(&self) -> Result<Consortium> {
        let read = |name: &str| match fs::read_to_string(self.directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotPinned { home: self.directory.clone() })
            }
            read => Ok(read.map_err(FileError::at(&self.directory.join(name)))?),
        };
        let pinned =
            read("pin")?.trim().parse().map_err(|_| Error::NotPinned { home: self.directory.clone() })?;
        let consortium = Consortium::parse(&read("consortium.toml")?)?;
        consortium.check_pin(pinned)?;
        self.check_membership(&consortium)?;
        Ok(consortium)
    }

    fn check_membership(&self, consortium: &Consortium) -> Result<()> {
        let own = self.member();
        let listed = consortium.member(self.party)?;
        if (listed.signing, listed.tls) == (own.signing, own.tls) {
            Ok(())
        } else {
            Err(Error::NotInConsortium { party: self.party })
        }
    }

    /// The key of the party's sealed messages in a session. It is made and stored at its first use.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::OpenToOthers`], [`Error::Identity`] for a file of another length.
    pub fn session_keys(&self, session: SessionId, rng: &mut impl CryptoRng) -> Result<SessionKeys> {
        let path = self.session_directory(session)?.join("box");
        let bytes = read_or_create(&path, || BoxSecretKey::generate(rng).expose_bytes())?;
        Ok(SessionKeys::from_secret_key(session, self.party, BoxSecretKey::from_bytes(*bytes)))
    }

    /// The secret from which the masks of a round are drawn: made and stored when it is first
    /// needed.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::OpenToOthers`], [`Error::Identity`] for a file of another length.
    pub fn masks(
        &self,
        session: SessionId,
        round: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<[u8; 32]>> {
        let path = self.round_directory(session, round)?.join("masks");
        read_or_create(&path, || {
            let mut secret = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *secret);
            secret
        })
    }

    /// Records the only sum, or the only request of the server, that is opened in a round, by the
    /// digest of its object. The record is on the disk before anything is opened, so that a process
    /// that is killed opens nothing else later.
    ///
    /// # Errors
    ///
    /// [`Error::OtherSum`] if another one is recorded; [`Error::File`], [`Error::OpenToOthers`],
    /// [`Error::Identity`].
    pub fn record_opened(&self, session: SessionId, round: u64, object: Sha256) -> Result<()> {
        let path = self.round_directory(session, round)?.join("opens");
        let recorded = Sha256::from_bytes(*read_or_create(&path, || Zeroizing::new(object.to_bytes()))?);
        if recorded == object { Ok(()) } else { Err(Error::OtherSum { round, recorded, found: object }) }
    }

    /// Stores the owner of a session's keys, with the rounds that it has opened.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn save_owner(&self, owner: &KeyOwner) -> Result<()> {
        let path = self.session_directory(owner.offer().session())?.join("owner");
        secret_file::replace(&path, &owner.expose_bytes())
    }

    /// The owner of a session's keys.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::OpenToOthers`]; those of [`KeyOwner::from_bytes_vartime`].
    pub fn owner(&self, session: SessionId, backend: BackendChoice) -> Result<KeyOwner> {
        let path = self.session_directory(session)?.join("owner");
        Ok(KeyOwner::from_bytes_vartime(&secret_file::read(&path)?, backend)?)
    }

    /// Waits until no other process uses the owner of a session's keys. The lock lasts as long as
    /// the file.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn lock_session(&self, session: SessionId) -> Result<fs::File> {
        let path = self.session_directory(session)?.join("lock");
        let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
        Ok(locked.map_err(FileError::at(&path))?)
    }

    /// A directory for files of a round.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn round_directory(&self, session: SessionId, round: u64) -> Result<PathBuf> {
        let path = self.session_directory(session)?.join(round.to_string());
        secret_file::create_directory(&path)?;
        Ok(path)
    }

    fn session_directory(&self, session: SessionId) -> Result<PathBuf> {
        let path = self.directory.join("sessions").join(session.to_string());
        secret_file::create_directory(&path)?;
        Ok(path)
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home")
            .field("directory", &self.directory)
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

/// Reads a file. If there is none, creates it first with the bytes that `make` returns.
fn read_or_create<const LEN: usize>(
    path: &Path,
    make: impl FnOnce() -> Zeroizing<[u8; LEN]>,
) -> Result<Zeroizing<[u8; LEN]>> {
    if !path.exists() {
        match secret_file::create(path, &*make()) {
            // Another process of this party was first: its file counts.
            Err(Error::File(FileError { kind: io::ErrorKind::AlreadyExists, .. })) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = Zeroizing::new([0; LEN]);
    let read = secret_file::read(path)?;
    if read.len() != bytes.len() {
        return Err(Error::Identity { path: path.to_owned() });
    }
    bytes.copy_from_slice(&read);
    Ok(bytes)
}

const VERSION: u32 = 1;
