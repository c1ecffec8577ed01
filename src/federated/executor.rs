//! Simulates all parties on one machine.

mod builder;
mod clear;
mod core;
#[cfg(test)]
mod generator_tests;
mod opening;
mod queue;
mod run;
mod secure_sum;
mod sequencer;
mod session;

pub(super) use self::{
    core::Core,
    queue::{Contributor, Work},
    run::{Declared, Roster, RoundOutcome},
};
pub use builder::LocalExecutorBuilder;

use ::core::{fmt, marker::PhantomData};

use super::{
    At, KeyHolder, Party, Placed, Placement, Server, SessionId, channel::network::Way, report::ledger::Ledger,
};
use crate::{
    federated::Result,
    paillier::{Bits3072, KeySize, PublicKey, SecretKey},
};

/// Simulates clients, server and aggregator on one machine, with the real cryptography between them.
///
/// An executor is in one session at a time: keys are made at its first run, or supplied, and kept until
/// [`rotate_keys`](Self::rotate_keys). Every run is a round of its own. Nothing that must be fresh is ever kept: each client
/// of each round draws its own randomness, so that equal updates give different ciphertexts. What the simulation shares
/// among clients, because they would all compute the same from public data, is the table behind the encryption's base.
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
    pub(super) core: Core,
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
    /// An executor with settings of one's own.
    pub fn builder() -> LocalExecutorBuilder<S> {
        LocalExecutorBuilder::new()
    }

    /// The session's identifier, which all its messages carry.
    pub fn session(&self) -> SessionId {
        self.core.session()
    }

    /// Ends the session and begins another one, with a key pair and an identifier of its own.
    ///
    /// The old secret key is wiped. What was encrypted under it is refused from now on
    /// ([`paillier::Error::KeyMismatch`](crate::paillier::Error::KeyMismatch)), and so are late messages of the old session
    /// ([`Error::NoSessionKeys`](crate::federated::Error::NoSessionKeys), or [`Error::WrongEnvelope`](crate::federated::Error::WrongEnvelope) where
    /// the channel still opens them). Channels forget what belongs to the session: a [`HpkeChannel`](super::HpkeChannel) wipes all
    /// of its keys, those of a [`BoxChannel`](super::BoxChannel) stay.
    pub fn rotate_keys(&mut self) {
        self.core.rotate_keys();
    }

    /// The session's public key. Makes the keys if there are none yet.
    ///
    /// # Errors
    ///
    /// [`paillier::Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator) if the executor's generator repeats
    /// itself. The next call tries again.
    pub fn public_key(&self) -> Result<PublicKey<S>> {
        let key = self.core.keys(&Ledger::default())?.encryption_key().public_key();
        Ok(key.expect("keys have the executor's size"))
    }

    /// The session's secret key, at the server, if that is who holds it. Makes the keys if there are none yet.
    ///
    /// It can be used there ([`run_at`](Self::run_at)), but not sent: it is no [`Message`](super::Message).
    ///
    /// # Errors
    ///
    /// Those of [`public_key`](Self::public_key).
    pub fn secret_key(&self) -> Result<Option<Placed<&SecretKey<S>, Server>>> {
        let here = self.core.settings.key_holding.party() == Party::Server;
        Ok(if here { Some(Placed::new(self.any_secret_key()?, &At::new())) } else { None })
    }

    /// The session's secret key, at the key holder, if the session has one. Makes the keys if there are none yet.
    ///
    /// # Errors
    ///
    /// Those of [`public_key`](Self::public_key).
    pub fn key_holder_secret_key(&self) -> Result<Option<Placed<&SecretKey<S>, KeyHolder>>> {
        let here = self.core.settings.key_holding.party() == Party::KeyHolder;
        Ok(if here { Some(Placed::new(self.any_secret_key()?, &At::new())) } else { None })
    }

    /// The session's secret key, whoever holds it.
    fn any_secret_key(&self) -> Result<&SecretKey<S>> {
        let key = self.core.keys(&Ledger::default())?.secret_key();
        Ok(key.expect("keys have the executor's size"))
    }

    /// Runs a function at a placement, with the token that opens what lives there.
    ///
    /// The simulation's own parts need no such help; it is for looking at a placement's values in tests and in
    /// protocols of one's own. A function that returns what it opened takes it out of its placement, as `println!`
    /// would.
    pub fn run_at<P: Placement, T>(&self, function: impl FnOnce(&At<P>) -> T) -> T {
        function(&At::new())
    }

    /// Sends a message from a party at P to one at Q through the session's channel between the two.
    ///
    /// The way from one placement to another, for protocols of one's own; what is no [`Message`](super::Message) has
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error::MissingChannel`](crate::federated::Error::MissingChannel); those of the channel and of the message's encoding.
    ///
    /// # Panics
    ///
    /// If `from` does not live at P or `to` not at Q.
    pub fn transfer<M: super::Message, P: Placement, Q: Placement>(
        &self,
        message: Placed<M, P>,
        from: Party,
        to: Party,
    ) -> Result<Placed<M, Q>> {
        let core = &self.core;
        let way = Way { session: core.session(), round: core.upcoming_round(), from, to };
        core.network.transfer(message, way, &Ledger::default(), &mut core.stream())
    }
}

impl<S: KeySize> fmt::Debug for LocalExecutor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor")
            .field("key_bits", &S::BITS)
            .field("session", &self.core.session())
            .finish_non_exhaustive()
    }
}
