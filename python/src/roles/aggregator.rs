//! The aggregator adds ciphertexts that it cannot decrypt.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use cipherfold::federated::{
    self, Party,
    channel::{Envelope, HpkeChannel},
    round::{Aggregator as CoreAggregator, ClosedSum, EncryptionKey, RoundSpec as CoreSpec},
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    channel::{self, Channel},
    convert::{number::Number, party},
    error::{Own, Result},
    keys::AnyKey,
    roles::{
        client::{EncryptedUpdate, threads_of},
        framing::{self, Frame, Kind, Name, Names},
        progress::Progress,
        sum::EncryptedSum,
    },
    secrets::entropy,
    spec::RoundSpec,
    work::{self, Threads},
};

/// The aggregator of one round. It adds the clients' ciphertexts. It learns which clients take
/// part, and nothing about the values.
///
/// The sum contains all messages of a client, or none. Methods may be called from several threads
/// at the same time.
///
/// Args:
///     spec: The round. A plan is bound to the key.
///     key: The session's public key.
///     channel: The aggregator's channel; None for an open channel, whose messages only the
///         transport protects.
///     threads: Threads for the additions of one call.
///
/// Raises:
///     KeyMismatch: If the round is bound to another key.
///     OpenChannel: If a key holder has the secret key and there is no channel.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct Aggregator {
    spec: CoreSpec,
    key: EncryptionKey,
    channel: Option<Py<Channel>>,
    threads: Threads,
    /// Only threads that are detached from Python lock this. None after the end of the round.
    core: RwLock<Option<CoreAggregator>>,
    client_names: Mutex<ClientNames>,
}

/// The names of clients.
#[derive(Default)]
struct ClientNames {
    numbers: BTreeMap<Name, u32>,
    names: BTreeMap<u32, Name>,
}

#[pymethods]
impl Aggregator {
    #[new]
    #[pyo3(signature = (spec, key, *, channel = None, threads = None))]
    fn new(
        spec: PyRef<'_, RoundSpec>,
        key: AnyKey<'_>,
        channel: Option<Py<Channel>>,
        threads: Option<Number<'_>>,
    ) -> Result<Self> {
        let (key, threads) = (key.encryption_key()?, threads_of(threads)?);
        let spec = spec.bound(&key)?;
        let core = CoreAggregator::new(&spec, &key, core_channel(channel.as_ref(), &spec)?)?;
        Ok(Self::of(core, spec, key, channel, threads, ClientNames::default()))
    }

    /// Adds all of a client's messages and commits the client. If this fails, nothing is changed.
    ///
    /// Repeated equal messages are ignored.
    ///
    /// Args:
    ///     name: The client's name: a text, or its number.
    ///     update: An :class:`EncryptedUpdate`, its bytes, or an iterable of messages.
    ///     number: The client's number, if it is known. The default is the number in the messages,
    ///         which a channel authenticates.
    ///
    /// Raises:
    ///     MessageError: For messages that are not a complete update of this round. The subclasses
    ///         WrongRound, Replayed and BoxError give the reason.
    ///     KeyMismatch: For messages with another key.
    ///     TooManyClients: If there is no room for another client.
    #[pyo3(signature = (name, update, *, number = None))]
    fn add(
        &self,
        py: Python<'_>,
        name: Name,
        update: &Bound<'_, PyAny>,
        number: Option<Number<'_>>,
    ) -> Result<()> {
        let number = number.map(|number| number.u32("number")).transpose()?;
        let added = self.add_all(py, &name, update, number).and_then(|()| self.commit(py, name.clone()));
        if added.is_err() {
            // Messages that were added would prevent a second attempt.
            self.discard(py, name)?;
        }
        added
    }

    /// Adds one message of a client. The client counts when all of its messages have arrived and it
    /// is committed.
    ///
    /// Args:
    ///     name: The client's name.
    ///     message: The message, as bytes.
    ///     number: The client's number, if it is known.
    ///
    /// Returns:
    ///     The number of messages of this client that are still missing.
    ///
    /// Raises:
    ///     Those of :meth:`add`. Then nothing is changed.
    #[pyo3(signature = (name, message, *, number = None))]
    fn accept(
        &self,
        py: Python<'_>,
        name: Name,
        message: &Bound<'_, PyAny>,
        number: Option<Number<'_>>,
    ) -> Result<u64> {
        let number = number.map(|number| number.u32("number")).transpose()?;
        let message = framing::bytes_of(message)?;
        self.accept_bytes(py, &name, message.as_bytes(), number)
    }

    /// Commits a client. All of its messages must have arrived.
    ///
    /// Raises:
    ///     MessageError: If messages are missing (``missing``), or no message has arrived under
    ///         this name.
    ///     TooManyClients: If there is no room for another client.
    #[pyo3(signature = (name))]
    fn commit(&self, py: Python<'_>, name: Name) -> Result<()> {
        let number = self.client_names().number(&name);
        let number = number.ok_or_else(|| Own::UnknownName { name: name.to_string() })?;
        self.with_core(py, |core| Ok(core.commit(number)?))
    }

    /// Discards the messages of a client that is not committed. They may be sent again.
    ///
    /// Returns:
    ///     Whether there were messages to discard.
    #[pyo3(signature = (name))]
    fn discard(&self, py: Python<'_>, name: Name) -> Result<bool> {
        let Some(number) = self.client_names().number(&name) else { return Ok(false) };
        let discarded = self.with_core(py, |core| {
            let discarded = core.discard(number);
            Ok((discarded, core.participants().binary_search(&number).is_ok()))
        });
        let (discarded, committed) = discarded?;
        if !committed {
            self.client_names().forget(&name);
        }
        Ok(discarded)
    }

    /// Names of the clients that are in the sum so far, in ascending order of their numbers.
    #[getter]
    fn participants(&self, py: Python<'_>) -> Result<Vec<Py<PyAny>>> {
        let participants = self.with_core(py, |core| Ok(core.participants()))?;
        let names = self.client_names().of(participants);
        Ok(names.iter().map(|(_, name)| name.to_python(py)).collect::<PyResult<_>>()?)
    }

    /// The state of the aggregator as bytes, to continue in another process. **Keep them on the
    /// aggregator's own disk**: with the secret key, sums over few clients reveal much about single
    /// updates.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        let state = work::detached(py, || {
            let mut core = self.core.write().unwrap_or_else(PoisonError::into_inner);
            let core = core.as_mut().ok_or_else(finished)?;
            self.threads.install(|| Ok(core.to_bytes()?))
        })?;
        let names = self.client_names().all();
        Frame::new(vec![PyBytes::new(py, &state).unbind()], names).to_bytes(py, Kind::Aggregator)
    }

    /// An aggregator that continues from the state of another one.
    ///
    /// Args:
    ///     spec, key, channel, threads: As for a new one.
    ///     data: The bytes of :meth:`to_bytes`.
    ///
    /// Raises:
    ///     MessageError: For bytes that are not a state; WrongRound for a state of another round.
    #[staticmethod]
    #[pyo3(signature = (spec, key, data, *, channel = None, threads = None))]
    fn from_bytes(
        py: Python<'_>,
        spec: PyRef<'_, RoundSpec>,
        key: AnyKey<'_>,
        data: &Bound<'_, PyAny>,
        channel: Option<Py<Channel>>,
        threads: Option<Number<'_>>,
    ) -> Result<Self> {
        let (key, threads) = (key.encryption_key()?, threads_of(threads)?);
        let spec = spec.bound(&key)?;
        let frame = Frame::from_bytes(data, Kind::Aggregator)?;
        let [state] = frame.slices(py)[..] else {
            let reason = format!("{} states, expected one", frame.len());
            return Err(Own::Framing { what: "aggregator".to_owned(), reason }.into());
        };
        let core_channel = core_channel(channel.as_ref(), &spec)?;
        let core = threads.run(py, || Ok(CoreAggregator::from_bytes(&spec, &key, core_channel, state)?))?;
        let mut names = ClientNames::default();
        for (number, name) in &frame.names {
            names.remember(name, *number)?;
        }
        Ok(Self::of(core, spec, key, channel, threads, names))
    }

    /// Closes the sum. Later messages are refused.
    ///
    /// After the start of this call, an exception in ``progress`` or Ctrl-C also ends the
    /// aggregator. Save :meth:`to_bytes` before, if the state must not be lost.
    ///
    /// Args:
    ///     progress: Called with the number of finished messages and the total, at most ten times a
    ///         second.
    ///
    /// Raises:
    ///     TooFewClients: If the sum has fewer clients (``found``) than ``minimum``. More clients
    ///         can still be added.
    #[pyo3(signature = (*, progress = None))]
    fn finish(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> Result<EncryptedSum> {
        work::check_gpu(self.key.backend_name())?;
        let mut sum = self.close(py)?;
        let names = self.client_names().of(sum.participants());
        let to_server = match &self.channel {
            Some(channel) if !channel.get().knows(Party::Server) => {
                ServerRoute::Local(Arc::new(HpkeChannel::new()))
            }
            channel => ServerRoute::Remote(core_channel(channel.as_ref(), &self.spec)?),
        };
        let progress = Progress::new(progress);
        let mut messages = Vec::new();
        for number in 0..sum.messages() {
            py.check_signals()?;
            let sealed = self.threads.run(py, || {
                let channel: &dyn federated::channel::Channel = match &to_server {
                    ServerRoute::Local(channel) => &**channel,
                    ServerRoute::Remote(channel) => &**channel,
                };
                Ok(sum.message(number, channel, &mut entropy::generator()?)?)
            })?;
            messages.push(PyBytes::new(py, &sealed).unbind());
            progress.report(py, number + 1, sum.messages())?;
        }
        let local_channel = match to_server {
            ServerRoute::Local(channel) => Some(channel),
            ServerRoute::Remote(_) => None,
        };
        Ok(EncryptedSum::new(Frame::new(messages, names), local_channel))
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.Aggregator of round {}>", self.spec.round())
    }
}

/// The route of a sum to the server.
enum ServerRoute {
    /// To a server in this process, which opens the boxes itself.
    Local(Arc<HpkeChannel>),
    /// Over the aggregator's channel.
    Remote(Arc<dyn federated::channel::Channel>),
}

impl Aggregator {
    fn of(
        core: CoreAggregator,
        spec: CoreSpec,
        key: EncryptionKey,
        channel: Option<Py<Channel>>,
        threads: Threads,
        names: ClientNames,
    ) -> Self {
        Self { spec, key, channel, threads, core: RwLock::new(Some(core)), client_names: Mutex::new(names) }
    }

    fn add_all(
        &self,
        py: Python<'_>,
        name: &Name,
        update: &Bound<'_, PyAny>,
        number: Option<u32>,
    ) -> Result<()> {
        let read;
        let frame = if let Ok(update) = update.cast::<EncryptedUpdate>() {
            update.get().frame()
        } else if framing::is_bytes(update) {
            read = Frame::from_bytes(update, Kind::Update)?;
            Some(&read)
        } else {
            None
        };
        if let Some(frame) = frame {
            for message in frame.slices(py) {
                py.check_signals()?;
                self.accept_bytes(py, name, message, number)?;
            }
            return Ok(());
        }
        for message in update.try_iter()? {
            let message = framing::bytes_of(&message?)?;
            py.check_signals()?;
            self.accept_bytes(py, name, message.as_bytes(), number)?;
        }
        Ok(())
    }

    fn accept_bytes(&self, py: Python<'_>, name: &Name, message: &[u8], stated: Option<u32>) -> Result<u64> {
        work::check_gpu(self.key.backend_name())?;
        let found = sender_of(name, message)?;
        let number = self.client_names().expected(name, stated).unwrap_or(found);
        if found != number {
            return Err(Own::ClientNumber { name: name.to_string(), expected: number, found }.into());
        }
        self.client_names().check(name, number)?;
        let receipt = self.with_core(py, |core| Ok(core.accept(number, message)?))?;
        self.client_names().remember(name, number)?;
        Ok(receipt.missing)
    }

    /// Closes the sum if enough clients are in it.
    fn close(&self, py: Python<'_>) -> Result<ClosedSum> {
        let minimum = self.spec.parameters().min_clients;
        work::detached(py, || {
            let mut core = self.core.write().unwrap_or_else(PoisonError::into_inner);
            let found = core.as_ref().ok_or_else(finished)?.participants().len();
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            if found < minimum {
                return Err(
                    federated::round::Error::TooFewClients { minimum, found, absent: Vec::new() }.into()
                );
            }
            let core = core.take().expect("looked at above");
            self.threads.install(|| Ok(core.close()?.for_server()?))
        })
    }

    fn with_core<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&CoreAggregator) -> Result<T> + Send,
    ) -> Result<T> {
        work::detached(py, || {
            let core = self.core.read().unwrap_or_else(PoisonError::into_inner);
            let core = core.as_ref().ok_or_else(finished)?;
            self.threads.install(|| work(core))
        })
    }

    fn client_names(&self) -> MutexGuard<'_, ClientNames> {
        self.client_names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientNames {
    fn number(&self, name: &Name) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The number that messages under this name must have, if it is known.
    fn expected(&self, name: &Name, stated: Option<u32>) -> Option<u32> {
        match name {
            Name::Number(number) => Some(*number),
            Name::Text(_) => stated.or_else(|| self.number(name)),
        }
    }

    /// Refuses a second name for a client, and a second client for a name.
    fn check(&self, name: &Name, number: u32) -> Result<()> {
        if let Some(expected) = self.number(name).filter(|known| *known != number) {
            return Err(Own::ClientNumber { name: name.to_string(), expected, found: number }.into());
        }
        match self.names.get(&number).filter(|known| *known != name) {
            None => Ok(()),
            Some(expected) => {
                let (expected, found) = (expected.to_string(), name.to_string());
                Err(Own::ClientName { client: number, expected, found }.into())
            }
        }
    }

    fn remember(&mut self, name: &Name, number: u32) -> Result<()> {
        self.check(name, number)?;
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, name.clone());
        Ok(())
    }

    fn forget(&mut self, name: &Name) {
        if let Some(number) = self.numbers.remove(name) {
            self.names.remove(&number);
        }
    }

    /// Names of these clients.
    fn of(&self, clients: Vec<u32>) -> Names {
        let name = |number: u32| (number, self.names.get(&number).cloned().unwrap_or(Name::Number(number)));
        clients.into_iter().map(name).collect()
    }

    fn all(&self) -> Names {
        self.names.iter().map(|(number, name)| (*number, name.clone())).collect()
    }
}

/// The sender that a message states. The channel authenticates it.
fn sender_of(name: &Name, message: &[u8]) -> Result<u32> {
    let Some(header) = message.first_chunk() else {
        let reason = format!("{} bytes, an envelope alone has {}", message.len(), Envelope::ENCODED_LEN);
        return Err(Own::Framing { what: "message of a client".to_owned(), reason }.into());
    };
    match Envelope::from_bytes(header)?.from {
        Party::Client(number) => Ok(number),
        found => Err(Own::Sender { name: name.to_string(), found: party::name_of(found) }.into()),
    }
}

fn core_channel(
    channel: Option<&Py<Channel>>,
    spec: &CoreSpec,
) -> Result<Arc<dyn federated::channel::Channel>> {
    channel::core_channel(channel.map(Py::get), Party::Aggregator, spec.session())
}

fn finished() -> crate::error::Error {
    Own::Finished { role: "aggregator".to_owned() }.into()
}
