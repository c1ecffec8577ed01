//! Changes after which a case must fail.

use serde_json::{Value as Json, json};

use crate::case::Case;

/// The changed case, or `None` if the change does not apply.
type Mutation = fn(&Json) -> Option<Json>;

pub const MUTATIONS: [(&str, Mutation); 7] = [
    ("another answer", |case| {
        let tolerance = Case::read(case).ok()?.tolerance();
        let by = |x: f64| (1.0 + 10.0 * tolerance.absolute).max((0.01 + 10.0 * tolerance.relative) * x.abs());
        let expected = stated(case, "expect")?;
        // An empty tensor has no element to change.
        let other = Some(changed(expected, &by)).filter(|other| other != expected)?;
        Some(with(case, "expect", other))
    }),
    ("another name of an error", |case| {
        let name = match stated(case, "expect_error")?.as_str()? {
            "ValueError" | "InvalidArgument" | "RuntimeError" => "TypeError",
            _ => "ValueError",
        };
        Some(with(case, "expect_error", json!(name)))
    }),
    ("an answer instead of an error", |case| {
        stated(case, "expect_error")?;
        let answer = with(case, "expect", json!(123_456));
        Some(with(&with(&answer, "expect_error", Json::Null), "message_contains", Json::Null))
    }),
    ("an error instead of an answer", |case| {
        stated(case, "expect")?;
        let error = with(case, "expect_error", json!("UnsupportedDTypeError"));
        Some(with(&with(&error, "expect", Json::Null), "expect_measurements", Json::Null))
    }),
    ("other measurements", |case| {
        let measurements = changed(stated(case, "expect_measurements")?, &|_| 1.0);
        Some(with(case, "expect_measurements", measurements))
    }),
    ("a field that is not known", |case| Some(with(case, "unheard_of", json!(1)))),
    ("an operation that is not known", |case| {
        Some(with(case, "op", json!(format!("{}_", case["op"].as_str()?))))
    }),
];

/// A field that is neither missing nor null.
fn stated<'c>(case: &'c Json, field: &str) -> Option<&'c Json> {
    case.get(field).filter(|json| !json.is_null())
}

fn with(case: &Json, field: &str, json: Json) -> Json {
    let mut case = case.clone();
    case[field] = json;
    case
}

/// Increases every number and changes every text.
fn changed(json: &Json, by: &dyn Fn(f64) -> f64) -> Json {
    match json {
        Json::Array(list) => list.iter().map(|json| changed(json, by)).collect(),
        Json::Object(map) => map.iter().map(|(name, json)| (name.clone(), changed(json, by))).collect(),
        Json::String(text) => {
            let other = text.replace("32", "8").replace("64", "8");
            json!(if other == *text { format!("not {text}") } else { other })
        }
        json => match (json.as_i64(), json.as_f64()) {
            (Some(x), _) => json!(x + by(x as f64).ceil() as i64),
            (None, Some(x)) => json!(x + by(x)),
            (None, None) => json!(!json.as_bool().unwrap_or_default()),
        },
    }
}
