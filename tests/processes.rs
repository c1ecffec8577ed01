//! The roles of a round in five processes that exchange files. The result has the same bits as the
//! simulation.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

#[path = "../examples/roles/mailbox.rs"]
mod mailbox;
#[path = "../examples/roles/parties.rs"]
mod parties;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use cipherfold::{
    federated::{KeyHolding, LocalExecutor, Party},
    packing::Quantizer,
    paillier::Bits2048,
};
use mailbox::Mailbox;

const DIRECTORY: &str = "CIPHERFOLD_TEST_DIRECTORY";
const PARTY: &str = "CIPHERFOLD_TEST_PARTY";

fn mailbox(directory: &Path) -> Mailbox {
    Mailbox::new(directory, Duration::from_secs(120))
}

/// An update with all kinds of numbers, some of them clipped.
fn update(client: u32) -> Vec<f32> {
    (0..parties::VALUES).map(|i| ((i as f32 + 1.0) * 0.37 * (client as f32 + 1.0)).sin() * 1.2).collect()
}

fn process(party: Party, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_party", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(PARTY, parties::name_of(party))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The work of one process.
#[test]
#[ignore = "run by the test below, once for each party"]
fn one_party() {
    let mailbox = mailbox(Path::new(&std::env::var_os(DIRECTORY).unwrap()));
    let party = parties::named(&std::env::var(PARTY).unwrap()).unwrap();
    match party {
        Party::Client(number) => parties::client(number, &update(number), &mailbox).unwrap(),
        Party::Aggregator => parties::aggregator(&mailbox).unwrap(),
        Party::KeyHolder => parties::key_holder(&mailbox).unwrap(),
        Party::Server => {
            let result = parties::server(&mailbox).unwrap();
            assert_eq!(result.participants, [0, 1]);
            let mean = parties::mean::<f32>(result);
            let bytes: Vec<u8> = mean.iter().flat_map(|x| x.to_le_bytes()).collect();
            mailbox.post("result", &bytes).unwrap();
        }
    }
}

#[test]
fn five_processes_find_the_bits_of_the_simulation() {
    let directory = tempfile::tempdir().unwrap();
    let mailbox = mailbox(directory.path());
    parties::set_up(&mailbox).unwrap();
    let processes = parties::ALL.map(|party| (party, process(party, directory.path())));
    for (party, process) in processes {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{party}: {text}{errors}");
    }
    let bytes = mailbox.wait_for("result").unwrap();
    let found: Vec<u32> = bytes.chunks_exact(4).map(|x| u32::from_le_bytes(x.try_into().unwrap())).collect();

    let executor = LocalExecutor::<Bits2048>::builder().key_holding(KeyHolding::KeyHolder).build().unwrap();
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let mean = executor.secure_mean([update(0), update(1)], quantizer).unwrap().value;
    assert_eq!(found, mean.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
}
