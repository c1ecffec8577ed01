//! Structures in serde's formats. They are flat, so that the nesting in a format does not grow with
//! the depth of a structure.

use core::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
    ser::SerializeSeq,
};

use super::{List, Member, Node, Structure};

/// One entry of the encoded list.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry<T> {
    Leaf(T),
    /// A list with this number of members. They follow, each with all of its entries.
    Struct(u64),
}

impl<T> Structure<T> {
    /// Number of leaves and lists, this one included.
    fn entries(&self) -> usize {
        match &self.0 {
            Node::Leaf(_) => 1,
            Node::Struct(List { members, .. }) => {
                1 + members.iter().map(|(_, member)| member.entries()).sum::<usize>()
            }
        }
    }
}

impl<T: Serialize> Structure<T> {
    fn write<S: SerializeSeq>(&self, name: Option<&str>, entries: &mut S) -> Result<(), S::Error> {
        match &self.0 {
            Node::Leaf(value) => entries.serialize_element(&(name, Entry::Leaf(value))),
            Node::Struct(List { members, .. }) => {
                entries.serialize_element(&(name, Entry::<&T>::Struct(members.len() as u64)))?;
                members.iter().try_for_each(|(name, member)| member.write(name.as_deref(), entries))
            }
        }
    }
}

impl<T: Serialize> Serialize for Structure<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(Some(self.entries()))?;
        self.write(None, &mut entries)?;
        entries.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Structure<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Structure<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a structure as a flat list of its leaves and lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Structure<T>, A::Error> {
        let mut reader = Reader { open: Vec::new(), whole: None };
        while let Some((name, entry)) = entries.next_element()? {
            reader.push(name, entry).map_err(A::Error::custom)?;
        }
        reader.whole.ok_or_else(|| A::Error::custom("the structure ends early"))
    }
}

/// A structure that is being read.
struct Reader<T> {
    /// Incomplete lists, outermost first.
    open: Vec<Open<T>>,
    whole: Option<Structure<T>>,
}

struct Open<T> {
    name: Option<String>,
    /// Number of members to come.
    missing: u64,
    members: Vec<Member<T>>,
}

impl<T> Reader<T> {
    fn push(&mut self, name: Option<String>, entry: Entry<T>) -> Result<(), String> {
        if self.whole.is_some() || (self.open.is_empty() && name.is_some()) {
            return Err("there is more than one structure, or one with a name".to_owned());
        }
        let mut member = match entry {
            Entry::Leaf(value) => (name, Structure::leaf(value)),
            Entry::Struct(missing) => {
                // A structure that is too deep is refused before its leaves are read.
                if self.open.len() == Structure::<T>::MAX_DEPTH {
                    return Err(format!("the structure has more than {} levels", Structure::<T>::MAX_DEPTH));
                }
                if missing > 0 {
                    self.open.push(Open { name, missing, members: Vec::new() });
                    return Ok(());
                }
                (name, Structure::from_members([]).map_err(|error| error.to_string())?)
            }
        };
        // The last member completes its list, which may complete the list around it, and so on.
        while let Some(mut list) = self.open.pop() {
            list.members.push(member);
            list.missing -= 1;
            if list.missing > 0 {
                self.open.push(list);
                return Ok(());
            }
            member = (list.name, Structure::from_members(list.members).map_err(|error| error.to_string())?);
        }
        self.whole = Some(member.1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<T>(members: impl IntoIterator<Item = (&'static str, Structure<T>)>) -> Structure<T> {
        Structure::named(members).unwrap()
    }

    #[test]
    fn json_is_a_flat_list() {
        let json = r#"[[null,{"struct":2}],["x",{"struct":0}],["y",{"leaf":7}]]"#;
        let structure = named([("x", Structure::tuple([]).unwrap()), ("y", 7.into())]);
        assert_eq!(serde_json::to_string(&structure).unwrap(), json);
        assert_eq!(serde_json::from_str::<Structure<u8>>(json).unwrap(), structure);
    }

    #[test]
    fn texts_of_other_shapes_are_refused() {
        for (json, reason) in [
            ("[]", "ends early"),
            (r#"[[null,{"struct":2}],[null,{"leaf":7}]]"#, "ends early"),
            (r#"[[null,{"struct":18446744073709551615}],[null,{"leaf":7}]]"#, "ends early"),
            (r#"[[null,{"leaf":7}],[null,{"leaf":7}]]"#, "more than one"),
            (r#"[["name",{"leaf":7}]]"#, "with a name"),
            (r#"[["name",{"struct":0}]]"#, "with a name"),
            (r#"[[null,{"struct":2}],["a",{"leaf":7}],["a",{"leaf":7}]]"#, "called `a`"),
        ] {
            let error = serde_json::from_str::<Structure<u8>>(json).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    /// The entries of lists of one member each, around a leaf or an empty list.
    fn chain(levels: usize, last: Entry<u8>) -> Vec<(Option<String>, Entry<u8>)> {
        let mut entries = vec![(None, Entry::Struct(1)); levels];
        entries.push((None, last));
        entries
    }

    #[test]
    fn every_format_has_the_maximum_depth_of_structures() {
        const MAX: usize = Structure::<u8>::MAX_DEPTH;
        for (levels, last, fits) in [
            (MAX, Entry::Leaf(7), true),
            (MAX + 1, Entry::Leaf(7), false),
            (MAX - 1, Entry::Struct(0), true),
            (MAX, Entry::Struct(0), false),
            (1_000_000, Entry::Leaf(7), false),
        ] {
            let entries = chain(levels, last);
            let (bytes, json) =
                (postcard::to_allocvec(&entries).unwrap(), serde_json::to_string(&entries).unwrap());
            let from_bytes = postcard::from_bytes::<Structure<u8>>(&bytes);
            let from_json = serde_json::from_str::<Structure<u8>>(&json);
            assert_eq!((from_bytes.is_ok(), from_json.is_ok()), (fits, fits), "{levels}");
            if let (Ok(structure), Ok(same)) = (from_bytes, from_json) {
                assert_eq!((structure.depth(), &structure), (MAX, &same));
                assert_eq!(postcard::to_allocvec(&structure).unwrap(), bytes);
                assert_eq!(serde_json::to_string(&structure).unwrap(), json);
            }
        }
    }
}
