//! Replays a case file through the public API: results and errors of TensorFlow Federated and of
//! the prototype.
//!
//! `tests/data/federated_cases.json` is transcribed from their own tests; each case names its
//! source. `CIPHERFOLD_CASES` names another file of the same format to replay instead. With
//! `--nocapture`, a table shows the number of passed cases by operation.
//! `tests/data/derived_cases.json` holds more cases of the same operations, computed by hand.
//!
//! A case is replayed by its operation and its fields, never by its name. An unknown field or
//! operation fails the case. Each answer is computed twice, under encryption (with a short key for
//! tests only) and in the clear, and both must be equal. A few secure sums of the prototype's own
//! tests run with a large key as well. If this crate differs on purpose, both answers are computed
//! and stated, and the case must expect the other one.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small test numbers, and comparisons to the last bit"
)]

mod expression;
mod format;
mod judge;
mod ops;
mod outcome;
mod parties;
mod refusal;
mod split;
mod types;
mod value;

use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::{Value as Json, json};

use crate::{
    format::Case,
    judge::{Answer, Found, Replayed, Theirs, judge},
    ops::{aggregations, boxes, channels, clipping, executors, intrinsics, paillier, quantized, secure},
    outcome::{Table, Verdict},
    parties::{Parties, Settings},
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
    let cases = read(DERIVED_CASES);
    let table = replay_all(&cases, 0);
    assert!(table.failed().is_empty(), "{table}");
    let differing =
        cases.iter().zip(table.verdicts()).filter(|(_, verdict)| matches!(verdict, Verdict::Differs(_)));
    let operations: BTreeSet<&str> = differing.map(|(case, _)| case.op.as_str()).collect();
    assert!(operations.len() > 8, "{operations:?}");
}

/// The replay detects wrong answers: a case with a changed expectation fails.
#[test]
fn wrong_expectations_fail() {
    let cases = [read(OUR_CASES), read(DERIVED_CASES)].concat();
    let table = replay_all(&cases, 0);
    let mut tried = 0;
    for (mutation, mutate) in MUTATIONS {
        let mutants: Vec<Option<Case>> = cases
            .iter()
            .zip(table.verdicts())
            .map(|(case, verdict)| mutate(case).filter(|_| !matches!(verdict, Verdict::NoMeaning(_))))
            .collect();
        let mutants: Vec<Case> = mutants.into_iter().flatten().collect();
        assert!(!mutants.is_empty(), "{mutation} applies to no case");
        tried += mutants.len();
        let table = replay_all(&mutants, 0);
        for (mutant, verdict) in mutants.iter().zip(table.verdicts()) {
            assert!(matches!(verdict, Verdict::Failed(_)), "{mutation}: {} still {verdict:?}", mutant.id);
        }
    }
    assert!(tried > 2 * cases.len(), "{tried} mutants");
}

/// All of the prototype's own tests pass, without differences and omissions.
#[test]
fn the_prototypes_tests_pass() {
    let seeds: Vec<Case> = read(OUR_CASES).into_iter().filter(|case| case.flag("seed") == Ok(true)).collect();
    assert!(!seeds.is_empty());
    for (case, verdict) in seeds.iter().zip(replay_all(&seeds, 0).verdicts()) {
        assert_eq!(*verdict, Verdict::Passed, "{}", case.id);
    }
}

fn read(path: &str) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Case::read_all(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Replays cases. `large` of the prototype's secure sums also run under a large key.
fn replay_all(cases: &[Case], mut large: usize) -> Table {
    let mut table = Table::default();
    for case in cases {
        let is_large = large > 0 && case.op.starts_with("secure_sum") && case.flag("seed") == Ok(true);
        large -= usize::from(is_large);
        // A panic is a failure of this case only.
        let verdict = catch_unwind(AssertUnwindSafe(|| verdict(case, is_large)))
            .unwrap_or_else(|_| Err("the replay panicked".to_owned()))
            .unwrap_or_else(Verdict::Failed);
        table.add(&case.op, &case.id, verdict);
    }
    table
}

fn verdict(case: &Case, large: bool) -> Result<Verdict, String> {
    // That operation tests settings: it reads them itself.
    let clients = if case.op == "construct_executor" { None } else { case.count("num_clients")? };
    let own = if clients.is_some() || large {
        let clients = clients.filter(|clients| *clients > 0);
        let settings = Settings { clients, large, ..Settings::default() };
        Some(settings.build().map_err(|error| error.to_string())?)
    } else {
        None
    };
    let parties = own.as_ref().unwrap_or_else(|| Parties::shared());
    match replay(case, parties)? {
        Replayed::Found(mut found) => {
            found.theirs.extend(sum_of_nobody(case, &found)?);
            judge(case, &found)
        }
        Replayed::NoMeaning(reason) => Ok(Verdict::NoMeaning(reason)),
    }
}

/// The sum over no clients. It is zero in some of their runtimes and an error in others.
fn sum_of_nobody(case: &Case, found: &Found) -> Result<Option<Theirs>, String> {
    let nobody = matches!(&found.answer, Err(refusal) if refusal.is_no_clients());
    if !nobody || case.get("type").is_none() || !["sum", "Sum"].iter().any(|sum| case.op.contains(sum)) {
        return Ok(None);
    }
    let zeros = case.type_of()?.member.map(|leaf| Tensor::zeros(&leaf));
    Ok(Some(Theirs::Gives(Answer::Value(zeros), "a sum over nobody is refused here, and may be zero there")))
}

fn replay(case: &Case, parties: &Parties) -> Result<Replayed, String> {
    let found = match case.op.as_str() {
        "secure_sum" | "secure_sum_bitwidth" | "secure_modular_sum" => secure::replay(case, parties),
        "secure_quantized_sum" => quantized::replay(case, parties),
        "client_shift" => quantized::client_shift(case),
        "server_shift" => quantized::server_shift(case),
        "SecureModularSumFactory" => aggregations::secure_modular_sum(case, parties),
        "SecureSumFactory" => aggregations::secure_sum(case, parties),
        "ModularClippingSumFactory" => aggregations::modular_clipping_sum(case, parties),
        "DistributedDpSumFactory" => return aggregations::distributed_sum(case),
        "MeanFactory"
        | "UnweightedMeanFactory"
        | "clipping_factory+sum"
        | "clipping_factory+mean"
        | "zeroing_factory+sum"
        | "zeroing_factory+mean" => return clipping::replay(case, parties),
        "federated_sum"
        | "federated_min"
        | "federated_max"
        | "federated_mean"
        | "federated_weighted_mean" => intrinsics::combine(case, parties),
        "federated_aggregate" | "federated_reduce" => intrinsics::aggregate(case, parties),
        "federated_broadcast" | "federated_value_at_clients" | "federated_value_at_server" => {
            intrinsics::send(case)
        }
        "federated_apply" | "federated_map" => intrinsics::map_at(case, parties),
        "federated_eval_at_clients" | "federated_eval_at_server" => intrinsics::eval(case),
        "federated_collect" => intrinsics::collect(case, parties),
        "sequence_sum" => intrinsics::sequence_sum(case, parties),
        "temperature_sensor" => intrinsics::temperature_sensor(case, parties),
        "identity_at_clients" => intrinsics::identity(case, parties),
        "unplaced_computation" => intrinsics::unplaced(case),
        "infer_cardinalities" => executors::infer(case, parties),
        "merge_cardinalities" => return executors::merge(case, parties),
        "construct_executor" => return executors::construct(case),
        "channel_transfer" => channels::transfer(case),
        "easybox_setup" => boxes::setup(case),
        "easybox_sizes" => boxes::sizes(case),
        "easybox_round_trip" => boxes::round_trip(case),
        "paillier_round_trip" | "paillier_add" => paillier::replay(case),
        other => Err(format!("not understood: the operation `{other}`")),
    };
    found.map(Replayed::from)
}

/// A change after which a case must fail, or `None` if it does not apply.
type Mutation = fn(&Case) -> Option<Case>;

const MUTATIONS: [(&str, Mutation); 7] = [
    ("another answer", |case| {
        let expected = case.get("expect")?;
        let tolerance = case.tolerance().ok()?;
        let by = |x: f64| (1.0 + 10.0 * tolerance.absolute).max((0.01 + 10.0 * tolerance.relative) * x.abs());
        // An empty tensor has no element to change.
        Some(changed(expected, &by))
            .filter(|other| other != expected)
            .map(|other| with(case, "expect", other))
    }),
    ("another name of an error", |case| {
        let name = match case.text("expect_error").ok()?? {
            "ValueError" | "InvalidArgument" | "RuntimeError" => "TypeError",
            _ => "ValueError",
        };
        Some(with(case, "expect_error", json!(name)))
    }),
    ("an answer instead of an error", |case| {
        case.get("expect_error")?;
        let mut case = with(case, "expect", json!(123_456));
        case.remove("expect_error");
        case.remove("message_contains");
        Some(case)
    }),
    ("an error instead of an answer", |case| {
        case.get("expect")?;
        let mut case = with(case, "expect_error", json!("UnsupportedDTypeError"));
        case.remove("expect");
        Some(case)
    }),
    ("other measurements", |case| {
        Some(with(case, "expect_measurements", changed(case.get("expect_measurements")?, &|_| 1.0)))
    }),
    ("a field that is not known", |case| Some(with(case, "unheard_of", json!(1)))),
    ("an operation that is not known", |case| {
        let mut case = case.clone();
        case.op.push('_');
        Some(case)
    }),
];

fn with(case: &Case, field: &str, json: Json) -> Case {
    let mut case = case.clone();
    case.set(field, json);
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

const DERIVED_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/derived_cases.json");

const OUR_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/federated_cases.json");

/// Number of the prototype's secure sums that run under a large key.
const LARGE: usize = 3;
