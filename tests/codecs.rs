//! The cases of TensorFlow Federated for quantised and modular sums, encoded, added in the clear,
//! and decoded.
//!
//! `tests/data/README.md` states the source of the cases. TensorFlow Federated checks types at run
//! time; here the compiler checks them, as the documentation of `QuantizedSum` and
//! `tests/compile_fail` show. [`SETTLED_BY_TYPES`] lists such cases. If this crate differs on
//! purpose, the test of the case says so.

#![expect(clippy::cast_precision_loss, reason = "tolerances are larger")]

use std::collections::BTreeSet;

use cipherfold::{
    federated::tensor::Structure,
    packing::{Error, Float, Modular, Quantized, QuantizedSum},
};
use serde_json::Value;

/// Cases that function signatures decide: different types of values and bounds, parameters at a
/// placement, and types of results.
const SETTLED_BY_TYPES: [&str; 16] = [
    "modular_factory/create_float_type",
    "modular_factory/create_mixed_type",
    "modular_factory/modulus_float",
    "quantized/bounds_differ_a",
    "quantized/bounds_differ_b",
    "quantized/bounds_one_placed_one_not",
    "quantized/float_value_int_bounds",
    "quantized/int32_int64_struct",
    "quantized/int_value_float_bounds",
    "quantized/unsupported_int16",
    "type/modulus_no_federated_context",
    "type/modulus_param_at_clients",
    "type/modulus_struct_value_scalar_param",
    "type/modulus_value_at_server",
    "type/modulus_value_float",
    "type/modulus_value_unplaced",
];

fn cases(operations: &[&str]) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(include_str!("data/federated_cases.json")).expect("JSON");
    let of = |case: &Value| operations.contains(&text(&case["op"]));
    let settled = |case: &Value| SETTLED_BY_TYPES.contains(&text(&case["id"]));
    all.into_iter().filter(|case| of(case) && !settled(case)).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// The members of a list; a number counts as a list of one.
fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |members| members.iter().collect())
}

/// A type of the cases: read from JSON, and compared with the expectation.
trait Number: Quantized {
    fn read(value: &Value) -> Self;
    fn to_f64(sum: Self::Sum) -> f64;
    /// Whether a sum equals this one exactly.
    fn is(sum: Self::Sum, expected: &Value) -> bool;
}

macro_rules! numbers {
    ($($number:ty: $name:literal, $read:expr, $to_f64:expr, $is:expr;)*) => {$(
        impl Number for $number {
            fn read(value: &Value) -> Self {
                ($read)(value).unwrap_or_else(|| panic!("{value} as {}", $name))
            }

            fn to_f64(sum: Self::Sum) -> f64 {
                ($to_f64)(sum)
            }

            fn is(sum: Self::Sum, expected: &Value) -> bool {
                ($is)(sum, expected)
            }
        }
    )*};
}

numbers! {
    i32: "int32", |value: &Value| value.as_i64()?.try_into().ok(), |sum: i64| sum as f64,
        |sum: i64, expected: &Value| expected.as_i64() == Some(sum);
    i64: "int64", Value::as_i64, |sum: i128| sum as f64,
        |sum: i128, expected: &Value| expected.as_i64().map(i128::from) == Some(sum);
    f32: "float32", |value: &Value| value.as_f64().map(f32::from_f64), f64::from,
        |sum: f32, expected: &Value| expected.as_f64().map(f64::to_bits) == Some(f64::from(sum).to_bits());
    f64: "float64", Value::as_f64, |sum: f64| sum,
        |sum: f64, expected: &Value| expected.as_f64().map(f64::to_bits) == Some(sum.to_bits());
}

/// Calls the function for the type that a case names.
macro_rules! by_dtype {
    ($dtype:expr, $function:ident $arguments:tt) => {
        match $dtype {
            "int32" => $function::<i32> $arguments,
            "int64" => $function::<i64> $arguments,
            "float32" => $function::<f32> $arguments,
            "float64" => $function::<f64> $arguments,
            other => panic!("no case is meant to have the type {other}"),
        }
    };
}

fn encode<T: Number>(quantized: &QuantizedSum<T>, values: &Value) -> Vec<u64> {
    let values: Vec<T> = list(values).into_iter().map(T::read).collect();
    let mut out = vec![0; values.len()];
    quantized.encode(&values, &mut out).expect("cases have finite numbers");
    assert!(out.iter().all(|encoding| *encoding <= quantized.max_encoding()));
    out
}

fn quantized_by<T: Number>(lower: &Value, upper: &Value) -> Result<QuantizedSum<T>, Error> {
    QuantizedSum::new(T::read(lower), T::read(upper))
}

#[test]
fn every_settled_case_exists() {
    let all: Vec<Value> = serde_json::from_str(include_str!("data/federated_cases.json")).expect("JSON");
    let ids: BTreeSet<_> = all.iter().map(|case| text(&case["id"])).collect();
    for id in SETTLED_BY_TYPES {
        assert!(ids.contains(id), "{id}");
    }
}

#[test]
fn clients_shift_as_tensorflow_federated_does() {
    fn check<T: Number>(case: &Value) {
        let id = text(&case["id"]);
        let quantized = quantized_by::<T>(&case["lower"], &case["upper"]);
        if case["expect_error"].is_string() {
            let error = quantized.expect_err(id);
            assert!(
                matches!(error, Error::IntegerRange { .. } | Error::QuantizerRange { .. }),
                "{id}: {error}"
            );
            return;
        }
        let clients = list(&case["clients"]);
        assert_eq!(clients.len(), 1, "{id}");
        let expected: Vec<_> = list(&case["expect"]).into_iter().map(|x| x.as_u64().expect(id)).collect();
        assert_eq!(encode(&quantized.expect(id), clients[0]), expected, "{id}");
    }

    let cases = cases(&["client_shift"]);
    assert_eq!(cases.len(), 10);
    for case in &cases {
        by_dtype!(text(&case["dtype"]), check(case));
    }
}

#[test]
fn servers_refuse_the_same_sums_as_tensorflow_federated() {
    fn check<T: Number>(case: &Value) {
        let id = text(&case["id"]);
        assert_eq!(case["expect_error"], "InvalidArgument", "{id}");
        let quantized = quantized_by::<T>(&case["lower"], &case["upper"]).expect(id);
        let weight = case["num_summands"].as_u64().expect(id);
        // A sum below zero arrives with its slot's high bits set.
        let sum = i128::from(case["summed"].as_i64().expect(id)).cast_unsigned();
        assert_eq!(
            quantized.decode_sum(sum, weight).err(),
            Some(Error::QuantizedSumOutOfRange { weight }),
            "{id}"
        );
        // One less than the minimum invalid sum is valid.
        let max_sum = u128::from(weight) * u128::from(quantized.max_encoding());
        assert!(quantized.decode_sum(max_sum, weight).is_ok(), "{id}");
    }

    let cases = cases(&["server_shift"]);
    assert_eq!(cases.len(), 11);
    for case in &cases {
        by_dtype!(text(&case["dtype"]), check(case));
    }
}

/// One tensor of all clients.
fn quantized_sum<T: Number>(lower: &Value, upper: &Value, clients: &[&Value]) -> Vec<T::Sum> {
    let quantized = quantized_by::<T>(lower, upper).expect("bounds of a case");
    let mut sums = vec![0_u128; list(clients[0]).len()];
    for client in clients {
        for (sum, value) in sums.iter_mut().zip(encode(&quantized, client)) {
            *sum += u128::from(value);
        }
    }
    let decode = |sum: u128| quantized.decode_sum(sum, clients.len() as u64).expect("honest clients");
    sums.into_iter().map(decode).collect()
}

fn check_quantized_tensor<T: Number>(
    case: &Value,
    bounds: [&Value; 2],
    clients: &[&Value],
    expected: &Value,
) {
    let id = text(&case["id"]);
    let found = quantized_sum::<T>(bounds[0], bounds[1], clients);
    let expected = list(expected);
    assert_eq!(found.len(), expected.len(), "{id}");
    for (found, expected) in found.into_iter().zip(expected) {
        let tolerance = case["tolerance"].as_f64();
        let relative =
            case["tolerance_rel"].as_f64().map(|factor| factor * expected.as_f64().expect(id).abs());
        match tolerance.or(relative) {
            None | Some(0.0) => assert!(T::is(found, expected), "{id}: {found}, expected {expected}"),
            Some(tolerance) => {
                let error = (T::to_f64(found) - expected.as_f64().expect(id)).abs();
                // Both numbers are rounded to their type.
                assert!(error <= tolerance * (1.0 + 1e-6), "{id}: {found} is {error:e} from {expected}");
            }
        }
    }
    if text_or_nothing(&case["note"]).contains("must equal sum of [0.552, 0, 0]") {
        let (x, zero) = (serde_json::json!(0.552), serde_json::json!(0.0));
        let alone = quantized_sum::<T>(bounds[0], bounds[1], &[&x]);
        let with_zeros = quantized_sum::<T>(bounds[0], bounds[1], &[&x, &zero, &zero]);
        assert!(alone == with_zeros, "{id}: {alone:?} and {with_zeros:?}");
    }
}

fn text_or_nothing(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Element types of the tensors of a flat structure, or the one of a single tensor.
fn dtypes(notation: &str) -> Vec<&str> {
    let inner = notation.trim_start_matches('<').trim_end_matches('>');
    inner.split(',').map(|tensor| tensor.split('[').next().expect("at least the name")).collect()
}

#[test]
fn quantized_sums_are_those_of_tensorflow_federated() {
    let cases = cases(&["secure_quantized_sum"]);
    assert_eq!(cases.len(), 67 - 7);
    for case in &cases {
        let (id, notation) = (text(&case["id"]), text(&case["type"]));
        if id == "quantized/structure_mismatch" {
            let structure = |n| Structure::tuple((0..n).map(Structure::leaf)).expect("one level");
            let error = structure(3).zip_with(&structure(2), |_, _| ()).unwrap_err();
            assert_eq!(
                error,
                cipherfold::federated::tensor::Error::StructureMismatch {
                    expected: "<_,_,_>".into(),
                    found: "<_,_>".into()
                }
            );
            continue;
        }
        let clients = list(&case["clients"]);
        if !notation.starts_with('<') {
            let bounds = [&case["lower"], &case["upper"]];
            by_dtype!(dtypes(notation)[0], check_quantized_tensor(case, bounds, &clients, &case["expect"]));
            continue;
        }
        for (tensor, dtype) in dtypes(notation).into_iter().enumerate() {
            let bound = |name: &str| case[name].get(tensor).unwrap_or(&case[name]);
            let clients: Vec<_> = clients.iter().map(|client| &client[tensor]).collect();
            let bounds = [bound("lower"), bound("upper")];
            by_dtype!(dtype, check_quantized_tensor(case, bounds, &clients, &case["expect"][tensor]));
        }
    }
}

#[test]
fn a_step_of_two_distinguishes_two_of_three_neighbours() {
    let [lower, upper] = [serde_json::json!(-4_294_967_295_i64), serde_json::json!(4_294_967_294_i64)];
    let results: BTreeSet<_> =
        (0..3).map(|x| quantized_sum::<i64>(&lower, &upper, &[&serde_json::json!(x)])[0]).collect();
    assert_eq!(results.len(), 2);
}

#[test]
fn modular_sums_are_those_of_tensorflow_federated() {
    let cases = cases(&["secure_modular_sum", "SecureModularSumFactory"]);
    assert_eq!(cases.len(), 29 - 9);
    for case in &cases {
        let (id, notation) = (text(&case["id"]), text(&case["type"]));
        let symmetric = case["symmetric_range"].as_bool().unwrap_or(false);
        let codec = |modulus: &Value| {
            let modulus = modulus.as_u64().expect(id);
            if symmetric { Modular::symmetric(modulus) } else { Modular::new(modulus) }
        };
        if case["expect_error"].is_string() {
            assert_eq!(codec(&case["modulus"]), Err(Error::Modulus { modulus: 0 }), "{id}");
            continue;
        }
        let clients = list(&case["clients"]);
        let check = |modulus: &Value, clients: &[&Value], expected: &Value| {
            let codec = codec(modulus).expect(id);
            let mut sums = vec![0_u128; list(expected).len()];
            for client in clients {
                let values: Vec<_> = list(client).into_iter().map(i32::read).collect();
                let mut encoded = vec![0; values.len()];
                codec.encode(&values, &mut encoded);
                sums.iter_mut().zip(encoded).for_each(|(sum, value)| *sum += u128::from(value));
            }
            let found: Vec<_> = sums.into_iter().map(|sum| codec.decode_sum(sum)).collect();
            let expected: Vec<_> = list(expected).into_iter().map(|x| x.as_i64().expect(id)).collect();
            assert_eq!(found, expected, "{id}");
        };
        assert!(dtypes(notation).iter().all(|dtype| *dtype == "int32"), "{id}");
        if notation.starts_with('<') {
            for tensor in 0..dtypes(notation).len() {
                let clients: Vec<_> = clients.iter().map(|client| &client[tensor]).collect();
                let modulus = case["modulus"].get(tensor).unwrap_or(&case["modulus"]);
                check(modulus, &clients, &case["expect"][tensor]);
            }
        } else {
            check(&case["modulus"], &clients, &case["expect"]);
        }
    }
}
