//! Replays case files through the public API: results and errors of TensorFlow Federated (TFF) and
//! of the prototype.
//!
//! `tests/data/federated_cases.json` is transcribed from their own tests; each case names its
//! source. `tests/data/derived_cases.json` holds more cases of the same operations, computed by
//! hand, and `tests/data/failing_cases.json` cases that must fail. `CIPHERFOLD_CASES` names another
//! file of the same format, or a folder of such files, to replay in place of the first. With
//! `--nocapture`, a table shows the verdicts and their reasons.
//!
//! 1. [`Case::read`] reads a case. [`ops::replay`] finds the function of its operation. The function
//!    reads its fields, and runs the operation with the crate.
//! 2. [`Parties`] compute each answer twice, under encryption (with a short key for tests only) and
//!    in the clear. Both answers must be equal.
//! 3. The function returns a [`Found`]: the crate's answer or refusal, the measurements, and the
//!    answers of other implementations where this crate differs on purpose. It returns a [`Stop`]
//!    if this crate has no such operation, or if it does not understand the case.
//! 4. [`compare()`] compares the answer with the expectation.
//!
//! A case is replayed by its operation and its fields, never by its name. An operation, a field, a
//! type, an error name or a message that is not known fails the case, and is named. Nothing is
//! skipped.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small test numbers, and comparisons to the last bit"
)]

mod case;
mod compare;
mod expression;
mod notation;
mod number;
mod ops;
mod parameter;
mod parties;
mod refusal;
mod table;
mod types;
mod value;

use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use serde_json::{Value as Json, json};

use crate::{
    case::Case,
    compare::{Answer, Difference, Found, compare},
    parties::Parties,
    refusal::{Stop, answered},
    table::{Table, Verdict},
};

#[test]
fn all_cases_pass_or_are_accounted_for() {
    let path = env::var("CIPHERFOLD_CASES").unwrap_or_else(|_| FEDERATED_CASES.to_owned());
    let table = replay_all(&read(Path::new(&path)));
    println!("{table}");
    assert!(table.failed().is_empty(), "failed: {:?}", table.failed());
    assert!(!table.0.is_empty(), "no cases in {path}");
}

/// Values, structures, bounds and errors that the first file does not have, and all intended
/// differences.
#[test]
fn derived_cases_pass_or_are_accounted_for() {
    let table = replay_all(&read(Path::new(DERIVED_CASES)));
    assert!(table.failed().is_empty(), "{table}");
    let differing = table.0.iter().filter(|(.., verdict)| matches!(verdict, Verdict::Differs(_)));
    let operations: BTreeSet<&str> = differing.map(|(op, ..)| op.as_str()).collect();
    assert!(operations.len() > 8, "{operations:?}");
}

/// The replay detects wrong answers and unknown notations: no case passes with another expectation,
/// or with a field or an operation that is not known.
#[test]
fn changed_cases_fail() {
    for case in [FEDERATED_CASES, DERIVED_CASES].map(|path| read(Path::new(path))).concat() {
        let other_error = match case["expect_error"].as_str() {
            None => "UnsupportedDTypeError",
            Some("ValueError" | "InvalidArgument" | "RuntimeError") => "TypeError",
            Some(_) => "ValueError",
        };
        let expectation = |answer: Option<u32>, error: Option<&str>| {
            json!({
                "expect": answer,
                "expect_error": error,
                "message_contains": null,
                "expect_measurements": null,
            })
        };
        for (change, is_unknown) in [
            (json!({"unheard_of": 1}), true),
            (json!({"op": format!("{}_", case["op"])}), true),
            (expectation(Some(123_456), None), false),
            (expectation(None, Some(other_error)), false),
        ] {
            let mut changed = case.clone();
            let fields = changed.as_object_mut().expect("a case is an object");
            fields.extend(change.as_object().cloned().expect("fields"));
            let verdict = replay_all(&[changed.clone()]).0.remove(0).2;
            let fails = match &verdict {
                Verdict::Failed(why) => !is_unknown || why.contains("not understood"),
                // An operation without a meaning here has no answer.
                verdict => !is_unknown && matches!(verdict, Verdict::NoMeaning(_)),
            };
            assert!(fails, "{changed}: {verdict:?}");
        }
    }
}

/// Cases with parts that are not understood, and with wrong expectations, fail. `failure` has parts of
/// the reason.
#[test]
fn failing_cases_fail_for_their_reason() {
    for mut case in read(Path::new(FAILING_CASES)) {
        let failure = case.as_object_mut().and_then(|case| case.remove("failure")).expect("a reason");
        let failure: Vec<String> = serde_json::from_value(failure).expect("a list of texts");
        let table = replay_all(&[case.clone()]);
        let is_named = |why: &str| failure.iter().all(|part| why.contains(part));
        let (.., verdict) = &table.0[0];
        assert!(matches!(verdict, Verdict::Failed(why) if is_named(why)), "{case}: {verdict:?}");
    }
}

/// All of the prototype's own tests pass, without differences and omissions.
#[test]
fn the_prototypes_tests_pass() {
    let mut seeds = read(Path::new(FEDERATED_CASES));
    seeds.retain(|case| case["seed"] == true);
    assert!(!seeds.is_empty());
    for (_, id, verdict) in replay_all(&seeds).0 {
        assert_eq!(verdict, Verdict::Passed, "{id}");
    }
}

/// The cases of a file, or of all JSON files of a folder.
fn read(path: &Path) -> Vec<Json> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        return files.iter().flat_map(|file| read(file)).collect();
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    let cases = text.and_then(|text| case::read_file(&text));
    cases.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn replay_all(cases: &[Json]) -> Table {
    let mut table = Table::default();
    for json in cases {
        let text = |field: &str| json[field].as_str().unwrap_or("no text").to_owned();
        let verdict = || {
            let case = Case::read(json)?;
            compare(&case, &replay(&case)?)
        };
        // A panic is a failure of this case only.
        let verdict = match catch_unwind(AssertUnwindSafe(verdict)) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(Stop::NoMeaning(why))) => Verdict::NoMeaning(why),
            Ok(Err(Stop::Failed(why))) => Verdict::Failed(why),
            Ok(Err(Stop::Refused(refusal))) => Verdict::Failed(refusal.to_string()),
            Err(_) => Verdict::Failed("the replay panicked".to_owned()),
        };
        table.0.push((text("op"), text("id"), verdict));
    }
    table
}

fn replay(case: &Case) -> Result<Found, Stop> {
    // `construct_executor` tests settings: it reads them itself.
    let clients = if case.op == "construct_executor" { None } else { case.num_clients()? };
    let own = clients.filter(|clients| *clients > 0).map(|clients| Parties::of(Some(clients))).transpose()?;
    let parties = own.as_ref().unwrap_or_else(|| Parties::shared());
    let found =
        answered(ops::replay(case, parties))?.unwrap_or_else(|refusal| Found::of(Err::<Answer, _>(refusal)));
    let zeros = sum_without_clients(case, &found)?;
    found.or(zeros).or_wrapped(case).type_if_static(case)
}

/// The sum over no clients. It is zero in some of their runtimes and an error in others.
fn sum_without_clients(case: &Case, found: &Found) -> Result<Option<Difference>, Stop> {
    let refused = found.answer.as_ref().is_err_and(|refusal| refusal.is_named("RuntimeError") == Some(true));
    if !refused || case.r#type.is_none() || !["sum", "Sum"].iter().any(|sum| case.op.contains(sum)) {
        return Ok(None);
    }
    Ok(Some(Difference::gives(
        case.zeros()?,
        "a sum without clients is refused here, and may be zero in other implementations",
    )))
}

/// The cases of other implementations.
const FEDERATED_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/federated_cases.json");

const DERIVED_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/derived_cases.json");

const FAILING_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/failing_cases.json");
