//! Simulation of all parties on one machine.

mod builder;
mod erased;
#[cfg(test)]
mod generator_tests;
mod input;
mod outcome;
mod round;
mod secure_sum;
mod session;

pub(super) use self::{
    erased::ErasedExecutor,
    round::{ClientTask, Contributor, ReportedSums, RoundRequest, SumDeclaration},
};
pub use builder::LocalExecutorBuilder;
pub use input::{IntoInput, TensorInput};
pub use outcome::Outcome;

use core::{fmt, marker::PhantomData};

use super::{
    At, KeyHolder, Party, Placed, Placement, Server, SessionId, channel::route::Route, report::ledger::Ledger,
};
use crate::{
    federated::Result,
    paillier::{Bits3072, KeySize, PublicKey, SecretKey},
};

/// Simulates clients, server and aggregator on one machine, with the real cryptography between
/// them.
///
/// An executor has one session at a time. Its keys are supplied, or made at the first run, and kept
/// until [`rotate_keys`](Self::rotate_keys). Every run is a separate round. Randomness is never
/// reused: each client draws its own in each round, so that equal updates give different
/// ciphertexts. The simulated clients share only the table of the encryption's base, because they
/// would all compute the same table from public data.
///
/// ```
/// use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().clients(3).build()?;
/// let updates = [array![1i32, -2], array![3, -4], array![5, -6]];
/// let sum = executor.secure_sum(&updates, IntegerRange::signed_bits(16)?)?;
/// assert_eq!(sum.value, array![9i64, -12]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct LocalExecutor<S: KeySize = Bits3072> {
    pub(super) erased: ErasedExecutor,
    size: PhantomData<S>,
}

impl LocalExecutor<Bits3072> {
    /// An executor with the default key size and settings.
    ///
    /// # Errors
    ///
    /// Those of [`LocalExecutorBuilder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }
}

impl<S: KeySize> LocalExecutor<S> {
    /// A builder for an executor with other settings.
    pub fn builder() -> LocalExecutorBuilder<S> {
        LocalExecutorBuilder::new()
    }

    /// The session's identifier, which all its messages carry.
    pub fn session(&self) -> SessionId {
        self.erased.session()
    }

    /// Ends the session and begins another one, with a new key pair and a new identifier.
    ///
    /// The old secret key is wiped. Ciphertexts under the old key are refused from now on
    /// ([`paillier::Error::KeyMismatch`](crate::paillier::Error::KeyMismatch)). Late messages of
    /// the old session are refused with
    /// [`channel::Error::NoSessionKeys`](crate::federated::channel::Error::NoSessionKeys), or with
    /// [`channel::Error::WrongEnvelope`](crate::federated::channel::Error::WrongEnvelope) if the
    /// channel still opens them. Channels delete their state of the session: a
    /// [`HpkeChannel`](super::channel::HpkeChannel) wipes all of its keys; a
    /// [`BoxChannel`](super::channel::BoxChannel) keeps its keys.
    pub fn rotate_keys(&mut self) {
        self.erased.rotate_keys();
    }

    /// The session's public key. Makes the keys if they do not exist yet.
    ///
    /// # Errors
    ///
    /// [`paillier::Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator) if the
    /// executor's generator repeats itself. The next call tries again.
    pub fn public_key(&self) -> Result<PublicKey<S>> {
        let key = self.erased.keys(&Ledger::default())?.encryption_key().public_key();
        Ok(key.expect("keys have the executor's size"))
    }

    /// The session's secret key at the server, or `None` if the key holder has it. Makes the keys
    /// if they do not exist yet.
    ///
    /// It can be used there ([`run_at`](Self::run_at)), but not sent, because it is not a
    /// [`Message`](super::channel::Message).
    ///
    /// # Errors
    ///
    /// Those of [`public_key`](Self::public_key).
    pub fn secret_key(&self) -> Result<Option<Placed<&SecretKey<S>, Server>>> {
        let here = self.erased.settings.key_holding.party() == Party::Server;
        Ok(if here { Some(Placed::new(self.any_secret_key()?, &At::new())) } else { None })
    }

    /// The session's secret key at the key holder, or `None` if the session has no key holder.
    /// Makes the keys if they do not exist yet.
    ///
    /// # Errors
    ///
    /// Those of [`public_key`](Self::public_key).
    pub fn key_holder_secret_key(&self) -> Result<Option<Placed<&SecretKey<S>, KeyHolder>>> {
        let here = self.erased.settings.key_holding.party() == Party::KeyHolder;
        Ok(if here { Some(Placed::new(self.any_secret_key()?, &At::new())) } else { None })
    }

    /// The session's secret key, at the party that holds it.
    fn any_secret_key(&self) -> Result<&SecretKey<S>> {
        let key = self.erased.keys(&Ledger::default())?.secret_key();
        Ok(key.expect("keys have the executor's size"))
    }

    /// Runs a function at a placement, with the token that opens the values there.
    ///
    /// Use it to inspect a placement's values in tests and in your own protocols; the simulation
    /// itself does not need it. A function that returns an opened value takes it out of its
    /// placement, as `println!` would.
    pub fn run_at<P: Placement, T>(&self, function: impl FnOnce(&At<P>) -> T) -> T {
        function(&At::new())
    }

    /// Sends a message from a party at P to one at Q through the session's channel between the two.
    ///
    /// For your own protocols, this is the only way from one placement to another. It takes only
    /// types that implement [`Message`](super::channel::Message).
    ///
    /// # Errors
    ///
    /// [`channel::Error::MissingChannel`](crate::federated::channel::Error::MissingChannel); those
    /// of the channel and of the message's encoding.
    ///
    /// # Panics
    ///
    /// If `from` is not at P or `to` is not at Q.
    pub fn transfer<M: super::channel::Message, P: Placement, Q: Placement>(
        &self,
        message: Placed<M, P>,
        from: Party,
        to: Party,
    ) -> Result<Placed<M, Q>> {
        let executor = &self.erased;
        let route = Route { session: executor.session(), round: executor.upcoming_round(), from, to };
        Ok(executor.network.transfer(message, route, &Ledger::default(), &mut executor.stream())?)
    }
}

impl<S: KeySize> fmt::Debug for LocalExecutor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor")
            .field("key_bits", &S::BITS)
            .field("session", &self.erased.session())
            .finish_non_exhaustive()
    }
}
