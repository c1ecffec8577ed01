//! Engines that start numbered processes: the files in `deploy`, unchanged.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    assert_is_mean,
    commands::{cipherfold, json, set_up},
    read_mean, write_updates,
};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// A consortium of two clients with a session.
struct Rounds {
    folder: tempfile::TempDir,
}

impl Rounds {
    fn new() -> Self {
        let rounds = Self { folder: tempfile::tempdir().unwrap() };
        set_up(rounds.folder.path(), 2);
        let (server, store) = (rounds.path("server"), rounds.path("store"));
        json(&["session", "new", "--home", &server, "--store", &store, "--key-bits", "2048"]);
        write_updates(rounds.folder.path());
        rounds
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The environment that an engine gives its processes: the program on the path, the
    /// aggregator's home, the store.
    fn environment(&self) -> [(&'static str, OsString); 3] {
        let program = Path::new(env!("CARGO_BIN_EXE_cipherfold")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(std::iter::once(program).chain(std::env::split_paths(&path)));
        [
            ("PATH", path.unwrap()),
            ("CIPHERFOLD_HOME", self.path("aggregator").into()),
            ("CIPHERFOLD_STORE", self.path("store").into()),
        ]
    }

    /// A round in three shards. These processes are the workers that make the sums.
    fn run(&self, workers: u32, processes: Vec<Command>) {
        let (server, aggregator, store) = (self.path("server"), self.path("aggregator"), self.path("store"));
        let at = ["--home", &server, "--store", &store];
        let open = ["round", "open", "--model", &self.path("update-0"), "--chunk", "1", "--shards", "3"];
        json(&[&open[..], &at].concat());
        let count = workers.to_string();
        let aggregate = ["aggregate", "--poll", "0.05", "--quiet", "--workers", &count];
        let at_aggregator = ["--home", &aggregator, "--store", &store];
        let mut aggregating = cipherfold(&[&aggregate[..], &at_aggregator].concat()).spawn().unwrap();
        let mut started: Vec<_> = processes
            .into_iter()
            .map(|mut command| command.envs(self.environment()).stdout(Stdio::null()).spawn().unwrap())
            .collect();
        for client in [0, 1] {
            let (home, update) =
                (self.path(&format!("client-{client}")), self.path(&format!("update-{client}")));
            json(&["submit", "--home", &home, "--store", &store, &update]);
        }
        for process in &mut started {
            assert!(process.wait().unwrap().success());
        }
        assert!(aggregating.wait().unwrap().success());
        let mean = self.path("mean");
        let pulled = json(&[&["pull", "--out", &mean], &at[..]].concat());
        assert_eq!(pulled["participants"], serde_json::json!([0, 1]));
        assert_is_mean(&read_mean(Path::new(&mean)), &[0, 1]);
    }
}

#[test]
fn a_slurm_array_starts_workers_by_their_index() {
    let task = |index: u32| {
        let mut command = Command::new(deploy("slurm-array.sh"));
        command.env("SLURM_ARRAY_TASK_ID", index.to_string()).env("SLURM_ARRAY_TASK_COUNT", "3");
        command
    };
    Rounds::new().run(3, (0..3).map(task).collect());
}

/// The command of the Indexed Job, with its variables as Kubernetes puts them in.
#[test]
fn an_indexed_job_starts_workers_by_their_index() {
    let rounds = Rounds::new();
    let (aggregator, store) = (rounds.path("aggregator"), rounds.path("store"));
    let status = json(&["status", "--home", &aggregator, "--store", &store]);
    let session = status["session"].as_str().unwrap();
    let manifest = fs::read_to_string(deploy("kubernetes-job.yaml")).unwrap();
    let completions = manifest.lines().find_map(|line| line.trim().strip_prefix("completions: ")).unwrap();
    let count: u32 = completions.parse().unwrap();
    let line =
        manifest.lines().find_map(|line| line.trim().strip_prefix("command: [cipherfold, fold")).unwrap();
    let pod = |index: u32| {
        let text = line.trim_end_matches(']').replace("$(JOB_COMPLETION_INDEX)", &index.to_string());
        let text = text.replace("$(SESSION)", session);
        let mut command = cipherfold(&["fold"]);
        command.args(text.split(',').map(str::trim).filter(|word| !word.is_empty()));
        command
    };
    rounds.run(count, (0..count).map(pod).collect());
}

/// Ray on this machine, as the script's own commentary says.
#[test]
#[ignore = "needs ray for the Python on the path: pip install ray"]
fn ray_starts_workers_as_tasks() {
    let rounds = Rounds::new();
    let mut command = Command::new("python");
    command.arg(deploy("ray_fold.py")).args(["3", "--cpus", "0.5"]);
    // It writes a token into the user's directory.
    command.env("HOME", rounds.folder.path()).env("RAY_USAGE_STATS_ENABLED", "0");
    rounds.run(3, vec![command]);
}
