//! A whole round, with a relay that truncates, lengthens, flips, repeats, swaps and replaces
//! messages.
//!
//! After any change of boxes, the round must give the correct sum or an error. In the clear, the
//! relay may replace messages by any well-formed ones. Then the round must only end without a
//! panic.

use std::{
    fmt::{self, Debug},
    sync::{Arc, Mutex},
};

use arbitrary::{Arbitrary, Unstructured};
use cipherfold::{
    federated::{
        KeyHolding, LocalExecutor, Party, PlacementKind, SessionId,
        channel::{
            self, BoxChannel, Channel, ChannelGrid, Envelope, HpkeChannel, OpenedPayload, PlaintextChannel,
        },
    },
    packing::IntegerRange,
};
use ndarray::Array1;
use rand_core::CryptoRng;

use crate::{Key, rng};

#[derive(Arbitrary, Clone, Debug)]
enum Tampering {
    Pass,
    Flip { at: u16, by: u8 },
    Truncate { to: u16 },
    Lengthen { by: Vec<u8> },
    Repeat { which: u8 },
    Replace { with: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Case {
    key_holder: bool,
    libsodium: bool,
    min_clients: u8,
    chunk: u8,
    /// The changes to the messages of each channel, in the order of sending.
    boxes: Vec<Tampering>,
    clear: Vec<Tampering>,
}

struct Relay {
    inner: Arc<dyn Channel>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tampering: std::vec::IntoIter<Tampering>,
    sent: Vec<Vec<u8>>,
}

impl Relay {
    fn new(inner: impl Channel + 'static, tampering: Vec<Tampering>) -> Arc<Self> {
        let state = State { tampering: tampering.into_iter(), sent: Vec::new() };
        Arc::new(Self { inner: Arc::new(inner), state: Mutex::new(state) })
    }

    fn relayed(&self, mut wire: Vec<u8>) -> Vec<u8> {
        let mut state = self.state.lock().expect("no thread panics while it holds the lock");
        state.sent.push(wire.clone());
        match state.tampering.next().unwrap_or(Tampering::Pass) {
            Tampering::Pass => {}
            Tampering::Flip { at, by } => {
                let at = usize::from(at) % wire.len().max(1);
                if let Some(byte) = wire.get_mut(at) {
                    *byte ^= by;
                }
            }
            Tampering::Truncate { to } => wire.truncate(usize::from(to)),
            Tampering::Lengthen { by } => wire.extend(by),
            Tampering::Repeat { which } => {
                wire = state.sent[usize::from(which) % state.sent.len()].clone();
            }
            Tampering::Replace { with } => wire = with,
        }
        wire
    }
}

impl Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Channel for Relay {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn is_confidential(&self) -> bool {
        self.inner.is_confidential()
    }

    fn overhead(&self) -> usize {
        self.inner.overhead()
    }

    fn setup_bytes(&self) -> u64 {
        self.inner.setup_bytes()
    }

    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        self.inner.prepare(party, rng);
    }

    fn end_session(&self, session: SessionId) {
        self.inner.end_session(session);
    }

    fn seal(
        &self,
        envelope: &Envelope,
        payload: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        Ok(self.relayed(self.inner.seal(envelope, payload, rng)?))
    }

    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload), channel::Error> {
        self.inner.open(from, to, wire)
    }
}

/// The bytes are the relay's actions.
pub fn run(data: &[u8]) {
    use PlacementKind::{Aggregator, Clients, KeyHolder, Server};
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let untouched = case.clear.iter().all(|tampering| matches!(tampering, Tampering::Pass));

    let boxes = if case.libsodium {
        Relay::new(BoxChannel::new(), case.boxes)
    } else {
        Relay::new(HpkeChannel::new(), case.boxes)
    };
    let clear = Relay::new(PlaintextChannel::new(), case.clear);
    let mut grid = ChannelGrid::empty();
    for (a, b, open) in [
        (Clients, Aggregator, false),
        (Clients, Server, true),
        // With a key holder, these channels must use boxes.
        (Aggregator, Server, !case.key_holder),
        (KeyHolder, Server, !case.key_holder),
        (KeyHolder, Clients, true),
        (KeyHolder, Aggregator, true),
    ] {
        let channel = if open { &clear } else { &boxes };
        grid = grid.with(a, b, Arc::<Relay>::clone(channel)).expect("two placements");
    }
    let holding = if case.key_holder { KeyHolding::KeyHolder } else { KeyHolding::Server };
    let executor = LocalExecutor::<Key>::builder()
        .channels(grid)
        .key_holding(holding)
        .threads(1)
        .max_concurrent_clients(1)
        .min_clients(u32::from(case.min_clients % 5))
        .chunk_ciphertexts(1 + usize::from(case.chunk % 4))
        .rng(rng())
        .build();
    let Ok(executor) = executor else { return };
    let updates = [1_u8, 2, 4, 8].map(|x| Array1::from_elem(130, x));
    for _ in 0..2 {
        if let Ok(sum) = executor.secure_sum(&updates, IntegerRange::of::<u8>())
            && untouched
        {
            // The sum contains all messages of a client, or none.
            let expected =
                (0..4).filter(|client| !sum.report().absent.iter().any(|absence| absence.client == *client));
            let expected: u64 = expected.map(|client| 1 << client).sum();
            assert!(sum.value.iter().all(|x| *x == expected), "a wrong sum was accepted");
        }
    }
}
