//! The key holder decrypts masked sums.

use std::path::PathBuf;

use cipherfold::federated::{
    Party,
    round::{KeyHolder as CoreKeyHolder, RoundSpec as CoreSpec},
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    channel::{self, Channel},
    convert::number::Number,
    error::Result,
    keys::SecretKey,
    roles::{
        client::threads_of,
        framing::{Frame, Kind, Names},
        journal::Journal,
        progress::Progress,
        sum::{Answers, Questions},
    },
    secrets::entropy,
    spec::RoundSpec,
    work::{self, Threads},
};

/// The holder of a session's secret key, if that is not the server. It decrypts masked sums, and
/// learns only the number of values.
///
/// It opens one sum of each round, and raises :class:`AlreadyOpened` for another sum of the same
/// round. Repeated equal questions are answered again.
///
/// Args:
///     key: The session's secret key, made with ``key_holder=True``.
///     channel: The key holder's channel, with the server's key.
///     journal: A file that records the opened rounds. It is synced before an answer is returned,
///         and several processes may share it. With None, only this object records them.
///     threads: Threads for the decryption.
///
/// Raises:
///     ConfigError: For a channel of another party or session.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct KeyHolder {
    key: Py<SecretKey>,
    core: CoreKeyHolder,
    journal: Option<Journal>,
    threads: Threads,
}

#[pymethods]
impl KeyHolder {
    #[new]
    #[pyo3(signature = (key, *, channel = None, journal = None, threads = None))]
    fn new(
        key: Py<SecretKey>,
        channel: Option<PyRef<'_, Channel>>,
        journal: Option<PathBuf>,
        threads: Option<Number<'_>>,
    ) -> Result<Self> {
        let owner = &key.get().owner;
        let channel = channel::core_channel(channel.as_deref(), Party::KeyHolder, owner.offer().session())?;
        let core = CoreKeyHolder::new(owner, channel);
        Ok(Self { core, key, journal: journal.map(Journal::new), threads: threads_of(threads)? })
    }

    /// Decrypts a masked sum.
    ///
    /// Args:
    ///     spec: The round, as the server has declared it. A plan is bound to the key.
    ///     questions: :class:`Questions`, their bytes, or an iterable of messages.
    ///     progress: Called with the number of answered messages and the total, at most ten times a
    ///         second.
    ///
    /// Raises:
    ///     AlreadyOpened: If another sum of this round was opened; ``round`` is its number.
    ///     OpenChannel: If there is no channel.
    ///     KeyMismatch: If the round is bound to another key, or the journal is that of another
    ///         key.
    ///     MessageError: For messages that are not questions of this round. The subclasses
    ///         WrongRound and BoxError give the reason.
    ///     OSError: If the journal cannot be read or written. Then there is no answer.
    #[pyo3(signature = (spec, questions, *, progress = None))]
    fn answer(
        &self,
        py: Python<'_>,
        spec: PyRef<'_, RoundSpec>,
        questions: &Bound<'_, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> Result<Answers> {
        let owner = &self.key.get().owner;
        work::check_gpu(owner.encryption_key().backend_name())?;
        let spec = spec.bound(owner.encryption_key())?;
        let read;
        let frame = if let Ok(questions) = questions.cast::<Questions>() {
            &questions.get().frame
        } else {
            read = Frame::of(questions, Kind::Questions)?;
            &read
        };
        let progress = Progress::new(progress);
        let Some(journal) = &self.journal else {
            return self.decrypt(py, &spec, frame, &progress);
        };
        let journal = journal.lock(py)?;
        journal.read(py, owner)?;
        let answers = self.decrypt(py, &spec, frame, &progress);
        // The journal is written after an error too, because some parts may have been opened before
        // it.
        journal.write(py, owner)?;
        answers
    }

    fn __repr__(&self) -> String {
        format!("<cipherfold.KeyHolder of session {}>", self.key.get().owner.offer().session())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        crate::secrets::refuse_pickle("KeyHolder", "each process makes its own")
    }
}

impl KeyHolder {
    fn decrypt(
        &self,
        py: Python<'_>,
        spec: &CoreSpec,
        frame: &Frame,
        progress: &Progress,
    ) -> Result<Answers> {
        let mut answers = Vec::new();
        for (number, question) in frame.slices(py).into_iter().enumerate() {
            py.check_signals()?;
            let answer = self
                .threads
                .run(py, || Ok(self.core.decrypt_masked(spec, question, &mut entropy::generator()?)?))?;
            answers.push(PyBytes::new(py, &answer).unbind());
            progress.report(py, number as u64 + 1, frame.len() as u64)?;
        }
        Ok(Answers { frame: Frame::new(answers, Names::new()) })
    }
}
