//! The format of a case file: a list of objects, one for each case.
//!
//! A case has the fields of [`Case`], and those of its operation. Any other field is refused.

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Map, Value as Json};

use crate::{
    number::Tolerance,
    refusal::{Rule, Stop, not_understood},
    types::{Dtype, Placement, Shape, Type},
    value::{self, Tensor, Tree},
};

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    pub op: String,
    pub r#type: Option<Type>,
    /// The same as `type`, if it is a single tensor.
    dtype: Option<Dtype>,
    shape: Option<Vec<usize>>,
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
    // These are for people.
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "source")]
    _source: Option<IgnoredAny>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
    /// The fields of the operation.
    #[serde(flatten)]
    fields: Map<String, Json>,
}

impl Case {
    pub fn read(json: &Json) -> Result<Self, Stop> {
        let case: Self = serde_json::from_value(json.clone()).map_err(not_understood)?;
        if case.expect.is_some() == case.expect_error.is_some() {
            return Err(not_understood("one of `expect` and `expect_error` is needed"));
        }
        if case.message_contains.is_some() && case.expect_error.is_none() {
            return Err(not_understood("a message without an error"));
        }
        if case.expect_measurements.is_some() && case.expect.is_none() {
            return Err(not_understood("measurements without an answer"));
        }
        let leaf = case.r#type.as_ref().and_then(|found| found.member.as_leaf());
        let dtype = case.dtype.is_none_or(|dtype| leaf.is_some_and(|leaf| leaf.dtype == dtype));
        let shape = case.shape.as_ref().is_none_or(|shape| leaf.is_some_and(|leaf| leaf.shape == *shape));
        if !dtype || !shape {
            return Err(not_understood("`dtype` or `shape` contradicts the type"));
        }
        Ok(case)
    }

    /// The fields of the operation, as a tuple: those that it needs, and others. There must be no
    /// further ones.
    pub fn fields<F: DeserializeOwned>(&self, needed: &[&str], others: &[&str]) -> Result<F, Stop> {
        let names = [needed, others].concat();
        if let Some(unknown) = self.fields.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(not_understood(format!("the field `{unknown}` of `{}`", self.op)));
        }
        let field = |name: &&str| self.fields.get(*name).cloned().unwrap_or_default();
        if let Some(missing) = needed.iter().find(|name| field(name).is_null()) {
            return Err(not_understood(format!("no `{missing}`")));
        }
        let refuse = |error| not_understood(format!("`{}` of `{}`: {error}", names.join("`, `"), self.op));
        serde_json::from_value(names.iter().map(field).collect()).map_err(refuse)
    }

    /// Checks that the operation has no fields.
    pub fn no_fields(&self) -> Result<(), Stop> {
        self.fields::<[Json; 0]>(&[], &[]).map(drop)
    }

    fn type_of(&self) -> Result<&Type, Stop> {
        self.r#type.as_ref().ok_or_else(|| not_understood("no `type`"))
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
            None => found.placement.or(Some(Placement::Clients)),
            Some(json) => serde_json::from_value(json.clone()).map_err(not_understood)?,
        };
        if placement == Some(Placement::Clients) { Ok(&found.member) } else { Err(Rule::NotAtClients.into()) }
    }

    /// The clients' values, if there are clients.
    pub fn clients(&self) -> Result<Option<Vec<Tree>>, Stop> {
        let shape = self.member()?;
        self.clients.as_ref().map(|json| list("clients", json, shape)).transpose()
    }

    /// The clients' values, as they are in the case.
    pub fn client_lists(&self) -> Result<Vec<Json>, Stop> {
        let list = self.clients.as_ref().and_then(Json::as_array);
        list.cloned().ok_or_else(|| not_understood("`clients` is no list"))
    }

    pub fn needed_clients(&self) -> Result<Vec<Tree>, Stop> {
        self.clients()?.ok_or_else(|| not_understood("no `clients`"))
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
        self.num_clients.clone().map(serde_json::from_value).transpose().map_err(not_understood)
    }

    pub fn tolerance(&self) -> Tolerance {
        let [absolute, relative] = [self.tolerance, self.tolerance_rel].map(Option::unwrap_or_default);
        Tolerance { absolute, relative }
    }
}

/// A value of this type.
pub fn value(field: &str, json: &Json, shape: &Shape) -> Result<Tree, Stop> {
    value::read(json, shape).ok_or_else(|| not_understood(format!("`{field}`: {json} is no {shape}")))
}

/// A list of values of this type.
pub fn list(field: &str, json: &Json, shape: &Shape) -> Result<Vec<Tree>, Stop> {
    let list = json.as_array().ok_or_else(|| not_understood(format!("`{field}` is no list")))?;
    list.iter().map(|json| value(field, json, shape)).collect()
}

/// The objects of a case file.
pub fn read_file(text: &str) -> Result<Vec<Json>, String> {
    serde_json::from_str(text).map_err(|error| format!("no case file: {error}"))
}
