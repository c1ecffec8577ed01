//! A session's keys: the secret one, and the public one that everyone pins.

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
    entropy,
    error::Result,
    files, secrets,
    work::{self, Threads},
};

/// Runs an expression with the key size that has these bits.
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
            found => Err(cipherfold::federated::Error::KeyBits { found }.into()),
        }
    };
}
pub(crate) use with_key_size;

/// A session's secret key, with all that a session begins with: the public key, its base, and the session's name.
///
/// One key is for one session. Whoever has it opens the sums of the session; it remembers which rounds were opened, and opens no
/// second, different sum of one of them. It cannot be pickled or copied, and its ``repr`` shows nothing secret.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct SecretKey {
    pub(crate) owner: KeyOwner,
}

#[pymethods]
impl SecretKey {
    /// Makes a key pair, a base for encryption, and a name for the session.
    ///
    /// Args:
    ///     bits: Length of the modulus: 2048, 3072 or 4096 bits.
    ///     key_holder: Whether a party apart from the server keeps the key. It then decrypts sums behind masks, and learns none.
    ///     backend: ``"auto"``, or one of the names of :func:`backends`.
    ///     roster: The roster of all parties, which becomes part of what everyone pins.
    ///     session: The session's name, 16 bytes; drawn at random if there is none.
    ///
    /// Raises:
    ///     ConfigError: For another length than there is.
    ///     BackendError: For a backend that cannot run here.
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
                let _: Option<S> = None; // one of the sizes that there are
                Ok(KeyOwner::generate(parameters, &mut entropy::generator()?)?)
            })
        })?;
        Ok(Self::of(owner))
    }

    /// A session with the key of these primes, as python-paillier and other libraries have them.
    ///
    /// The time that this takes depends on the primes.
    ///
    /// Args:
    ///     p, q: Two different primes of half the key's length, in any order.
    ///     key_holder, backend, roster, session: As for :meth:`generate`.
    ///
    /// Raises:
    ///     ConfigError: For numbers that are no such primes.
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

    /// The key in a file that :meth:`save` has written, with the session and the rounds that were opened by then.
    ///
    /// The time that this takes depends on the key.
    ///
    /// Raises:
    ///     OSError: If the file cannot be read.
    ///     ConfigError: If it is no key file, or others than its owner may read it.
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

    /// Writes the key to a file that only this user can read (mode 0600): all of it and synced, or nothing.
    ///
    /// The file also has the session, the base, and the rounds that were opened. **It is the secret.**
    ///
    /// Args:
    ///     path: The file, which must not be there yet.
    ///     replace: Whether a file that is there is replaced, in one step.
    ///
    /// Raises:
    ///     OSError: If the file is there (``FileExistsError``) or cannot be written.
    #[pyo3(signature = (path, *, replace = false))]
    fn save(&self, py: Python<'_>, path: PathBuf, replace: bool) -> Result<()> {
        work::detached(py, || files::write_secret(&path, files::KEY, &self.owner.expose_bytes(), replace))
    }

    /// The public key, with what belongs to it: what everyone else gets.
    #[getter]
    fn public(&self) -> PublicKey {
        PublicKey { key: self.owner.encryption_key().clone() }
    }

    /// Length of the modulus in bits.
    #[getter]
    fn bits(&self) -> u32 {
        self.owner.offer().key_bits()
    }

    /// The session's name, 16 bytes.
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.owner.offer().session().to_bytes())
    }

    /// The primes p and q, p < q. **They are the secret**: Python does not wipe integers.
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
    /// Whether the session is one with a party that holds the key apart from the server.
    pub(crate) fn is_with_key_holder(&self) -> bool {
        self.owner.offer().key_holding() == KeyHolding::KeyHolder
    }

    fn of(owner: KeyOwner) -> Self {
        work::remember_gpu(owner.encryption_key().backend_name());
        Self { owner }
    }
}

/// A session's public key: what clients encrypt under, and what everyone pins.
///
/// Its pin is a digest of the modulus, the base, the session, who holds the secret key, and the roster. Compare it over a way
/// that no relay controls: whoever substitutes a key reads all updates.
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
    /// The key with these bytes, if it is the one that was pinned.
    ///
    /// Args:
    ///     data: What :meth:`to_bytes` gave.
    ///     pin: :attr:`pin` as its owner has told it: 64 hexadecimal digits.
    ///     backend: ``"auto"``, or one of the names of :func:`backends`.
    ///
    /// Raises:
    ///     PinMismatch: If it is another key; ``pinned`` and ``found`` are both pins.
    ///     MessageError: For bytes that are no public key.
    ///     ConfigError: For a modulus that cannot be sound, and a pin that is none.
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

    /// The key as bytes, for everyone. They are not secret.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.key.offer().to_bytes())
    }

    /// What everyone compares and pins: 64 hexadecimal digits.
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

    /// The session's name, 16 bytes.
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.key.offer().session().to_bytes())
    }

    /// Whether a party apart from the server holds the secret key.
    #[getter]
    fn key_holder(&self) -> bool {
        self.key.offer().key_holding() == KeyHolding::KeyHolder
    }

    /// The digest of the roster that the session was made for, 64 hexadecimal digits, or None.
    #[getter]
    fn roster(&self) -> Option<String> {
        let roster = self.key.offer().roster();
        (roster != Digest::NONE).then(|| roster.to_string())
    }

    /// The name of the backend that batches run on.
    #[getter]
    fn backend(&self) -> &'static str {
        self.key.backend_name()
    }

    /// Whether this key encrypts with short exponents.
    #[getter]
    fn short_exponents(&self) -> bool {
        self.key.exponents() == Exponents::Short
    }

    /// The same key, which encrypts with short exponents: about four times as fast, **under a further assumption**.
    ///
    /// Discrete logarithms with short exponents must be hard in the group of the base. The documentation of the Rust type
    /// ``Exponents`` states it in full. Each client chooses for itself: the secrecy of its own update depends on it.
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
    /// The public one of the two.
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

/// Refuses sizes of keys that are for tests of the core alone.
pub(crate) fn check_bits(bits: u32) -> Result<()> {
    with_key_size!(bits, S => {
        let _: Option<S> = None;
        Ok(())
    })
}

/// The backend with this name, unless it is a GPU that another process has opened.
fn choice(name: &str) -> Result<BackendChoice> {
    let choice = name.parse()?;
    let by_environment = || std::env::var("CIPHERFOLD_BACKEND").is_ok_and(|name| name.starts_with("gpu"));
    if work::gpu_opened() && (name.starts_with("gpu") || (choice == BackendChoice::Auto && by_environment()))
    {
        work::check_gpu("gpu")?;
    }
    Ok(choice)
}
