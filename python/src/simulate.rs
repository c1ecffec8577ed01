//! All parties in one process: the local executor of the core.

use core::ops::ControlFlow;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use cipherfold::{
    federated::{
        self, KeyHolding, LocalExecutor, Outcome, round,
        tensor::{self, Encoding, PerTensor, Structure, Tensor, TensorType},
    },
    paillier::KeySize,
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyIterator},
};

use crate::{
    arrays,
    convert::number::Number,
    error::{Error, Result},
    keys::{self, with_key_size},
    roles::Progress,
    work,
};

/// The settings of a simulation.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    clients: u32,
    key_bits: u32,
    key_holder: bool,
    min_clients: Option<u32>,
    in_the_clear: bool,
    short_exponents: bool,
    backend: String,
    threads: Option<usize>,
    chunk_ciphertexts: Option<usize>,
}

/// Runs a round with all of its parties in this process.
#[pyfunction(name = "_simulate")]
#[pyo3(signature = (updates, codec, weights, max_weight, settings, progress))]
pub(crate) fn simulate<'py>(
    py: Python<'py>,
    updates: &Bound<'py, PyAny>,
    codec: &Bound<'py, PyAny>,
    weights: Option<Vec<Number<'py>>>,
    max_weight: Option<Number<'py>>,
    settings: Settings,
    progress: Option<Py<PyAny>>,
) -> Result<Bound<'py, PyAny>> {
    keys::check_bits(settings.key_bits)?;
    let weights =
        weights.map(|weights| weights.iter().map(|weight| weight.u32("weights")).collect::<Result<Vec<_>>>());
    let (weights, max_weight) =
        (weights.transpose()?, max_weight.map(|weight| weight.u32("max_weight")).transpose()?);
    let updates = updates.try_iter()?;
    // The first update declares the round. This leaks nothing, because the caller owns all updates.
    let Some(first) = updates.clone().next().transpose()? else {
        return Err(federated::Error::NoClients.into());
    };
    let sources = arrays::sources_of(&first)?;
    let structure = arrays::structure_of(&sources);
    let encodings = arrays::codecs_for(&structure, codec)?;
    let names = arrays::names_of(&structure);
    let stopped = Arc::new(Stopped::default());
    let clients = Clients {
        updates: updates.unbind(),
        first: Some(first.unbind()),
        structure: structure.clone(),
        tolerant: settings.min_clients.is_some(),
        stopped: Arc::clone(&stopped),
    };
    let mut nested = encodings.iter().copied();
    let codecs = PerTensor::Nested(structure.as_ref().map(|_| nested.next().expect("one for each tensor")));
    let weighted = weights.zip(max_weight);
    let run = Run { clients, codecs, weighted: weighted.as_ref(), settings: &settings };
    let outcome = run.watched(py, &stopped, &Progress::new(progress));
    let outcome = match (stopped.raised(), outcome) {
        (Some(raised), _) => return Err(raised.into()),
        (None, outcome) => outcome.map_err(|error| at_array(error, &names))?,
    };
    let largest = u64::from(settings.clients) * u64::from(weighted.map_or(1, |(_, max)| max));
    result(py, outcome, &encodings, largest)
}

/// Whether a simulation must end, and the exception that Python code has raised, if any.
#[derive(Default)]
struct Stopped {
    stop: AtomicBool,
    raised: Mutex<Option<PyErr>>,
    done: AtomicU64,
    all: AtomicU64,
}

impl Stopped {
    fn stop(&self, error: PyErr) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The clients' updates. Each is read when its client begins.
struct Clients {
    updates: Py<PyIterator>,
    first: Option<Py<PyAny>>,
    structure: Structure<TensorType>,
    /// Whether a client with an invalid update is left out.
    tolerant: bool,
    stopped: Arc<Stopped>,
}

impl Iterator for Clients {
    type Item = Result<Structure<Tensor>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped.stop.load(Ordering::Relaxed) {
            return None;
        }
        Python::attach(|py| {
            let update = match self.first.take() {
                Some(first) => first.into_bound(py),
                None => match self.updates.bind(py).clone().next()? {
                    Ok(update) => update,
                    // The caller's own code has failed, not a client.
                    Err(error) => {
                        self.stopped.stop(error);
                        return None;
                    }
                },
            };
            Some(self.read(&update).map_err(|error| {
                let error = PyErr::from(error);
                let text = error.value(py).to_string();
                if !self.tolerant {
                    self.stopped.stop(error);
                }
                text
            }))
        })
    }
}

impl Clients {
    /// A copy of a client's arrays.
    fn read(&self, update: &Bound<'_, PyAny>) -> Result<Structure<Tensor>> {
        let sources = arrays::gather(&self.structure, update)?;
        let mut sources = sources.iter();
        self.structure.as_ref().try_map(|kind| {
            let source = sources.next().expect("one for each tensor");
            let elements = source.copy(update.py(), 0..kind.shape.iter().product())?;
            Ok(elements.into_tensor(&kind.shape))
        })
    }
}

/// One simulation.
struct Run<'a> {
    clients: Clients,
    codecs: PerTensor<Encoding>,
    weighted: Option<&'a (Vec<u32>, u32)>,
    settings: &'a Settings,
}

impl Run<'_> {
    /// Runs the simulation on a separate thread, while this thread checks for Ctrl-C and reports
    /// progress.
    fn watched(
        self,
        py: Python<'_>,
        stopped: &Arc<Stopped>,
        progress: &Progress,
    ) -> Result<Outcome<Structure<Tensor>>> {
        thread::scope(|scope| {
            let (sender, mut outcome) = mpsc::channel();
            let stopped_in_run = Arc::clone(stopped);
            scope.spawn(move || sender.send(Box::new(self.run(stopped_in_run))).expect("the receiver waits"));
            loop {
                let waiting = &mut outcome;
                match py.detach(move || waiting.recv_timeout(INTERVAL)) {
                    Ok(outcome) => break *outcome,
                    Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                let (done, all) = (stopped.done.load(Ordering::Relaxed), stopped.all.load(Ordering::Relaxed));
                let reported = if done < all { progress.report(py, done, all) } else { Ok(()) };
                if let Err(error) = py.check_signals().and(reported) {
                    stopped.stop(error);
                }
            }
        })
    }

    fn run(self, stopped: Arc<Stopped>) -> Result<Outcome<Structure<Tensor>>> {
        with_key_size!(self.settings.key_bits, S => self.run_sized::<S>(stopped))
    }

    fn run_sized<S: KeySize>(self, stopped: Arc<Stopped>) -> Result<Outcome<Structure<Tensor>>> {
        let Self { clients, codecs, weighted, settings } = self;
        let mut builder = LocalExecutor::<S>::builder()
            .clients(settings.clients)
            .backend(settings.backend.parse()?)
            .show_client_errors()
            .key_holding(if settings.key_holder { KeyHolding::KeyHolder } else { KeyHolding::Server })
            .on_progress(move |progress| {
                stopped.all.store(progress.total, Ordering::Relaxed);
                stopped.done.store(progress.done, Ordering::Relaxed);
                if stopped.stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        if let Some(clients) = settings.min_clients {
            builder = builder.min_clients(clients);
        }
        if let Some(threads) = settings.threads.or_else(work::stated_threads) {
            builder = builder.threads(threads);
        }
        if let Some(ciphertexts) = settings.chunk_ciphertexts {
            builder = builder.chunk_ciphertexts(ciphertexts);
        }
        if settings.in_the_clear {
            builder = builder.in_the_clear();
        }
        if settings.short_exponents {
            builder = builder.short_exponents();
        }
        let executor = builder.build()?;
        Ok(match weighted {
            Some((weights, max)) => {
                executor.secure_weighted_aggregate(weights.iter().copied().zip(clients), *max, codecs)?
            }
            None => executor.secure_aggregate(clients, codecs)?,
        })
    }
}

/// An error about a tensor, with the array's name.
fn at_array(error: Error, names: &[String]) -> PyErr {
    fn tensor_of(error: &federated::Error) -> Option<usize> {
        match error {
            federated::Error::Tensor(
                tensor::Error::Tensor { tensor, .. } | tensor::Error::TensorShape { tensor, .. },
            )
            | federated::Error::Round(
                round::Error::EncodingType { tensor, .. } | round::Error::SumOutOfRange { tensor, .. },
            ) => Some(*tensor),
            federated::Error::Client { source, .. } | federated::Error::RoundFailed { source, .. } => {
                tensor_of(source)
            }
            _ => None,
        }
    }
    let tensor = match &error {
        Error::Core(cipherfold::Error::Federated(error)) => tensor_of(error),
        _ => None,
    };
    match tensor.and_then(|tensor| names.get(tensor)) {
        Some(name) => error.at_array(name),
        None => error.into(),
    }
}

/// The result for Python.
fn result<'py>(
    py: Python<'py>,
    outcome: Outcome<Structure<Tensor>>,
    encodings: &[Encoding],
    largest: u64,
) -> Result<Bound<'py, PyAny>> {
    let run = outcome.report().clone();
    let values = arrays::to_python(py, outcome.value, encodings, largest)?;
    let report = PyDict::new(py);
    report.set_item("clients", run.clients)?;
    report.set_item("values", run.values)?;
    report.set_item("ciphertexts", run.ciphertexts)?;
    report.set_item("messages", run.traffic.iter().map(|traffic| traffic.messages).sum::<u64>())?;
    report.set_item("bytes", run.traffic.iter().map(|traffic| traffic.wire_bytes).sum::<u64>())?;
    report.set_item("seconds", run.elapsed.as_secs_f64())?;
    report.set_item("key_bits", run.key_bits)?;
    report.set_item("backend", run.backend)?;
    report.set_item("round", run.round)?;
    report.set_item("arrays", encodings.len())?;
    report.set_item("clipped", run.clipped_values)?;
    report.set_item("text", run.to_string())?;
    Ok((values, run.participants().collect::<Vec<_>>(), report).into_pyobject(py)?.into_any())
}

/// The interval at which the caller's thread checks for Ctrl-C.
const INTERVAL: Duration = Duration::from_millis(50);
