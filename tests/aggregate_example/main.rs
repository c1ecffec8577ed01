//! The example `aggregate`, run as its users run it, over small files made here.
//!
//! `cargo test` builds the examples; where this test alone is asked for, it builds the example if there is none yet.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
    time::Duration,
};

use half::{bf16, f16};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A tensor of a file to be: name, type, shape, bytes.
#[derive(Clone)]
struct Tensor(&'static str, &'static str, Vec<usize>, Vec<u8>);

fn f32s(name: &'static str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor(name, "F32", shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

fn f16s(name: &'static str, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
    Tensor(name, "F16", shape.to_vec(), bytes)
}

fn bf16s(name: &'static str, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
    Tensor(name, "BF16", shape.to_vec(), bytes)
}

fn i64s(name: &'static str, shape: &[usize], values: &[i64]) -> Tensor {
    Tensor(name, "I64", shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A safetensors file with the tensors in this very order.
fn safetensors(tensors: &[Tensor], metadata: Option<&Value>) -> Vec<u8> {
    let mut entries: Vec<_> =
        metadata.iter().map(|metadata| format!("\"__metadata__\":{metadata}")).collect();
    let mut data = Vec::new();
    for Tensor(name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        entries.push(format!(
            "{}:{}",
            json!(name),
            json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets })
        ));
        data.extend(bytes);
    }
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn header_of(file: &[u8]) -> &[u8] {
    let len = u64::from_le_bytes(file[..8].try_into().unwrap());
    &file[8..8 + usize::try_from(len).unwrap()]
}

/// The example, beside this test's own folder.
static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let profile = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let binary = profile.join("examples").join("aggregate").with_extension(env::consts::EXE_EXTENSION);
    if !binary.exists() {
        let profile = profile.file_name().unwrap().to_str().unwrap();
        let profile = if profile == "debug" { "dev" } else { profile };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--example", "aggregate", "--profile", profile]);
        assert!(cargo.status().unwrap().success(), "the example does not build");
    }
    assert!(binary.exists(), "{} is not there: cargo build --example aggregate", binary.display());
    binary
});

/// A directory with updates in it.
struct Setting(TempDir);

impl Setting {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let setting = Self(TempDir::new().unwrap());
        for (name, bytes) in files {
            fs::write(setting.path(name), bytes).unwrap();
        }
        setting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&*EXAMPLE);
        command.current_dir(&self.0).args(["--key-bits", "2048"]).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs with `--json --out mean` and returns the object.
    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--json", "--out", "mean"], args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else")
    }

    /// Runs into a failure that leaves everything as it was, and returns the message.
    fn fails(&self, status: i32, args: &[&str]) -> String {
        let before = self.names();
        let output = self.run(&[&["--out", "mean"], args].concat());
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
        assert_eq!(self.names(), before, "{args:?} left something behind");
        assert!(output.stdout.is_empty());
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A tensor of a file as numbers.
fn values(path: &Path, name: &str) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    let data = tensor.data();
    match tensor.dtype() {
        safetensors::Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        safetensors::Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).into()).collect(),
        safetensors::Dtype::BF16 => {
            data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).into()).collect()
        }
        other => panic!("{other}"),
    }
}

/// The largest difference of the written mean from that of the files, with weights and clipped.
fn deviation(setting: &Setting, clients: &[(&str, f64)], clip: f64, tensor: &str) -> f64 {
    let total: f64 = clients.iter().map(|(_, weight)| weight).sum();
    let mean = values(&setting.path("mean"), tensor);
    let mut expected = vec![0.0; mean.len()];
    for (file, weight) in clients {
        for (sum, x) in expected.iter_mut().zip(values(&setting.path(file), tensor)) {
            *sum += weight * x.clamp(-clip, clip) / total;
        }
    }
    mean.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"))
}

/// An update with everything in it that a file may have.
fn update(seed: f32) -> Vec<Tensor> {
    let wave = |len: u16, of: f32| -> Vec<f32> {
        (0..len).map(|i| (f32::from(i) * 0.37 + seed * of).sin() * 0.9).collect()
    };
    vec![
        f16s("encoder.half", &[2, 150], &wave(300, 3.0)),
        f32s("encoder.weight", &[20, 3, 5], &wave(300, 1.0)),
        i64s("steps", &[2], &[512, -1]),
        f32s("empty", &[0, 5], &[]),
        bf16s("décoder \"β\"", &[7], &wave(7, 5.0)),
        f32s("scalar", &[], &wave(1, 7.0)),
    ]
}

#[test]
fn the_mean_has_the_first_files_header_and_is_within_the_bound() {
    let mut reversed = update(2.0);
    reversed.reverse();
    let files = [
        ("a", safetensors(&update(1.0), Some(&json!({ "format": "pt", "epoch": "3" })))),
        ("b", safetensors(&reversed, None)),
        ("c", safetensors(&update(3.0), Some(&json!({ "format": "np" })))),
    ];
    let setting = Setting::new(&files);
    let json = setting.json(&["--bits", "16", "--clip", "1.0", "a", "b", "c"]);

    let mean = fs::read(setting.path("mean")).unwrap();
    assert_eq!(header_of(&mean), header_of(&files[0].1));
    let kept = SafeTensors::deserialize(&mean).unwrap().tensor("steps").unwrap().data().to_vec();
    assert_eq!(kept, update(1.0)[2].3);
    assert_eq!(setting.names(), ["a", "b", "c", "mean"]);

    assert_eq!(json["clients"], 3);
    assert_eq!(json["parameters"], 300 + 300 + 7 + 1);
    assert_eq!(json["tensors"], 6);
    assert_eq!(json["kept_tensors"], 1);
    assert_eq!(json["clipped_values"], 0);
    assert_eq!((&json["bits"], &json["key_bits"]), (&json!(16), &json!(2048)));
    assert!(number(&json, "bytes_per_value") > 2.0);
    assert!(json["seconds"]["encryption"].as_f64().unwrap() > 0.0);
    let clients = [("a", 1.0), ("b", 1.0), ("c", 1.0)];
    let mut worst: f64 = 0.0;
    for (tensor, float) in [
        ("encoder.weight", "F32"),
        ("scalar", "F32"),
        ("empty", "F32"),
        ("encoder.half", "F16"),
        ("décoder \"β\"", "BF16"),
    ] {
        let deviation = deviation(&setting, &clients, 1.0, tensor);
        assert!(deviation <= number(&json["types"][float], "error_bound"), "{tensor}: {deviation}");
        assert!(deviation <= number(&json["types"][float], "largest_deviation") + 1e-15, "{tensor}");
        worst = worst.max(deviation);
    }
    assert!((worst - number(&json, "largest_deviation")).abs() < 1e-15);
    assert!(number(&json, "largest_deviation") <= number(&json, "error_bound"));
    // Half a step, and a little for the roundings of f64 and F32.
    let half_step = 1.0 / f64::from((1 << 16) - 2);
    let bound = number(&json["types"]["F32"], "error_bound");
    assert!(bound > half_step && bound < 1.01 * half_step, "{bound}");
}

#[test]
fn weights_weigh_and_may_be_zero() {
    let files = [("a", 1.0), ("b", 2.0), ("c", 3.0)];
    let files = files.map(|(name, seed)| (name, safetensors(&update(seed), None)));
    let setting = Setting::new(&files);
    let json = setting.json(&["--weights", "10,0,5", "--max-weight", "1000", "--stochastic", "a", "b", "c"]);
    assert_eq!((&json["weights"], &json["max_weight"]), (&json!([10, 0, 5]), &json!(1000)));
    assert_eq!(json["rounding"], "stochastic");
    for tensor in ["encoder.weight", "encoder.half", "scalar"] {
        let deviation = deviation(&setting, &[("a", 10.0), ("b", 0.0), ("c", 5.0)], 1.0, tensor);
        assert!(deviation <= number(&json, "error_bound"), "{tensor}: {deviation}");
    }
    for (weights, words) in
        [("1,2", "2 weights for 3 files"), ("0,0,0", "all weights are zero"), ("1,2,-3", "-3")]
    {
        let message = setting.fails(2, &["--weights", weights, "a", "b", "c"]);
        assert!(message.contains(words), "{message}");
    }
    let message = setting.fails(2, &["--weights", "9,9,9", "--max-weight", "8", "a", "b", "c"]);
    assert!(message.contains("a weight of 9 is above --max-weight 8"), "{message}");
}

#[test]
fn clipping_is_counted_and_the_bound_is_that_of_clipped_values() {
    let files = [
        ("a", safetensors(&[f32s("w", &[4], &[0.5, -3.0, 0.25, 100.0])], None)),
        ("b", safetensors(&[f32s("w", &[4], &[0.5, 0.5, -0.25, 0.0])], None)),
    ];
    let setting = Setting::new(&files);
    let json = setting.json(&["--clip", "0.5", "--bits", "12", "a", "b"]);
    assert_eq!(json["clipped_values"], 2);
    let deviation = deviation(&setting, &[("a", 1.0), ("b", 1.0)], 0.5, "w");
    assert!(deviation <= number(&json, "error_bound"));
    assert!((number(&json, "largest_deviation_unclipped") - 49.75).abs() < 1e-3);
    assert!(json["notes"].to_string().contains("2 values were clipped"));
}

#[test]
fn half_precision_means_stay_finite() {
    // The grid's only points are the three multiples of a step larger than the largest F16.
    let setting = Setting::new(&[("a", safetensors(&[f16s("w", &[2], &[65504.0, -65504.0])], None))]);
    setting.json(&["--clip", "70000", "--bits", "2", "a"]);
    assert_eq!(values(&setting.path("mean"), "w"), [65504.0, -65504.0]);
}

#[test]
fn mismatched_files_are_refused_by_name() {
    let good = safetensors(&update(1.0), None);
    let changed = |change: fn(&mut Vec<Tensor>)| {
        let mut tensors = update(2.0);
        change(&mut tensors);
        safetensors(&tensors, None)
    };
    let cases: [(Vec<u8>, &[&str]); 9] = [
        (changed(|t| drop(t.remove(1))), &["`encoder.weight` is missing"]),
        (changed(|t| t.push(f32s("extra", &[1], &[0.0]))), &["`extra`", "does not have"]),
        (changed(|t| t[1].0 = "encoder.wait"), &["`encoder.weight` is missing"]),
        (changed(|t| t[1].2 = vec![20, 5, 3]), &["`encoder.weight` is F32 [20, 5, 3], but F32 [20, 3, 5]"]),
        (changed(|t| t[0].1 = "BF16"), &["`encoder.half` is BF16 [2, 150], but F16 [2, 150]"]),
        (changed(|t| t[1] = f16s("encoder.weight", &[20, 3, 5], &[0.0; 300])), &["F16", "F32"]),
        (changed(|t| t[2] = i64s("steps", &[2], &[512, 0])), &["`steps` is I64 and not the same"]),
        (
            changed(|t| t[1].3[4 * 299..].copy_from_slice(&f32::NAN.to_le_bytes())),
            &["`encoder.weight` has NaN at index 299"],
        ),
        (
            changed(|t| t[0].3[14..16].copy_from_slice(&f16::NEG_INFINITY.to_le_bytes())),
            &["`encoder.half` has -inf at index 7"],
        ),
    ];
    for (bad, words) in cases {
        let setting = Setting::new(&[("good", good.clone()), ("fine", good.clone()), ("bad", bad)]);
        let message = setting.fails(1, &["good", "fine", "bad"]);
        assert!(message.starts_with("error: bad: "), "{message}");
        for word in words {
            assert!(message.contains(word), "{word} in {message}");
        }
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn broken_files_are_refused_by_name_wherever_they_stand() {
    let good = safetensors(&update(1.0), None);
    let data = good.len() - 8 - header_of(&good).len();
    let cut = |len: usize| good[..len].to_vec();
    let header = |header: &str| with_header(header, &[0; 8]);
    let mut overlong = good.clone();
    overlong.push(0);
    let mut cases = vec![
        cut(0),
        cut(7),
        cut(8),
        cut(20),
        cut(good.len() - data - 1),
        cut(good.len() - data),
        cut(good.len() - data / 2),
        cut(good.len() - 1),
        overlong,
        u64::MAX.to_le_bytes().to_vec(),
        with_header("", &[]),
        header("{}"),
        header("[]"),
        header(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#),
        header(r#"{"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#),
        header(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#),
        header(
            r#"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        ),
        header(
            r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}"#,
        ),
        with_header("{\"\u{0}", &[]),
        b"PK\x03\x04 this is something else altogether".to_vec(),
    ];
    // One bit of the header at a time: never a mean of something else, never a panic.
    let bits = 8 * header_of(&good).len();
    cases.extend((64..64 + bits).step_by(41).map(|bit| {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }));
    for bad in cases {
        let setting = Setting::new(&[("good", good.clone()), ("bad", bad.clone())]);
        let message = setting.fails(1, &["good", "bad"]);
        assert!(message.starts_with("error: bad: "), "{message}");
        // A flipped name or shape may be as good as any for a first file, and then it is the other that differs.
        let message = setting.fails(1, &["bad", "good"]);
        assert!(message.starts_with("error: ") && message.contains("bad"), "{message}");
    }
    let setting = Setting::new(&[("good", good)]);
    fs::create_dir(setting.path("bad")).unwrap();
    for name in ["bad", "absent"] {
        let message = setting.fails(1, &["good", name]);
        assert!(message.starts_with(&format!("error: {name}: ")), "{message}");
    }
}

#[test]
fn other_types_are_refused_kept_or_taken_from_the_first_file() {
    let with_steps = |steps: i64| safetensors(&[f32s("w", &[1], &[0.5]), i64s("steps", &[], &[steps])], None);
    let setting = Setting::new(&[("a", with_steps(1)), ("b", with_steps(2))]);
    let message = setting.fails(1, &["--other-types", "refuse", "a", "b"]);
    assert!(message.contains("a: tensor `steps` is I64"), "{message}");
    let message = setting.fails(1, &["a", "b"]);
    assert!(message.contains("b: tensor `steps` is I64 and not the same as in a"), "{message}");
    let json = setting.json(&["--other-types", "first", "a", "b"]);
    assert!(json["notes"].to_string().contains("1 tensor of another type is kept as in a"), "{json}");
    let a = fs::read(setting.path("a")).unwrap();
    let mean = fs::read(setting.path("mean")).unwrap();
    assert_eq!(a[a.len() - 8..], mean[mean.len() - 8..]);
}

#[test]
fn outputs_replace_what_was_there_but_no_input() {
    let good = safetensors(&update(1.0), None);
    let setting = Setting::new(&[("a", good.clone()), ("mean", b"old".to_vec())]);
    let message = setting.fails(1, &["a", "absent"]);
    assert!(message.contains("absent"));
    assert_eq!(fs::read(setting.path("mean")).unwrap(), b"old");

    let output = setting.run(&["--quiet", "--out", "mean", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    assert_eq!(fs::read(setting.path("mean")).unwrap().len(), good.len());

    let output = setting.run(&["--out", "./a", "a"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("./a: is the input a, and is not overwritten"), "{}", stderr(&output));
    assert_eq!(fs::read(setting.path("a")).unwrap(), good);

    for out in [".", "nowhere/mean"] {
        let output = setting.run(&["--out", out, "a"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(out), "{}", stderr(&output));
    }
    assert_eq!(setting.names(), ["a", "mean"]);
}

#[test]
fn the_summary_states_what_it_should() {
    let setting = Setting::new(&[("a", safetensors(&update(1.0), None))]);
    let output = setting.run(&["--threads", "1", "--out", "mean", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = String::from_utf8(output.stdout.clone()).unwrap();
    for words in [
        "mean of 1 update, 608 parameters in 5 tensors",
        "one client: the mean is the update in a, and hides nothing",
        "F32, 301 parameters: largest deviation from the plain mean",
        "bytes a value",
        "encryption",
        "on 1 thread\n",
    ] {
        assert!(summary.contains(words), "{words} in {summary}");
    }
    assert_eq!(stderr(&output), "", "no bar where there is no terminal");
}

#[test]
fn wrong_command_lines_say_what_is_wrong() {
    let setting = Setting::new(&[("a", safetensors(&update(1.0), None))]);
    for (args, words) in [
        (&["a", "--bits", "1"][..], "--bits"),
        (&["a", "--bits", "49"], "--bits"),
        (&["a", "--clip", "0"], "--clip"),
        (&["a", "--clip", "-1"], "--clip"),
        (&["a", "--clip", "inf"], "--clip"),
        (&["a", "--clip", "1e-320"], "normal numbers"),
        (&["a", "--backend", "abacus"], "portable"),
        (&["a", "--threads", "0"], "--threads"),
        (&["a", "--max-weight", "3"], "--weights"),
        (&["a", "--json", "--quiet"], "--json"),
        (&[], "<FILE>"),
    ] {
        let message = setting.fails(2, args);
        assert!(message.contains(words), "{args:?}: {message}");
    }
    let help = setting.run(&["--help"]);
    assert!(help.status.success());
}

#[test]
fn a_run_that_is_killed_leaves_nothing_behind() {
    let values = vec![0.25; 500_000];
    let setting = Setting::new(&[("a", safetensors(&[f32s("w", &[500_000], &values)], None))]);
    for millis in [20, 400] {
        let mut child = setting
            .command(&["--threads", "1", "--out", "mean", "a", "a", "a"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(setting.names(), ["a"]);
    }
}
