//! Compares the crate's answers with the expectations of cases.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    case::Case,
    number::{Number, Tolerance},
    refusal::{Refusal, Stop, not_understood},
    table::Verdict,
    types::{Dtype, Shape, Type},
    value::{self, Tree},
};

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    Value(Tree),
    /// The clients' values. A case may state them once, if all are equal.
    AtClients(Vec<Tree>),
    /// One for each client, round or run.
    List(Vec<Answer>),
    /// The type of a result at the server.
    Type(Shape),
    /// Another answer, compared as text.
    Other(Json),
}

/// An expected type, or the element type of all its leaves.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExpectedType {
    ResultType(Type),
    ResultDtype(Dtype),
}

impl Answer {
    pub fn list(values: impl IntoIterator<Item = Tree>) -> Self {
        Self::List(values.into_iter().map(Self::Value).collect())
    }

    /// Whether this is the expected answer.
    fn agrees(&self, expected: &Json, tolerance: Tolerance) -> bool {
        match self {
            Self::Value(tree) => value::agrees(tree, expected, tolerance),
            Self::AtClients(values) => {
                let one = values.first().filter(|first| values.iter().all(|value| value == *first));
                one.is_some_and(|one| value::agrees(one, expected, tolerance))
                    || Self::list(values.clone()).agrees(expected, tolerance)
            }
            Self::List(list) => expected.as_array().is_some_and(|expected| {
                list.len() == expected.len()
                    && list.iter().zip(expected).all(|(answer, json)| answer.agrees(json, tolerance))
            }),
            Self::Type(found) => match serde_json::from_value(expected.clone()) {
                Ok(ExpectedType::ResultType(expected)) => Type::at_server(found.clone()) == expected,
                Ok(ExpectedType::ResultDtype(dtype)) => value::one_dtype(found) == Some(dtype),
                Err(_) => false,
            },
            Self::Other(json) => json == expected,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Value(tree) => tree.to_string().replace('\n', "").chars().take(160).collect(),
            Self::AtClients(values) => Self::list(values.clone()).text(),
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
}

impl From<Tree> for Answer {
    fn from(tree: Tree) -> Self {
        Self::Value(tree)
    }
}

/// The crate's answer to a case.
#[derive(Clone, Debug)]
pub struct Found {
    pub answer: Result<Answer, Refusal>,
    pub differences: Vec<Difference>,
    /// For each round.
    pub measurements: Vec<Json>,
}

/// The answer of other implementations: a value, or an error with one of these names.
type There = Result<Answer, &'static [&'static str]>;

/// An intended difference: the answer of other implementations, and the reason.
#[derive(Clone, Debug)]
pub struct Difference {
    there: There,
    why: &'static str,
}

impl Difference {
    pub fn gives(value: impl Into<Answer>, why: &'static str) -> Self {
        Self { there: Ok(value.into()), why }
    }

    pub fn refuses(names: &'static [&'static str], why: &'static str) -> Self {
        Self { there: Err(names), why }
    }
}

impl Found {
    pub fn of(answer: Result<impl Into<Answer>, Refusal>) -> Self {
        Self { answer: answer.map(Into::into), differences: Vec::new(), measurements: Vec::new() }
    }

    /// The same, with answers of other implementations.
    pub fn or(mut self, differences: impl IntoIterator<Item = Difference>) -> Self {
        self.differences.extend(differences);
        self
    }

    /// The same, where other implementations wrap integers in the types of the clients' values.
    pub fn or_wrapped(self, case: &Case) -> Self {
        let wrapped = self.answer.as_ref().ok().zip(case.member().ok());
        let wrapped = wrapped.map(|(answer, shape)| Difference::gives(answer.wrapped(shape), WRAPS));
        self.or(wrapped)
    }

    /// The same, or the type of the server's result for a case about types.
    pub fn type_if_static(mut self, case: &Case) -> Result<Self, Stop> {
        if let (Ok(Answer::Value(tree)), Some(true)) = (&self.answer, case.is_static) {
            self.answer = Ok(Answer::Type(value::type_of(tree)));
            self.differences.retain(|difference| difference.there.is_err());
            return Ok(self.or([Difference::gives(Answer::Type(case.member()?.clone()), WIDER)]));
        }
        Ok(self)
    }

    /// The intended difference that a case expects, if there is one. `expected` has its text.
    fn differs(&self, expected: impl Fn(&There) -> Option<String>) -> Option<Verdict> {
        self.differences.iter().find_map(|Difference { there, why }| {
            let there = expected(there)?;
            Some(Verdict::Differs(format!("{there} there, {} here: {why}", self.text())))
        })
    }

    fn text(&self) -> String {
        self.answer.as_ref().map_or_else(Refusal::to_string, Answer::text)
    }
}

impl<A: Into<Answer>> From<A> for Found {
    fn from(answer: A) -> Self {
        Self::of(Ok(answer))
    }
}

/// Compares.
pub fn compare(case: &Case, found: &Found) -> Result<Verdict, Stop> {
    match (&case.expect, &case.expect_error) {
        (Some(expected), _) => Ok(compare_answer(case, found, expected)),
        (None, name) => compare_error(case, found, name.as_deref().unwrap_or_default()),
    }
}

fn compare_answer(case: &Case, found: &Found, expected: &Json) -> Verdict {
    let tolerance = case.tolerance();
    if let Some(difference) = other_measurement(case, found, tolerance) {
        return Verdict::Failed(difference);
    }
    if found.answer.as_ref().is_ok_and(|answer| answer.agrees(expected, tolerance)) {
        return Verdict::Passed;
    }
    let differs = found.differs(|there| {
        there.as_ref().ok().filter(|answer| answer.agrees(expected, tolerance)).map(Answer::text)
    });
    differs.unwrap_or_else(|| Verdict::Failed(format!("expected {expected}, {}", found.text())))
}

fn compare_error(case: &Case, found: &Found, name: &str) -> Result<Verdict, Stop> {
    match (&found.answer, name) {
        (Ok(_), "ContextError") if case.is_static == Some(true) => {
            Err(Stop::NoMeaning(NO_CONTEXT.to_owned()))
        }
        (_, "NotImplementedError") if case.clients.is_none() => {
            Err(Stop::NoMeaning(NO_OTHER_EXECUTOR.to_owned()))
        }
        (Ok(_), _) => {
            let refuses = |names: &&&[&str]| names.contains(&name);
            let differs =
                found.differs(|there| there.as_ref().err().filter(refuses).map(|_| name.to_owned()));
            let failed = || Verdict::Failed(format!("expected {name}, found {}", found.text()));
            Ok(differs.unwrap_or_else(failed))
        }
        (Err(refusal), _) => {
            let named = refusal.is_named(name);
            let named = named.ok_or_else(|| not_understood(format!("the error name {name}")))?;
            let said = case.message_contains.as_ref().map(|message| {
                refusal.says(message).ok_or_else(|| not_understood(format!("the message `{message}`")))
            });
            let says = said.transpose()?.unwrap_or(true);
            let failed = || Verdict::Failed(format!("expected {name}, {refusal}"));
            Ok(if named && says { Verdict::Passed } else { failed() })
        }
    }
}

/// The first difference from the expected measurements. Further measurements do not count.
fn other_measurement(case: &Case, found: &Found, tolerance: Tolerance) -> Option<String> {
    let rounds = match case.expect_measurements.as_ref()? {
        Json::Array(rounds) => rounds.iter().collect(),
        round => vec![round],
    };
    if found.measurements.len() != rounds.len() {
        return Some(format!("no measurements of {} rounds", rounds.len()));
    }
    found.measurements.iter().zip(rounds).find_map(|(measured, expected)| {
        let Some(expected) = expected.as_object() else {
            return Some(format!("not understood: {expected} are measurements without names"));
        };
        expected.iter().find_map(|(name, expected)| {
            let numbers = measurement(measured, name).zip(Number::read(expected));
            let same = numbers.is_some_and(|(a, b)| tolerance.admits(a.to_f64(), b.to_f64()));
            (!same).then(|| format!("`{name}` is {expected}, measured {measured}"))
        })
    })
}

/// The number of this name, at any depth.
fn measurement(measured: &Json, name: &str) -> Option<Number> {
    match measured {
        Json::Object(map) => match map.get(name) {
            Some(json) => Number::read(json),
            None => map.values().find_map(|inner| measurement(inner, name)),
        },
        Json::Array(list) => list.iter().find_map(|inner| measurement(inner, name)),
        _ => None,
    }
}

pub const WRAPS: &str = "sums are exact here, in a wider type; there they wrap in the type of the values";
const WIDER: &str = "in this crate, the type of a sum is wide enough";
const NO_CONTEXT: &str =
    "operations are methods of a value, and there is no context that they could be used without";
const NO_OTHER_EXECUTOR: &str = "there is no executor without secure sums that could be asked for one";
