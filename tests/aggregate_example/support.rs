//! Small files, and runs of the example over them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use half::{bf16, f16};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A tensor for a new file: name, type, shape, bytes.
#[derive(Clone)]
pub(crate) struct Tensor(
    pub(crate) String,
    pub(crate) &'static str,
    pub(crate) Vec<usize>,
    pub(crate) Vec<u8>,
);

pub(crate) fn f32s(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor(name.into(), "F32", shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

pub(crate) fn f16s(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
    Tensor(name.into(), "F16", shape.to_vec(), bytes)
}

pub(crate) fn bf16s(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
    Tensor(name.into(), "BF16", shape.to_vec(), bytes)
}

pub(crate) fn i64s(name: impl Into<String>, shape: &[usize], values: &[i64]) -> Tensor {
    Tensor(name.into(), "I64", shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

pub(crate) fn f64s(name: impl Into<String>, shape: &[usize], values: &[f64]) -> Tensor {
    Tensor(name.into(), "F64", shape.to_vec(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A tensor of bytes: numbers of 8 bits.
pub(crate) fn bytes(name: impl Into<String>, dtype: &'static str, values: &[u8]) -> Tensor {
    Tensor(name.into(), dtype, vec![values.len()], values.to_vec())
}

/// A safetensors file with the tensors in this order.
pub(crate) fn safetensors(tensors: &[Tensor], metadata: Option<&Value>) -> Vec<u8> {
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

pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

pub(crate) fn header_of(file: &[u8]) -> &[u8] {
    let len = u64::from_le_bytes(file[..8].try_into().unwrap());
    &file[8..8 + usize::try_from(len).unwrap()]
}

/// The example, beside this test's own folder.
pub(crate) static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| {
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
pub(crate) struct Setting(TempDir);

impl Setting {
    pub(crate) fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let setting = Self(TempDir::new().unwrap());
        for (name, bytes) in files {
            fs::write(setting.path(name), bytes).unwrap();
        }
        setting
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&*EXAMPLE);
        command.current_dir(&self.0).arg("--insecure-test-key").args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs with `--json --out mean` and returns the object.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--json", "--out", "mean"], args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else")
    }

    /// Runs, expects a failure that changes no file, and returns the message.
    pub(crate) fn fails(&self, status: i32, args: &[&str]) -> String {
        let before = self.names();
        let output = self.run(&[&["--out", "mean"], args].concat());
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
        assert_eq!(self.names(), before, "{args:?} left something behind");
        assert!(output.stdout.is_empty());
        stderr(&output)
    }

    /// The integers of a tensor of the mean.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        let bytes = fs::read(self.path("mean")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = file.tensor(name).unwrap();
        match tensor.dtype() {
            safetensors::Dtype::I64 => {
                tensor.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
            }
            safetensors::Dtype::I8 => tensor.data().iter().map(|b| i8::from_le_bytes([*b]).into()).collect(),
            safetensors::Dtype::U8 | safetensors::Dtype::BOOL => {
                tensor.data().iter().map(|b| (*b).into()).collect()
            }
            other => panic!("{other}"),
        }
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A tensor of a file as numbers.
pub(crate) fn values(path: &Path, name: &str) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    let data = tensor.data();
    match tensor.dtype() {
        safetensors::Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        safetensors::Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        safetensors::Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).into()).collect(),
        safetensors::Dtype::BF16 => {
            data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).into()).collect()
        }
        other => panic!("{other}"),
    }
}

/// The maximum difference of the written mean from the weighted mean of the clipped values of the
/// files.
pub(crate) fn deviation(setting: &Setting, clients: &[(&str, f64)], clip: f64, tensor: &str) -> f64 {
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

pub(crate) fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"))
}

/// An update with all features of the format.
pub(crate) fn update(seed: f32) -> Vec<Tensor> {
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
