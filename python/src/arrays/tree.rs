//! Python's mappings, lists and single arrays, as structures.

use cipherfold::federated::{
    self,
    tensor::{Encoding, Structure, TensorType},
};
use pyo3::{
    prelude::*,
    types::{PyList, PyMapping, PyString, PyTuple},
};

use super::{codec::Codec, kind::numpy_name, source::Source};
use crate::error::{Own, Result};

/// The role of an object in a structure.
enum Node<'py> {
    Named(Vec<(String, Bound<'py, PyAny>)>),
    List(Vec<Bound<'py, PyAny>>),
    Leaf(Bound<'py, PyAny>),
}

impl<'py> Node<'py> {
    fn new(object: &Bound<'py, PyAny>, path: &str) -> Result<Self> {
        if let Ok(mapping) = object.cast::<PyMapping>() {
            let mut members = Vec::new();
            for item in mapping.items()?.iter() {
                let (name, member): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                let Ok(name) = name.cast::<PyString>() else {
                    let found = name.get_type().name()?.to_string();
                    return Err(Own::NameType { path: path.to_owned(), found }.into());
                };
                members.push((name.to_str()?.to_owned(), member));
            }
            return Ok(Self::Named(members));
        }
        if let Ok(list) = object.cast::<PyList>() {
            return Ok(Self::List(list.iter().collect()));
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return Ok(Self::List(tuple.iter().collect()));
        }
        Ok(Self::Leaf(object.clone()))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Named(_) => "mapping",
            Self::List(_) => "list",
            Self::Leaf(_) => "single array",
        }
    }
}

/// The path of a member.
fn within(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn check_depth(levels: usize) -> Result<()> {
    let maximum = Structure::<()>::MAX_DEPTH;
    if levels > maximum { Err(federated::tensor::Error::StructureDepth { maximum }.into()) } else { Ok(()) }
}

/// The arrays of an object, in their structure.
pub(crate) fn sources_of(object: &Bound<'_, PyAny>) -> Result<Structure<Source>> {
    sources_at(object, "", 0)
}

fn sources_at(object: &Bound<'_, PyAny>, path: &str, levels: usize) -> Result<Structure<Source>> {
    check_depth(levels)?;
    Ok(match Node::new(object, path)? {
        Node::Named(members) => {
            let read = |(name, member): (String, Bound<'_, PyAny>)| {
                let member = sources_at(&member, &within(path, &name), levels + 1)?;
                Ok((name, member))
            };
            Structure::named(members.into_iter().map(read).collect::<Result<Vec<_>>>()?)?
        }
        Node::List(members) => {
            let read = |(place, member): (usize, Bound<'_, PyAny>)| {
                sources_at(&member, &within(path, &place.to_string()), levels + 1)
            };
            Structure::tuple(members.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?)?
        }
        Node::Leaf(array) => Structure::leaf(Source::new(&array, path.to_owned())?),
    })
}

/// The types of arrays.
pub(crate) fn structure_of(sources: &Structure<Source>) -> Structure<TensorType> {
    sources.as_ref().map(Source::tensor_type)
}

/// The names of a structure's tensors, in order.
pub(crate) fn names_of<T>(structure: &Structure<T>) -> Vec<String> {
    fn collect<T>(structure: &Structure<T>, path: &str, names: &mut Vec<String>) {
        match structure.members() {
            None => names.push(path.to_owned()),
            Some(members) => {
                for (place, (name, member)) in members.iter().enumerate() {
                    let name = name.clone().unwrap_or_else(|| place.to_string());
                    collect(member, &within(path, &name), names);
                }
            }
        }
    }
    let mut names = Vec::new();
    collect(structure, "", &mut names);
    names
}

/// The arrays of an update, in the order of the declared structure. Arrays of a mapping are found
/// by name.
///
/// # Errors
///
/// [`Own::Names`], [`Own::Nesting`], [`Own::OtherDtype`], [`Own::Shape`]; those of [`Source::new`].
pub(crate) fn gather(declared: &Structure<TensorType>, object: &Bound<'_, PyAny>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    gather_at(declared, object, "", &mut sources)?;
    Ok(sources)
}

fn gather_at(
    declared: &Structure<TensorType>,
    object: &Bound<'_, PyAny>,
    path: &str,
    sources: &mut Vec<Source>,
) -> Result<()> {
    let Some(members) = declared.members() else {
        let declared = declared.as_leaf().expect("a leaf or a list");
        sources.push(leaf(declared, object, path)?);
        return Ok(());
    };
    let node = Node::new(object, path)?;
    let by_name = members.iter().all(|(name, _)| name.is_some());
    let found: Vec<(String, Bound<'_, PyAny>)> = match node {
        Node::Named(found) if by_name => found,
        Node::List(found) if !by_name || members.is_empty() => {
            found.into_iter().enumerate().map(|(place, member)| (place.to_string(), member)).collect()
        }
        node => {
            let expected = if by_name { "mapping" } else { "list" }.to_owned();
            return Err(
                Own::Nesting { path: path.to_owned(), expected, found: node.name().to_owned() }.into()
            );
        }
    };
    let expected: Vec<String> = members
        .iter()
        .enumerate()
        .map(|(place, (name, _))| name.clone().unwrap_or_else(|| place.to_string()))
        .collect();
    let found = in_order(&expected, found).map_err(|(missing, unexpected)| Own::Names {
        path: path.to_owned(),
        missing,
        unexpected,
    })?;
    for ((name, object), (_, declared)) in expected.iter().zip(found).zip(members) {
        gather_at(declared, &object, &within(path, name), sources)?;
    }
    Ok(())
}

/// Members in the order of these names, or the missing names and the unexpected ones.
fn in_order<T>(expected: &[String], found: Vec<(String, T)>) -> Result<Vec<T>, (Vec<String>, Vec<String>)> {
    let mut by_name: std::collections::HashMap<String, T> = found.into_iter().collect();
    let mut members = Vec::with_capacity(expected.len());
    let mut missing = Vec::new();
    for name in expected {
        match by_name.remove(name) {
            Some(member) => members.push(member),
            None => missing.push(name.clone()),
        }
    }
    if missing.is_empty() && by_name.is_empty() {
        return Ok(members);
    }
    let mut unexpected: Vec<String> = by_name.into_keys().collect();
    unexpected.sort();
    Err((missing, unexpected))
}

/// An array of the declared type and shape.
fn leaf(declared: &TensorType, object: &Bound<'_, PyAny>, path: &str) -> Result<Source> {
    if let node @ (Node::Named(_) | Node::List(_)) = Node::new(object, path)? {
        let (expected, found) = ("single array".to_owned(), node.name().to_owned());
        return Err(Own::Nesting { path: path.to_owned(), expected, found }.into());
    }
    let source = Source::new(object, path.to_owned())?;
    if source.kind().travels_as() != declared.dtype {
        return Err(Own::OtherDtype {
            array: path.to_owned(),
            expected: numpy_name(declared.dtype).to_owned(),
            found: source.kind().name().to_owned(),
        }
        .into());
    }
    if source.shape() != declared.shape {
        let lengths = |shape: &[usize]| shape.iter().map(|length| *length as u64).collect();
        return Err(Own::Shape {
            array: path.to_owned(),
            expected: lengths(&declared.shape),
            found: lengths(source.shape()),
        }
        .into());
    }
    Ok(source)
}

/// The encoding of each tensor, from one codec for all, or from codecs in the structure of the
/// tensors.
///
/// # Errors
///
/// [`Own::Codecs`], [`Own::CodecType`].
pub(crate) fn codecs_for(
    structure: &Structure<TensorType>,
    codecs: &Bound<'_, PyAny>,
) -> Result<Vec<Encoding>> {
    let mut encodings = Vec::new();
    codecs_at(structure, codecs, "", &mut encodings)?;
    Ok(encodings)
}

fn codecs_at(
    structure: &Structure<TensorType>,
    codecs: &Bound<'_, PyAny>,
    path: &str,
    encodings: &mut Vec<Encoding>,
) -> Result<()> {
    // One codec is for all arrays below it.
    if let Ok(codec) = codecs.extract::<Codec<'_>>() {
        let encoding = codec.encoding();
        encodings.extend(structure.iter().map(|_| encoding));
        return Ok(());
    }
    let node = Node::new(codecs, path)?;
    let (Some(members), found) = (
        structure.members(),
        match node {
            Node::Named(found) => found,
            Node::List(found) => {
                found.into_iter().enumerate().map(|(place, codec)| (place.to_string(), codec)).collect()
            }
            Node::Leaf(_) => return Err(no_codec(path, codecs)),
        },
    ) else {
        return Err(no_codec(path, codecs));
    };
    let expected: Vec<String> = members
        .iter()
        .enumerate()
        .map(|(place, (name, _))| name.clone().unwrap_or_else(|| place.to_string()))
        .collect();
    let found = in_order(&expected, found).map_err(|(missing, unexpected)| Own::Codecs {
        path: path.to_owned(),
        missing,
        unexpected,
    })?;
    for ((name, codecs), (_, structure)) in expected.iter().zip(found).zip(members) {
        codecs_at(structure, &codecs, &within(path, name), encodings)?;
    }
    Ok(())
}

fn no_codec(path: &str, found: &Bound<'_, PyAny>) -> crate::error::Error {
    let found = found.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string());
    Own::CodecType { path: path.to_owned(), found }.into()
}
