//! Buckets of S3, on a server of this machine.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::{
    assert_is_mean,
    commands::{cipherfold, json_of, set_up},
    read_mean, write_updates,
};

/// A server that is stopped at the end.
struct Moto {
    server: Child,
    port: u16,
}

impl Moto {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server: pip install 'moto[s3,server]'");
        let moto = Self { server, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return moto;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("moto_server does not listen");
    }

    fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// Makes a bucket, as `aws s3 mb` does.
    fn make_bucket(&self, name: &str) {
        use std::io::{Read, Write};

        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
#[ignore = "needs moto_server on the path: pip install 'moto[s3,server]'"]
fn a_round_over_a_bucket() {
    let moto = Moto::new();
    moto.make_bucket("rounds");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path(), 2);
    let store = "s3://rounds/of/tests";
    let run = |arguments: &[&str]| {
        let mut command = cipherfold(arguments);
        json_of(command.args(["--store", store, "--json"]).envs(moto.environment()))
    };
    write_updates(folder.path());
    let session = run(&["session", "new", "--home", &path("server"), "--key-bits", "2048"]);
    run(&[
        "round",
        "open",
        "--home",
        &path("server"),
        "--model",
        &path("update-0"),
        "--chunk",
        "1",
        "--shards",
        "3",
    ]);
    thread::scope(|scope| {
        scope.spawn(|| run(&["aggregate", "--home", &path("aggregator"), "--poll", "0.1"]));
        for client in [0, 1] {
            let (home, update) = (path(&format!("client-{client}")), path(&format!("update-{client}")));
            let run = &run;
            scope.spawn(move || {
                let submitted = run(&["submit", "--home", &home, &update, "--wait", "--timeout", "60"]);
                assert_eq!(submitted["counted"], true);
            });
        }
    });
    run(&["pull", "--home", &path("server"), "--out", &path("mean")]);
    assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);
    let audit = run(&["audit", "--home", &path("aggregator")]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &1.into()));
    let status = run(&["status", "--home", &path("client-1")]);
    assert_eq!((&status["session"], &status["rounds"][0]["state"]), (&session["session"], &"saved".into()));
}
