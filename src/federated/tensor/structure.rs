//! Nested structures with names, for tensors, their types, and their parameters.

mod format;
mod path;

pub use path::Path;

use core::{
    convert::Infallible,
    fmt::{self, Debug, Display},
};
use std::collections::BTreeSet;

use crate::federated::tensor::TensorType;
use crate::{
    federated::tensor::error::{Error, Result},
    printable::printable,
};

/// A value, or an ordered list of such structures, each with or without a name.
///
/// Models have this form: layers with their weights and biases, dictionaries, tuples. Order and
/// names belong to the structure: two structures with different names are different. Names within
/// one list are unique.
///
/// With tensors as leaves, it is a client's update
/// ([`Tensors`](crate::federated::tensor::Tensors)). With codecs as leaves, it gives the encoding
/// of each tensor ([`PerTensor`](crate::federated::tensor::PerTensor)). With [`TensorType`]s as
/// leaves, it is the type of an update, and is displayed in the compact notation of TensorFlow
/// Federated. `Display` escapes control characters in names.
///
/// ```
/// use cipherfold::federated::tensor::{Structure, TensorTree};
/// use ndarray::{Array, ArrayD};
///
/// let dense = |inputs: usize, outputs: usize| {
///     Structure::named([
///         ("kernel", Structure::leaf(ArrayD::<f32>::zeros(vec![inputs, outputs]))),
///         ("bias", Structure::leaf(ArrayD::zeros(vec![outputs]))),
///     ])
/// };
/// let model = Structure::named([("layers", Structure::tuple([dense(4, 3)?, dense(3, 2)?])?)])?;
/// assert_eq!(
///     model.structure()?.to_string(),
///     "<layers=<<kernel=f32[4,3],bias=f32[3]>,<kernel=f32[3,2],bias=f32[2]>>>"
/// );
/// let bias = model.get("layers/1/bias").and_then(Structure::as_leaf);
/// assert_eq!(bias.map(ArrayD::len), Some(2));
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Lists are nested at most [`MAX_DEPTH`](Self::MAX_DEPTH) levels deep, for every constructor and
/// format.
///
/// Serde sees a flat list in the order of the leaves. Each entry has its name, and each list the
/// number of its members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Structure<T>(Node<T>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node<T> {
    Leaf(T),
    Struct(List<T>),
}

/// Members with unique names.
#[derive(Clone, PartialEq, Eq, Hash)]
struct List<T> {
    members: Vec<Member<T>>,
    /// Levels of lists, this one included: 1 to [`Structure::MAX_DEPTH`], so that functions may
    /// recurse.
    depth: usize,
}

/// A member of a list: its name, if it has one, and its structure.
type Member<T> = (Option<String>, Structure<T>);

impl<T> Structure<T> {
    /// Maximum levels of lists: more than models need, and few enough for the stack of any thread.
    ///
    /// A leaf has no level. A list has one more than its deepest member. The limit holds for every
    /// constructor and for every serde format.
    pub const MAX_DEPTH: usize = 128;

    /// A single value.
    pub fn leaf(value: T) -> Self {
        Self(Node::Leaf(value))
    }

    /// A list without names.
    ///
    /// # Errors
    ///
    /// [`Error::StructureDepth`].
    pub fn tuple(members: impl IntoIterator<Item = Self>) -> Result<Self> {
        Self::list(members.into_iter().map(|member| (None, member)).collect())
    }

    /// A list in which every member has a name.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateName`], [`Error::StructureDepth`].
    pub fn named<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Result<Self> {
        Self::from_members(members.into_iter().map(|(name, member)| (Some(name.into()), member)))
    }

    /// A list in which some members have names.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateName`], [`Error::StructureDepth`].
    pub fn from_members(members: impl IntoIterator<Item = Member<T>>) -> Result<Self> {
        let members: Vec<_> = members.into_iter().collect();
        let mut names = BTreeSet::new();
        for name in members.iter().filter_map(|(name, _)| name.as_ref()) {
            if !names.insert(name) {
                return Err(Error::DuplicateName { name: name.clone() });
            }
        }
        Self::list(members)
    }

    /// A list of members whose names are unique.
    fn list(members: Vec<Member<T>>) -> Result<Self> {
        let depth = 1 + members.iter().map(|(_, member)| member.depth()).max().unwrap_or(0);
        if depth > Self::MAX_DEPTH {
            return Err(Error::StructureDepth { maximum: Self::MAX_DEPTH });
        }
        Ok(Self(Node::Struct(List { members, depth })))
    }

    /// Levels of lists: zero for a leaf, one more than the deepest member for a list.
    pub fn depth(&self) -> usize {
        match &self.0 {
            Node::Leaf(_) => 0,
            Node::Struct(list) => list.depth,
        }
    }

    /// The value, if this is a leaf.
    pub fn as_leaf(&self) -> Option<&T> {
        if let Node::Leaf(value) = &self.0 { Some(value) } else { None }
    }

    /// The members, if this is a list.
    pub fn members(&self) -> Option<&[Member<T>]> {
        if let Node::Struct(list) = &self.0 { Some(&list.members) } else { None }
    }

    /// The value, moved out, if this is a leaf.
    pub fn into_leaf(self) -> Option<T> {
        if let Node::Leaf(value) = self.0 { Some(value) } else { None }
    }

    /// The members, moved out, if this is a list.
    pub fn into_members(self) -> Option<Vec<Member<T>>> {
        if let Node::Struct(list) = self.0 { Some(list.members) } else { None }
    }

    /// The same structure with references to the values.
    pub fn as_ref(&self) -> Structure<&T> {
        match &self.0 {
            Node::Leaf(value) => Structure::leaf(value),
            Node::Struct(List { members, depth }) => {
                let members = members.iter().map(|(name, member)| (name.clone(), member.as_ref())).collect();
                Structure(Node::Struct(List { members, depth: *depth }))
            }
        }
    }

    /// The same structure with the results of `function` for the values, in order.
    pub fn map<U>(self, mut function: impl FnMut(T) -> U) -> Structure<U> {
        let Ok(mapped) = self.map_with(&mut |value| Ok::<_, Infallible>(function(value)));
        mapped
    }

    /// The same structure with the results of `function` for the values, in order, unless one of
    /// them fails.
    ///
    /// # Errors
    ///
    /// The first error of `function`.
    pub fn try_map<U, E>(self, mut function: impl FnMut(T) -> Result<U, E>) -> Result<Structure<U>, E> {
        self.map_with(&mut function)
    }

    fn map_with<U, E>(self, function: &mut impl FnMut(T) -> Result<U, E>) -> Result<Structure<U>, E> {
        Ok(match self.0 {
            Node::Leaf(value) => Structure::leaf(function(value)?),
            Node::Struct(List { members, depth }) => {
                let map = |(name, member): Member<T>| Ok((name, member.map_with(function)?));
                Structure(Node::Struct(List {
                    members: members.into_iter().map(map).collect::<Result<_, E>>()?,
                    depth,
                }))
            }
        })
    }

    /// The same structure with the results of `function` for pairs of values of both structures, in
    /// order.
    ///
    /// ```
    /// use cipherfold::federated::tensor::Structure;
    ///
    /// let one = |w, b| Structure::named([("w", Structure::leaf(w)), ("b", Structure::leaf(b))]);
    /// let sum = one(1, 2)?.zip_with(&one(30, 40)?, |a, b| a + b)?;
    /// assert_eq!(sum, one(31, 42)?);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::StructureMismatch`] unless names, order and nesting agree.
    pub fn zip_with<U, V>(
        &self,
        other: &Structure<U>,
        mut function: impl FnMut(&T, &U) -> V,
    ) -> Result<Structure<V>> {
        self.zip_nodes(other, &mut function)
            .ok_or_else(|| Error::StructureMismatch { expected: self.outline(), found: other.outline() })
    }

    fn zip_nodes<U, V>(
        &self,
        other: &Structure<U>,
        function: &mut impl FnMut(&T, &U) -> V,
    ) -> Option<Structure<V>> {
        match (&self.0, &other.0) {
            (Node::Leaf(a), Node::Leaf(b)) => Some(Structure::leaf(function(a, b))),
            (Node::Struct(a), Node::Struct(b)) if a.members.len() == b.members.len() => {
                let zip = |((name, a), (other, b)): (&Member<T>, &Member<U>)| {
                    if name == other { Some((name.clone(), a.zip_nodes(b, function)?)) } else { None }
                };
                let members = a.members.iter().zip(&b.members).map(zip).collect::<Option<_>>()?;
                Some(Structure(Node::Struct(List { members, depth: a.depth })))
            }
            _ => None,
        }
    }

    /// The structure in the notation of its type, with `_` for every value.
    pub(in crate::federated) fn outline(&self) -> String {
        self.as_ref().map(|_| '_').to_string()
    }
}

impl<T> Structure<Structure<T>> {
    /// One structure in which each leaf is replaced by its own structure.
    ///
    /// # Errors
    ///
    /// [`Error::StructureDepth`].
    pub fn flatten(self) -> Result<Structure<T>> {
        match self.0 {
            Node::Leaf(structure) => Ok(structure),
            Node::Struct(List { members, .. }) => {
                let flatten = |(name, member): Member<Structure<T>>| Ok((name, member.flatten()?));
                Structure::list(members.into_iter().map(flatten).collect::<Result<_>>()?)
            }
        }
    }
}

impl Structure<TensorType> {
    /// Checks that an update has the same tensors as the first client's, whose type this is.
    pub(in crate::federated) fn check(&self, found: &Self) -> Result<()> {
        let [here, there] = [self, found].map(|structure| structure.iter().count());
        if here != there {
            return Err(Error::TensorCount { expected: here, found: there });
        }
        for (tensor, (expected, found)) in self.iter().zip(found.iter()).enumerate() {
            if expected != found {
                let (expected, found) = (expected.to_string(), found.to_string());
                return Err(Error::TensorShape { tensor, expected, found });
            }
        }
        if self != found {
            let (expected, found) = (self.to_string(), found.to_string());
            return Err(Error::StructureMismatch { expected, found });
        }
        Ok(())
    }
}

impl<T> From<T> for Structure<T> {
    fn from(value: T) -> Self {
        Self::leaf(value)
    }
}

impl<T: Display> Display for Structure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Leaf(value) => write!(f, "{value}"),
            Node::Struct(List { members, .. }) => {
                f.write_str("<")?;
                for (i, (name, member)) in members.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    if let Some(name) = name {
                        write!(f, "{}=", printable(name))?;
                    }
                    member.fmt(f)?;
                }
                f.write_str(">")
            }
        }
    }
}

impl<T: Debug> Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.members.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::tensor::{Scalar, TensorTree};
    use ndarray::array;

    fn named<T>(members: impl IntoIterator<Item = (&'static str, Structure<T>)>) -> Structure<T> {
        Structure::named(members).unwrap()
    }

    fn model() -> Structure<u8> {
        let layer = |w: u8, b: u8| named([("w", w.into()), ("b", b.into())]);
        let layers = Structure::tuple([layer(1, 2), layer(3, 4)]).unwrap();
        named([("layers", layers), ("scale", 5.into())])
    }

    #[test]
    fn names_are_unique_in_their_list() {
        let error = Structure::named([("w", 1.into()), ("b", 2.into()), ("w", 3.into())]).unwrap_err();
        assert_eq!(error, Error::DuplicateName { name: "w".into() });
        let members = [(None, 1.into()), (Some("w".to_owned()), 2.into()), (None, 3.into())];
        let structure = Structure::from_members(members.clone()).unwrap();
        assert_eq!(structure.members(), Some(&members[..]));
        assert_eq!(structure.to_string(), "<1,w=2,3>");
    }

    #[test]
    fn types_are_displayed_in_compact_notation() {
        let tensors = named([("w", array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn().into())]);
        assert_eq!(tensors.structure().unwrap().to_string(), "<w=f32[2,3]>");
        assert_eq!(model().structure().unwrap().to_string(), "<layers=<<w=u8,b=u8>,<w=u8,b=u8>>,scale=u8>");
        assert_eq!(Structure::<TensorType>::tuple([]).unwrap().to_string(), "<>");
    }

    #[test]
    fn map_and_zip_keep_names_and_order() {
        let doubled = model().map(|x| 2 * x);
        assert_eq!(doubled.iter().copied().collect::<Vec<_>>(), [2, 4, 6, 8, 10]);
        assert_eq!(model().zip_with(&doubled, |a, b| b - a), Ok(model()));
        let other = named([("layers", model()), ("scale", 5.into())]);
        assert_eq!(
            model().zip_with(&other, |_, _| ()),
            Err(Error::StructureMismatch {
                expected: "<layers=<<w=_,b=_>,<w=_,b=_>>,scale=_>".into(),
                found: "<layers=<layers=<<w=_,b=_>,<w=_,b=_>>,scale=_>,scale=_>".into(),
            })
        );
        // Other names, another order, no names, fewer members.
        let pair = named([("w", 1.into()), ("b", 2.into())]);
        for other in [
            named([("w", 1.into()), ("c", 2.into())]),
            named([("b", 2.into()), ("w", 1.into())]),
            Structure::tuple([1.into(), 2.into()]).unwrap(),
            named([("w", 1.into())]),
            Structure::leaf(1),
        ] {
            assert!(pair.zip_with(&other, |_, _| ()).is_err(), "{other}");
        }
    }

    #[test]
    fn parts_are_returned_unchanged() {
        assert_eq!(Structure::leaf(3).into_leaf(), Some(3));
        assert_eq!(Structure::leaf(3).into_members(), None);
        assert_eq!(model().into_leaf(), None);
        let members = model().into_members().unwrap();
        assert_eq!(Structure::from_members(members), Ok(model()));
        let nested = Structure::tuple([Structure::leaf(model()), Structure::leaf(Structure::leaf(9))]);
        assert_eq!(nested.unwrap().flatten(), Structure::tuple([model(), 9.into()]));
    }

    #[test]
    fn try_map_stops_at_the_first_error() {
        let mut seen = Vec::new();
        let mut halve = |x: u8| {
            seen.push(x);
            if x == 3 { Err(x) } else { Ok(2 * x) }
        };
        assert_eq!(model().try_map(&mut halve), Err(3));
        assert_eq!(seen, [1, 2, 3]);
        assert_eq!(model().try_map(|x| Ok::<_, ()>(2 * x)), Ok(model().map(|x| 2 * x)));
    }

    /// A leaf in lists of one member each.
    fn chain(levels: usize) -> Structure<u8> {
        let nest = |inner, _| Structure::tuple([inner]).unwrap();
        (0..levels).fold(Structure::leaf(7), nest)
    }

    #[test]
    fn every_constructor_has_the_same_depth() {
        const MAX: usize = Structure::<u8>::MAX_DEPTH;
        let deepest = chain(MAX);
        assert_eq!((deepest.depth(), chain(3).depth(), Structure::leaf(1).depth()), (MAX, 3, 0));
        let too_deep = Err(Error::StructureDepth { maximum: MAX });
        assert_eq!(Structure::tuple([1.into(), deepest.clone()]), too_deep);
        assert_eq!(Structure::named([("a", deepest.clone())]), too_deep);
        assert_eq!(Structure::from_members([(None, deepest.clone())]), too_deep);
        let nested = |inner: usize| chain(100).map(|_| chain(inner)).flatten();
        assert_eq!(nested(MAX - 100), Ok(deepest.clone()));
        assert_eq!(nested(MAX - 99), too_deep);
        // The type of tensors has the levels of the structure plus those of the leaves.
        assert_eq!(deepest.structure().map(|structure| structure.depth()), Ok(MAX));
        let pairs = deepest.clone().map(|x| (x, x));
        assert_eq!(pairs.structure().unwrap_err(), Error::StructureDepth { maximum: MAX });

        // Recursive functions fit even on a small stack. On s390x, every call takes at least 160
        // bytes of it.
        let bytes = if cfg!(target_arch = "s390x") { 1 << 20 } else { 256 << 10 };
        let small = std::thread::Builder::new().stack_size(bytes);
        let work = move || {
            let copy = deepest.clone();
            assert_eq!(copy, deepest);
            assert_eq!(copy.zip_with(&deepest, |a, b| a + b).unwrap().map(|x| x / 2), deepest);
            assert!(
                copy.to_string().starts_with("<<<") && format!("{copy:?}").starts_with("Structure(Struct([")
            );
            assert!(format!("{copy:#?}").len() > MAX);
            assert_eq!(copy.iter().count() + copy.leaves().count(), 2);
            let bytes = postcard::to_allocvec(&copy).unwrap();
            assert_eq!(postcard::from_bytes::<Structure<u8>>(&bytes).unwrap(), copy);
        };
        small.spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn control_characters_in_names_are_displayed_as_escapes() {
        let structure = named([("a\u{1b}[2J", 1.into()), ("b\nc", 2.into())]);
        assert_eq!(structure.to_string(), r"<a\u{1b}[2J=1,b\nc=2>");
        let error = Structure::named([("a\n", 1.into()), ("a\n", 2.into())]).unwrap_err();
        assert_eq!(error.to_string(), r"two members of a structure are called `a\n`");
    }

    #[test]
    fn updates_with_other_tensors_are_refused() {
        let tensor = |shape: &[usize]| TensorType { dtype: f32::DTYPE, shape: shape.to_vec() };
        let pair = |names: [&'static str; 2]| named(names.map(|name| (name, tensor(&[2]).into())));
        let first = pair(["w", "b"]);
        assert_eq!(first.check(&pair(["w", "b"])), Ok(()));
        assert_eq!(
            first.check(&pair(["w", "c"])),
            Err(Error::StructureMismatch {
                expected: "<w=f32[2],b=f32[2]>".into(),
                found: "<w=f32[2],c=f32[2]>".into()
            })
        );
        let one = named([("w", tensor(&[2]).into())]);
        assert_eq!(first.check(&one), Err(Error::TensorCount { expected: 2, found: 1 }));
        let longer = named([("w", tensor(&[2]).into()), ("b", tensor(&[3]).into())]);
        let error = Error::TensorShape { tensor: 1, expected: "f32[2]".into(), found: "f32[3]".into() };
        assert_eq!(first.check(&longer), Err(error));
    }
}
