//! Replays case files through the public API: results and errors of TensorFlow Federated (TFF) and
//! of the prototype.
//!
//! # Files
//!
//! `tests/data/federated_cases.json` is transcribed from their own tests; each case names its
//! source. `tests/data/derived_cases.json` holds more cases of the same operations, computed by
//! hand. `CIPHERFOLD_CASES` names another file of the same format to replay in place of the first.
//! With `--nocapture`, a table shows the verdicts by operation, and the reasons.
//!
//! # How a case runs
//!
//! 1. [`Case::read`] turns a JSON object into a case. The fields of the operation stay JSON.
//! 2. [`replay::replay`] finds the function of the operation by its name. The function reads its
//!    fields into a struct, and runs the operation with the crate. Values are [`value::Tree`]s:
//!    tensors in the crate's own [`Structure`](cipherfold::federated::tensor::Structure).
//! 3. [`Parties`] compute each answer twice, under encryption (with a short key for tests only) and
//!    in the clear. Both answers must be equal. A few secure sums of the prototype's own tests run
//!    with a large key as well.
//! 4. The function returns a [`Found`]: the crate's answer or refusal, the measurements, and the
//!    answers of other implementations where this crate differs on purpose. It returns a [`Stop`]
//!    if there is no such thing here, or if it does not understand the case.
//! 5. [`judge()`] compares the answer with the expectation. The verdict is that the case passed,
//!    differs by design (it expects one of the other answers), has no meaning here, or failed.
//!
//! A case is replayed by its operation and its fields, never by its name. An operation, a field, a
//! type, an error name or a message that is not known fails the case, and is named. Nothing is
//! skipped.
//!
//! # Modules, from the bottom
//!
//! | module | subject |
//! | :- | :- |
//! | `scanner`, `types`, `expression` | types and functions in the notation of the cases |
//! | `number`, `value` | numbers, tensors and structures: from JSON, to Rust's types, compared |
//! | `refusal` | the crate's errors, and their names in TFF |
//! | `case` | the format of a case |
//! | `parties`, `parts` | executors; values with several element types |
//! | `judge`, `table` | the comparison, and the table of verdicts |
//! | `replay` | one function for each family of operations |
//!
//! To add an operation, write its function and the struct of its fields in a module of `replay`,
//! and its name in `replay.rs`.
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
mod number;
mod parties;
mod parts;
mod refusal;
mod replay;
mod scanner;
mod table;
mod types;
mod value;

use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::Value as Json;

use crate::{
    case::Case,
    judge::{Answer, Found, Theirs, judge},
    mutations::MUTATIONS,
    parties::{Parties, Settings},
    refusal::{Stop, answered},
    table::{Table, Verdict},
    value::Tensor,
};

#[test]
fn all_cases_pass_or_are_accounted_for() {
    let path = env::var("CIPHERFOLD_CASES").unwrap_or_else(|_| OUR_CASES.to_owned());
    let table = replay_all(&read(&path), LARGE);
    println!("{table}");
    assert!(table.failed().is_empty(), "failed: {:?}", table.failed());
}

/// Values, structures, bounds and errors that the first file does not have, and all intended
/// differences.
#[test]
fn derived_cases_pass_or_are_accounted_for() {
    let table = replay_all(&read(DERIVED_CASES), 0);
    assert!(table.failed().is_empty(), "{table}");
    let differing = table.0.iter().filter(|(_, _, verdict)| matches!(verdict, Verdict::Differs(_)));
    let operations: BTreeSet<&str> = differing.map(|(op, ..)| op.as_str()).collect();
    assert!(operations.len() > 8, "{operations:?}");
}

/// The replay detects wrong answers: a case with a changed expectation fails.
#[test]
fn wrong_expectations_fail() {
    let cases = [read(OUR_CASES), read(DERIVED_CASES)].concat();
    let table = replay_all(&cases, 0);
    let verdicts = cases.iter().zip(&table.0);
    let with_meaning = verdicts.filter(|(_, (.., verdict))| !matches!(verdict, Verdict::NoMeaning(_)));
    let cases: Vec<&Json> = with_meaning.map(|(case, _)| case).collect();
    let mut tried = 0;
    for (mutation, mutate) in MUTATIONS {
        let mutants: Vec<Json> = cases.iter().filter_map(|case| mutate(case)).collect();
        assert!(!mutants.is_empty(), "{mutation} applies to no case");
        tried += mutants.len();
        for (_, id, verdict) in replay_all(&mutants, 0).0 {
            assert!(matches!(verdict, Verdict::Failed(_)), "{mutation}: {id} still {verdict:?}");
        }
    }
    assert!(tried > 2 * cases.len(), "{tried} mutants");
}

/// All of the prototype's own tests pass, without differences and omissions.
#[test]
fn the_prototypes_tests_pass() {
    let seeds: Vec<Json> = read(OUR_CASES).into_iter().filter(|case| case["seed"] == true).collect();
    assert!(!seeds.is_empty());
    for (_, id, verdict) in replay_all(&seeds, 0).0 {
        assert_eq!(verdict, Verdict::Passed, "{id}");
    }
}

fn read(path: &str) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    case::read_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Replays cases. `large` of the prototype's secure sums also run under a large key.
fn replay_all(cases: &[Json], mut large: usize) -> Table {
    let mut table = Table::default();
    for json in cases {
        let text = |field: &str| json[field].as_str().unwrap_or("no text").to_owned();
        let is_large = large > 0 && text("op").starts_with("secure_sum") && json["seed"] == true;
        large -= usize::from(is_large);
        // A panic is a failure of this case only.
        let verdict = catch_unwind(AssertUnwindSafe(|| verdict(json, is_large)));
        let verdict = match verdict {
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

fn verdict(json: &Json, large: bool) -> Result<Verdict, Stop> {
    let case = &Case::read(json)?;
    // That operation tests settings: it reads them itself.
    let clients = if case.op == "construct_executor" { None } else { case.num_clients()? };
    let own = if clients.is_some() || large {
        let clients = clients.filter(|clients| *clients > 0);
        Some(Settings { clients, large, ..Settings::default() }.build()?)
    } else {
        None
    };
    let parties = own.as_ref().unwrap_or_else(|| Parties::shared());
    let found = answered(replay::replay(case, parties))?.unwrap_or_else(|refusal| Err(refusal).into());
    let zeros = sum_of_nobody(case, &found)?;
    judge(case, &found.or(zeros))
}

/// The sum over no clients. It is zero in some of their runtimes and an error in others.
fn sum_of_nobody(case: &Case, found: &Found) -> Result<Option<Theirs>, Stop> {
    let nobody = found.answer.as_ref().is_err_and(|refusal| refusal.is_no_clients());
    if !nobody || case.r#type.is_none() || !["sum", "Sum"].iter().any(|sum| case.op.contains(sum)) {
        return Ok(None);
    }
    let zeros = case.member()?.as_ref().map(Tensor::zeros);
    Ok(Some(Theirs::Gives(Answer::Value(zeros), "a sum over nobody is refused here, and may be zero there")))
}

const DERIVED_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/derived_cases.json");

const OUR_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/federated_cases.json");

/// Number of the prototype's secure sums that run under a large key.
const LARGE: usize = 3;
