//! Parameters: one for all leaves of a type, or one for each.

use cipherfold::federated::{
    Error,
    tensor::{PerTensor, Structure},
};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    refusal::Stop,
    types::{Placement, Shape},
};

/// A parameter in a case: `3`, or placed as in `{"at": "SERVER", "value": 3}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Json")]
pub struct Parameter {
    pub at: Option<Placement>,
    value: Json,
}

impl TryFrom<Json> for Parameter {
    type Error = serde_json::Error;

    fn try_from(json: Json) -> Result<Self, serde_json::Error> {
        match json.as_object().map(|map| (map.len(), map.get("at"), map.get("value"))) {
            Some((2, Some(at), Some(value))) => {
                Ok(Self { at: serde_json::from_value(at.clone())?, value: value.clone() })
            }
            _ => Ok(Self { at: None, value: json }),
        }
    }
}

impl Parameter {
    /// Reads `3`, `[3, [4, 5]]` or `{"a": 3, "b": 4}`. Members of a list take the type's names at
    /// their positions.
    pub fn per_tensor(&self, shape: &Shape) -> Result<PerTensor<Json>, Stop> {
        Ok(match &self.value {
            json @ (Json::Array(_) | Json::Object(_)) => PerTensor::Nested(structure(json, Some(shape))?),
            json => PerTensor::All(json.clone()),
        })
    }
}

fn structure(json: &Json, like: Option<&Shape>) -> Result<Structure<Json>, Error> {
    let types = like.and_then(Structure::members).unwrap_or_default();
    let at = |place: Option<usize>| place.and_then(|place| types.get(place));
    let members: Vec<(Option<String>, Option<usize>, &Json)> = match json {
        Json::Array(list) => {
            let place = |i| Some(i).filter(|_| types.len() == list.len());
            let name = |i| at(place(i)).and_then(|(name, _)| name.clone());
            list.iter().enumerate().map(|(i, json)| (name(i), place(i), json)).collect()
        }
        Json::Object(map) => {
            // In the type's order, because JSON's order has no meaning; then members that the type
            // does not have.
            let place = |name: &str| types.iter().position(|(other, _)| other.as_deref() == Some(name));
            let mut named: Vec<_> =
                map.iter().map(|(name, json)| (Some(name.clone()), place(name), json)).collect();
            named.sort_by_key(|(_, place, _)| place.unwrap_or(usize::MAX));
            named
        }
        json => return Ok(json.clone().into()),
    };
    let member =
        |(name, place, json)| Ok::<_, Error>((name, structure(json, at(place).map(|(_, shape)| shape))?));
    Ok(Structure::from_members(members.into_iter().map(member).collect::<Result<Vec<_>, Error>>()?)?)
}

/// The parameters with a function applied to each.
pub fn try_map<P, Q, E>(
    parameter: PerTensor<P>,
    mut function: impl FnMut(P) -> Result<Q, E>,
) -> Result<PerTensor<Q>, E> {
    Ok(match parameter {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Type;

    #[test]
    fn parameters_follow_the_structure_of_the_type() {
        let shape = Type::try_from("<a=int32[3],b=<int32,c=int32>>".to_owned()).unwrap().member;
        let read = |json| serde_json::from_value::<Parameter>(json).unwrap().per_tensor(&shape).unwrap();
        assert_eq!(read(json!(5)), PerTensor::All(json!(5)));
        for (json, expected) in [
            (json!([1, [2, 3]]), "<a=1,b=<2,c=3>>"),
            (json!({"b": [2, 3], "a": 1}), "<a=1,b=<2,c=3>>"),
            (json!({"z": 2, "a": 1}), "<a=1,z=2>"),
            (json!([1, 2, 3]), "<1,2,3>"),
            (json!({"at": "SERVER", "value": [1, [2, 3]]}), "<a=1,b=<2,c=3>>"),
        ] {
            let PerTensor::Nested(each) = read(json) else { panic!("a structure") };
            assert_eq!(each.to_string(), expected);
        }
        let parameter = read(json!([1, [2, 3]]));
        assert_eq!(of_leaf(&parameter, 1), Some(&json!(2)));
        assert_eq!(of_leaf(&parameter, 3), None);
    }
}
