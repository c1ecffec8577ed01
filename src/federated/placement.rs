//! Placements, and values that can be read only where they live.
//!
//! What a party may know is checked by the compiler. A [`Placed<T, P>`] gives its value to nobody who cannot show an
//! [`At<P>`], and tokens are made by the executor alone, which lends one to each closure that it runs at `P`. Code
//! that would read a client's update at the server does not compile, so it needs no test and no review to be found.
//!
//! The check is by placement, not by member: a token of the clients opens a value of any client. Which of the clients
//! a closure works for is the executor's part; it hands each one its own value and nothing else.

use core::fmt::{self, Debug, Display};
use core::marker::PhantomData;

use serde::Serialize;

/// One of the roles of the protocol: [`Clients`], [`Server`], [`Aggregator`] or [`KeyHolder`].
///
/// Sealed: the protocol's statements on who learns what hold for these four.
pub trait Placement: sealed::Sealed + Copy + Debug + Send + Sync + 'static {
    /// The placement's name in messages, in lower case.
    const NAME: &'static str;
    /// The placement as a value, for tables and messages.
    const KIND: PlacementKind;
}

/// Where updates come from: many members, each with a value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clients {}

/// Gets the totals, and nothing else. Holds the Paillier secret key, unless there is a [`KeyHolder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {}

/// Adds ciphertexts; holds no secret key but that of its boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregator {}

/// Holds the Paillier secret key instead of the server, where a session is set up so; sees masked totals only.
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

/// Leave to read and write what lives at `P`.
///
/// A token has no size and no public constructor, and is neither `Clone` nor `Copy`: the executor lends one to a
/// closure for as long as that closure runs at `P`.
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

/// A value that lives at `P` and can be read there only.
///
/// At the clients it is one member's value. `Debug` shows the placement, never the value.
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
/// The same with the server's token does not compile:
///
/// ```compile_fail,E0308
/// use cipherfold::federated::{At, Clients, Placed, Server};
///
/// fn largest(update: &Placed<Vec<u32>, Clients>, here: &At<Server>) -> Option<u32> {
///     update.get(here).iter().copied().max()
/// }
/// ```
///
/// Nor can a token be made outside this crate:
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
    /// Places `value` where the caller is.
    pub fn new(value: T, _here: &At<P>) -> Self {
        Self { value, placement: PhantomData }
    }

    /// The value.
    pub fn get(&self, _here: &At<P>) -> &T {
        &self.value
    }

    /// The value, to change it.
    pub fn get_mut(&mut self, _here: &At<P>) -> &mut T {
        &mut self.value
    }

    /// The value itself, no longer bound to a placement.
    pub fn into_inner(self, _here: &At<P>) -> T {
        self.value
    }

    /// What `function` makes of the value, at the same place.
    pub fn map<U>(self, here: &At<P>, function: impl FnOnce(T) -> U) -> Placed<U, P> {
        Placed::new(function(self.value), here)
    }

    /// Where the value lives.
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
    fn a_token_takes_no_space_and_a_placed_value_no_more_than_its_value() {
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
