//! Protection of messages: session keys, long-term identities, and the roster that all parties pin.

use std::{path::PathBuf, sync::Arc};

use cipherfold::federated::{
    self, Digest, Party, SessionId,
    channel::{Announcement, BoxPublicKey, Channel as _, HpkeChannel, PlaintextChannel, SessionKeys},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyTuple},
};
use zeroize::Zeroizing;

use crate::{
    convert::{identifier, party},
    error::{Own, Result},
    secrets::{self, entropy, files},
    work,
};

/// One party's end of the boxes that protect the messages of a session (HPKE, RFC 9180, with X25519
/// and ChaCha20-Poly1305).
///
/// Each party makes one for each session, sends its public key to the others, and adds theirs. The
/// secret key is wiped with the object. After that, no key can open the session's messages to this
/// party. A channel cannot be pickled or copied.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct Channel {
    core: Arc<HpkeChannel>,
    keys: SessionKeys,
}

#[pymethods]
impl Channel {
    /// Makes a key pair for a session.
    ///
    /// Args:
    ///     session: The session's identifier, 16 bytes: :attr:`PublicKey.session`.
    ///     party: The party of this end: ``"client:3"``, ``"aggregator"``, ``"server"`` or
    ///         ``"key-holder"``.
    ///
    /// Raises:
    ///     ConfigError: For an unknown party.
    #[staticmethod]
    #[pyo3(signature = (session, party))]
    fn generate(session: &[u8], party: &str) -> Result<Self> {
        Ok(Self::of_keys(SessionKeys::new(
            identifier::session_id(session)?,
            party::named(party)?,
            &mut entropy::generator()?,
        )))
    }

    /// Loads a file that :meth:`save` has written, so that a party can continue a session in
    /// another process. The file does not contain the other parties' keys: add them again.
    ///
    /// Raises:
    ///     OSError: If the file cannot be read.
    ///     ConfigError: If it is not a session key file, or other users may read it.
    #[staticmethod]
    #[pyo3(signature = (path))]
    fn load(py: Python<'_>, path: PathBuf) -> Result<Self> {
        work::detached(py, || {
            let bytes = files::read_secret(&path, files::CHANNEL)?;
            let refuse = || Own::KeyFile {
                path: path.display().to_string(),
                reason: "not a complete session key".to_owned(),
            };
            let (session, rest) = bytes.split_at_checked(SessionId::LEN).ok_or_else(refuse)?;
            let (secret, party) = rest.split_first_chunk().ok_or_else(refuse)?;
            let party = str::from_utf8(party).map_err(|_| refuse())?;
            let secret = federated::channel::BoxSecretKey::from_bytes(*secret);
            Ok(Self::of_keys(SessionKeys::from_secret_key(
                identifier::session_id(session)?,
                party::named(party)?,
                secret,
            )))
        })
    }

    /// Writes this end's secret key to a new file that only this user can read (mode 0600). **As
    /// long as the file exists, the session's messages to this party can be opened.**
    ///
    /// Raises:
    ///     OSError: If the file exists (``FileExistsError``) or cannot be written.
    #[pyo3(signature = (path, *, replace = false))]
    fn save(&self, py: Python<'_>, path: PathBuf, replace: bool) -> Result<()> {
        work::detached(py, || {
            let secret = self.keys.secret_key().expose_bytes();
            let party = party::name_of(self.keys.party());
            let mut contents =
                Zeroizing::new(Vec::with_capacity(SessionId::LEN + secret.len() + party.len()));
            contents.extend_from_slice(&self.keys.session().to_bytes());
            contents.extend_from_slice(&*secret);
            contents.extend_from_slice(party.as_bytes());
            files::write_secret(&path, files::CHANNEL, &contents, replace)
        })
    }

    /// The session's identifier, 16 bytes.
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.keys.session().to_bytes())
    }

    /// The party of this end.
    #[getter]
    fn party(&self) -> String {
        party::name_of(self.keys.party())
    }

    /// The public key, 32 bytes, for the other parties.
    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.keys.public_key().to_bytes())
    }

    /// Bytes that the channel adds to the contents of a message.
    #[getter]
    fn overhead(&self) -> usize {
        self.core.overhead()
    }

    /// Adds another party's public key. **Verify that it is authentic**, or use
    /// :meth:`add_announcement`.
    ///
    /// Args:
    ///     party: The party that has this key.
    ///     key: 32 bytes.
    ///
    /// Raises:
    ///     BoxError: If the party has another key in this session.
    ///     ConfigError: For a weak key, which no honest party publishes, and for this end's own
    ///         party.
    #[pyo3(signature = (party, key))]
    fn add_peer(&self, py: Python<'_>, party: &str, key: &[u8]) -> Result<()> {
        let party = party::named(party)?;
        let found = format!("{} bytes", key.len());
        let key = key.try_into().map_err(|_| Own::Setting {
            setting: "key".to_owned(),
            found,
            allowed: format!("{} bytes", BoxPublicKey::LEN),
        })?;
        let key = BoxPublicKey::from_bytes(key)?;
        self.add(py, party, key)
    }

    /// This end's public key, signed by a long-term identity for this session and party, as bytes
    /// for the other parties.
    #[pyo3(signature = (identity))]
    fn announce<'py>(&self, py: Python<'py>, identity: PyRef<'_, Identity>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.keys.announce(&identity.core).to_bytes())
    }

    /// Adds another party's public key from its announcement. The party's identity in the roster
    /// must have signed it.
    ///
    /// Raises:
    ///     BoxError: If it is not signed by that identity, or the party has another key in this
    ///         session.
    ///     WrongRound: If it is for another session.
    ///     ConfigError: If the party is not in the roster.
    ///     MessageError: For bytes that are not an announcement.
    #[pyo3(signature = (party, data, roster))]
    fn add_announcement(
        &self,
        py: Python<'_>,
        party: &str,
        data: &[u8],
        roster: PyRef<'_, Roster>,
    ) -> Result<()> {
        let party = party::named(party)?;
        let key = roster.core.verify(&Announcement::from_bytes(data)?, self.keys.session(), party)?;
        self.add(py, party, key)
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.Channel of {}, session {}>", self.party(), self.keys.session())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        secrets::refuse_pickle("Channel", "each process makes its own")
    }

    fn __copy__(&self) -> PyResult<()> {
        secrets::refuse_copy("Channel")
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> PyResult<()> {
        secrets::refuse_copy("Channel")
    }
}

impl Channel {
    /// The end with these keys.
    fn of_keys(keys: SessionKeys) -> Self {
        // The channel and the announcement both need the key; each wipes its own.
        let secret = federated::channel::BoxSecretKey::from_bytes(*keys.secret_key().expose_bytes());
        let same = SessionKeys::from_secret_key(keys.session(), keys.party(), secret);
        Self { core: Arc::new(HpkeChannel::for_party(same)), keys }
    }

    fn add(&self, py: Python<'_>, party: Party, key: BoxPublicKey) -> Result<()> {
        if party == self.keys.party() {
            return Err(federated::channel::Error::SameParty { party }.into());
        }
        work::detached(py, || Ok(self.core.add_peer(self.keys.session(), party, key)?))
    }

    /// The party of this end.
    pub(crate) fn core_party(&self) -> Party {
        self.keys.party()
    }

    /// Whether this end has the party's key.
    pub(crate) fn knows(&self, party: Party) -> bool {
        self.core.public_key(self.keys.session(), party).is_some()
    }

    /// The channel, if it is that of this party in this session.
    pub(crate) fn of(
        &self,
        party: Party,
        session: SessionId,
    ) -> Result<Arc<dyn federated::channel::Channel>> {
        if self.keys.party() != party {
            let (expected, found) = (party::name_of(party), self.party());
            return Err(Own::ChannelParty { expected, found }.into());
        }
        if self.keys.session() != session {
            let (expected, found) = (session.to_string(), self.keys.session().to_string());
            return Err(Own::ChannelSession { expected, found }.into());
        }
        Ok(Arc::clone(&self.core) as Arc<dyn federated::channel::Channel>)
    }
}

/// The channel of a party, or an open channel if there is none.
pub(crate) fn core_channel(
    channel: Option<&Channel>,
    party: Party,
    session: SessionId,
) -> Result<Arc<dyn federated::channel::Channel>> {
    match channel {
        Some(channel) => channel.of(party, session),
        None => Ok(Arc::new(PlaintextChannel::new())),
    }
}

/// The long-term key of an organisation (Ed25519). It signs session keys, and does not decrypt
/// messages.
///
/// It cannot be pickled or copied, and its ``repr`` shows no secret.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct Identity {
    core: federated::channel::Identity,
}

#[pymethods]
impl Identity {
    /// A new identity.
    #[staticmethod]
    fn generate() -> Result<Self> {
        Ok(Self { core: federated::channel::Identity::generate(&mut entropy::generator()?) })
    }

    /// Loads a file that :meth:`save` has written.
    ///
    /// Raises:
    ///     OSError: If the file cannot be read.
    ///     ConfigError: If it is not an identity file, or other users may read it.
    #[staticmethod]
    #[pyo3(signature = (path))]
    fn load(py: Python<'_>, path: PathBuf) -> Result<Self> {
        work::detached(py, || {
            let bytes = files::read_secret(&path, files::IDENTITY)?;
            let bytes: Zeroizing<[u8; federated::channel::Identity::LEN]> =
                Zeroizing::new(bytes.as_slice().try_into().map_err(|_| Own::KeyFile {
                    path: path.display().to_string(),
                    reason: "not a complete identity".to_owned(),
                })?);
            Ok(Self { core: federated::channel::Identity::from_bytes(&bytes) })
        })
    }

    /// Writes the identity to a new file that only this user can read (mode 0600). **Keep the file
    /// secret.**
    ///
    /// Raises:
    ///     OSError: If the file exists (``FileExistsError``) or cannot be written.
    #[pyo3(signature = (path, *, replace = false))]
    fn save(&self, py: Python<'_>, path: PathBuf, replace: bool) -> Result<()> {
        work::detached(py, || {
            files::write_secret(&path, files::IDENTITY, &*self.core.expose_bytes(), replace)
        })
    }

    /// The public key, 32 bytes, for the roster.
    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.core.key().to_bytes())
    }

    fn __repr__(&self) -> String {
        // `IdentityKey(` and hexadecimal digits.
        format!("<cipherfold.Identity {:?}>", self.core.key())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        secrets::refuse_pickle("Identity", "save(path) writes it to a file that only you can read")
    }

    fn __copy__(&self) -> PyResult<()> {
        secrets::refuse_copy("Identity")
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> PyResult<()> {
        secrets::refuse_copy("Identity")
    }
}

/// All organisations that take part, with their roles and long-term keys. All parties pin its
/// digest.
///
/// Args:
///     organisations: Maps each organisation's name to its party (``"client:3"``) and its
///         identity's public key (32 bytes).
///
/// Raises:
///     ConfigError: For two organisations with the same role, name or key, and for invalid names
///         and keys.
#[pyclass(frozen, module = "cipherfold", eq)]
#[derive(Clone, PartialEq)]
pub(crate) struct Roster {
    core: federated::channel::Roster,
}

#[pymethods]
impl Roster {
    #[new]
    #[pyo3(signature = (organisations))]
    fn new(organisations: &Bound<'_, PyAny>) -> Result<Self> {
        let items = organisations.call_method0("items")?;
        let mut members = Vec::new();
        for item in items.try_iter()? {
            let (name, (party, key)): (String, (String, Vec<u8>)) = item?.extract()?;
            let found = format!("{} bytes", key.len());
            let key = key.as_slice().try_into().map_err(|_| Own::Setting {
                setting: format!("key of {name:?}"),
                found,
                allowed: format!("{} bytes", federated::channel::IdentityKey::LEN),
            })?;
            let key = federated::channel::IdentityKey::from_bytes(key)?;
            members.push(federated::channel::Organisation { name, party: party::named(&party)?, key });
        }
        Ok(Self { core: federated::channel::Roster::new(members)? })
    }

    /// Reads a roster from bytes.
    ///
    /// Raises:
    ///     ConfigError, MessageError: For bytes that are not a roster.
    #[staticmethod]
    #[pyo3(signature = (data))]
    fn from_bytes(data: &[u8]) -> Result<Self> {
        Ok(Self { core: federated::channel::Roster::from_bytes(data)? })
    }

    /// The roster as bytes. They are not secret.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.core.to_bytes())
    }

    /// The digest that all parties compare: 64 hexadecimal digits.
    #[getter]
    fn digest(&self) -> String {
        self.core.digest().to_string()
    }

    /// Maps each organisation's name to its party and its identity's public key.
    #[getter]
    fn organisations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let organisations = PyDict::new(py);
        for organisation in self.core.organisations() {
            let key = PyBytes::new(py, &organisation.key.to_bytes());
            organisations.set_item(&organisation.name, (party::name_of(organisation.party), key))?;
        }
        Ok(organisations)
    }

    fn __len__(&self) -> usize {
        self.core.organisations().len()
    }

    fn __hash__(&self) -> u64 {
        u64::from_be_bytes(*self.core.digest().to_bytes().first_chunk().expect("a digest has 32 bytes"))
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.Roster of {}, digest {}>", self.__len__(), self.digest())
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, [self.organisations(py)?])
    }
}

impl Roster {
    pub(crate) fn core_digest(&self) -> Digest {
        self.core.digest()
    }
}
