//! The example `throughput`, in its shortest runs.

use cipherfold::backend::BackendChoice;
use serde_json::Value;

use crate::example::{example, run};

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"))
}

#[test]
fn every_backend_has_a_row_for_every_operation() {
    let output = run("throughput", &["--key-bits", "2048", "--threads", "2", "--seconds", "0.001", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    assert_eq!((&json["key_bits"], &json["threads"]), (&2048.into(), &2.into()));
    let product_ns = number(&json, "product_ns");
    assert!(product_ns > 0.0);

    let mut backends = vec!["portable"];
    for (name, choice) in [("ifma", BackendChoice::Ifma), ("avx2", BackendChoice::Avx2)] {
        if choice.backend_name().is_ok() {
            backends.push(name);
        }
    }
    let rows = json["rows"].as_array().expect("rows");
    let mut names =
        rows.iter().map(|row| (row["backend"].as_str().unwrap(), row["operation"].as_str().unwrap()));
    for operation in ["encrypt", "encrypt_short", "add", "decrypt", "mul_plain_16", "randomizer"] {
        for backend in &backends {
            assert_eq!(names.next(), Some((*backend, operation)));
        }
    }
    assert_eq!(names.next(), None);

    for row in rows {
        // Slots of 16 + 7 bits, and of 16 + 23 bits with weights: 89 and 52 of them in 512 bytes.
        let slots = if row["operation"] == "mul_plain_16" { 52.0 } else { 89.0 };
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
        let per_second = number(row, "per_second");
        assert!(per_second > 0.0, "{row}");
        assert!(near(number(row, "values_per_second"), slots * per_second), "{row}");
        assert!(near(number(row, "bytes_per_value"), 512.0 / slots), "{row}");
        // The baseline at the time of the row. A later measurement of it may be faster.
        let ratio = product_ns * per_second / 1e9;
        assert!(number(row, "ratio") >= 0.999 * ratio && number(row, "ratio") < 100.0 * ratio, "{row}");
        if row["backend"] == "ifma" && row["operation"] == "add" {
            assert!(number(row, "peak_fraction") > 0.0, "{row}");
        } else {
            assert!(row.get("peak_fraction").is_none(), "{row}");
        }
    }
}

/// Drivers may write to standard error: Mesa's do if `XDG_RUNTIME_DIR` is not set.
#[test]
fn standard_output_is_one_json_object_whatever_drivers_say() {
    let mut command = example("throughput");
    command.args(["--key-bits", "2048", "--seconds", "0", "--json"]).env_remove("XDG_RUNTIME_DIR");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).expect("one JSON object and nothing else");
}
