//! The context of a closure in a computation.

use core::fmt;

use rand_core::CryptoRng;

use crate::federated::{At, Clients, Party, Placement};

/// The party that runs a closure: its identity, its randomness, and the token of its placement.
///
/// Every client of every run has its own generator, so random results differ between clients. An
/// executor with a seeded generator ([`rng`](crate::federated::LocalExecutorBuilder::rng)) repeats
/// them.
///
/// ```
/// use cipherfold::federated::{Clients, LocalExecutor, computation::{Computation, Inputs, Value, Context}};
/// use cipherfold::paillier::Bits2048;
///
/// fn numbered(word: &String, context: &mut Context<'_, Clients>) -> String {
///     format!("{}: {word}", context.client())
/// }
///
/// let words = Value::<String, Clients>::input("word");
/// let computation = Computation::new(words.map_with(numbered).collect());
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let inputs = Inputs::new().clients(&words, ["fold", "cipher"].map(String::from));
/// assert_eq!(executor.run(&computation, inputs)?.value, ["0: fold", "1: cipher"]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct Context<'a, P: Placement> {
    party: Party,
    rng: &'a mut (dyn CryptoRng + 'a),
    here: At<P>,
}

/// The same, with the placement erased.
pub(super) struct Scope<'a> {
    pub(super) party: Party,
    pub(super) rng: &'a mut dyn CryptoRng,
}

impl<'a, P: Placement> Context<'a, P> {
    pub(super) fn new(scope: &'a mut Scope<'_>) -> Self {
        debug_assert_eq!(scope.party.placement(), P::KIND, "closures run where their values live");
        Self { party: scope.party, rng: scope.rng, here: At::new() }
    }

    /// The party that runs the closure.
    pub fn party(&self) -> Party {
        self.party
    }

    /// The party's cryptographic generator.
    pub fn rng(&mut self) -> &mut dyn CryptoRng {
        self.rng
    }

    /// The token that opens values at this placement.
    pub fn here(&self) -> &At<P> {
        &self.here
    }
}

impl Context<'_, Clients> {
    /// The client's number, counted from zero.
    pub fn client(&self) -> u32 {
        match self.party {
            Party::Client(client) => client,
            Party::Server | Party::Aggregator | Party::KeyHolder => {
                unreachable!("a client's closure runs at a client")
            }
        }
    }
}

impl<P: Placement> fmt::Debug for Context<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("party", &self.party).finish_non_exhaustive()
    }
}
