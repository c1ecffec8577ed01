//! A disk that is full: a real file system of a megabyte, in a separate mount namespace.
#![cfg(all(feature = "board", target_os = "linux"))]

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use cipherfold::backend::BackendChoice;
use cipherfold_service::{
    Error, Store,
    inspect::audit,
    objects::RoundKey,
    progress::Silent,
    roles,
    store::{self, Written},
};

use crate::support::{World, assert_is_mean, read_mean, running_board::Running};

/// The directory of the small disk, in the process that has it.
const DISK: &str = "CIPHERFOLD_SMALL_DISK";

#[test]
fn a_full_disk_loses_nothing() {
    if let Some(disk) = std::env::var_os(DISK) {
        return on_the_disk(Path::new(&disk));
    }
    let allowed = Command::new("unshare").args(["--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("NOT TESTED: a full disk. `unshare --mount` needs root, or the right to mount.");
        return;
    }
    // Runs this test again, with a disk that no other process sees.
    let folder = tempfile::tempdir().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .args(["mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$@\""])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::a_full_disk_loses_nothing"), "--nocapture"])
        .env(DISK, folder.path())
        .status();
    assert!(status.unwrap().success());
}

/// A file that takes all the room that is left.
struct Filler(PathBuf);

impl Filler {
    fn new(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut file = File::create(&path).unwrap();
        let mut block = 1 << 16;
        while block > 0 {
            match file.write(&vec![1; block]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => block /= 2,
                Err(error) => panic!("{error}"),
            }
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn is_full<T: std::fmt::Debug>(done: Result<T, Error>) {
    let error = done.unwrap_err();
    assert!(matches!(error, Error::Store(store::Error::Full { quota: None, .. })), "{error:?}");
    assert!(error.to_string().ends_with("the store is full"), "{error}");
    assert_eq!(error.exit_code(), 75);
}

fn on_the_disk(disk: &Path) {
    let store = Store::open(disk.join("store").to_str().unwrap()).unwrap();
    let world = World::over(tempfile::tempdir().unwrap(), store, 2);
    let session = world.session();
    let round = world.round(&session, 0);
    roles::announce(&world.aggregator, &session).unwrap();

    // Through the board and beside it: nothing is half written, and the same command works when
    // there is room.
    let before = world.store.list("").unwrap();
    let board = Running::new(&world, |_| ());
    let through = board.store(&world.clients[1]);
    let part = round.key(RoundKey::Part { client: 1, attempt: 2, shard: 0 });
    let filler = Filler::new(disk);
    is_full(world.submit(&round, 0));
    is_full(through.put(&part, vec![1; 1000]).map_err(Error::from));
    assert!(board.operations("/metrics").contains("kind=\"full\"} 1"));
    assert!(board.operations("/healthz").ends_with("ok\n"), "it can be read");
    assert_eq!(world.store.list("").unwrap(), before);
    drop(filler);
    assert_eq!(through.put(&part, vec![1; 1000]), Ok(Written::New));
    assert_eq!(world.submit(&round, 0).unwrap().attempt, 1);
    world.submit(&round, 1).unwrap();

    let filler = Filler::new(disk);
    is_full(world.aggregate(&round));
    assert_eq!(round.end().unwrap(), None);
    drop(filler);
    assert_eq!(world.aggregate(&round).unwrap().participants, [0, 1]);

    let out = world.path("mean.safetensors");
    let filler = Filler::new(disk);
    is_full(world.pull(&round, &out));
    drop(filler);
    world.pull(&round, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 1]);
    let aggregator = Some((&world.aggregator, BackendChoice::Auto));
    let report = audit(&world.store, &world.consortium, session.id(), aggregator, &Silent).unwrap();
    let findings: Vec<_> = report.findings.iter().map(|finding| &*finding.object).collect();
    assert_eq!(
        (findings, report.recomputed),
        (vec![&*part.to_string()], 1),
        "the bytes that were put by hand"
    );
}
