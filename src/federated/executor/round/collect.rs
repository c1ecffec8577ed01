//! The threads of a round, on which clients work side by side.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use super::{
    Present, RunningRound,
    own_thread::OwnThread,
    queue::{ClientQueue, Contributor, Failure, Step, client_of},
    sequencer::{Sequencer, Stop, StopOnPanic},
};
use crate::federated::{Error, Result, executor::erased::no_thread, report::Absence};

/// The state that the workers of a round share, in addition to the round itself.
pub(super) struct WorkerState<'e, 'w, 'a> {
    pub(super) queue: &'e ClientQueue<'e, 'w, 'a>,
    pub(super) in_order: bool,
    pub(super) absent: Mutex<Vec<Absence>>,
}

impl RunningRound<'_> {
    /// Runs all clients, some of them at the same time.
    pub(super) fn collect<'a>(
        &self,
        shared: &WorkerState<'_, '_, 'a>,
        first: Option<Present<'a>>,
    ) -> Result<()> {
        let stop = Stop::default();
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        // The clients before the first one that takes part are already counted.
        let sequencer = Sequencer::starting_with(first.as_ref().map_or(0, |first| first.client));
        let first = Mutex::new(first);
        let next = || {
            // A separate statement, so that no thread holds this lock while a client works.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok::<_, Error>(match first {
                Some(first) => Some((first.client, Ok(first))),
                None => shared.queue.next()?.map(|queued| (queued.client, queued.start(self.ledger))),
            })
        };
        let serve = |thread: &OwnThread| -> Result<bool> {
            let Some((client, present)) = next()? else { return Ok(false) };
            if present.is_err() {
                self.progress.skip(self.spec.chunking().ciphertexts() as u64);
            }
            let thread = if self.fills_threads(client, shared.queue.clients()) { thread.get() } else { None };
            let contributed = present.and_then(|present| self.contribute(present, thread, &stop));
            if shared.in_order && !sequencer.wait_for(client, &stop) {
                return Ok(false);
            }
            let contributed = contributed.and_then(|done| {
                let sent = done.map_or(Ok(()), Contributor::sent);
                sent.map_err(|error| Failure::at(client, Step::Work, error))
            });
            if let Err(failure) = contributed {
                let absence = self.executor.excuse(failure)?;
                shared.absent.lock().unwrap_or_else(PoisonError::into_inner).push(absence);
            }
            sequencer.pass(client);
            Ok(true)
        };
        let work = || {
            let _stop_others = StopOnPanic { stop: &stop, sequencer: &sequencer };
            let thread = OwnThread::default();
            while !stop.is_set() {
                match serve(&thread) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        stop.set();
                        sequencer.wake();
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        // If several clients fail at the same time, the error of the first one is
                        // reported.
                        if failure.as_ref().is_none_or(|other| client_of(&error) < client_of(other)) {
                            *failure = Some(error);
                        }
                    }
                }
            }
        };
        let workers = self.executor.concurrent_clients(shared.queue.clients());
        let started = thread::scope(|scope| {
            let mut others = Vec::new();
            // The current thread is one of the workers.
            for _ in 1..workers {
                match thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(other) => others.push(other),
                    Err(error) => {
                        stop.set();
                        sequencer.wake();
                        return Err(no_thread(error));
                    }
                }
            }
            work();
            for other in others {
                other.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            Ok(())
        });
        started?;
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Whether this client belongs to a full group: as many clients as threads, which all work at
    /// the same time on a processor.
    fn fills_threads(&self, client: u32, clients: u32) -> bool {
        let threads = self.executor.threads();
        let on_processor = !self.sums.backend_name().starts_with("gpu");
        let rows = clients as usize / threads * threads;
        on_processor && self.executor.concurrent_clients(clients) == threads && (client as usize) < rows
    }
}
