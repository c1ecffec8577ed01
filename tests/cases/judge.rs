//! Compares the crate's answers with the expectations of cases.

use cipherfold::federated::tensor::Structure;
use serde_json::Value as Json;

use crate::{
    format::Case,
    outcome::Verdict,
    refusal::Refusal,
    types::{Dtype, Leaf, Shape, Type},
    value::{self, Tolerance, Tree},
};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Value(Tree),
    /// One for each client, or for each round.
    List(Vec<Answer>),
    /// The type of a result.
    Type(Type),
    /// Another answer, compared as text.
    Other(Json),
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Value(tree) => value::text(tree),
            Self::List(list) => format!("[{}]", list.iter().map(Self::text).collect::<Vec<_>>().join(",")),
            Self::Type(found) => found.to_string(),
            Self::Other(json) => json.to_string(),
        }
    }

    /// The same, with integers that wrap in the types of the clients' values.
    fn wrapped(&self, shape: &Shape) -> Self {
        match self {
            Self::Value(tree) => Self::Value(value::wrapped(tree, shape)),
            Self::List(list) => Self::List(list.iter().map(|answer| answer.wrapped(shape)).collect()),
            other => other.clone(),
        }
    }

    /// The difference from the expectation, if there is one.
    fn difference(&self, expected: &Json, tolerance: Tolerance) -> Option<String> {
        let plain = || Some(format!("{} instead of {expected}", self.text()));
        match self {
            Self::Value(tree) => {
                let wide = |leaf: Leaf| match leaf.dtype.integer() {
                    Some(_) => Leaf { dtype: Dtype::I128, ..leaf },
                    None => leaf,
                };
                let shape = value::type_of(tree).map(wide);
                match value::read_expected(expected, &shape) {
                    Ok(expected) => value::difference(tree, &expected, tolerance),
                    Err(_) => plain(),
                }
            }
            Self::List(list) => match expected.as_array() {
                Some(expected) if expected.len() == list.len() => list
                    .iter()
                    .zip(expected)
                    .find_map(|(answer, expected)| answer.difference(expected, tolerance)),
                _ => plain(),
            },
            Self::Type(found) => {
                let map = expected.as_object().filter(|map| map.len() == 1);
                let stated = |name: &str| map.and_then(|map| map.get(name)).and_then(Json::as_str);
                let same = match (stated("result_type"), stated("result_dtype")) {
                    (Some(text), _) => Type::parse(text).as_ref() == Ok(found),
                    (_, Some(dtype)) => {
                        found.member.iter().count() > 0
                            && found.member.iter().all(|leaf| leaf.dtype.name() == dtype)
                    }
                    _ => false,
                };
                if same { None } else { plain() }
            }
            Self::Other(json) => {
                if json == expected {
                    None
                } else {
                    plain()
                }
            }
        }
    }
}

/// The crate's answers to a case.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) answer: Result<Answer, Refusal>,
    /// The answer of other implementations, if this crate differs on purpose.
    pub(crate) theirs: Vec<Theirs>,
    /// For each round.
    pub(crate) measurements: Option<Vec<Json>>,
}

/// The result of replaying a case.
#[derive(Clone, Debug)]
pub(crate) enum Replayed {
    Found(Found),
    /// Not supported, for this reason.
    NoMeaning(String),
}

impl From<Found> for Replayed {
    fn from(found: Found) -> Self {
        Self::Found(found)
    }
}

/// The answer of other implementations, and the reason for the difference.
#[derive(Clone, Debug)]
pub(crate) enum Theirs {
    Gives(Answer, &'static str),
    /// With one of these names.
    Refuses(&'static [&'static str], &'static str),
}

impl Found {
    /// This value, where other implementations wrap integers in the types of the clients' values.
    pub(crate) fn or_wrapped(mut self, shape: &Shape) -> Self {
        if let Ok(answer) = &self.answer {
            self.theirs.push(Theirs::Gives(answer.wrapped(shape), WRAPS));
        }
        self
    }
}

impl From<Result<Answer, Refusal>> for Found {
    fn from(answer: Result<Answer, Refusal>) -> Self {
        Self { answer, theirs: Vec::new(), measurements: None }
    }
}

impl From<Answer> for Found {
    fn from(answer: Answer) -> Self {
        Ok(answer).into()
    }
}

impl<R: Into<Refusal>> From<R> for Found {
    fn from(refusal: R) -> Self {
        Err(refusal.into()).into()
    }
}

/// Compares.
pub(crate) fn judge(case: &Case, found: &Found) -> Result<Verdict, String> {
    match case.text("expect_error")? {
        Some(name) => judge_refusal(case, found, name),
        None => judge_answer(case, found, case.need("expect")?),
    }
}

fn judge_refusal(case: &Case, found: &Found, name: &str) -> Result<Verdict, String> {
    match (&found.answer, name) {
        (Ok(_), "ContextError") if case.flag("static")? => {
            let why =
                "operations are methods of a value, and there is no context that they could be used without";
            return Ok(Verdict::NoMeaning(why.to_owned()));
        }
        (_, "NotImplementedError") if case.get("clients").is_none() => {
            let why = "there is no executor without secure sums that could be asked for one";
            return Ok(Verdict::NoMeaning(why.to_owned()));
        }
        _ => {}
    }
    let refusal = match &found.answer {
        Err(refusal) => refusal,
        Ok(answer) => {
            let theirs = found.theirs.iter().find_map(|theirs| {
                if let Theirs::Refuses(names, why) = theirs {
                    Some(why).filter(|_| names.contains(&name))
                } else {
                    None
                }
            });
            return Ok(match theirs {
                Some(why) => Verdict::Differs(format!("{name} there, {} here: {why}", answer.text())),
                None => Verdict::Failed(format!("expected {name}, found {}", answer.text())),
            });
        }
    };
    let named = refusal.is_named(name).ok_or_else(|| format!("not understood: the error name {name}"))?;
    let says = match case.text("message_contains")? {
        Some(message) => {
            refusal.says(message).ok_or_else(|| format!("not understood: the message `{message}`"))?
        }
        None => true,
    };
    Ok(if named && says { Verdict::Passed } else { Verdict::Failed(format!("expected {name}, {refusal}")) })
}

fn judge_answer(case: &Case, found: &Found, expected: &Json) -> Result<Verdict, String> {
    let tolerance = case.tolerance()?;
    if let Some(difference) = measured(case, found, tolerance)? {
        return Ok(Verdict::Failed(difference));
    }
    let (ours, difference) = match &found.answer {
        Ok(answer) => match answer.difference(expected, tolerance) {
            None => return Ok(Verdict::Passed),
            Some(difference) => (answer.text(), difference),
        },
        Err(refusal) => (refusal.to_string(), format!("expected {expected}, {refusal}")),
    };
    let theirs = found.theirs.iter().find_map(|theirs| match theirs {
        Theirs::Gives(answer, why) if answer.difference(expected, tolerance).is_none() => Some((answer, why)),
        _ => None,
    });
    Ok(match theirs {
        Some((answer, why)) => Verdict::Differs(format!("{} there, {ours} here: {why}", answer.text())),
        None => Verdict::Failed(difference),
    })
}

/// The difference from the expected measurements, if there is one. Further measurements do not
/// count.
fn measured(case: &Case, found: &Found, tolerance: Tolerance) -> Result<Option<String>, String> {
    let Some(expected) = case.get("expect_measurements") else { return Ok(None) };
    let rounds = match expected {
        Json::Array(rounds) => rounds.iter().collect(),
        round => vec![round],
    };
    let Some(measurements) =
        found.measurements.as_ref().filter(|measurements| measurements.len() == rounds.len())
    else {
        return Ok(Some(format!("no measurements of {} rounds", rounds.len())));
    };
    for (measured, expected) in measurements.iter().zip(rounds) {
        let expected = expected.as_object().ok_or("not understood: measurements that have no names")?;
        for (name, expected) in expected {
            let (Some(measured), Some(expected)) = (measurement(measured, name), value::float(expected))
            else {
                return Ok(Some(format!("no measurement `{name}` in {measured}")));
            };
            let scalar = |x| {
                Structure::leaf(value::Tensor {
                    dtype: Dtype::F64,
                    shape: Vec::new(),
                    elements: value::Elements::Floats(vec![x]),
                })
            };
            if let Some(difference) = value::difference(&scalar(measured), &scalar(expected), tolerance) {
                return Ok(Some(format!("{name}: {difference}")));
            }
        }
    }
    Ok(None)
}

/// The number of this name, at any depth.
pub(crate) fn measurement(measured: &Json, name: &str) -> Option<f64> {
    match measured {
        Json::Object(map) => match map.get(name) {
            Some(json) => value::float(json),
            None => map.values().find_map(|inner| measurement(inner, name)),
        },
        Json::Array(list) => list.iter().find_map(|inner| measurement(inner, name)),
        _ => None,
    }
}

pub(crate) const WRAPS: &str =
    "sums are exact here, in a wider type; there they wrap in the type of the values";
