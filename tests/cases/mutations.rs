//! Changes after which a case must fail.

use serde_json::{Value as Json, json};

/// The same case with other expectations: each number and text of the answer and of the measurements
/// changed alone, another kind of answer, another error.
pub fn expectations(case: &Json) -> Vec<Json> {
    let mut mutants = Vec::new();
    if let Some(name) = case["expect_error"].as_str() {
        let is_value = matches!(name, "ValueError" | "InvalidArgument" | "RuntimeError");
        mutants.push(with(case, "expect_error", json!(if is_value { "TypeError" } else { "ValueError" })));
        let answer = with(&with(case, "expect_error", Json::Null), "message_contains", Json::Null);
        mutants.push(with(&answer, "expect", json!(123_456)));
    } else {
        let error = with(&with(case, "expect", Json::Null), "expect_measurements", Json::Null);
        mutants.push(with(&error, "expect_error", json!("UnsupportedDTypeError")));
        mutants.push(with(case, "expect", json!([case["expect"], 7])));
    }
    let [absolute, relative] =
        ["tolerance", "tolerance_rel"].map(|field| case[field].as_f64().unwrap_or(0.0));
    let step = |x: f64| (1.0 + 10.0 * absolute).max((0.01 + 10.0 * relative) * x.abs());
    for field in ["expect", "expect_measurements"] {
        let mut leaves = Vec::new();
        leaves_of(&case[field], format!("/{field}"), &mut leaves);
        for leaf in leaves {
            let mut mutant = case.clone();
            let json = mutant.pointer_mut(&leaf).expect("a leaf of the case");
            *json = changed(json, step);
            mutants.push(mutant);
        }
    }
    mutants
}

/// The same case with a field or an operation that is not known.
pub fn unknown_parts(case: &Json) -> [Json; 2] {
    let op = format!("{}_", case["op"].as_str().unwrap_or_default());
    [with(case, "unheard_of", json!(1)), with(case, "op", json!(op))]
}

/// The same case with another field.
fn with(case: &Json, field: &str, json: Json) -> Json {
    let mut case = case.clone();
    case[field] = json;
    case
}

/// The paths of all numbers and texts.
fn leaves_of(json: &Json, path: String, leaves: &mut Vec<String>) {
    match json {
        Json::Null => {}
        Json::Array(list) => {
            list.iter().enumerate().for_each(|(i, json)| leaves_of(json, format!("{path}/{i}"), leaves));
        }
        Json::Object(map) => {
            map.iter().for_each(|(name, json)| leaves_of(json, format!("{path}/{name}"), leaves));
        }
        _ => leaves.push(path),
    }
}

fn changed(json: &Json, step: impl Fn(f64) -> f64) -> Json {
    match json {
        Json::String(text) => {
            let other = text.replace("32", "8").replace("64", "8");
            json!(if other == *text { format!("not {text}") } else { other })
        }
        json => match (json.as_i64(), json.as_f64()) {
            (Some(x), _) => json!(x + step(x as f64).ceil() as i64),
            (None, Some(x)) => json!(x + step(x)),
            (None, None) => json!(!json.as_bool().unwrap_or_default()),
        },
    }
}
