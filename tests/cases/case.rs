//! The format of a case file: a list of objects, one for each case.
//!
//! A case has the fields of [`Case`], and those of its operation. Any other field is refused.

use cipherfold::federated::{
    Error, Member,
    tensor::{PerTensor, Structure},
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Map, Value as Json};

use crate::{
    number::Tolerance,
    refusal::{Rule, Stop},
    types::{Dtype, Leaf, Placement, Shape, Type},
    value::{self, Tensor, Tree},
};

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    #[serde(rename = "id")]
    _id: String,
    pub op: String,
    pub r#type: Option<Type>,
    /// The same as `type`, if it is a single tensor.
    dtype: Option<Dtype>,
    shape: Option<Vec<Option<usize>>>,
    pub clients: Option<Json>,
    pub num_clients: Option<Json>,
    pub expect: Option<Json>,
    pub expect_error: Option<String>,
    pub message_contains: Option<String>,
    pub expect_measurements: Option<Json>,
    tolerance: Option<f64>,
    tolerance_rel: Option<f64>,
    /// Whether it is about types, and has no data.
    #[serde(rename = "static")]
    pub is_static: Option<bool>,
    /// Whether it is one of the prototype's own tests.
    pub seed: Option<bool>,
    /// Whether there is no test upstream.
    #[serde(rename = "derived")]
    _derived: Option<bool>,
    #[serde(rename = "source")]
    _source: Option<IgnoredAny>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
    /// The fields of the operation.
    #[serde(flatten)]
    fields: Map<String, Json>,
}

/// The objects of a case file.
pub fn read_file(text: &str) -> Result<Vec<Json>, String> {
    serde_json::from_str(&quoted(text)).map_err(|error| format!("no case file: {error}"))
}

impl Case {
    pub fn read(json: &Json) -> Result<Self, Stop> {
        let case: Self = serde_json::from_value(json.clone()).map_err(Stop::not_understood)?;
        if case.expect.is_some() == case.expect_error.is_some() {
            return Err(Stop::not_understood("one of `expect` and `expect_error` is needed"));
        }
        if case.message_contains.is_some() && case.expect_error.is_none() {
            return Err(Stop::not_understood("a message without an error"));
        }
        if case.expect_measurements.is_some() && case.expect.is_none() {
            return Err(Stop::not_understood("measurements without an answer"));
        }
        Ok(case)
    }

    /// The fields of the operation, as a tuple. There must be no others.
    pub fn fields<F: DeserializeOwned>(&self, names: &[&str]) -> Result<F, Stop> {
        if let Some(unknown) = self.fields.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(Stop::not_understood(format!("the field `{unknown}` of `{}`", self.op)));
        }
        let values = names.iter().map(|name| self.fields.get(*name).cloned().unwrap_or_default()).collect();
        let refuse =
            |error| Stop::not_understood(format!("`{}` of `{}`: {error}", names.join("`, `"), self.op));
        serde_json::from_value(values).map_err(refuse)
    }

    /// Checks that the operation has no fields.
    pub fn no_fields(&self) -> Result<(), Stop> {
        self.fields::<[Json; 0]>(&[]).map(drop)
    }

    pub fn is_seed(&self) -> bool {
        self.seed == Some(true)
    }

    /// The type. `dtype` and `shape` must agree with it.
    pub fn type_of(&self) -> Result<&Type, Stop> {
        let found = self.r#type.as_ref().ok_or_else(|| Stop::not_understood("no `type`"))?;
        let leaf = found.member.as_leaf();
        let dtype = self.dtype.is_none_or(|dtype| leaf.is_some_and(|leaf| leaf.dtype == dtype));
        let shape = self.shape.as_ref();
        if dtype && shape.is_none_or(|shape| leaf.is_some_and(|leaf| leaf.shape == *shape)) {
            return Ok(found);
        }
        Err(Stop::not_understood(format!("`dtype` or `shape` contradicts the type {found}")))
    }

    /// The type of one client's value.
    pub fn member(&self) -> Result<&Shape, Stop> {
        Ok(&self.type_of()?.member)
    }

    /// The type of one client's value. The values must be at the clients if `value_placement` or the
    /// type states a place. `value_placement` may be null.
    pub fn member_at_clients(&self) -> Result<&Shape, Stop> {
        let found = self.type_of()?;
        let placement = match self.fields.get("value_placement") {
            None => found.placement.unwrap_or(Placement::Clients),
            Some(json) => {
                let stated: Option<Placement> =
                    serde_json::from_value(json.clone()).map_err(Stop::not_understood)?;
                stated.ok_or(Rule::NotAtClients)?
            }
        };
        if placement == Placement::Clients { Ok(&found.member) } else { Err(Rule::NotAtClients.into()) }
    }

    /// The clients' values, if there are clients.
    pub fn clients(&self) -> Result<Option<Vec<Tree>>, Stop> {
        let shape = self.member()?;
        self.clients.as_ref().map(|json| list("clients", json, shape)).transpose()
    }

    pub fn needed_clients(&self) -> Result<Vec<Tree>, Stop> {
        self.clients()?.ok_or_else(|| Stop::not_understood("no `clients`"))
    }

    /// The clients' values, or zeros of one client for a case that is about types.
    pub fn clients_or_zeros(&self) -> Result<Vec<Tree>, Stop> {
        Ok(self.clients()?.unwrap_or(vec![self.zeros()?]))
    }

    /// Zeros of the type of one client's value.
    pub fn zeros(&self) -> Result<Tree, Stop> {
        Ok(self.member()?.as_ref().map(Tensor::zeros))
    }

    /// The number of clients, if it is stated.
    pub fn num_clients(&self) -> Result<Option<u32>, Stop> {
        let count = |json: &Json| json.as_u64().and_then(|count| count.try_into().ok());
        let refuse = |json| Stop::not_understood(format!("`num_clients` is {json}"));
        self.num_clients.as_ref().map(|json| count(json).ok_or_else(|| refuse(json))).transpose()
    }

    pub fn tolerance(&self) -> Tolerance {
        let [absolute, relative] = [self.tolerance, self.tolerance_rel].map(Option::unwrap_or_default);
        Tolerance { absolute, relative }
    }
}

/// A value of this type.
pub fn value(field: &str, json: &Json, shape: &Shape) -> Result<Tree, Stop> {
    let refuse = || Stop::not_understood(format!("`{field}`: {json} is no {shape}"));
    value::read(json, shape).ok_or_else(refuse)
}

/// A list of values of this type.
pub fn list(field: &str, json: &Json, shape: &Shape) -> Result<Vec<Tree>, Stop> {
    let list = json.as_array().ok_or_else(|| Stop::not_understood(format!("`{field}` is no list")))?;
    list.iter().map(|json| value(field, json, shape)).collect()
}

/// A parameter: one for all leaves of a type, or one for each. It may be placed.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Parameter {
    Placed { at: Placement, value: Json },
    Unplaced(Json),
}

impl Parameter {
    pub fn placement(&self) -> Option<Placement> {
        if let Self::Placed { at, .. } = self { Some(*at) } else { None }
    }

    /// Reads `3`, `[3, [4, 5]]` or `{"a": 3, "b": 4}`. Members of a list take the type's names at
    /// their positions.
    pub fn per_tensor(&self, shape: &Shape) -> Result<PerTensor<Json>, Stop> {
        let (Self::Placed { value, .. } | Self::Unplaced(value)) = self;
        Ok(match value {
            Json::Array(_) | Json::Object(_) => {
                let refuse = |error| Stop::not_understood(format!("the parameter {value}: {error}"));
                PerTensor::Nested(structure(value, Some(shape)).map_err(refuse)?)
            }
            json => PerTensor::All(json.clone()),
        })
    }
}

fn structure(json: &Json, like: Option<&Shape>) -> Result<Structure<Json>, Error> {
    let types = like.and_then(Structure::members).unwrap_or_default();
    let members: Vec<(Option<&str>, &Json, Option<&Member<Leaf>>)> = match json {
        Json::Array(list) => {
            let types = if types.len() == list.len() { types } else { &[] };
            let names = |i| types.get(i).and_then(|(name, _): &Member<Leaf>| name.as_deref());
            list.iter().enumerate().map(|(i, json)| (names(i), json, types.get(i))).collect()
        }
        Json::Object(map) => {
            // In the type's order, because JSON's order has no meaning; then members that the type
            // does not have.
            let position = |name: &str| types.iter().position(|(other, _)| other.as_deref() == Some(name));
            let mut named: Vec<_> = map.iter().map(|(name, json)| (position(name), name, json)).collect();
            named.sort_by_key(|(position, ..)| position.unwrap_or(usize::MAX));
            let member = |(i, name, json): (Option<usize>, _, _)| (Some(name), json, i.map(|i| &types[i]));
            named.into_iter().map(|(i, name, json)| member((i, name.as_str(), json))).collect()
        }
        json => return Ok(Structure::leaf(json.clone())),
    };
    let member = |(name, json, like): (Option<&str>, &Json, Option<&Member<Leaf>>)| {
        Ok::<_, Error>((name.map(str::to_owned), structure(json, like.map(|(_, shape)| shape))?))
    };
    Structure::from_members(members.into_iter().map(member).collect::<Result<Vec<_>, _>>()?)
}

/// The parameters with a function applied to each.
pub fn try_map<P: Clone, Q, E>(
    parameter: &PerTensor<P>,
    mut function: impl FnMut(P) -> Result<Q, E>,
) -> Result<PerTensor<Q>, E> {
    Ok(match parameter.clone() {
        PerTensor::All(value) => PerTensor::All(function(value)?),
        PerTensor::Each(values) => {
            PerTensor::Each(values.into_iter().map(function).collect::<Result<_, _>>()?)
        }
        PerTensor::Nested(values) => PerTensor::Nested(values.try_map(function)?),
    })
}

/// All parameters: one for all leaves, or one for each.
pub fn values<P>(parameter: &PerTensor<P>) -> Vec<&P> {
    match parameter {
        PerTensor::All(value) => vec![value],
        PerTensor::Each(values) => values.iter().collect(),
        PerTensor::Nested(values) => values.iter().collect(),
    }
}

/// The parameter of the leaf with this index, if there is one.
pub fn of_leaf<P>(parameter: &PerTensor<P>, place: usize) -> Option<&P> {
    match parameter {
        PerTensor::All(value) => Some(value),
        each => values(each).get(place).copied(),
    }
}

/// Quotes `NaN` and `Infinity`. Python writes them, although JSON has neither.
fn quoted(text: &str) -> String {
    let mut in_string = false;
    let part = |part: &str| {
        if in_string {
            in_string = !part.ends_with('"') || part.ends_with("\\\"");
            return part.to_owned();
        }
        in_string = part.ends_with('"');
        part.replace("-Infinity", "\"-inf\"").replace("Infinity", "\"inf\"").replace("NaN", "\"nan\"")
    };
    text.split_inclusive('"').map(part).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A case with some fields more, or with other ones.
    fn read(fields: Json) -> Result<Case, Stop> {
        let mut case = json!({"id": "a", "op": "x", "type": "int32[2]", "expect": 1, "extra": 1});
        for (name, json) in fields.as_object().unwrap() {
            case[name] = json.clone();
        }
        Case::read(&case)
    }

    #[test]
    fn pythons_numbers_are_read() {
        let text = r#"[{"id": "NaN \" NaN", "expect": [NaN, -Infinity, Infinity, "Infinity"]}]"#;
        let case = &read_file(text).unwrap()[0];
        assert_eq!(*case, json!({"id": "NaN \" NaN", "expect": ["nan", "-inf", "inf", "Infinity"]}));
        assert!(read_file("{}").is_err());
    }

    #[test]
    fn unknown_fields_and_incomplete_cases_are_refused() {
        let case = read(json!({"note": "prose", "dtype": "int32", "shape": [2]})).unwrap();
        assert!(case.type_of().is_ok());
        assert_eq!(case.fields(&["extra", "other"]), Ok((1, None::<u32>)));
        assert!(case.fields::<(u32, u32)>(&["extra", "other"]).is_err());
        assert_eq!(case.no_fields(), Err(Stop::not_understood("the field `extra` of `x`")));
        for wrong in [
            json!({"expect": null}),
            json!({"expect_error": "TypeError"}),
            json!({"message_contains": "y"}),
            json!({"expect": null, "expect_error": "TypeError", "expect_measurements": {}}),
            json!({"seed": "yes"}),
            json!({"type": "int33"}),
            json!({"id": null}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        for contradiction in [json!({"dtype": "int64"}), json!({"shape": [3]}), json!({"shape": []})] {
            assert!(read(contradiction.clone()).unwrap().type_of().is_err(), "{contradiction}");
        }
    }

    #[test]
    fn parameters_follow_the_structure_of_the_type() {
        let shape = Type::try_from("<a=int32[3],b=<int32,c=int32>>".to_owned()).unwrap().member;
        let read = |json: Json| {
            let parameter: Parameter = serde_json::from_value(json).unwrap();
            match parameter.per_tensor(&shape).unwrap() {
                PerTensor::Nested(each) => (parameter.placement(), each.to_string()),
                one => (parameter.placement(), format!("{one:?}")),
            }
        };
        for (json, expected) in [
            (json!(5), "All(Number(5))"),
            (json!([1, [2, 3]]), "<a=1,b=<2,c=3>>"),
            (json!({"b": [2, 3], "a": 1}), "<a=1,b=<2,c=3>>"),
            (json!([1, 2, 3]), "<1,2,3>"),
        ] {
            assert_eq!(read(json.clone()), (None, expected.to_owned()));
            let placed = read(json!({"at": "SERVER", "value": json}));
            assert_eq!(placed, (Some(Placement::Server), expected.to_owned()));
        }
    }
}
