//! Processes are killed at named points, and started again.
#![cfg(feature = "fault-injection")]

use std::{os::unix::process::ExitStatusExt, path::Path};

use crate::support::{
    assert_is_mean,
    commands::{SIGKILL, cipherfold, json, killed_at, set_up},
    read_mean, write_updates,
};

const OPEN: [&str; 1] = ["round-opened"];
const CLIENT: [&str; 5] =
    ["client-announced", "client-shard:1", "client-shard:2", "client-uploaded", "client-committed"];
const AGGREGATOR: [&str; 7] = [
    "aggregator-announced",
    "aggregator-counted:1",
    "aggregator-counted:2",
    "aggregator-ended",
    "aggregator-sum:1",
    "aggregator-sum:2",
    "aggregator-done",
];
const SERVER: [&str; 5] =
    ["server-shard:1", "server-shard:2", "server-opened", "server-written", "server-saved"];

/// A small generator, so that a failing seed can be run again.
struct Seeded(u64);

impl Seeded {
    fn pick<'a>(&mut self, points: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        points[usize::try_from(self.0 >> 33).unwrap() % points.len()]
    }
}

/// A round in which every role is killed once, each at a different point.
fn round(folder: &Path, number: u64, points: [&str; 5]) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (store, number) = (path("store"), number.to_string());
    let [open, first, second, aggregator, server] = points;
    let at = ["--store", &store, "--round", &number];
    let (home, model) = (path("server"), path("update-0"));
    let declare = ["round", "open", "--home", &home, "--model", &model, "--shards", "3", "--chunk", "1"];
    // A declared deadline is a moment: the second process finds the round that the first one has
    // declared.
    let mut command = cipherfold(&[&declare[..], &at].concat());
    let status = command.arg("--quiet").env("CIPHERFOLD_KILL_AT", open).status().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "{open}");

    // The aggregator is killed when both have committed, and once before: it must have announced
    // its key.
    let home = path("aggregator");
    let aggregate = [&["aggregate", "--home", &home, "--poll", "0.02"], &at[..]].concat();
    let status = cipherfold(&aggregate)
        .arg("--quiet")
        .env("CIPHERFOLD_KILL_AT", "aggregator-announced")
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(SIGKILL));
    for (client, point) in [(0, first), (1, second)] {
        let (home, update) = (path(&format!("client-{client}")), path(&format!("update-{client}")));
        killed_at(point, &[&["submit", "--home", &home, &update], &at[..]].concat());
    }
    killed_at(aggregator, &aggregate);
    let (home, out) = (path("server"), path("mean"));
    killed_at(server, &[&["pull", "--home", &home, "--out", &out], &at[..]].concat());
    assert_is_mean(&read_mean(&folder.join("mean")), &[0, 1]);
}

/// Two workers, each killed at a point, beside an aggregator that waits for them.
#[test]
fn workers_that_are_killed_continue() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let (store, server, aggregator) = (path("store"), path("server"), path("aggregator"));
    json(&["session", "new", "--home", &server, "--store", &store, "--key-bits", "2048"]);
    write_updates(folder.path());
    let points = ["worker-checked:1", "worker-checked:2", "aggregator-sum:1", "worker-folded"];
    for (number, point) in (0..).zip(points) {
        let number: String = u32::to_string(&number);
        let at = ["--store", &store, "--round", &number];
        let declare = [
            "round",
            "open",
            "--home",
            &server,
            "--model",
            &path("update-0"),
            "--shards",
            "3",
            "--chunk",
            "1",
        ];
        json(&[&declare[..], &at].concat());
        let aggregate = ["aggregate", "--home", &aggregator, "--poll", "0.02", "--workers", "2", "--quiet"];
        let mut aggregating = cipherfold(&[&aggregate[..], &at].concat()).spawn().unwrap();
        let fold = |index: u32| {
            let mut command =
                cipherfold(&[&["fold", "--home", &aggregator, "--timeout", "60"], &at[..]].concat());
            command.arg("--quiet").env("CIPHERFOLD_SHARD", format!("{index}/2"));
            command
        };
        let mut first = fold(0).env("CIPHERFOLD_KILL_AT", point).spawn().unwrap();
        let mut second = fold(1).spawn().unwrap();
        for client in [0, 1] {
            let (home, update) = (path(&format!("client-{client}")), path(&format!("update-{client}")));
            json(&[&["submit", "--home", &home, &update], &at[..]].concat());
        }
        assert_eq!(first.wait().unwrap().signal(), Some(SIGKILL), "{point}");
        assert!(fold(0).status().unwrap().success(), "{point}");
        assert!(second.wait().unwrap().success() && aggregating.wait().unwrap().success(), "{point}");
        json(&[&["pull", "--home", &server, "--out", &path("mean")], &at[..]].concat());
        assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);
    }
    let audit = json(&["audit", "--home", &aggregator, "--store", &store]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &4.into()));
}

#[test]
fn a_party_that_is_killed_at_any_point_continues() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let store = path("store");
    let server = path("server");
    let session = ["session", "new", "--home", &server, "--store", &store, "--key-bits", "2048"];
    write_updates(folder.path());
    // If the process is killed between the secret key and the declaration, the session is not
    // declared. A declared session stays.
    let status = cipherfold(&session).env("CIPHERFOLD_KILL_AT", "session-saved").status().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL));
    let status = cipherfold(&session).env("CIPHERFOLD_KILL_AT", "session-declared").status().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL));
    assert_eq!(json(&["status", "--home", &server, "--store", &store])["rounds"], serde_json::json!([]));

    // Every point once, and then random points.
    let mut number = 0;
    for place in 0..AGGREGATOR.len() {
        let client = |place: usize| CLIENT[place % CLIENT.len()];
        let points =
            [OPEN[0], client(place), client(place + 2), AGGREGATOR[place], SERVER[place % SERVER.len()]];
        round(folder.path(), number, points);
        number += 1;
    }
    let seeds = std::env::var("CIPHERFOLD_SEEDS").map_or(3, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let mut seeded = Seeded(seed);
        let points = [
            OPEN[0],
            seeded.pick(&CLIENT),
            seeded.pick(&CLIENT),
            seeded.pick(&AGGREGATOR),
            seeded.pick(&SERVER),
        ];
        println!("seed {seed}: {points:?}");
        round(folder.path(), number, points);
        number += 1;
    }
    let audit = json(&["audit", "--home", &path("aggregator"), "--store", &store]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &number.into()));
}

/// A removal through a board that is killed after its note, and in the middle: the second one
/// removes the rest.
#[cfg(feature = "board")]
#[test]
fn a_removal_that_is_killed_continues() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let (store, server, aggregator) = (path("store"), path("server"), path("aggregator"));
    json(&["session", "new", "--home", &server, "--store", &store, "--key-bits", "2048"]);
    write_updates(folder.path());
    for number in [0, 1] {
        round(folder.path(), number, [OPEN[0], CLIENT[3], CLIENT[4], AGGREGATOR[3], SERVER[0]]);
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (listen, url) = (format!("127.0.0.1:{port}"), format!("https://127.0.0.1:{port}"));
    let board = ["board", "--home", &aggregator, "--store", &store, "--listen", &listen, "--quiet"];
    let mut board = cipherfold(&board).env("RUST_LOG", "off").spawn().unwrap();
    listens(&listen);
    let list = |round: &str| {
        let status = json(&["status", "--home", &server, "--store", &store]);
        status["rounds"][round.parse::<usize>().unwrap()].clone()
    };
    for (round, point) in [("0", "round-noted"), ("1", "round-object-removed:4")] {
        let before = list(round)["objects"].as_u64().unwrap();
        killed_at(point, &["round", "remove", "--home", &server, "--store", &url, "--round", round]);
        let after = list(round);
        assert_eq!(after["removed"], true);
        assert!(after["objects"].as_u64().unwrap() <= before + 1 - 9, "{after}");
    }
    let audit = json(&["audit", "--home", &aggregator, "--store", &url]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &0.into()));
    board.kill().unwrap();
    board.wait().unwrap();
}

#[cfg(feature = "board")]
fn listens(address: &str) {
    let connected = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::net::TcpStream::connect(address).is_ok()
    });
    assert!(connected, "the board does not listen");
}

/// A board is killed while clients upload, and started again on the same port. All acknowledged
/// objects exist, and clients only notice a pause.
#[cfg(feature = "board")]
#[test]
fn a_board_that_is_killed_loses_nothing() {
    use std::{net::TcpListener, thread, time::Duration};

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let (store, url) = (path("store"), format!("https://{listen}"));
    let start = || {
        let aggregator = path("aggregator");
        let arguments = ["board", "--home", &aggregator, "--store", &store, "--listen", &listen, "--quiet"];
        let mut board = cipherfold(&arguments);
        let board = board.env("RUST_LOG", "off").spawn().unwrap();
        listens(&listen);
        board
    };
    let mut board = start();
    let server = path("server");
    json(&["session", "new", "--home", &server, "--store", &url, "--key-bits", "2048"]);
    write_updates(folder.path());
    let open =
        ["round", "open", "--home", &server, "--store", &url, "--model", &path("update-0"), "--chunk", "1"];
    json(&[&open[..], &["--shards", "3"]].concat());
    thread::scope(|scope| {
        let (path, url) = (&path, &url);
        scope.spawn(move || {
            json(&["aggregate", "--home", &path("aggregator"), "--store", url, "--poll", "0.1"])
        });
        for client in [0, 1] {
            scope.spawn(move || {
                let (home, update) = (path(&format!("client-{client}")), path(&format!("update-{client}")));
                json(&["submit", "--home", &home, "--store", url, &update, "--wait", "--timeout", "60"])
            });
        }
        for pause in [100, 400, 900] {
            thread::sleep(Duration::from_millis(pause));
            board.kill().unwrap();
            board.wait().unwrap();
            board = start();
        }
    });
    json(&["pull", "--home", &server, "--store", &url, "--out", &path("mean"), "--timeout", "60"]);
    assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);
    let audit = json(&["audit", "--home", &path("aggregator"), "--store", &url]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &1.into()));

    // After SIGTERM it exits with code 0.
    let terminate = std::process::Command::new("kill").args(["-TERM", &board.id().to_string()]).status();
    assert!(terminate.unwrap().success() && board.wait().unwrap().success());
}
