//! Nested structures with names: what a model's tensors, their types, or their parameters hang in.

use core::fmt::{self, Display};
use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::TensorType;
use crate::{Error, Result};

/// A value, or an ordered list of such structures, each with a name or without.
///
/// The shape that a model has elsewhere: layers with their weights and biases, dictionaries, tuples. Order and names are
/// kept, and belong to the structure: two with other names are different structures. Names within one list are unique.
///
/// With tensors as leaves it is a client's update ([`Tensors`](super::Tensors)); with codecs as leaves it says how each
/// tensor travels ([`PerTensor`](super::PerTensor)); with [`TensorType`]s as leaves it is the type of an update, and is
/// displayed in the compact notation of TensorFlow Federated.
///
/// ```
/// use cipherfold::federated::{Structure, Tensors};
/// use ndarray::{Array, ArrayD};
///
/// let dense = |inputs: usize, outputs: usize| {
///     Structure::named([
///         ("kernel", Structure::leaf(ArrayD::<f32>::zeros(vec![inputs, outputs]))),
///         ("bias", Structure::leaf(ArrayD::zeros(vec![outputs]))),
///     ])
/// };
/// let model = Structure::named([("layers", Structure::tuple([dense(4, 3)?, dense(3, 2)?]))])?;
/// assert_eq!(
///     model.structure().to_string(),
///     "<layers=<<kernel=f32[4,3],bias=f32[3]>,<kernel=f32[3,2],bias=f32[2]>>>"
/// );
/// let bias = model.get("layers/1/bias").and_then(Structure::as_leaf);
/// assert_eq!(bias.map(ArrayD::len), Some(2));
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Serde sees a flat list in the order of the leaves: each entry with its name, lists with the number of their members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Structure<T>(Node<T>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node<T> {
    Leaf(T),
    /// Names are unique.
    Struct(Vec<Member<T>>),
}

/// One of a list: its name, if it has one, and what it is.
pub type Member<T> = (Option<String>, Structure<T>);

impl<T> Structure<T> {
    /// A single value.
    pub fn leaf(value: T) -> Self {
        Self(Node::Leaf(value))
    }

    /// A list without names.
    pub fn tuple(members: impl IntoIterator<Item = Self>) -> Self {
        Self(Node::Struct(members.into_iter().map(|member| (None, member)).collect()))
    }

    /// A list in which every member has a name.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateName`].
    pub fn named<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Result<Self> {
        Self::from_members(members.into_iter().map(|(name, member)| (Some(name.into()), member)))
    }

    /// A list in which some members have names.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateName`].
    pub fn from_members(members: impl IntoIterator<Item = Member<T>>) -> Result<Self> {
        let members: Vec<_> = members.into_iter().collect();
        let mut names = BTreeSet::new();
        for name in members.iter().filter_map(|(name, _)| name.as_ref()) {
            if !names.insert(name) {
                return Err(Error::DuplicateName { name: name.clone() });
            }
        }
        Ok(Self(Node::Struct(members)))
    }

    /// The value, if this is a leaf.
    pub fn as_leaf(&self) -> Option<&T> {
        if let Node::Leaf(value) = &self.0 { Some(value) } else { None }
    }

    /// The members, if this is a list.
    pub fn members(&self) -> Option<&[Member<T>]> {
        if let Node::Struct(members) = &self.0 { Some(members) } else { None }
    }

    /// The value itself, if this is a leaf.
    pub fn into_leaf(self) -> Option<T> {
        if let Node::Leaf(value) = self.0 { Some(value) } else { None }
    }

    /// The members themselves, if this is a list.
    pub fn into_members(self) -> Option<Vec<Member<T>>> {
        if let Node::Struct(members) = self.0 { Some(members) } else { None }
    }

    /// What a path leads to: names, or places counted from zero, with a slash between them, as in `layers/0/bias`.
    ///
    /// The empty path leads here. Names may contain slashes; a name goes before a place that looks the same.
    pub fn get(&self, path: &str) -> Option<&Self> {
        if path.is_empty() { Some(self) } else { self.find(path) }
    }

    fn find(&self, path: &str) -> Option<&Self> {
        let members = self.members()?;
        let named = members.iter().filter_map(|(name, member)| Some((name.clone()?, member)));
        let placed = members.iter().enumerate().map(|(i, (_, member))| (i.to_string(), member));
        named.chain(placed).find_map(|(component, member)| match path.strip_prefix(&component)? {
            "" => Some(member),
            rest => member.find(rest.strip_prefix('/')?),
        })
    }

    /// All values with the [paths](Self::get) that lead to them, in order.
    pub fn leaves(&self) -> Vec<(String, &T)> {
        let mut leaves = Vec::new();
        self.visit(&mut String::new(), &mut |path, value| leaves.push((path.to_owned(), value)));
        leaves
    }

    fn visit<'a>(&'a self, path: &mut String, visit: &mut impl FnMut(&str, &'a T)) {
        match &self.0 {
            Node::Leaf(value) => visit(path, value),
            Node::Struct(members) => {
                for (i, (name, member)) in members.iter().enumerate() {
                    let parent = path.len();
                    if parent > 0 {
                        path.push('/');
                    }
                    match name {
                        Some(name) => path.push_str(name),
                        None => path.push_str(&i.to_string()),
                    }
                    member.visit(path, visit);
                    path.truncate(parent);
                }
            }
        }
    }

    /// All values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.leaves().into_iter().map(|(_, value)| value)
    }

    /// The same structure around references.
    pub fn as_ref(&self) -> Structure<&T> {
        match &self.0 {
            Node::Leaf(value) => Structure::leaf(value),
            Node::Struct(members) => Structure(Node::Struct(
                members.iter().map(|(name, member)| (name.clone(), member.as_ref())).collect(),
            )),
        }
    }

    /// The same structure around what `function` makes of the values, in order.
    pub fn map<U>(self, mut function: impl FnMut(T) -> U) -> Structure<U> {
        self.map_with(&mut function)
    }

    fn map_with<U>(self, function: &mut impl FnMut(T) -> U) -> Structure<U> {
        match self.0 {
            Node::Leaf(value) => Structure::leaf(function(value)),
            Node::Struct(members) => Structure(Node::Struct(
                members.into_iter().map(|(name, member)| (name, member.map_with(function))).collect(),
            )),
        }
    }

    /// The same structure around what `function` makes of the values here and there, in order.
    ///
    /// ```
    /// use cipherfold::federated::Structure;
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
            (Node::Struct(a), Node::Struct(b)) if a.len() == b.len() => {
                let zip = |((name, a), (other, b)): (&Member<T>, &Member<U>)| {
                    if name == other { Some((name.clone(), a.zip_nodes(b, function)?)) } else { None }
                };
                Some(Structure(Node::Struct(a.iter().zip(b).map(zip).collect::<Option<_>>()?)))
            }
            _ => None,
        }
    }

    /// The structure in the notation of its type, with `_` for every value.
    pub(super) fn outline(&self) -> String {
        self.as_ref().map(|_| '_').to_string()
    }
}

impl<T> Structure<Structure<T>> {
    /// One structure, in which the leaves' own structures stand in their places.
    pub fn flatten(self) -> Structure<T> {
        match self.0 {
            Node::Leaf(structure) => structure,
            Node::Struct(members) => Structure(Node::Struct(
                members.into_iter().map(|(name, member)| (name, member.flatten())).collect(),
            )),
        }
    }
}

impl Structure<TensorType> {
    /// Checks that an update has the tensors of the first client's, whose type this is.
    pub(super) fn check(&self, found: &Self) -> Result<()> {
        let (here, there) = (self.leaves(), found.leaves());
        if here.len() != there.len() {
            return Err(Error::TensorCount { expected: here.len(), found: there.len() });
        }
        for (tensor, ((_, expected), (_, found))) in here.into_iter().zip(there).enumerate() {
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
            Node::Struct(members) => {
                f.write_str("<")?;
                for (i, (name, member)) in members.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    if let Some(name) = name {
                        write!(f, "{name}=")?;
                    }
                    member.fmt(f)?;
                }
                f.write_str(">")
            }
        }
    }
}

/// What is written of a structure: flat, so that no reader recurses as deep as a peer has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry<T> {
    Leaf(T),
    /// So many entries follow, with all that belongs to them.
    Struct(u64),
}

type Entries<'a, T> = Vec<(Option<&'a str>, Entry<&'a T>)>;

impl<T> Structure<T> {
    fn write<'a>(&'a self, name: Option<&'a str>, entries: &mut Entries<'a, T>) {
        match &self.0 {
            Node::Leaf(value) => entries.push((name, Entry::Leaf(value))),
            Node::Struct(members) => {
                entries.push((name, Entry::Struct(members.len() as u64)));
                for (name, member) in members {
                    member.write(name.as_deref(), entries);
                }
            }
        }
    }

    fn read(entries: Vec<(Option<String>, Entry<T>)>) -> Result<Self, String> {
        // Lists that are not complete: name, members to come, members so far.
        let mut open: Vec<(Option<String>, u64, Vec<Member<T>>)> = Vec::new();
        let mut entries = entries.into_iter();
        loop {
            let (name, entry) = entries.next().ok_or("a structure that ends early")?;
            let mut member = match entry {
                Entry::Leaf(value) => (name, Self::leaf(value)),
                Entry::Struct(0) => (name, Self::tuple([])),
                Entry::Struct(members) => {
                    if open.len() == DEEPEST {
                        return Err(format!("a structure of more than {DEEPEST} levels"));
                    }
                    open.push((name, members, Vec::new()));
                    continue;
                }
            };
            // Complete as many lists as this was the last member of.
            loop {
                let Some((name, to_come, mut members)) = open.pop() else {
                    return match (member, entries.next()) {
                        ((None, structure), None) => Ok(structure),
                        _ => Err("more than one structure, or one with a name".to_owned()),
                    };
                };
                members.push(member);
                if to_come > 1 {
                    open.push((name, to_come - 1, members));
                    break;
                }
                member = (name, Self::from_members(members).map_err(|error| error.to_string())?);
            }
        }
    }
}

impl<T: Serialize> Serialize for Structure<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = Vec::new();
        self.write(None, &mut entries);
        serializer.collect_seq(entries)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Structure<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Levels of a structure that is read: more than models have, and few enough for functions that recurse.
const DEEPEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::{Scalar, Tensors};
    use ndarray::array;

    fn named<T>(members: impl IntoIterator<Item = (&'static str, Structure<T>)>) -> Structure<T> {
        Structure::named(members).unwrap()
    }

    fn model() -> Structure<u8> {
        let layer = |w: u8, b: u8| named([("w", w.into()), ("b", b.into())]);
        named([("layers", Structure::tuple([layer(1, 2), layer(3, 4)])), ("scale", 5.into())])
    }

    #[test]
    fn paths_are_names_and_places() {
        let model = model();
        let leaf = |path: &str| model.get(path).and_then(Structure::as_leaf).copied();
        assert_eq!((leaf("layers/0/w"), leaf("layers/1/b"), leaf("scale")), (Some(1), Some(4), Some(5)));
        assert_eq!((leaf("0/0/1"), leaf("1")), (Some(2), Some(5)), "places lead to named members too");
        assert_eq!(model.get(""), Some(&model));
        assert_eq!(model.get("layers/1").and_then(Structure::members).map(<[_]>::len), Some(2));
        for path in ["layer", "layers/", "layers/2", "layers/0/w/0", "/scale", "scale/", "scales", "2"] {
            assert_eq!(model.get(path), None, "{path}");
        }
        let paths: Vec<_> = model.leaves().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["layers/0/w", "layers/0/b", "layers/1/w", "layers/1/b", "scale"]);
        assert_eq!(Structure::leaf(7).leaves(), [(String::new(), &7)]);
    }

    #[test]
    fn names_may_contain_slashes_and_look_like_places() {
        let odd =
            named([("a", named([("b", 1.into())])), ("a/b", 2.into()), ("a/c", 3.into()), ("0", 4.into())]);
        let leaf = |path: &str| odd.get(path).and_then(Structure::as_leaf).copied();
        assert_eq!((leaf("a/b"), leaf("a/c"), leaf("0"), leaf("1")), (Some(1), Some(3), Some(4), Some(2)));
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
        assert_eq!(tensors.structure().to_string(), "<w=f32[2,3]>");
        assert_eq!(model().structure().to_string(), "<layers=<<w=u8,b=u8>,<w=u8,b=u8>>,scale=u8>");
        assert_eq!(Structure::<TensorType>::tuple([]).to_string(), "<>");
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
            Structure::tuple([1.into(), 2.into()]),
            named([("w", 1.into())]),
            Structure::leaf(1),
        ] {
            assert!(pair.zip_with(&other, |_, _| ()).is_err(), "{other}");
        }
    }

    #[test]
    fn parts_come_out_as_they_went_in() {
        assert_eq!(Structure::leaf(3).into_leaf(), Some(3));
        assert_eq!(Structure::leaf(3).into_members(), None);
        assert_eq!(model().into_leaf(), None);
        let members = model().into_members().unwrap();
        assert_eq!(Structure::from_members(members), Ok(model()));
        let nested = Structure::tuple([Structure::leaf(model()), Structure::leaf(Structure::leaf(9))]);
        assert_eq!(nested.flatten(), Structure::tuple([model(), 9.into()]));
    }

    #[test]
    fn updates_of_other_tensors_are_told_apart() {
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

    #[test]
    fn json_is_a_flat_list() {
        let json = r#"[[null,{"struct":2}],["x",{"struct":0}],["y",{"leaf":7}]]"#;
        let structure = named([("x", Structure::tuple([])), ("y", 7.into())]);
        assert_eq!(serde_json::to_string(&structure).unwrap(), json);
        assert_eq!(serde_json::from_str::<Structure<u8>>(json).unwrap(), structure);
    }

    #[test]
    fn what_is_no_structure_is_refused() {
        for (json, reason) in [
            ("[]", "ends early"),
            (r#"[[null,{"struct":2}],[null,{"leaf":7}]]"#, "ends early"),
            (r#"[[null,{"struct":18446744073709551615}],[null,{"leaf":7}]]"#, "ends early"),
            (r#"[[null,{"leaf":7}],[null,{"leaf":7}]]"#, "more than one"),
            (r#"[["name",{"leaf":7}]]"#, "with a name"),
            (r#"[[null,{"struct":2}],["a",{"leaf":7}],["a",{"leaf":7}]]"#, "called `a`"),
        ] {
            let error = serde_json::from_str::<Structure<u8>>(json).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn structures_from_peers_are_not_too_deep_for_the_stack() {
        let deep = |levels: usize| {
            let mut entries: Vec<(Option<String>, Entry<u8>)> = vec![(None, Entry::Struct(1)); levels];
            entries.push((None, Entry::Leaf(7)));
            postcard::to_allocvec(&entries).unwrap()
        };
        let read = |levels| postcard::from_bytes::<Structure<u8>>(&deep(levels));
        let structure = read(DEEPEST).unwrap();
        assert_eq!(structure.iter().copied().collect::<Vec<_>>(), [7]);
        assert_eq!(postcard::to_allocvec(&structure).unwrap(), deep(DEEPEST));
        assert!(read(DEEPEST + 1).is_err());
        assert!(read(1_000_000).is_err());
    }
}
