//! A session's keys: the secret key, and the public key that all parties pin.

pub(crate) mod paillier;

use std::path::PathBuf;

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, KeyHolding, SessionId,
        round::{EncryptionKey, KeyOwner, SessionOffer, SessionParameters},
    },
    paillier::{Exponents, SecretKey as PaillierKey},
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBytes, PyInt, PyTuple},
};
use zeroize::Zeroizing;

use crate::{
    channel::Roster,
    convert::{identifier, integer},
    error::Result,
    secrets::{self, entropy, files},
    work::{self, Threads},
};

/// Runs an expression with the key size of this number of bits.
macro_rules! with_key_size {
    ($bits:expr, $S:ident => $body:expr) => {
        match $bits {
            2048 => {
                type $S = cipherfold::paillier::Bits2048;
                $body
            }
            3072 => {
                type $S = cipherfold::paillier::Bits3072;
                $body
            }
            4096 => {
                type $S = cipherfold::paillier::Bits4096;
                $body
            }
            found => Err(cipherfold::federated::round::Error::KeyBits { found }.into()),
        }
    };
}
pub(crate) use with_key_size;

/// A session's secret key, with the session's identifier, the public key and its base.
///
/// One key is for one session. It can decrypt the sums of the session. It records the opened
/// rounds, and refuses a second, different sum of a round. It cannot be pickled or copied, and its
/// ``repr`` shows no secret.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct SecretKey {
    pub(crate) owner: KeyOwner,
}

#[pymethods]
impl SecretKey {
    /// Makes a key pair, a base for encryption, and an identifier for the session.
    ///
    /// Args:
    ///     bits: Length of the modulus: 2048, 3072 or 4096 bits.
    ///     key_holder: Whether a party other than the server has the key. It then decrypts masked
    ///         sums, and learns none of them.
    ///     backend: ``"auto"``, or one of the names of :func:`backends`.
    ///     roster: The roster of all parties. It becomes part of the pin.
    ///     session: The session's identifier, 16 bytes; random by default.
    ///
    /// Raises:
    ///     ConfigError: For an unsupported length.
    ///     BackendError: For a backend that cannot run on this machine.
    #[staticmethod]
    #[pyo3(signature = (bits = 3072, *, key_holder = false, backend = "auto", roster = None, session = None))]
    fn generate(
        py: Python<'_>,
        bits: u32,
        key_holder: bool,
        backend: &str,
        roster: Option<PyRef<'_, Roster>>,
        session: Option<&[u8]>,
    ) -> Result<Self> {
        let parameters = parameters(bits, key_holder, backend, roster.as_deref(), session)?;
        let owner = Threads::default().run(py, || {
            with_key_size!(bits, S => {
                let _: Option<S> = None; // checks that the size exists
                Ok(KeyOwner::generate(parameters, &mut entropy::generator()?)?)
            })
        })?;
        Ok(Self::of(owner))
    }

    /// A session with the key of these primes, for example from python-paillier.
    ///
    /// The time of this call depends on the primes.
    ///
    /// Args:
    ///     p, q: Two different primes of half the key's length, in any order.
    ///     key_holder, backend, roster, session: As for :meth:`generate`.
    ///
    /// Raises:
    ///     ConfigError: For other numbers.
    #[staticmethod]
    #[pyo3(signature = (p, q, *, key_holder = false, backend = "auto", roster = None, session = None))]
    fn from_primes(
        py: Python<'_>,
        p: &Bound<'_, PyInt>,
        q: &Bound<'_, PyInt>,
        key_holder: bool,
        backend: &str,
        roster: Option<PyRef<'_, Roster>>,
        session: Option<&[u8]>,
    ) -> Result<Self> {
        let bits = integer::bit_length(&p.mul(q)?)?;
        let parameters = parameters(bits, key_holder, backend, roster.as_deref(), session)?;
        let (p, q) = (Zeroizing::new(integer::to_be("p", p)?), Zeroizing::new(integer::to_be("q", q)?));
        let owner = Threads::default().run(py, || {
            with_key_size!(bits, S => {
                let key = PaillierKey::<S>::from_primes_be_vartime(&p, &q)?;
                Ok(KeyOwner::with_secret_key(parameters, &key, &mut entropy::generator()?)?)
            })
        })?;
        Ok(Self::of(owner))
    }

    /// Loads a file that :meth:`save` has written: the key, the session, and the rounds that were
    /// opened before.
    ///
    /// The time of this call depends on the key.
    ///
    /// Raises:
    ///     OSError: If the file cannot be read.
    ///     ConfigError: If it is not a key file, or other users may read it.
    #[staticmethod]
    #[pyo3(signature = (path, *, backend = "auto"))]
    fn load(py: Python<'_>, path: PathBuf, backend: &str) -> Result<Self> {
        let backend = choice(backend)?;
        let owner = Threads::default().run(py, || {
            let bytes = files::read_secret(&path, files::KEY)?;
            Ok(KeyOwner::from_bytes_vartime(&bytes, backend)?)
        })?;
        check_bits(owner.offer().key_bits())?;
        Ok(Self::of(owner))
    }

    /// Writes the key to a file that only this user can read (mode 0600). The file is complete and
    /// synced, or not written at all.
    ///
    /// The file also has the session, the base, and the opened rounds. **Keep the file secret.**
    ///
    /// Args:
    ///     path: The file, which must not exist yet.
    ///     replace: Whether an existing file is replaced, atomically.
    ///
    /// Raises:
    ///     OSError: If the file is there (``FileExistsError``) or cannot be written.
    #[pyo3(signature = (path, *, replace = false))]
    fn save(&self, py: Python<'_>, path: PathBuf, replace: bool) -> Result<()> {
        work::detached(py, || files::write_secret(&path, files::KEY, &self.owner.expose_bytes(), replace))
    }

    /// The public key of the session, for all other parties.
    #[getter]
    fn public(&self) -> PublicKey {
        PublicKey { key: self.owner.encryption_key().clone() }
    }

    /// Length of the modulus in bits.
    #[getter]
    fn bits(&self) -> u32 {
        self.owner.offer().key_bits()
    }

    /// The session's identifier, 16 bytes.
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.owner.offer().session().to_bytes())
    }

    /// The primes p and q, p < q. **They are secret**, and Python does not wipe integers.
    fn expose_primes<'py>(&self, py: Python<'py>) -> Result<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        with_key_size!(self.owner.offer().key_bits(), S => {
            let key = self.owner.secret_key::<S>().expect("a key of this size");
            let (p, q) = key.expose_primes_be();
            Ok((integer::from_be(py, &p)?, integer::from_be(py, &q)?))
        })
    }

    fn __repr__(&self) -> String {
        let offer = self.owner.offer();
        format!("<cipherfold.SecretKey of {} bits, session {}>", offer.key_bits(), offer.session())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        secrets::refuse_pickle("SecretKey", "save(path) writes it to a file that only you can read")
    }

    fn __copy__(&self) -> PyResult<()> {
        secrets::refuse_copy("SecretKey")
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> PyResult<()> {
        secrets::refuse_copy("SecretKey")
    }
}

impl SecretKey {
    /// Whether a party other than the server has the key.
    pub(crate) fn is_with_key_holder(&self) -> bool {
        self.owner.offer().key_holding() == KeyHolding::KeyHolder
    }

    fn of(owner: KeyOwner) -> Self {
        work::remember_gpu(owner.encryption_key().backend_name());
        Self { owner }
    }
}

/// A session's public key. Clients encrypt with it, and all parties pin it.
///
/// Its pin is a digest of the modulus, the base, the session, the kind of key holding, and the
/// roster. Compare it over a channel that no relay controls: a relay that replaces the key can read
/// all updates.
#[pyclass(frozen, module = "cipherfold", eq)]
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) key: EncryptionKey,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.key.digest() == other.key.digest() && self.key.exponents() == other.key.exponents()
    }
}

#[pymethods]
impl PublicKey {
    /// Reads a key from bytes, and checks that it is the pinned one.
    ///
    /// Args:
    ///     data: The bytes of :meth:`to_bytes`.
    ///     pin: The :attr:`pin` from the key's owner: 64 hexadecimal digits.
    ///     backend: ``"auto"``, or one of the names of :func:`backends`.
    ///
    /// Raises:
    ///     PinMismatch: If it is another key. ``pinned`` and ``found`` are the two pins.
    ///     MessageError: For bytes that are not a public key.
    ///     ConfigError: For an unsound modulus, or an invalid pin.
    #[staticmethod]
    #[pyo3(signature = (data, pin, *, backend = "auto"))]
    fn from_bytes(py: Python<'_>, data: &[u8], pin: &str, backend: &str) -> Result<Self> {
        let (offer, pin, backend) =
            (SessionOffer::from_bytes(data)?, identifier::digest(pin)?, choice(backend)?);
        check_bits(offer.key_bits())?;
        let key = Threads::default().run(py, || Ok(EncryptionKey::new(&offer, pin, backend)?))?;
        work::remember_gpu(key.backend_name());
        Ok(Self { key })
    }

    /// The key as bytes. They are not secret.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.key.offer().to_bytes())
    }

    /// The digest that all parties compare and pin: 64 hexadecimal digits.
    #[getter]
    pub(crate) fn pin(&self) -> String {
        self.key.digest().to_string()
    }

    /// The modulus n.
    #[getter]
    fn modulus<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        with_key_size!(self.bits(), S => {
            let key = self.key.public_key::<S>().expect("a key of this size");
            Ok(integer::from_be(py, &key.modulus_be())?)
        })
    }

    /// Length of the modulus in bits.
    #[getter]
    fn bits(&self) -> u32 {
        self.key.offer().key_bits()
    }

    /// The session's identifier, 16 bytes.
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.key.offer().session().to_bytes())
    }

    /// Whether a party other than the server has the secret key.
    #[getter]
    fn key_holder(&self) -> bool {
        self.key.offer().key_holding() == KeyHolding::KeyHolder
    }

    /// The digest of the session's roster, 64 hexadecimal digits, or None.
    #[getter]
    fn roster(&self) -> Option<String> {
        let roster = self.key.offer().roster();
        (roster != Digest::NONE).then(|| roster.to_string())
    }

    /// The name of the backend that runs batches.
    #[getter]
    fn backend(&self) -> &'static str {
        self.key.backend_name()
    }

    /// Whether this key encrypts with short exponents.
    #[getter]
    fn short_exponents(&self) -> bool {
        self.key.exponents() == Exponents::Short
    }

    /// The same key with short exponents. Encryption is then about four times as fast, but **needs
    /// a further assumption**.
    ///
    /// Discrete logarithms with short exponents must be hard in the group of the base. The
    /// documentation of the Rust type ``Exponents`` states the full assumption. Each client decides
    /// for itself, because the secrecy of its update depends on it.
    fn with_short_exponents(&self) -> Self {
        Self { key: self.key.with_short_exponents() }
    }

    fn __hash__(&self) -> u64 {
        let digest = self.key.digest().to_bytes();
        u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.PublicKey of {} bits, pin {}>", self.bits(), self.pin())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let this = slf.get();
        let make = slf.py().import("cipherfold._pickles")?.getattr("public_key")?;
        let state = (this.to_bytes(slf.py()), this.pin(), this.short_exponents()).into_pyobject(slf.py())?;
        Ok((make, state))
    }
}

/// A secret or a public key.
pub(crate) enum AnyKey<'py> {
    Public(PyRef<'py, PublicKey>),
    Secret(PyRef<'py, SecretKey>),
}

impl<'py> FromPyObject<'_, 'py> for AnyKey<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(public) = object.extract() {
            return Ok(Self::Public(public));
        }
        if let Ok(secret) = object.extract() {
            return Ok(Self::Secret(secret));
        }
        let found = object.get_type().name()?;
        Err(PyTypeError::new_err(format!("a PublicKey or a SecretKey is expected, found {found}")))
    }
}

impl AnyKey<'_> {
    /// The public key of the two.
    ///
    /// # Errors
    ///
    /// [`Own::Forked`].
    pub(crate) fn encryption_key(&self) -> Result<EncryptionKey> {
        let key = match self {
            Self::Public(public) => &public.key,
            Self::Secret(secret) => secret.owner.encryption_key(),
        };
        work::check_gpu(key.backend_name())?;
        Ok(key.clone())
    }
}

fn parameters(
    key_bits: u32,
    key_holder: bool,
    backend: &str,
    roster: Option<&Roster>,
    session: Option<&[u8]>,
) -> Result<SessionParameters> {
    check_bits(key_bits)?;
    let session = match session {
        Some(bytes) => identifier::session_id(bytes)?,
        None => SessionId::random(&mut entropy::generator()?),
    };
    Ok(SessionParameters {
        session,
        key_bits,
        key_holding: if key_holder { KeyHolding::KeyHolder } else { KeyHolding::Server },
        roster: roster.map_or(Digest::NONE, Roster::core_digest),
        backend: choice(backend)?,
    })
}

/// Refuses key sizes that exist only for tests of the core.
pub(crate) fn check_bits(bits: u32) -> Result<()> {
    with_key_size!(bits, S => {
        let _: Option<S> = None;
        Ok(())
    })
}

/// The backend with this name. Refuses a GPU that another process has opened.
fn choice(name: &str) -> Result<BackendChoice> {
    let choice = name.parse()?;
    let by_environment = || std::env::var("CIPHERFOLD_BACKEND").is_ok_and(|name| name.starts_with("gpu"));
    if work::gpu_opened() && (name.starts_with("gpu") || (choice == BackendChoice::Auto && by_environment()))
    {
        work::check_gpu("gpu")?;
    }
    Ok(choice)
}
