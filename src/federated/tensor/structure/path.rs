//! The leaves of a structure, and their paths.

use core::{
    fmt::{self, Display, Write as _},
    iter, slice,
};
use std::collections::HashSet;

use super::{List, Member, Node, Structure};
use crate::printable::printable;

/// The path from a structure to one of its leaves.
///
/// `Display` is for people: it escapes control characters. [`join`](Self::join) is for
/// [`Structure::get`].
///
/// ```
/// use cipherfold::federated::tensor::{Path, Structure};
///
/// let layer = Structure::named([("w", Structure::leaf(1.5_f64)), ("b", Structure::leaf(0.5))])?;
/// let model = Structure::tuple([layer])?;
/// let largest: Option<(Path<'_>, &f64)> = model.leaves().max_by(|(_, a), (_, b)| a.total_cmp(b));
/// let (path, _) = largest.expect("the model has leaves");
/// assert_eq!(path.to_string(), "0/w");
/// assert_eq!(model.get(&path.join()).and_then(Structure::as_leaf), Some(&1.5));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path<'a>(Vec<Step<'a>>);

/// The step from a list to one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step<'a> {
    Name(&'a str),
    /// A member without a name, by its index from zero.
    Place(usize),
}

impl Path<'_> {
    /// The path in the form for [`Structure::get`]: unchanged names, with slashes between them.
    pub fn join(&self) -> String {
        let mut path = String::new();
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                path.push('/');
            }
            match step {
                Step::Name(name) => path.push_str(name),
                Step::Place(place) => write!(path, "{place}").expect("writing to a string cannot fail"),
            }
        }
        path
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&printable(&self.join()), f)
    }
}

impl<T> Structure<T> {
    /// The structure at a path. A path consists of names or indices from zero, with slashes between
    /// them, as in `layers/0/bias`.
    ///
    /// The empty path leads to this structure. Names may contain slashes. A name has precedence
    /// over an equal index.
    pub fn get(&self, path: &str) -> Option<&Self> {
        if path.is_empty() { Some(self) } else { self.find(path, &mut HashSet::new()) }
    }

    /// Several paths can lead to one member, because names may contain slashes and look like
    /// indices. `tried` contains the members already searched, each with the length of the
    /// remaining path: a second search would have the same result.
    fn find(&self, path: &str, tried: &mut HashSet<(*const Self, usize)>) -> Option<&Self> {
        let members = self.members()?;
        if !tried.insert((self, path.len())) {
            return None;
        }
        for (name, member) in members {
            let rest = name.as_deref().and_then(|name| path.strip_prefix(name));
            if let Some(found) = rest.and_then(|rest| member.follow(rest, tried)) {
                return Some(found);
            }
        }
        let (place, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        let (_, member) = members.get(number(place)?)?;
        member.follow(rest, tried)
    }

    /// Follows the rest of a path, after the step that led to this structure.
    fn follow(&self, rest: &str, tried: &mut HashSet<(*const Self, usize)>) -> Option<&Self> {
        if rest.is_empty() { Some(self) } else { self.find(rest.strip_prefix('/')?, tried) }
    }

    /// All values with their [paths](Path), in order.
    pub fn leaves(&self) -> impl Iterator<Item = (Path<'_>, &T)> {
        let mut leaves = Leaves::of(self);
        iter::from_fn(move || {
            let value = leaves.next()?;
            Some((leaves.path(), value))
        })
    }

    /// All values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        Leaves::of(self)
    }
}

/// The index in a text, if the text is its canonical form.
fn number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Iterates over the leaves.
struct Leaves<'a, T> {
    start: Option<&'a Structure<T>>,
    /// The lists around the next leaf, outermost first.
    open: Vec<Open<'a, T>>,
}

/// A list with its remaining members, and the step to the previous one.
struct Open<'a, T> {
    members: iter::Enumerate<slice::Iter<'a, Member<T>>>,
    step: Step<'a>,
}

impl<'a, T> Leaves<'a, T> {
    fn of(structure: &'a Structure<T>) -> Self {
        Self { start: Some(structure), open: Vec::new() }
    }

    /// The path to the last leaf.
    fn path(&self) -> Path<'a> {
        Path(self.open.iter().map(|open| open.step).collect())
    }

    /// The next structure, in the order of the encoded form.
    fn advance(&mut self) -> Option<&'a Structure<T>> {
        if let Some(start) = self.start.take() {
            return Some(start);
        }
        loop {
            let open = self.open.last_mut()?;
            if let Some((place, (name, member))) = open.members.next() {
                open.step = name.as_deref().map_or(Step::Place(place), Step::Name);
                return Some(member);
            }
            self.open.pop();
        }
    }
}

impl<'a, T> Iterator for Leaves<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            match &self.advance()?.0 {
                Node::Leaf(value) => return Some(value),
                Node::Struct(List { members, .. }) => {
                    self.open.push(Open { members: members.iter().enumerate(), step: Step::Place(0) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<T>(members: impl IntoIterator<Item = (&'static str, Structure<T>)>) -> Structure<T> {
        Structure::named(members).unwrap()
    }

    #[test]
    fn paths_consist_of_names_and_indices() {
        let layer = |w: u8, b: u8| named([("w", w.into()), ("b", b.into())]);
        let layers = Structure::tuple([layer(1, 2), layer(3, 4)]).unwrap();
        let model = named([("layers", layers), ("scale", 5.into())]);
        let leaf = |path: &str| model.get(path).and_then(Structure::as_leaf).copied();
        assert_eq!((leaf("layers/0/w"), leaf("layers/1/b"), leaf("scale")), (Some(1), Some(4), Some(5)));
        assert_eq!((leaf("0/0/1"), leaf("1")), (Some(2), Some(5)), "indices also lead to named members");
        assert_eq!(model.get(""), Some(&model));
        assert_eq!(model.get("layers/1").and_then(Structure::members).map(<[_]>::len), Some(2));
        for path in [
            "layer",
            "layers/",
            "layers/2",
            "layers/0/w/0",
            "/scale",
            "scale/",
            "scales",
            "2",
            "01",
            "+1",
            "/",
        ] {
            assert_eq!(model.get(path), None, "{path}");
        }
        let paths: Vec<_> = model.leaves().map(|(path, value)| (path.join(), *value)).collect();
        let expected =
            [("layers/0/w", 1), ("layers/0/b", 2), ("layers/1/w", 3), ("layers/1/b", 4), ("scale", 5)];
        assert_eq!(paths, expected.map(|(path, value)| (path.to_owned(), value)));
        let leaf = Structure::leaf(7);
        assert_eq!(
            leaf.leaves().map(|(path, value)| (path.join(), *value)).collect::<Vec<_>>(),
            [(String::new(), 7)]
        );
    }

    #[test]
    fn names_may_contain_slashes_and_look_like_indices() {
        let odd =
            named([("a", named([("b", 1.into())])), ("a/b", 2.into()), ("a/c", 3.into()), ("0", 4.into())]);
        let leaf = |path: &str| odd.get(path).and_then(Structure::as_leaf).copied();
        assert_eq!((leaf("a/b"), leaf("a/c"), leaf("0"), leaf("1")), (Some(1), Some(3), Some(4), Some(2)));
        // An empty name is a name, and a name may begin or end with a slash.
        let odd = named([("", named([("", 1.into()), ("/x/", 2.into())]))]);
        let leaf = |path: &str| odd.get(path).and_then(Structure::as_leaf).copied();
        assert_eq!((leaf("/"), leaf("//x/"), leaf("0/0"), leaf("/1")), (Some(1), Some(2), Some(1), Some(2)));
    }

    #[test]
    fn members_named_like_their_indices_are_searched_once() {
        // Each member is reached by its name and by its index, which would double the work at each
        // level.
        let mut structure = Structure::leaf(7);
        for _ in 0..Structure::<u8>::MAX_DEPTH {
            structure = named([("0", structure)]);
        }
        let path = vec!["0"; Structure::<u8>::MAX_DEPTH].join("/");
        assert_eq!(structure.get(&path), Some(&7.into()));
        assert_eq!(structure.get(&format!("{path}/0")), None);
        assert_eq!(structure.get(&path.replace('0', "1")), None);

        // The same with steps of several lengths.
        let mut structure = Structure::leaf(7);
        for _ in 0..Structure::<u8>::MAX_DEPTH {
            let members = ["0", "0/0", "0/0/0"].map(|name| (name, structure.clone()));
            structure =
                if structure.iter().count() < 100 { named(members) } else { named([("0", structure)]) };
        }
        assert_eq!(structure.get(&vec!["0"; 400].join("/")), None);
    }

    #[test]
    fn iterating_over_leaves_builds_no_paths() {
        // One name of 40,000 bytes above 20,000 leaves: paths as texts would take 800 MB.
        let leaves = Structure::tuple((0..20_000_u32).map(Structure::leaf)).unwrap();
        let structure = Structure::named([("n".repeat(40_000), leaves)]).unwrap();
        assert_eq!(structure.iter().sum::<u32>(), 199_990_000);
        let paths: Vec<_> = structure.leaves().map(|(path, _)| path).collect();
        assert!(paths.iter().all(|path| path.0.len() == 2), "names are borrowed");
        assert!(paths[19_999].join().ends_with("n/19999"));
    }

    #[test]
    fn displayed_paths_have_no_control_characters() {
        let structure = named([("a\u{1b}[2J\nb", Structure::tuple([1.into()]).unwrap())]);
        let (path, _) = structure.leaves().next().unwrap();
        assert_eq!(path.to_string(), r"a\u{1b}[2J\nb/0");
        assert_eq!(structure.get(&path.join()).and_then(Structure::as_leaf), Some(&1));
    }
}
