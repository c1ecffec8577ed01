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
#[serde(untagged, deny_unknown_fields)]
pub enum Parameter {
    Placed { at: Placement, value: Json },
    Unplaced(Json),
}

impl Parameter {
    pub fn placement(&self) -> Option<Placement> {
        if let Self::Placed { at, .. } = self { Some(*at) } else { None }
    }

    /// Reads `3`, `[3, [4, 5]]` or `{"a": 3, "b": 4}`: in the structure of the type, with its names
    /// and in its order, if the parameter fits in it. A single number is for all leaves.
    pub fn numbers(&self, shape: &Shape) -> Result<Structure<Number>, Stop> {
        let (Self::Placed { value: json, .. } | Self::Unplaced(json)) = self;
        let one = |json: &Json| Some(json).filter(|json| !json.is_array() && !json.is_object()).cloned();
        let fitting = value::fit(json, shape, &|json, _| one(json));
        let found = fitting.map_or_else(|| structure(json), Ok)?;
        found.try_map(|json| {
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

/// The parameter of the leaf with this index, if there is one.
pub fn of_leaf<P>(parameters: &Structure<P>, place: usize) -> Option<&P> {
    parameters.as_leaf().or_else(|| parameters.iter().nth(place))
}

/// Parameters for the crate.
pub fn per_tensor<P: Clone>(parameters: Structure<P>) -> PerTensor<P> {
    match parameters.as_leaf() {
        Some(parameter) => PerTensor::All(parameter.clone()),
        None => PerTensor::Nested(parameters),
    }
}
