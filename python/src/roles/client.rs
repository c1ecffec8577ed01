//! The client encrypts arrays as messages.

use std::sync::{
    Arc, Mutex, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use cipherfold::{
    federated::{
        Error as CoreError, Party,
        round::{self, Client as CoreClient, StreamedUpdate},
        tensor,
    },
    rand_core::Rng,
};
use pyo3::{PyTraverseError, PyVisit, prelude::*, types::PyBytes};

use crate::{
    arrays::{self, Elements, Source},
    channel::{self, Channel},
    convert::{identifier, number::Number},
    error::{Error, Own, Result},
    keys::AnyKey,
    roles::{
        framing::{Frame, Kind, Names},
        progress::Progress,
    },
    secrets::entropy,
    spec::RoundSpec,
    work::{self, Threads},
};

/// A client of one round. It encrypts an update for the aggregator.
///
/// Args:
///     spec: The round. A plan is bound to the key.
///     key: The session's public key.
///     number: The client's number. The default is that of the channel's party, or a random number
///         without a channel.
///     channel: This client's channel; None for an open channel, whose messages only the transport
///         protects.
///     pin: The pin of the key, to check it again: 64 hexadecimal digits.
///     threads: Threads for this client's work.
///
/// Raises:
///     KeyMismatch: If the round is bound to another key; PinMismatch if the key has another pin.
///     OpenChannel: If a key holder has the secret key and there is no channel. The key holder
///         could decrypt intercepted messages.
///     ConfigError: For a channel of another party or session.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct Client {
    core: CoreClient,
    number: u32,
    names: Vec<String>,
    threads: Threads,
    backend: &'static str,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (spec, key, *, number = None, channel = None, pin = None, threads = None))]
    fn new(
        spec: PyRef<'_, RoundSpec>,
        key: AnyKey<'_>,
        number: Option<Number<'_>>,
        channel: Option<PyRef<'_, Channel>>,
        pin: Option<&str>,
        threads: Option<Number<'_>>,
    ) -> Result<Self> {
        let key = key.encryption_key()?;
        if let Some(pin) = pin {
            let (pinned, found) = (identifier::digest(pin)?, key.digest());
            if pinned != found {
                return Err(round::Error::PinMismatch { pinned, found }.into());
            }
        }
        let bound = spec.bound(&key)?;
        let stated = number.map(|number| number.u32("number")).transpose()?;
        let number = match (stated, channel.as_deref().map(Channel::core_party)) {
            (Some(number), _) | (None, Some(Party::Client(number))) => number,
            // 31 bits, so that any language can represent the number.
            (None, _) => entropy::generator()?.next_u32() >> 1,
        };
        let channel = channel::core_channel(channel.as_deref(), Party::Client(number), bound.session())?;
        let core = CoreClient::new(number, &bound, &key, channel)?;
        Ok(Self {
            core,
            number,
            names: spec.names(),
            threads: threads_of(threads)?,
            backend: key.backend_name(),
        })
    }

    /// The client's number.
    #[getter]
    fn number(&self) -> u32 {
        self.number
    }

    /// Checks a whole update. Returns an object that encrypts the messages one by one when it is
    /// iterated.
    ///
    /// Args:
    ///     arrays: Arrays as the round declares them. A mapping may have any order. The arrays are
    ///         read while messages are made: do not change them before the last message.
    ///     weight: The client's weight, if the round has weights: an int from 0 to
    ///         ``spec.max_weight``.
    ///     progress: Called with the number of finished messages and the total, at most ten times a
    ///         second. An exception in it ends the encryption.
    ///
    /// Raises:
    ///     DtypeError: For an array that is not accepted; ``array`` is its name.
    ///     UpdateError: For names or shapes that differ from the declaration, a value that cannot
    ///         be encoded (``array``, ``index``), and a weight that the round does not allow.
    #[pyo3(signature = (arrays, *, weight = None, progress = None))]
    fn encrypt(
        &self,
        py: Python<'_>,
        arrays: &Bound<'_, PyAny>,
        weight: Option<&Bound<'_, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> Result<EncryptedUpdate> {
        work::check_gpu(self.backend)?;
        let structure = self.core.spec().sums()[0].structure();
        let sources = arrays::gather(&structure, arrays)?;
        let weight = weight.map(weight_of).transpose()?;
        let update = self.core.stream(&[(structure, weight)])?;
        let lazy = Lazy {
            client: self.core.clone(),
            names: self.names.clone(),
            threads: self.threads,
            backend: self.backend,
            update,
            borrowed: Mutex::new(Some(Arc::new(Borrowed { sources, progress: Progress::new(progress) }))),
            begun: AtomicBool::new(false),
        };
        lazy.check(py)?;
        Ok(EncryptedUpdate {
            number: Some(self.number),
            messages: lazy.update.messages(),
            source: Messages::Lazy(Box::new(lazy)),
            clipped: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        })
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.Client {} of round {}>", self.number, self.core.spec().round())
    }
}

/// Threads of a role.
pub(crate) fn threads_of(threads: Option<Number<'_>>) -> Result<Threads> {
    Threads::new(threads.map(|threads| threads.usize("threads")).transpose()?)
}

fn weight_of(weight: &Bound<'_, PyAny>) -> Result<u32> {
    let number = weight.extract::<Number<'_>>().ok().and_then(|number| number.u32("weight").ok());
    number.ok_or_else(|| {
        // A weight is the client's secret, so the error has its type only.
        let found =
            weight.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string());
        Own::WeightType { found: if found == "int" { "an int out of range".to_owned() } else { found } }
            .into()
    })
}

/// An encrypted update for the aggregator. Its messages are encrypted when they are requested, or
/// were read from bytes.
///
/// Iteration gives the messages one by one, as bytes. An update from a client can be iterated once,
/// and one from :meth:`from_bytes` any number of times.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct EncryptedUpdate {
    number: Option<u32>,
    messages: u64,
    source: Messages,
    clipped: AtomicU64,
    cancelled: AtomicBool,
}

enum Messages {
    Lazy(Box<Lazy>),
    Ready(Frame),
}

/// Messages that do not exist yet.
struct Lazy {
    client: CoreClient,
    names: Vec<String>,
    threads: Threads,
    backend: &'static str,
    update: StreamedUpdate,
    /// Released at the end. Threads that are attached to Python lock this for a short time.
    borrowed: Mutex<Option<Arc<Borrowed>>>,
    begun: AtomicBool,
}

/// The caller's objects.
struct Borrowed {
    sources: Vec<Source>,
    progress: Progress,
}

#[pymethods]
impl EncryptedUpdate {
    /// Reads the bytes of :meth:`to_bytes`.
    ///
    /// Raises:
    ///     MessageError: For bytes that are not an update.
    #[staticmethod]
    #[pyo3(signature = (data))]
    fn from_bytes(data: &Bound<'_, PyAny>) -> Result<Self> {
        let frame = Frame::from_bytes(data, Kind::Update)?;
        Ok(Self {
            number: None,
            messages: frame.len() as u64,
            source: Messages::Ready(frame),
            clipped: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        })
    }

    /// All messages as one byte string. A client's update cannot be iterated after this.
    fn to_bytes<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyBytes>> {
        let py = slf.py();
        match &slf.get().source {
            Messages::Ready(frame) => frame.to_bytes(py, Kind::Update),
            Messages::Lazy(_) => {
                let messages = Self::__iter__(slf)?;
                let mut made = Vec::with_capacity(usize::try_from(slf.get().messages).unwrap_or(0));
                while let Some(message) = messages.__next__(py)? {
                    made.push(message.unbind());
                }
                Frame::new(made, Names::new()).to_bytes(py, Kind::Update)
            }
        }
    }

    /// Ends the encryption, from any thread. The iteration raises :class:`Cancelled` at the next
    /// message.
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// The client's number; None for messages that were read from bytes.
    #[getter]
    fn client(&self) -> Option<u32> {
        self.number
    }

    /// Number of clipped values in the finished messages. No other party learns it.
    #[getter]
    fn clipped(&self) -> u64 {
        self.clipped.load(Ordering::Relaxed)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Messages::Lazy(lazy) = &self.source else { return Ok(()) };
        let borrowed = match lazy.borrowed.try_lock() {
            Ok(borrowed) => borrowed,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()), // in use, so not garbage
        };
        let Some(borrowed) = &*borrowed else { return Ok(()) };
        borrowed.sources.iter().try_for_each(|source| visit.call(source.object()))?;
        borrowed.progress.function().map_or(Ok(()), |function| visit.call(function))
    }

    fn __clear__(&self) {
        self.release();
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.messages).unwrap_or(usize::MAX)
    }

    fn __iter__(slf: &Bound<'_, Self>) -> Result<MessageIterator> {
        if let Messages::Lazy(lazy) = &slf.get().source
            && lazy.begun.swap(true, Ordering::Relaxed)
        {
            return Err(Own::Spent { messages: slf.get().messages }.into());
        }
        Ok(MessageIterator { update: slf.clone().unbind(), next: AtomicU64::new(0) })
    }

    fn __repr__(&self) -> String {
        let client = self.number.map_or_else(|| "a client".to_owned(), |number| format!("client {number}"));
        format!("<cipherfold.EncryptedUpdate of {client}, {} messages>", self.messages)
    }
}

/// The messages of an update, one by one.
#[pyclass(frozen, module = "cipherfold._cipherfold")]
pub(crate) struct MessageIterator {
    update: Py<EncryptedUpdate>,
    next: AtomicU64,
}

#[pymethods]
impl MessageIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyBytes>>> {
        let update = self.update.get();
        // Each message is made by one of the iterating threads.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= update.messages {
            self.next.store(update.messages, Ordering::Relaxed);
            update.release();
            return Ok(None);
        }
        let message = py.check_signals().map_err(Error::from).and_then(|()| update.message(py, number));
        if message.is_err() {
            // After an error the update is incomplete, so no thread gets the remaining messages.
            update.cancel();
            update.release();
        }
        message.map(Some)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.update)
    }

    fn __length_hint__(&self) -> usize {
        let left = self.update.get().messages.saturating_sub(self.next.load(Ordering::Relaxed));
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

impl EncryptedUpdate {
    fn message<'py>(&self, py: Python<'py>, number: u64) -> Result<Bound<'py, PyBytes>> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Own::Cancelled { done: number, messages: self.messages }.into());
        }
        match &self.source {
            Messages::Ready(frame) => {
                let number = usize::try_from(number).expect("there is memory for the messages");
                Ok(frame.get(py, number).expect("below their number"))
            }
            Messages::Lazy(lazy) => {
                let borrowed = lazy.borrowed().ok_or(Own::Spent { messages: self.messages })?;
                let (message, clipped) = lazy.message(py, number, &borrowed.sources)?;
                self.clipped.fetch_add(clipped, Ordering::Relaxed);
                borrowed.progress.report(py, number + 1, self.messages)?;
                Ok(PyBytes::new(py, &message))
            }
        }
    }

    /// Releases the caller's objects.
    fn release(&self) {
        if let Messages::Lazy(lazy) = &self.source {
            let borrowed = lazy.borrowed.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Outside of the lock, because dropping a Python object may run Python code.
            drop(borrowed);
        }
    }

    /// The messages, if they were read from bytes.
    pub(crate) fn frame(&self) -> Option<&Frame> {
        match &self.source {
            Messages::Ready(frame) => Some(frame),
            Messages::Lazy(_) => None,
        }
    }
}

impl Lazy {
    /// Checks all values, message by message.
    fn check(&self, py: Python<'_>) -> Result<()> {
        let borrowed = self.borrowed().expect("just made");
        for number in 0..self.update.messages() {
            py.check_signals()?;
            let pieces = self.pieces(py, number, &borrowed.sources)?;
            let check = || {
                let views: Vec<_> = pieces.iter().map(Elements::view).collect();
                Ok(self.update.check(number, &views)?)
            };
            work::detached(py, check).map_err(|error| self.at_array(error))?;
        }
        Ok(())
    }

    fn borrowed(&self) -> Option<Arc<Borrowed>> {
        self.borrowed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn message(&self, py: Python<'_>, number: u64, sources: &[Source]) -> Result<(Vec<u8>, u64)> {
        work::check_gpu(self.backend)?;
        let pieces = self.pieces(py, number, sources)?;
        let encrypt = || {
            let views: Vec<_> = pieces.iter().map(Elements::view).collect();
            Ok(self.client.streamed_message(&self.update, number, &views, &mut entropy::generator()?)?)
        };
        self.threads.run(py, encrypt).map_err(|error| self.at_array(error))
    }

    /// Copies the elements of a message.
    fn pieces(&self, py: Python<'_>, number: u64, sources: &[Source]) -> Result<Vec<Elements>> {
        let pieces = self.update.pieces(number)?;
        let copy = |piece: round::Piece| sources[piece.tensor].copy(py, piece.elements);
        pieces.into_iter().map(copy).collect()
    }

    /// An error about a tensor, with the array's name.
    fn at_array(&self, error: Error) -> Error {
        let name = match &error {
            Error::Core(cipherfold::Error::Federated(CoreError::Tensor(tensor::Error::Tensor {
                tensor,
                ..
            }))) => self.names.get(*tensor).cloned(),
            _ => None,
        };
        match name {
            Some(name) => Error::Python(error.at_array(&name)),
            None => error,
        }
    }
}
