//! Parameters: one for all leaves of a type, or one for each.

use cipherfold::federated::{
    Error,
    tensor::{PerTensor, Structure},
};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    number::Number,
    refusal::{Stop, not_understood},
    types::{Placement, Shape},
    value,
};

/// A parameter in a case: `3`, or placed as in `{"at": "SERVER", "value": 3}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Json")]
pub enum Parameter {
    Placed(Placed),
    Unplaced(Json),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    at: Placement,
    value: Json,
}

impl TryFrom<Json> for Parameter {
    type Error = serde_json::Error;

    fn try_from(json: Json) -> Result<Self, serde_json::Error> {
        let is_placed = json.get("at").is_some();
        Ok(if is_placed { Self::Placed(serde_json::from_value(json)?) } else { Self::Unplaced(json) })
    }
}

impl Parameter {
    pub fn placement(&self) -> Option<Placement> {
        if let Self::Placed(Placed { at, .. }) = self { Some(*at) } else { None }
    }

    /// Reads `3`, `[3, [4, 5]]` or `{"a": 3, "b": 4}`: in the structure of the type, with its names
    /// and in its order, if the parameter fits in it.
    pub fn per_tensor(&self, shape: &Shape) -> Result<PerTensor<Number>, Stop> {
        let (Self::Placed(Placed { value: json, .. }) | Self::Unplaced(json)) = self;
        let is_one = |json: &Json| !json.is_array() && !json.is_object();
        let like_type = || value::fit(json, shape, &|json, _| is_one(json).then(|| json.clone()));
        let found = if is_one(json) {
            PerTensor::All(json.clone())
        } else {
            PerTensor::Nested(like_type().map_or_else(|| structure(json), Ok)?)
        };
        try_map(found, |json| {
            Number::read(&json).ok_or_else(|| not_understood(format!("the parameter {json}")))
        })
    }
}

/// Lists and objects as they are.
fn structure(json: &Json) -> Result<Structure<Json>, Error> {
    Ok(match json {
        Json::Array(list) => Structure::tuple(list.iter().map(structure).collect::<Result<Vec<_>, _>>()?)?,
        Json::Object(map) => {
            let members = map.iter().map(|(name, json)| Ok::<_, Error>((name.clone(), structure(json)?)));
            Structure::named(members.collect::<Result<Vec<_>, _>>()?)?
        }
        json => json.clone().into(),
    })
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
