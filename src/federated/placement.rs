//! Placements, and values that can be read only where they are.
//!
//! The compiler checks which values a party may read. A [`Placed<T, P>`] gives its value only to
//! code that holds an [`At<P>`] token. Only the executor makes tokens: it lends one to each closure
//! that it runs at `P`. Code that reads a client's update at the server does not compile.
//!
//! The check is by placement, not by party: a token of the clients opens a value of any client.
//! The executor passes each closure only the value of its own client.

use core::fmt::{self, Debug, Display};
use core::marker::PhantomData;

use serde::Serialize;

/// One of the roles of the protocol: [`Clients`], [`Server`], [`Aggregator`] or [`KeyHolder`].
///
/// Sealed: the statements on what each party learns hold for these four.
///
/// ```
/// use cipherfold::federated::{At, KeyHolder, Placed, Placement, PlacementKind};
///
/// /// A value as text, at any placement.
/// fn show<P: Placement>(value: &Placed<u32, P>, here: &At<P>) -> String {
///     format!("{} at the {}", value.get(here), P::NAME)
/// }
/// assert_eq!(KeyHolder::KIND, PlacementKind::KeyHolder);
/// ```
pub trait Placement: sealed::Sealed + Copy + Debug + Send + Sync + 'static {
    /// The placement's name in messages, in lower case.
    const NAME: &'static str;
    /// The placement as a value, for tables and messages.
    const KIND: PlacementKind;
}

/// The clients: many parties, each with its own value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clients {}

/// Receives the totals, and nothing else. Holds the Paillier secret key, unless there is a
/// [`KeyHolder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {}

/// Adds ciphertexts. Its only secret key is that of its boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregator {}

/// Holds the Paillier secret key in place of the server, in sessions with a key holder. Sees only
/// masked totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyHolder {}

impl Placement for Clients {
    const NAME: &'static str = "clients";
    const KIND: PlacementKind = PlacementKind::Clients;
}

impl Placement for Server {
    const NAME: &'static str = "server";
    const KIND: PlacementKind = PlacementKind::Server;
}

impl Placement for Aggregator {
    const NAME: &'static str = "aggregator";
    const KIND: PlacementKind = PlacementKind::Aggregator;
}

impl Placement for KeyHolder {
    const NAME: &'static str = "key holder";
    const KIND: PlacementKind = PlacementKind::KeyHolder;
}

/// A [`Placement`] as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementKind {
    /// [`Clients`].
    Clients,
    /// [`Server`].
    Server,
    /// [`Aggregator`].
    Aggregator,
    /// [`KeyHolder`].
    KeyHolder,
}

impl PlacementKind {
    /// All placements.
    pub const ALL: [Self; 4] = [Self::Clients, Self::Server, Self::Aggregator, Self::KeyHolder];

    /// The name of the placement: `clients`, `server`, `aggregator` or `key holder`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clients => Clients::NAME,
            Self::Server => Server::NAME,
            Self::Aggregator => Aggregator::NAME,
            Self::KeyHolder => KeyHolder::NAME,
        }
    }
}

impl Display for PlacementKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Permission to read and write the values at `P`.
///
/// A token has no size and no public constructor, and is neither `Clone` nor `Copy`. The executor
/// lends one to a closure while that closure runs at `P`.
pub struct At<P: Placement>(PhantomData<fn() -> P>);

impl<P: Placement> At<P> {
    /// The token of `P`, for the code that runs closures there.
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<P: Placement> Debug for At<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "At({})", P::NAME)
    }
}

/// A value that is at `P` and can be read there only.
///
/// At the clients it is one client's value. `Debug` shows the placement, never the value.
///
/// ```
/// use cipherfold::federated::{At, Clients, Placed};
///
/// // Runs at a client, on that client's update.
/// fn largest(update: &Placed<Vec<u32>, Clients>, here: &At<Clients>) -> Option<u32> {
///     update.get(here).iter().copied().max()
/// }
/// ```
///
/// With the server's token it does not compile:
///
/// ```compile_fail,E0308
/// use cipherfold::federated::{At, Clients, Placed, Server};
///
/// fn largest(update: &Placed<Vec<u32>, Clients>, here: &At<Server>) -> Option<u32> {
///     update.get(here).iter().copied().max()
/// }
/// ```
///
/// A token cannot be made outside this crate:
///
/// ```compile_fail,E0624
/// use cipherfold::federated::{At, Server};
///
/// let forged = At::<Server>::new();
/// ```
#[derive(Clone)]
#[must_use = "a placed value does nothing until it is read or moved"]
pub struct Placed<T, P: Placement> {
    value: T,
    placement: PhantomData<fn() -> P>,
}

impl<T, P: Placement> Placed<T, P> {
    /// Places `value` at the caller's placement.
    pub fn new(value: T, _here: &At<P>) -> Self {
        Self { value, placement: PhantomData }
    }

    /// The value.
    pub fn get(&self, _here: &At<P>) -> &T {
        &self.value
    }

    /// The value, mutably.
    pub fn get_mut(&mut self, _here: &At<P>) -> &mut T {
        &mut self.value
    }

    /// The value itself, no longer bound to a placement.
    pub fn into_inner(self, _here: &At<P>) -> T {
        self.value
    }

    /// Applies `function` to the value. The result stays at the same placement.
    pub fn map<U>(self, here: &At<P>, function: impl FnOnce(T) -> U) -> Placed<U, P> {
        Placed::new(function(self.value), here)
    }

    /// The placement of the value.
    pub const fn placement(&self) -> PlacementKind {
        P::KIND
    }
}

impl<T, P: Placement> Debug for Placed<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placed({})", P::NAME)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Clients {}
    impl Sealed for super::Server {}
    impl Sealed for super::Aggregator {}
    impl Sealed for super::KeyHolder {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_changed_and_taken_with_its_token() {
        let here = At::<Clients>::new();
        let mut value = Placed::new(vec![1, 2], &here);
        value.get_mut(&here).push(3);
        assert_eq!(value.get(&here), &[1, 2, 3]);
        assert_eq!(value.placement(), PlacementKind::Clients);
        let length = value.map(&here, |values| values.len());
        assert_eq!(length.into_inner(&here), 3);
    }

    #[test]
    fn debug_shows_the_placement_and_not_the_value() {
        let here = At::<Server>::new();
        let value = Placed::new("the secret", &here);
        assert_eq!(format!("{value:?} {here:?}"), "Placed(server) At(server)");
    }

    #[test]
    fn tokens_and_placements_add_no_size() {
        assert_eq!(size_of::<At<Clients>>(), 0);
        assert_eq!(size_of::<Placed<u64, Aggregator>>(), size_of::<u64>());
    }

    #[test]
    fn names_agree_with_kinds() {
        fn check<P: Placement>() {
            assert_eq!(P::KIND.to_string(), P::NAME);
        }
        check::<Clients>();
        check::<Server>();
        check::<Aggregator>();
        check::<KeyHolder>();
    }
}
