//! The format of a case file: a list of objects, one for each case.
//!
//! Every field must be known: [`Case::check`] refuses a case with a field that its operation does
//! not know.

use cipherfold::federated::tensor::{PerTensor, Structure};
use serde_json::{Map, Value as Json};

use crate::{
    types::{Leaf, Member, Shape, Type},
    value::{self, Tolerance, Tree},
};

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) op: String,
    fields: Map<String, Json>,
}

/// Fields that any case may have. `source` and `note` are for people; `derived` means that there is
/// no test upstream.
const COMMON: [&str; 17] = [
    "id",
    "source",
    "op",
    "type",
    "dtype",
    "shape",
    "clients",
    "expect",
    "expect_error",
    "message_contains",
    "static",
    "seed",
    "derived",
    "note",
    "num_clients",
    "tolerance",
    "tolerance_rel",
];

impl Case {
    /// All cases of a file.
    pub(crate) fn read_all(text: &str) -> Result<Vec<Self>, String> {
        let list: Vec<Map<String, Json>> =
            serde_json::from_str(&quoted(text)).map_err(|error| format!("no case file: {error}"))?;
        let case = |(i, fields): (usize, Map<String, Json>)| {
            let text = |name: &str| fields.get(name).and_then(Json::as_str).map(str::to_owned);
            let id = text("id").ok_or_else(|| format!("case {i} has no id"))?;
            let op = text("op").ok_or_else(|| format!("{id} has no op"))?;
            Ok(Self { id, op, fields })
        };
        list.into_iter().enumerate().map(case).collect()
    }

    /// Checks that the case is complete, and has only the common fields and these.
    pub(crate) fn check(&self, known: &[&str]) -> Result<(), String> {
        if let Some(field) = self
            .fields
            .keys()
            .find(|field| !COMMON.contains(&field.as_str()) && !known.contains(&field.as_str()))
        {
            return Err(format!("not understood: field `{field}` of `{}`", self.op));
        }
        for flag in ["static", "seed", "derived"] {
            self.flag(flag)?;
        }
        if self.get("expect").is_some() == self.get("expect_error").is_some() {
            return Err("not understood: one of `expect` and `expect_error` is needed".to_owned());
        }
        if self.has("message_contains") && self.get("expect_error").is_none() {
            return Err("not understood: a message without an error".to_owned());
        }
        Ok(())
    }

    /// Whether the field exists, even if it is null.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// The field, unless it is null or missing.
    pub(crate) fn get(&self, field: &str) -> Option<&Json> {
        self.fields.get(field).filter(|json| !json.is_null())
    }

    pub(crate) fn need(&self, field: &str) -> Result<&Json, String> {
        self.get(field).ok_or_else(|| format!("not understood: no `{field}`"))
    }

    pub(crate) fn set(&mut self, field: &str, json: Json) {
        self.fields.insert(field.to_owned(), json);
    }

    pub(crate) fn remove(&mut self, field: &str) {
        self.fields.remove(field);
    }

    /// False if it is missing.
    pub(crate) fn flag(&self, field: &str) -> Result<bool, String> {
        match self.get(field) {
            None => Ok(false),
            Some(json) => json.as_bool().ok_or_else(|| format!("not understood: `{field}` is {json}")),
        }
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, String> {
        let text = |json: &'_ Json| format!("not understood: `{field}` is {json}");
        self.get(field).map(|json| json.as_str().ok_or_else(|| text(json))).transpose()
    }

    pub(crate) fn float(&self, field: &str) -> Result<Option<f64>, String> {
        let refuse = |json: &Json| format!("not understood: `{field}` is {json}");
        self.get(field).map(|json| value::float(json).ok_or_else(|| refuse(json))).transpose()
    }

    /// A count, if it is one.
    pub(crate) fn count(&self, field: &str) -> Result<Option<u32>, String> {
        let count = |json: &Json| value::integer(json).and_then(|count| u32::try_from(count).ok());
        let refuse = |json: &Json| format!("not understood: `{field}` is {json}");
        self.get(field).map(|json| count(json).ok_or_else(|| refuse(json))).transpose()
    }

    /// The type. `dtype` and `shape` must agree with it.
    pub(crate) fn type_of(&self) -> Result<Type, String> {
        let text = self.text("type")?.ok_or("not understood: no `type`")?;
        let found = Type::parse(text).map_err(|error| format!("not understood: {error}"))?;
        let contradiction = |field: &str| format!("not understood: `{field}` contradicts the type {text}");
        if let Some(dtype) = self.text("dtype")?
            && found.member.as_leaf().is_none_or(|leaf| leaf.dtype.name() != dtype)
        {
            return Err(contradiction("dtype"));
        }
        if let Some(shape) = self.get("shape") {
            let lengths = |leaf: &Leaf| leaf.shape.iter().map(|len| Json::from(*len)).collect::<Json>();
            if found.member.as_leaf().is_none_or(|leaf| lengths(leaf) != *shape) {
                return Err(contradiction("shape"));
            }
        }
        Ok(found)
    }

    /// The clients' values, if there are clients.
    pub(crate) fn clients(&self, shape: &Shape) -> Result<Option<Vec<Tree>>, String> {
        self.list("clients", shape)
    }

    /// A list of values, if it exists.
    pub(crate) fn list(&self, field: &str, shape: &Shape) -> Result<Option<Vec<Tree>>, String> {
        let Some(json) = self.get(field) else { return Ok(None) };
        let list = json.as_array().ok_or_else(|| format!("not understood: `{field}` is no list"))?;
        let read = |json: &Json| {
            value::read(json, shape).map_err(|error| format!("not understood: `{field}`: {error}"))
        };
        list.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// A value of this type.
    pub(crate) fn value(&self, field: &str, shape: &Shape) -> Result<Tree, String> {
        value::read(self.need(field)?, shape).map_err(|error| format!("not understood: `{field}`: {error}"))
    }

    pub(crate) fn tolerance(&self) -> Result<Tolerance, String> {
        let read = |field| self.float(field).map(Option::unwrap_or_default);
        Ok(Tolerance { absolute: read("tolerance")?, relative: read("tolerance_rel")? })
    }
}

/// A parameter: one for all leaves of a type, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// The placement, if it has one.
    pub(crate) at: Option<String>,
    pub(crate) value: PerLeaf<Json>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PerLeaf<P> {
    One(P),
    Each(Structure<P>),
}

impl Parameter {
    /// Reads `3`, `[3, [4, 5]]`, `{"a": 3, "b": 4}`, or one of these as
    /// `{"at": "SERVER", "value": …}`.
    ///
    /// Members of a list take the type's names at their positions.
    pub(crate) fn read(json: &Json, shape: &Shape) -> Result<Self, String> {
        if let Json::Object(map) = json
            && let (2, Some(Json::String(at)), Some(value)) = (map.len(), map.get("at"), map.get("value"))
        {
            return Ok(Self { at: Some(at.clone()), ..Self::read(value, shape)? });
        }
        let value = match json {
            Json::Array(_) | Json::Object(_) => PerLeaf::Each(structure(json, Some(shape))?),
            json => PerLeaf::One(json.clone()),
        };
        Ok(Self { at: None, value })
    }
}

impl<P> PerLeaf<P> {
    pub(crate) fn try_map<Q, E>(self, mut function: impl FnMut(P) -> Result<Q, E>) -> Result<PerLeaf<Q>, E> {
        match self {
            Self::One(value) => function(value).map(PerLeaf::One),
            Self::Each(structure) => {
                let mut failed = None;
                let found = structure.map(|value| function(value).map_err(|error| failed = Some(error)).ok());
                match failed {
                    Some(error) => Err(error),
                    None => Ok(PerLeaf::Each(found.map(|value| value.expect("none has failed")))),
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = &P> + '_> {
        match self {
            Self::One(value) => Box::new(core::iter::once(value)),
            Self::Each(structure) => Box::new(structure.iter()),
        }
    }
}

impl<P: Clone> PerLeaf<P> {
    /// The parameters in the form of the crate's operations: those for the leaves at these indices,
    /// or all of them in their structure.
    pub(crate) fn per_tensor(&self, places: &[usize], all: bool) -> PerTensor<P> {
        match self {
            Self::One(value) => PerTensor::All(value.clone()),
            Self::Each(structure) if all => PerTensor::Nested(structure.clone()),
            Self::Each(structure) => {
                let values: Vec<_> = structure.iter().cloned().collect();
                PerTensor::Each(places.iter().filter_map(|place| values.get(*place).cloned()).collect())
            }
        }
    }
}

fn structure(json: &Json, shape: Option<&Shape>) -> Result<Structure<Json>, String> {
    let types = shape.and_then(Structure::members);
    match json {
        Json::Array(list) => {
            let types = types.filter(|types| types.len() == list.len());
            let member = |(i, json): (usize, &Json)| {
                let like: Option<&Member> = types.map(|types| &types[i]);
                let name = like.and_then(|(name, _)| name.clone());
                Ok((name, structure(json, like.map(|(_, shape)| shape))?))
            };
            let members: Result<Vec<_>, String> = list.iter().enumerate().map(member).collect();
            Structure::from_members(members?).map_err(|error| error.to_string())
        }
        Json::Object(map) => {
            // In the type's order, because JSON's order has no meaning; then members that the type
            // does not have.
            let position = |name: &str| {
                types.and_then(|types| types.iter().position(|(other, _)| other.as_deref() == Some(name)))
            };
            let mut named: Vec<_> = map.iter().collect();
            named.sort_by_key(|(name, _)| position(name).unwrap_or(usize::MAX));
            let member = |(name, json): (&String, &Json)| {
                let like = position(name).and_then(|i| types.map(|types| &types[i].1));
                Ok((name.clone(), structure(json, like)?))
            };
            let members: Result<Vec<_>, String> = named.into_iter().map(member).collect();
            Structure::named(members?).map_err(|error| error.to_string())
        }
        json => Ok(Structure::leaf(json.clone())),
    }
}

/// Quotes `NaN` and `Infinity`. Python writes them, although JSON has neither.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(next) = rest.chars().next() {
        if !in_string
            && let Some(token) =
                ["NaN", "-Infinity", "Infinity"].iter().find(|token| rest.starts_with(**token))
        {
            quoted.extend(["\"", token, "\""]);
            rest = &rest[token.len()..];
            continue;
        }
        let escaped = in_string && next == '\\';
        if next == '"' {
            in_string = !in_string;
        }
        let taken: usize = rest.chars().take(if escaped { 2 } else { 1 }).map(char::len_utf8).sum();
        quoted.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case(json: &Json) -> Case {
        Case::read_all(&json!([json]).to_string()).unwrap().remove(0)
    }

    #[test]
    fn pythons_numbers_are_read() {
        let text = r#"[{"id": "NaN \" NaN", "op": "x", "expect": [NaN, -Infinity, Infinity, "Infinity"]}]"#;
        let case = &Case::read_all(text).unwrap()[0];
        assert_eq!(case.id, "NaN \" NaN");
        assert_eq!(case.get("expect"), Some(&json!(["NaN", "-Infinity", "Infinity", "Infinity"])));
    }

    #[test]
    fn unknown_fields_and_incomplete_cases_are_refused() {
        let known = json!({"id": "a", "op": "x", "type": "int32", "expect": 1, "note": "prose", "extra": 1});
        assert_eq!(case(&known).check(&["extra"]), Ok(()));
        assert!(case(&known).check(&[]).is_err());
        for wrong in [
            json!({"id": "a", "op": "x"}),
            json!({"id": "a", "op": "x", "expect": 1, "expect_error": "TypeError"}),
            json!({"id": "a", "op": "x", "expect": 1, "seed": "yes"}),
            json!({"id": "a", "op": "x", "expect": 1, "message_contains": "y"}),
        ] {
            assert!(case(&wrong).check(&[]).is_err(), "{wrong}");
        }
        assert!(Case::read_all("{}").is_err());
        assert!(Case::read_all(r#"[{"id": "a"}]"#).is_err());
    }

    #[test]
    fn dtype_and_shape_must_agree_with_the_type() {
        let of = |dtype: Json, shape: Json| {
            case(&json!({"id": "a", "op": "x", "type": "int32[2]", "dtype": dtype, "shape": shape}))
                .type_of()
                .is_ok()
        };
        assert!(of(json!("int32"), json!([2])));
        assert!(of(Json::Null, Json::Null));
        assert!(!of(json!("int64"), json!([2])));
        assert!(!of(json!("int32"), json!([3])));
        assert!(!of(json!("int32"), json!([])));
    }

    #[test]
    fn parameters_follow_the_structure_of_the_type() {
        let shape = Type::parse("<a=int32[3],b=<int32,c=int32>>").unwrap().member;
        let read = |json| Parameter::read(&json, &shape).unwrap();
        assert_eq!(read(json!(5)).value, PerLeaf::One(json!(5)));
        let PerLeaf::Each(each) = read(json!([1, [2, 3]])).value else { panic!("a structure") };
        assert_eq!(each.to_string(), "<a=1,b=<2,c=3>>");
        let PerLeaf::Each(each) = read(json!({"b": [2, 3], "a": 1})).value else { panic!("a structure") };
        assert_eq!(each.to_string(), "<a=1,b=<2,c=3>>");
        let PerLeaf::Each(each) = read(json!([1, 2, 3])).value else { panic!("a structure") };
        assert_eq!(each.to_string(), "<1,2,3>");
        let placed = read(json!({"at": "SERVER", "value": [1, [2, 3]]}));
        assert_eq!(placed.at.as_deref(), Some("SERVER"));
        assert_eq!(placed.value.iter().collect::<Vec<_>>(), [&json!(1), &json!(2), &json!(3)]);
    }
}
