//! Replays case files through the public API: results and errors of TensorFlow Federated (TFF) and
//! of the prototype.
//!
//! `tests/data/federated_cases.json` is transcribed from their own tests; each case names its
//! source. `tests/data/derived_cases.json` holds more cases of the same operations, computed by
//! hand. `CIPHERFOLD_CASES` names another file of the same format, or a folder of such files, to
//! replay in place of the first. With `--nocapture`, a table shows the verdicts and their reasons.
//!
//! 1. [`Case::read`] reads a case. [`ops::replay`] finds the function of its operation by name. The
//!    function reads its fields, and runs the operation with the crate.
//! 2. [`Parties`] compute each answer twice, under encryption (with a short key for tests only) and
//!    in the clear. Both answers must be equal. A few secure sums of the prototype's own tests run
//!    with a large key as well.
//! 3. The function returns a [`Found`]: the crate's answer or refusal, the measurements, and the
//!    answers of other implementations where this crate differs on purpose. It returns a [`Stop`]
//!    if this crate has no such operation, or if it does not understand the case.
//! 4. [`judge()`] compares the answer with the expectation.
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
mod expression;
mod judge;
mod mutations;
mod notation;
mod number;
mod ops;
mod parameter;
mod parties;
mod refusal;
mod split;
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
    judge::{Answer, Found, Theirs, judge},
    parties::{Parties, Settings},
    refusal::{Stop, answered},
    table::{Table, Verdict},
};

#[test]
fn all_cases_pass_or_are_accounted_for() {
    let path = env::var("CIPHERFOLD_CASES").unwrap_or_else(|_| OUR_CASES.to_owned());
    let table = replay_all(&read(Path::new(&path)), LARGE);
    println!("{table}");
    assert!(table.failed().is_empty(), "failed: {:?}", table.failed());
    assert!(!table.0.is_empty(), "no cases in {path}");
}

/// Values, structures, bounds and errors that the first file does not have, and all intended
/// differences.
#[test]
fn derived_cases_pass_or_are_accounted_for() {
    let table = replay_all(&read(Path::new(DERIVED_CASES)), 0);
    assert!(table.failed().is_empty(), "{table}");
    let differing = table.0.iter().filter(|(.., verdict)| matches!(verdict, Verdict::Differs(_)));
    let operations: BTreeSet<&str> = differing.map(|(op, ..)| op.as_str()).collect();
    assert!(operations.len() > 8, "{operations:?}");
}

/// The replay detects wrong answers: a case with a changed expectation fails.
#[test]
fn wrong_expectations_fail() {
    let cases = [OUR_CASES, DERIVED_CASES].map(|path| read(Path::new(path))).concat();
    let mut tried = 0;
    for json in &cases {
        let case = Case::read(json).expect("the cases pass");
        let found = match replay(&case, false) {
            Err(Stop::NoMeaning(_)) => continue,
            found => found.expect("the case is understood"),
        };
        if matches!(judge(&case, &found), Err(Stop::NoMeaning(_))) {
            continue;
        }
        for mutant in mutations::expectations(json) {
            let verdict = Case::read(&mutant).and_then(|mutant| judge(&mutant, &found));
            assert!(matches!(verdict, Err(_) | Ok(Verdict::Failed(_))), "{mutant}: {verdict:?}");
            tried += 1;
        }
        for (_, id, verdict) in replay_all(&mutations::unknown_parts(json), 0).0 {
            let named = matches!(&verdict, Verdict::Failed(why) if why.contains("not understood"));
            assert!(named, "{id}: {verdict:?}");
        }
    }
    assert!(tried > 3 * cases.len(), "{tried} mutants");
}

/// A part of a case that is not understood fails the case, and is named.
#[test]
fn parts_that_are_not_understood_are_named() {
    let mut rows = vec![
        (json!({"op": "federated_"}), "the operation `federated_`"),
        (json!({"more": null}), "the field `more`"),
        (json!({"expect": null}), "one of `expect` and `expect_error`"),
        (json!({"expect_error": "TypeError"}), "one of `expect` and `expect_error`"),
        (json!({"message_contains": "y"}), "a message without an error"),
        (json!({"expect": null, "expect_error": "TypeError", "expect_measurements": {}}), "measurements"),
        (json!({"clients": [], "expect": null, "expect_error": "KeyError"}), "the error name KeyError"),
        (
            json!({"clients": [], "expect": null, "expect_error": "ValueError", "message_contains": "y"}),
            "the message `y`",
        ),
        (json!({"seed": "yes"}), "\"yes\""),
        (json!({"id": null}), "null"),
        (json!({"dtype": "int64"}), "contradicts the type"),
        (json!({"shape": [3]}), "contradicts the type"),
        (json!({"num_clients": -1}), "-1"),
        (json!({"op": "secure_sum", "max_input": {"at": "MOON", "value": 1}}), "MOON"),
        (json!({"op": "secure_sum", "value_placement": "MOON"}), "MOON"),
        (json!({"op": "SecureSumFactory", "upper": {"process": "doubles each round"}}), "doubles each round"),
        (
            json!({"op": "SecureSumFactory", "upper": {"process": "starts at one, +1 each round"}}),
            "starts at one",
        ),
        (json!({"op": "SecureSumFactory", "upper": 1, "rounds": 0}), "no rounds"),
        (json!({"op": "DistributedDpSumFactory", "params": {"colour": 1}}), "the parameter `colour`"),
        (json!({"op": "paillier_add", "type": null, "clients": [[1, 2], [1, 2, 3]]}), "shapes [2] and [3]"),
        (json!({"op": "MeanFactory", "type": "float32", "weights": [true, 1]}), "true"),
        (json!({"op": "MeanFactory", "type": "float32", "weights": "Pigeon"}), "Pigeon"),
    ];
    let types = "; int; int128; <int32; int32>; int32[; int32[-1]; int32[x]; int32[?]; {int32}; int32@; <a=>; \
                 <a=int32,a=int32>; <int32,,int32>; (int32 -> int32); int32*; int32@MOON";
    rows.extend(types.split("; ").map(|text| (json!({"type": text}), text)));
    rows.extend(
        ["", "y", "5+", "(1", "1)", "5 5", "f(1)", "1/2", "1.5"]
            .map(|text| (json!({"op": "federated_apply", "fn": text}), text)),
    );
    rows.extend(
        [
            ("int32", json!(1.5)),
            ("int32", json!(1_u64 << 31)),
            ("int32", json!([1])),
            ("int32", json!("1")),
            ("int32[2]", json!([1])),
            ("int32[2]", json!([1, [2]])),
            ("int32[2,2]", json!([[1, 2], [3]])),
            ("uint8", json!(-1)),
            ("bool", json!(1)),
            ("float32", json!("x")),
            ("<int32,int32>", json!([1])),
            ("<a=int32>", json!({"b": 1})),
            ("<a=int32>", json!({"a": 1, "b": 1})),
        ]
        .map(|(text, value)| {
            (json!({"op": "federated_collect", "type": text, "clients": [value]}), "`clients`: ")
        }),
    );
    for (fields, named) in rows {
        let mut case =
            json!({"id": "a", "op": "federated_sum", "type": "int32", "clients": [1, 2], "expect": 3});
        for (name, json) in fields.as_object().expect("fields") {
            case[name] = json.clone();
        }
        let table = replay_all(&[case], 0);
        let is_named = |why: &str| why.starts_with("not understood: ") && why.contains(named);
        let (.., verdict) = &table.0[0];
        assert!(matches!(verdict, Verdict::Failed(why) if is_named(why)), "{fields}: {verdict:?}");
    }
}

/// All of the prototype's own tests pass, without differences and omissions.
#[test]
fn the_prototypes_tests_pass() {
    let mut seeds = read(Path::new(OUR_CASES));
    seeds.retain(|case| case["seed"] == true);
    assert!(!seeds.is_empty());
    for (_, id, verdict) in replay_all(&seeds, 0).0 {
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

/// Replays cases. `large` of the prototype's secure sums also run under a large key.
fn replay_all(cases: &[Json], mut large: usize) -> Table {
    let mut table = Table::default();
    for json in cases {
        let text = |field: &str| json[field].as_str().unwrap_or("no text").to_owned();
        let is_large = large > 0 && text("op").starts_with("secure_sum") && json["seed"] == true;
        large -= usize::from(is_large);
        let verdict = || {
            let case = Case::read(json)?;
            judge(&case, &replay(&case, is_large)?)
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

fn replay(case: &Case, large: bool) -> Result<Found, Stop> {
    // That operation tests settings: it reads them itself.
    let clients = if case.op == "construct_executor" { None } else { case.num_clients()? };
    let own = if clients.is_some() || large {
        let clients = clients.filter(|clients| *clients > 0);
        Some(Settings { clients, large, ..Settings::default() }.build()?)
    } else {
        None
    };
    let parties = own.as_ref().unwrap_or_else(|| Parties::shared());
    let found =
        answered(ops::replay(case, parties))?.unwrap_or_else(|refusal| Found::of(Err::<Answer, _>(refusal)));
    let zeros = sum_without_clients(case, &found)?;
    Ok(found.or(zeros))
}

/// The sum over no clients. It is zero in some of their runtimes and an error in others.
fn sum_without_clients(case: &Case, found: &Found) -> Result<Option<Theirs>, Stop> {
    let refused = found.answer.as_ref().is_err_and(|refusal| refusal.is_named("RuntimeError") == Some(true));
    if !refused || case.r#type.is_none() || !["sum", "Sum"].iter().any(|sum| case.op.contains(sum)) {
        return Ok(None);
    }
    Ok(Some(Theirs::gives(
        case.zeros()?,
        "a sum without clients is refused here, and may be zero in other implementations",
    )))
}

const DERIVED_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/derived_cases.json");

const OUR_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/federated_cases.json");

/// Number of the prototype's secure sums that run under a large key.
const LARGE: usize = 3;
