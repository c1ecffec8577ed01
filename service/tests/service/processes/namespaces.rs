//! Organisations in separate network namespaces, over slow links that are cut.
#![cfg(all(feature = "board", target_os = "linux"))]

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use cipherfold_service::Store;

use crate::support::commands::{cipherfold, json_of, set_up};

/// Bits in a second of the slow links.
const SLOW: u32 = 1_000_000;

/// A namespace for each organisation, and a link from each to that of the board.
struct Network {
    name: String,
}

const PARTIES: [&str; 3] = ["server", "client-0", "client-1"];

fn ip(arguments: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments.split(' ')).status().is_ok_and(|status| status.success())
}

impl Network {
    /// None where namespaces may not be made.
    fn new() -> Option<Self> {
        let network = Self { name: format!("cf{}", std::process::id()) };
        if !ip(&format!("netns add {}", network.namespace("board"))) {
            return None;
        }
        assert!(ip(&format!("-n {} link set lo up", network.namespace("board"))));
        for (place, party) in PARTIES.into_iter().enumerate() {
            let (board, own) = (network.namespace("board"), network.namespace(party));
            let (near, far) = (format!("near{place}"), format!("far{place}"));
            for command in [
                format!("netns add {own}"),
                format!("-n {board} link add {near} type veth peer name {far} netns {own}"),
                format!("-n {board} addr add 10.77.{place}.1/24 dev {near}"),
                format!("-n {own} addr add 10.77.{place}.2/24 dev {far}"),
                format!("-n {board} link set {near} up"),
                format!("-n {own} link set {far} up"),
            ] {
                assert!(ip(&command), "ip {command}");
            }
        }
        for (namespace, link) in [("board", "near1"), ("client-0", "far1")] {
            network.slow_down(namespace, link);
        }
        Some(network)
    }

    fn namespace(&self, party: &str) -> String {
        format!("{}-{party}", self.name)
    }

    /// A link with a rate, and a delay where the kernel has `netem`.
    fn slow_down(&self, namespace: &str, link: &str) {
        let tc = |rest: &str| {
            let arguments = format!("-n {} qdisc add dev {link} {rest}", self.namespace(namespace));
            Command::new("tc").args(arguments.split(' ')).status().unwrap().success()
        };
        assert!(tc(&format!("root handle 1: tbf rate {SLOW}bit burst 16kb latency 300ms")));
        if !tc("parent 1:1 handle 10: netem delay 30ms 10ms loss 1%") {
            println!("this kernel has no netem: the link is slow, and neither late nor lossy");
        }
    }

    /// The command in the namespace of a party.
    fn run(&self, party: &str, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.namespace(party)]).arg(command.get_program());
        inside.args(command.get_args());
        inside
    }

    fn cut(&self, cut: bool) {
        let state = if cut { "down" } else { "up" };
        assert!(ip(&format!("-n {} link set far1 {state}", self.namespace("client-0"))));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for party in PARTIES.into_iter().chain(["board"]) {
            ip(&format!("netns del {}", self.namespace(party)));
        }
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An update of one tensor, whose values depend on the client.
fn write_update(path: &Path, values: usize, client: f32) {
    let header = format!(r#"{{"w":{{"dtype":"F32","shape":[{values}],"data_offsets":[0,{}]}}}}"#, 4 * values);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..values).flat_map(|_| (0.25 + 0.5 * client).to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_slow_link_that_is_cut() {
    let Some(network) = Network::new() else {
        println!("NOT TESTED: slow links. `ip netns add` needs root and iproute2.");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    for (client, value) in [(0, 0.0), (1, 1.0)] {
        write_update(&folder.path().join(format!("update-{client}")), 40_000, value);
    }
    // In each party's namespace, the board has a different address.
    let command = |party: &str, arguments: &[&str]| {
        let place = PARTIES.iter().position(|known| *known == party).unwrap();
        let (home, store) = (path(party), format!("https://10.77.{place}.1:8443"));
        let mut command = cipherfold(arguments);
        command.args(["--home", &home, "--store", &store, "--json"]);
        network.run(party, &command)
    };
    let mut board = cipherfold(&["board", "--listen", "0.0.0.0:8443", "--quiet"]);
    board.args(["--home", &path("aggregator"), "--store", &path("store")]);
    let mut board = network.run("board", &board);
    let _board = Running(board.env("RUST_LOG", "off").spawn().unwrap());
    let store = Store::open(&path("store")).unwrap();

    let session = json_of(&mut command("server", &["session", "new", "--key-bits", "2048"]));
    let session = session["session"].as_str().unwrap();
    let parts = |round: u32| store.list(&format!("{session}/{round}/in/client-0")).unwrap().len();
    for round in 0..2 {
        let open = ["round", "open", "--model", &path("update-0"), "--shards", "8", "--chunk", "16"];
        let update_bytes = json_of(&mut command("server", &open))["update_bytes"].as_u64().unwrap();
        let mut aggregate = cipherfold(&["aggregate", "--poll", "0.2", "--quiet"]);
        aggregate.args(["--home", &path("aggregator"), "--store", &path("store")]);
        let mut aggregating = Running(network.run("board", &aggregate).spawn().unwrap());

        let start = Instant::now();
        let submit = |party: &str, update: &str| {
            let update = path(update);
            let mut command = command(party, &["submit", &update, "--wait", "--timeout", "60"]);
            Running(command.stdout(std::process::Stdio::null()).spawn().unwrap())
        };
        let mut other = submit("client-1", "update-1");
        let mut slow = submit("client-0", "update-0");
        while parts(round) < 2 {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing comes through");
            thread::sleep(Duration::from_millis(20));
        }
        network.cut(true);
        thread::sleep(Duration::from_secs(2));
        let before = parts(round);
        assert!(before < 8, "the cut came too late");
        if round == 1 {
            // The process is lost as well, and started again.
            drop(slow);
            network.cut(false);
            slow = submit("client-0", "update-0");
        } else {
            network.cut(false);
        }
        assert!(slow.0.wait().unwrap().success() && other.0.wait().unwrap().success());
        let least = Duration::from_millis(update_bytes * 8 * 1000 / u64::from(SLOW));
        assert!(
            start.elapsed() > least,
            "{:?} for {update_bytes} bytes: the link is not slow",
            start.elapsed()
        );
        assert!(aggregating.0.wait().unwrap().success());
        let out = path("mean");
        let pulled = json_of(&mut command("server", &["pull", "--out", &out, "--timeout", "60"]));
        assert_eq!(pulled["participants"], serde_json::json!([0, 1]));
        let mean = cipherfold::files::UpdateFile::open(&out).unwrap().floats::<f32>().unwrap();
        assert!(mean[0].iter().all(|mean| (mean - 0.5).abs() < 3e-5) && mean[0].len() == 40_000);
        println!(
            "round {round}: {update_bytes} bytes in {:?}, {before} of 8 objects before the cut",
            start.elapsed()
        );
    }
    let audit = json_of(&mut command("server", &["audit"]));
    assert_eq!(audit["findings"], serde_json::json!([]));
}
