//! The server gets the sums, and no single update.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cipherfold::federated::{
    self, Party,
    channel::{Envelope, HpkeChannel},
    round::{
        EncryptionKey, KeyOwner, RoundResult as CoreResult, RoundSpec as CoreSpec, Server as CoreServer,
    },
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};

use crate::{
    arrays,
    channel::Channel,
    convert::number::Number,
    error::{Own, Result},
    keys::AnyKey,
    roles::{
        client::threads_of,
        framing::{Frame, Kind, Name, Names},
        progress::Progress,
        sum::{Answers, EncryptedSum, Questions},
    },
    secrets::entropy,
    spec::RoundSpec,
    work::{self, Threads},
};

/// The server of one round. It gets sums or means, the total weight, and the names of the clients.
///
/// If it has the secret key, it decrypts sums itself (:meth:`decrypt`). If a key holder has the
/// key, the server sends masked sums to it (:meth:`mask`), and removes the masks from its answers
/// (:meth:`unmask`).
///
/// Args:
///     spec: The round. A plan is bound to the key.
///     key: The session's secret key, or the public key if a key holder has the secret key.
///     channel: The server's channel; None for an open channel, or for sums that do not leave this
///         process.
///     key_holder_channel: The channel to the key holder, if it is another object.
///     threads: Threads for the server's work.
///
/// Raises:
///     KeyMismatch: If the round is bound to another key.
///     ConfigError: If the server needs another kind of key in this round.
///     OpenChannel: If a key holder has the secret key and there is no channel to it.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct Server {
    spec: CoreSpec,
    names: Vec<String>,
    key: EncryptionKey,
    owner: Option<KeyOwner>,
    channel: Option<Arc<dyn federated::channel::Channel>>,
    key_holder: Option<Arc<dyn federated::channel::Channel>>,
    threads: Threads,
    /// Only threads that are detached from Python lock this.
    mask_state: Mutex<MaskState>,
}

/// The state of the questions to the key holder.
enum MaskState {
    Empty,
    Pending(Box<PendingMasks>),
    Done,
}

struct PendingMasks {
    core: CoreServer,
    names: Names,
    since: Instant,
    bytes: u64,
    /// Accepted answers, by the number of their message.
    accepted: BTreeMap<u64, [u8; 16]>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (spec, key, *, channel = None, key_holder_channel = None, threads = None))]
    fn new(
        spec: PyRef<'_, RoundSpec>,
        key: AnyKey<'_>,
        channel: Option<PyRef<'_, Channel>>,
        key_holder_channel: Option<PyRef<'_, Channel>>,
        threads: Option<Number<'_>>,
    ) -> Result<Self> {
        let names = spec.names();
        let encryption = key.encryption_key()?;
        let bound = spec.bound(&encryption)?;
        let of = |channel: &Channel| channel.of(Party::Server, bound.session());
        let channel = channel.as_deref().map(of).transpose()?;
        let key_holder = match &key_holder_channel {
            Some(channel) => Some(of(channel)?),
            None => channel.clone(),
        };
        let owner = match &key {
            AnyKey::Secret(secret) if !secret.is_with_key_holder() => Some(secret.owner.clone()),
            _ => None,
        };
        let server = Self {
            spec: bound,
            names,
            key: encryption,
            owner,
            channel,
            key_holder,
            threads: threads_of(threads)?,
            mask_state: Mutex::new(MaskState::Empty),
        };
        // Makes a core server now, so that its errors come before the first sum.
        server.core(Some(&Arc::new(HpkeChannel::new())))?;
        Ok(server)
    }

    /// Decrypts a sum with the secret key.
    ///
    /// Args:
    ///     sums: An :class:`EncryptedSum`, or its bytes.
    ///     progress: Called with the number of decrypted messages and the total, at most ten times
    ///         a second.
    ///
    /// Raises:
    ///     TooFewClients, TooManyClients: If the number of clients in the sum is outside the round's limits.
    ///     AlreadyOpened: If another sum of this round was opened with this key.
    ///     MessageError: For messages that are not a sum of this round. The subclasses WrongRound,
    ///         Replayed and BoxError give the reason.
    ///     DecryptError: For a sum that honest clients cannot produce.
    ///     ConfigError: If a key holder has the key.
    #[pyo3(signature = (sums, *, progress = None))]
    fn decrypt<'py>(
        &self,
        py: Python<'py>,
        sums: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        let since = Instant::now();
        work::check_gpu(self.key.backend_name())?;
        let read;
        let (frame, local_channel) = if let Ok(sum) = sums.cast::<EncryptedSum>() {
            (&sum.get().frame, sum.get().local_channel.as_ref())
        } else {
            read = Frame::of(sums, Kind::Sum)?;
            (&read, None)
        };
        let mut core = self.core(local_channel)?;
        let progress = Progress::new(progress);
        for (number, message) in frame.slices(py).into_iter().enumerate() {
            py.check_signals()?;
            self.threads.run(py, || Ok(core.open(message)?))?;
            progress.report(py, number as u64 + 1, frame.len() as u64)?;
        }
        let result = work::detached(py, || Ok(core.finish()?))?;
        self.result(py, result, &frame.names, since.elapsed(), frame.size(py))
    }

    /// Masks a sum, and returns the questions for the key holder. The same sum gives the same
    /// questions.
    ///
    /// Args:
    ///     sums: An :class:`EncryptedSum`, or its bytes.
    ///     progress: Called with the number of finished messages and the total, at most ten times a
    ///         second.
    ///
    /// Raises:
    ///     Those of :meth:`decrypt`, except AlreadyOpened and DecryptError. ConfigError if the server has the key.
    #[pyo3(signature = (sums, *, progress = None))]
    fn mask(
        &self,
        py: Python<'_>,
        sums: &Bound<'_, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> Result<Questions> {
        work::check_gpu(self.key.backend_name())?;
        let read;
        let (frame, local_channel) = if let Ok(sum) = sums.cast::<EncryptedSum>() {
            (&sum.get().frame, sum.get().local_channel.as_ref())
        } else {
            read = Frame::of(sums, Kind::Sum)?;
            (&read, None)
        };
        let bytes = frame.size(py);
        work::detached(py, || {
            let mut mask_state = self.mask_state();
            match &*mask_state {
                MaskState::Done => Err(finished()),
                MaskState::Pending(_) => Ok(()),
                MaskState::Empty => {
                    *mask_state = MaskState::Pending(Box::new(PendingMasks {
                        core: self.core(local_channel)?,
                        names: frame.names.clone(),
                        since: Instant::now(),
                        bytes,
                        accepted: BTreeMap::new(),
                    }));
                    Ok(())
                }
            }
        })?;
        let progress = Progress::new(progress);
        let mut questions = Vec::new();
        for (number, message) in frame.slices(py).into_iter().enumerate() {
            py.check_signals()?;
            let question = self
                .with_pending(py, |pending| Ok(pending.core.mask(message, &mut entropy::generator()?)?))?;
            questions.push(PyBytes::new(py, &question).unbind());
            progress.report(py, number as u64 + 1, frame.len() as u64)?;
        }
        Ok(Questions { frame: Frame::new(questions, Names::new()) })
    }

    /// Removes the masks from the key holder's answers.
    ///
    /// Args:
    ///     answers: :class:`Answers`, their bytes, or an iterable of messages.
    ///     progress: Called with the number of accepted messages and the total, at most ten times a
    ///         second.
    ///
    /// Raises:
    ///     MessageError: For messages that are not answers to these questions, and for missing
    ///         ones. Correct ones may still be added.
    ///     DecryptError: For a sum that honest clients cannot produce.
    #[pyo3(signature = (answers, *, progress = None))]
    fn unmask<'py>(
        &self,
        py: Python<'py>,
        answers: &Bound<'py, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        let read;
        let frame = if let Ok(answers) = answers.cast::<Answers>() {
            &answers.get().frame
        } else {
            read = Frame::of(answers, Kind::Answers)?;
            &read
        };
        let progress = Progress::new(progress);
        for (number, message) in frame.slices(py).into_iter().enumerate() {
            py.check_signals()?;
            self.with_pending(py, |pending| self.accept(pending, message))?;
            progress.report(py, number as u64 + 1, frame.len() as u64)?;
        }
        let answered = frame.size(py);
        let (result, names, time, bytes) = work::detached(py, || {
            let mut mask_state = self.mask_state();
            let MaskState::Pending(pending) = &*mask_state else { return Err(no_questions(&mask_state)) };
            if pending.core.missing() > 0 {
                let messages = self.spec.costs().messages;
                let number =
                    (0..messages).find(|number| !pending.accepted.contains_key(number)).unwrap_or(messages);
                return Err(federated::round::Error::MissingPart { number }.into());
            }
            let MaskState::Pending(pending) = core::mem::replace(&mut *mask_state, MaskState::Done) else {
                unreachable!("looked at above")
            };
            let PendingMasks { core, names, since, bytes, .. } = *pending;
            Ok((core.finish()?, names, since.elapsed(), bytes + answered))
        })?;
        self.result(py, result, &names, time, bytes)
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.Server of round {}>", self.spec.round())
    }
}

impl Server {
    /// A server of the core. A sum that does not leave this process brings its own boxes.
    fn core(&self, here: Option<&Arc<HpkeChannel>>) -> Result<CoreServer> {
        let aggregator = match here {
            Some(here) => Arc::clone(here) as Arc<dyn federated::channel::Channel>,
            None => self.channel.clone().unwrap_or_else(open_channel),
        };
        if let Some(owner) = &self.owner {
            return Ok(CoreServer::new(&self.spec, owner, aggregator)?);
        }
        let key_holder = self.key_holder.clone().unwrap_or_else(open_channel);
        Ok(CoreServer::with_key_holder(&self.spec, &self.key, aggregator, key_holder)?)
    }

    fn mask_state(&self) -> MutexGuard<'_, MaskState> {
        self.mask_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work on the questions to the key holder.
    fn with_pending<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut PendingMasks) -> Result<T> + Send,
    ) -> Result<T> {
        work::detached(py, || match &mut *self.mask_state() {
            MaskState::Pending(pending) => self.threads.install(|| work(pending)),
            other => Err(no_questions(other)),
        })
    }

    /// Removes the mask from an answer, unless the same answer was accepted before.
    fn accept(&self, pending: &mut PendingMasks, answer: &[u8]) -> Result<()> {
        let Some(channel) = &self.key_holder else {
            return Ok(pending.core.unmask(answer)?); // an error: there is no key holder
        };
        let id = channel.message_id(answer);
        let number = answer.first_chunk().and_then(|header| Envelope::from_bytes(header).ok());
        let number = number.map(|envelope| envelope.sequence);
        if number.is_some_and(|number| pending.accepted.get(&number) == Some(&id)) {
            return Ok(());
        }
        pending.core.unmask(answer)?;
        pending.accepted.extend(number.map(|number| (number, id)));
        Ok(())
    }

    /// The result of a round, for Python.
    fn result<'py>(
        &self,
        py: Python<'py>,
        result: CoreResult,
        names: &Names,
        time: Duration,
        bytes: u64,
    ) -> Result<Bound<'py, PyAny>> {
        let CoreResult { sums, participants, .. } = result;
        let sum = sums.into_iter().next().expect("rounds of this package have one sum");
        let declared = &self.spec.sums()[0];
        let encodings: Vec<_> = declared.tensors().iter().map(|tensor| tensor.encoding).collect();
        let parameters = self.spec.parameters();
        let largest = u64::from(parameters.max_clients)
            * declared.max_weight().map_or(1, |weight| u64::from(weight.get()));
        let values = arrays::to_python(py, sum.tensors, &encodings, largest)?;
        let known: BTreeMap<u32, &Name> = names.iter().map(|(number, name)| (*number, name)).collect();
        let name = |number: &u32| known.get(number).map_or(Name::Number(*number), |name| (*name).clone());
        let clients =
            participants.iter().map(|number| name(number).to_python(py)).collect::<PyResult<Vec<_>>>()?;
        let costs = self.spec.costs();
        let report = PyDict::new(py);
        report.set_item("clients", participants.len())?;
        report.set_item("values", costs.values)?;
        report.set_item("ciphertexts", costs.ciphertexts)?;
        report.set_item("messages", costs.messages)?;
        report.set_item("bytes", bytes)?;
        report.set_item("seconds", time.as_secs_f64())?;
        report.set_item("key_bits", parameters.key_bits)?;
        report.set_item("backend", self.key.backend_name())?;
        report.set_item("round", parameters.round)?;
        report.set_item("arrays", self.names.len())?;
        let make = py.import("cipherfold._results")?.getattr("round_result")?;
        Ok(make.call1((values, sum.total_weight, clients, report))?)
    }
}

fn open_channel() -> Arc<dyn federated::channel::Channel> {
    Arc::new(federated::channel::PlaintextChannel::new())
}

fn no_questions(mask_state: &MaskState) -> crate::error::Error {
    match mask_state {
        MaskState::Empty => Own::NotAsked { role: "server".to_owned() }.into(),
        MaskState::Pending(_) | MaskState::Done => finished(),
    }
}

fn finished() -> crate::error::Error {
    Own::Finished { role: "server".to_owned() }.into()
}
