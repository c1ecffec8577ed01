//! Rounds of a consortium in which a key holder, and not the server, has the secret key.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use cipherfold::{backend::BackendChoice, federated::Party};
use cipherfold_service::{
    Error, Home, Key,
    digest::Sha256,
    objects::{self, Answered, Asked, Done, End, Outcome, Participant, RoundKey, sign},
    parties,
    progress::Silent,
    roles::{self, Timeout},
    round::{Declaration, OpenRound, State},
};

use crate::support::{
    World, assert_is_mean, audited,
    commands::{cipherfold, json, pull, set_up_with},
    named, outsider, read_mean, timeout, write_updates,
};

/// A round whose sums are there.
fn done(clients: u32) -> (World, OpenRound) {
    let world = World::with_key_holder(clients);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    world.aggregate(&round).unwrap();
    (world, round)
}

/// The same, and the server has asked.
fn asked(clients: u32) -> (World, OpenRound) {
    let (world, round) = done(clients);
    let out = world.path("mean.safetensors");
    let short = Timeout::of(Duration::from_millis(20));
    let waiting =
        roles::pull(&world.server, &round, &out, (BackendChoice::Auto, short), &Silent).unwrap_err();
    let Error::Waiting { what, .. } = &waiting else { panic!("{waiting}") };
    assert_eq!(what, "the key holder's answer for round 0");
    assert_eq!(round.state().unwrap(), State::Asked);
    (world, round)
}

fn owner(world: &World) -> &Home {
    world.key_holder.as_ref().unwrap()
}

fn path(world: &World, round: &OpenRound, key: RoundKey) -> std::path::PathBuf {
    world.object(&round.key(key).to_string())
}

fn forge<B: objects::Body>(world: &World, round: &OpenRound, key: RoundKey, signer: &Home, body: &B) {
    let name = round.key(key);
    fs::write(path(world, round, key), sign(signer.identity(), &name, body)).unwrap();
}

fn refusal(error: Error) -> objects::Error {
    if let Error::Object(error) = error { *error } else { panic!("{error}") }
}

#[test]
fn the_mean_is_that_of_a_server_with_the_key() {
    let weights = [1, 9, 4];
    let mut means = Vec::new();
    for world in [World::with_key_holder(3), World::new(3)] {
        let session = world.session();
        let declaration = Declaration { max_weight: Some(9), ..world.declaration() };
        let round = world.open(&session, &declaration).unwrap();
        roles::announce(&world.aggregator, &session).unwrap();
        for (client, weight) in (0..).zip(weights) {
            world.submit_weighted(&round, client, Some(weight)).unwrap();
        }
        world.aggregate(&round).unwrap();
        let out = world.path("mean.safetensors");
        let pulled = world.pull(&round, &out).unwrap();
        assert_eq!((pulled.participants, pulled.total_weight, pulled.values), (vec![0, 1, 2], 14, 340));
        means.push(read_mean(&out));
    }
    assert_eq!(means[0], means[1]);
}

#[test]
fn every_step_can_be_repeated() {
    let (world, round) = asked(2);
    assert!(!world.server.directory().join(format!("sessions/{}/owner", round.session().id())).exists());
    let first = world.decrypt(&round).unwrap();
    assert_eq!((first.clients, first.earlier), (2, false));
    assert_eq!(first.ciphertexts, round.spec().costs().ciphertexts);
    assert_eq!(round.state().unwrap(), State::Answered);
    let objects = world.store.list("").unwrap();
    assert!(world.decrypt(&round).unwrap().earlier);

    let (out, again) = (world.path("mean.safetensors"), world.path("again.safetensors"));
    let pulled = world.pull(&round, &out).unwrap();
    assert_eq!(round.state().unwrap(), State::Saved);
    assert_is_mean(&read_mean(&out), &[0, 1]);
    assert_eq!(world.store.list("").unwrap().len(), objects.len() + 1, "only the receipt is new");
    assert_eq!(world.pull(&round, &again).unwrap(), pulled);
    assert_eq!(fs::read(&out).unwrap(), fs::read(&again).unwrap());

    // Lost objects are computed again, with the same bytes.
    let all = || {
        let names = world.store.list("").unwrap().into_iter().map(|entry| entry.name);
        names.map(|name| (name.clone(), fs::read(world.object(&name)).unwrap())).collect::<Vec<_>>()
    };
    let before = all();
    let sealed = (0..3).flat_map(|shard| [RoundKey::Masked(shard), RoundKey::Answer(shard)]);
    for key in sealed.chain([RoundKey::Asked, RoundKey::Answered, RoundKey::Saved]) {
        fs::remove_file(path(&world, &round, key)).unwrap();
    }
    assert_eq!(world.pull(&round, &again).unwrap(), pulled);
    assert!(all() == before);

    // The next round of the same session.
    let next = world.round(round.session(), 1);
    world.submit_all(&next);
    world.aggregate(&next).unwrap();
    world.pull(&next, &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 1]);
}

/// The same numbers in two requests would show the difference of what they mask.
#[test]
fn masks_of_two_rounds_have_nothing_in_common() {
    let (world, round) = asked(2);
    let next = world.round(round.session(), 1);
    world.submit_all(&next);
    world.aggregate(&next).unwrap();
    world.pull(&next, &world.path("mean.safetensors")).unwrap();
    let masks = |round: u64| {
        let directory = world.server.directory().join(format!("sessions/{}/{round}", next.session().id()));
        fs::read(directory.join("masks")).unwrap()
    };
    assert_ne!(masks(0), masks(1));
    assert_eq!(masks(0).len(), 32);
}

#[test]
fn a_sum_that_the_aggregator_has_not_signed_is_not_decrypted() {
    let (world, round) = asked(2);
    let end = round.end().unwrap().unwrap();
    let body = round.done(&end).unwrap().unwrap().body().clone();
    let key = round.key(RoundKey::Done);
    fs::write(path(&world, &round, RoundKey::Done), sign(&outsider(), &key, &body)).unwrap();
    let signature = objects::Error::Signature { key, signer: Party::Aggregator };
    assert_eq!(refusal(world.decrypt(&round).unwrap_err()), signature);
    // Signed by the aggregator, for another end.
    forge(&world, &round, RoundKey::Done, &world.aggregator, &Done { end: Sha256::of(b""), ..body });
    let error = refusal(world.decrypt(&round).unwrap_err());
    assert!(matches!(error, objects::Error::Predecessor { what: "end", .. }), "{error}");
    assert!(!path(&world, &round, RoundKey::Answer(0)).exists(), "nothing was decrypted");
}

#[test]
fn a_request_that_the_server_has_not_signed_is_not_answered() {
    let (world, round) = asked(2);
    let end = round.end().unwrap().unwrap();
    let done = round.done(&end).unwrap().unwrap();
    let body = round.asked(&done).unwrap().unwrap().body().clone();
    let key = round.key(RoundKey::Asked);
    fs::write(path(&world, &round, RoundKey::Asked), sign(&outsider(), &key, &body)).unwrap();
    let signature = objects::Error::Signature { key, signer: Party::Server };
    assert_eq!(refusal(world.decrypt(&round).unwrap_err()), signature);
    let short = Asked { masked: body.masked[1..].to_vec(), ..body };
    forge(&world, &round, RoundKey::Asked, &world.server, &short);
    let error = refusal(world.decrypt(&round).unwrap_err());
    assert!(error.to_string().contains("lists 2 masked sums, the round has 3"), "{error}");
    assert!(!path(&world, &round, RoundKey::Answer(0)).exists(), "nothing was decrypted");
}

#[test]
fn fewer_clients_than_the_minimum_are_not_decrypted() {
    let (world, round) = asked(3);
    let end = round.end().unwrap().unwrap();
    let Outcome::Closed(participants) = &end.body().outcome else { panic!("{end:?}") };
    let alone = End { outcome: Outcome::Closed(participants[..1].to_vec()), ..end.body().clone() };
    forge(&world, &round, RoundKey::End, &world.aggregator, &alone);
    let error = refusal(world.decrypt(&round).unwrap_err());
    assert!(error.to_string().contains("has 1 clients, not 2 to 3"), "{error}");
    // Clients that have not committed to what the end lists do not make up the number.
    let made_up = |change: fn(&mut Participant)| {
        let mut participants = participants.clone();
        change(&mut participants[1]);
        End { outcome: Outcome::Closed(participants), ..end.body().clone() }
    };
    let changes: [fn(&mut Participant); 2] = [|listed| listed.commit = Sha256::of(b""), |_| ()];
    for change in changes {
        let end = made_up(change);
        forge(&world, &round, RoundKey::End, &world.aggregator, &end);
        resign_after_end(&world, &round);
        let committed = path(&world, &round, RoundKey::Commit(1));
        if end.outcome == round_outcome(participants) {
            fs::remove_file(&committed).unwrap();
        }
        let error = refusal(world.decrypt(&round).unwrap_err());
        assert_eq!(error.key(), round.key(RoundKey::Commit(1)), "{error}");
    }
    assert!(!path(&world, &round, RoundKey::Answer(0)).exists(), "nothing was decrypted");
}

fn round_outcome(participants: &[Participant]) -> Outcome {
    Outcome::Closed(participants.to_vec())
}

/// Aggregator and server sign what follows the end once more.
fn resign_after_end(world: &World, round: &OpenRound) {
    let end = round.end().unwrap().unwrap();
    let read = |key: RoundKey| fs::read(path(world, round, key)).unwrap();
    let sums = (0..3).map(|shard| objects::PartDigest::of(&read(RoundKey::Sum(shard)))).collect();
    let done = Done { end: end.digest(), sums };
    forge(world, round, RoundKey::Done, &world.aggregator, &done);
    let done = round.done(&end).unwrap().unwrap();
    let masked = (0..3).map(|shard| objects::PartDigest::of(&read(RoundKey::Masked(shard)))).collect();
    let asked = Asked { done: done.digest(), masks: Sha256::of(b""), masked };
    forge(world, round, RoundKey::Asked, &world.server, &asked);
}

#[test]
fn a_second_request_for_a_round_is_not_answered() {
    let (world, round) = asked(2);
    world.decrypt(&round).unwrap();
    let end = round.end().unwrap().unwrap();
    let done = round.done(&end).unwrap().unwrap();
    let first = round.asked(&done).unwrap().unwrap();
    // A store that forgets, and a server that asks for something else.
    for key in [RoundKey::Answered, RoundKey::Answer(0), RoundKey::Answer(1), RoundKey::Answer(2)] {
        fs::remove_file(path(&world, &round, key)).unwrap();
    }
    let other = Asked { masks: Sha256::of(b"others"), ..first.body().clone() };
    forge(&world, &round, RoundKey::Asked, &world.server, &other);
    let found = round.asked(&done).unwrap().unwrap().digest();
    let refused = Error::from(parties::Error::OtherSum { round: 0, recorded: first.digest(), found });
    assert_eq!(world.decrypt(&round).unwrap_err(), refused);
    assert!(!path(&world, &round, RoundKey::Answer(0)).exists(), "nothing was decrypted");
}

/// The server's own record holds without a key holder, too.
#[test]
fn a_second_sum_of_a_round_is_not_pulled() {
    for (world, with_key_holder) in [(World::with_key_holder(2), true), (World::new(2), false)] {
        let session = world.session();
        let round = world.round(&session, 0);
        world.submit_all(&round);
        world.aggregate(&round).unwrap();
        let out = world.path("mean.safetensors");
        world.pull(&round, &out).unwrap();
        fs::remove_file(&out).unwrap();
        let end = round.end().unwrap().unwrap();
        let first = round.done(&end).unwrap().unwrap();
        let mut sums = first.body().sums.clone();
        sums.swap(0, 1);
        forge(&world, &round, RoundKey::Done, &world.aggregator, &Done { end: end.digest(), sums });
        let found = round.done(&end).unwrap().unwrap().digest();
        let pulled = roles::pull(&world.server, &round, &out, (BackendChoice::Auto, timeout()), &Silent);
        let refused = Error::from(parties::Error::OtherSum { round: 0, recorded: first.digest(), found });
        assert_eq!(pulled.unwrap_err(), refused, "with a key holder: {with_key_holder}");
        assert!(!out.exists());
    }
}

#[test]
fn changed_masked_sums_and_answers_are_named() {
    let (world, round) = asked(2);
    let masked = path(&world, &round, RoundKey::Masked(1));
    let good = fs::read(&masked).unwrap();
    let mut changed = good.clone();
    changed[100] ^= 1;
    fs::write(&masked, &changed).unwrap();
    let error = refusal(world.decrypt(&round).unwrap_err());
    assert!(
        matches!(error, objects::Error::Digest { key, signer: Party::Server, .. } if key == round.key(RoundKey::Masked(1))),
        "{error}"
    );
    fs::write(&masked, &good).unwrap();
    world.decrypt(&round).unwrap();
    let answer = path(&world, &round, RoundKey::Answer(2));
    let good = fs::read(&answer).unwrap();
    fs::write(&answer, &good[1..]).unwrap();
    let error = refusal(world.pull(&round, &world.path("mean.safetensors")).unwrap_err());
    assert!(
        matches!(error, objects::Error::Digest { key, signer: Party::KeyHolder, .. } if key == round.key(RoundKey::Answer(2))),
        "{error}"
    );
    // An answer that the key holder has signed, and that has too few messages.
    fs::write(&answer, b"").unwrap();
    let end = round.end().unwrap().unwrap();
    let asked = round.asked(&round.done(&end).unwrap().unwrap()).unwrap().unwrap();
    let mut body: Answered = round.answered(&asked).unwrap().unwrap().body().clone();
    body.answers[2] = objects::PartDigest::of(b"");
    forge(&world, &round, RoundKey::Answered, owner(&world), &body);
    let error = refusal(world.pull(&round, &world.path("mean.safetensors")).unwrap_err());
    assert!(error.to_string().contains("messages of the shard"), "{error}");
    assert!(!world.path("mean.safetensors").exists());
}

#[test]
fn a_command_of_another_role_is_refused() {
    let (world, round) = done(2);
    let wrong = |expected, found| Error::from(parties::Error::WrongRole { expected, found });
    let decrypting = |home: &Home, round: &OpenRound| {
        roles::decrypt(home, round, (BackendChoice::Auto, timeout()), &Silent)
    };
    let refused = decrypting(&world.server, &round).unwrap_err();
    assert_eq!(refused, wrong(Party::KeyHolder, Party::Server));
    let new = roles::NewSession { key_bits: 2048, min_clients: 2, backend: BackendChoice::Auto };
    let refused = roles::new_session(&world.server, &world.store, new, &Silent).unwrap_err();
    assert_eq!(refused, wrong(Party::KeyHolder, Party::Server));
    let out = world.path("mean.safetensors");
    let pulling =
        roles::pull(owner(&world), &round, &out, (BackendChoice::Auto, timeout()), &Silent).unwrap_err();
    assert_eq!(pulling, wrong(Party::Server, Party::KeyHolder));

    let without = World::new(2);
    let session = without.session();
    let round = without.round(&session, 0);
    assert_eq!(decrypting(&without.server, &round).unwrap_err(), Error::NoKeyHolder);
}

/// A server's home that was restored without the masks would take the answers for noise.
#[test]
fn a_server_without_its_masks_gets_an_error() {
    let (world, round) = asked(2);
    world.decrypt(&round).unwrap();
    let masks = world.server.directory().join(format!("sessions/{}/0/masks", round.session().id()));
    fs::remove_file(masks).unwrap();
    let out = world.path("mean.safetensors");
    let refused =
        roles::pull(&world.server, &round, &out, (BackendChoice::Auto, timeout()), &Silent).unwrap_err();
    assert_eq!(refused, Error::OtherMasks { round: 0 });
}

#[test]
fn an_audit_finds_every_changed_and_every_missing_object() {
    let (world, round) = asked(2);
    assert_eq!(audited(&world, &round, None).findings, [], "before the answer");
    world.pull(&round, &world.path("mean.safetensors")).unwrap();
    let report = audited(&world, &round, Some(&world.aggregator));
    assert_eq!((&report.findings[..], report.recomputed), (&[][..], 1));
    let names: Vec<_> = world.store.list("").unwrap().into_iter().map(|entry| entry.name).collect();
    // Session, keys, declaration, parts, commits, end, sums and their list; masked sums, answers,
    // their lists, receipt.
    assert_eq!(names.len(), 1 + 5 + 1 + 6 + 2 + 1 + 3 + 1 + 3 + 1 + 3 + 1 + 1);
    for name in &names {
        let path = world.object(name);
        let good = fs::read(&path).unwrap();
        for place in [0, good.len() / 2, good.len() - 1] {
            let mut changed = good.clone();
            changed[place] ^= 0x10;
            fs::write(&path, changed).unwrap();
            assert_eq!(
                named(&audited(&world, &round, None)),
                BTreeSet::from([&**name]),
                "byte {place} of {name}"
            );
        }
        fs::remove_file(&path).unwrap();
        let report = audited(&world, &round, None);
        // Nothing shows that the last object of a round existed.
        assert_eq!(named(&report).contains(&**name), !name.ends_with("/saved"), "{name}: {report:?}");
        fs::write(&path, good).unwrap();
    }
    for name in ["masked/3", "masked/x", "answer/3", "asked/0"] {
        let name = format!("{}/0/{name}", round.session().id());
        let path = world.object(&name);
        let _ = fs::create_dir_all(path.parent().unwrap());
        if fs::write(&path, b"anything").is_ok() {
            assert_eq!(named(&audited(&world, &round, None)), BTreeSet::from([&*name]));
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(audited(&world, &round, Some(&world.aggregator)).findings, []);
}

#[test]
fn a_round_without_a_key_holder_has_no_answers() {
    let world = World::new(2);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    world.aggregate(&round).unwrap();
    world.pull(&round, &world.path("mean.safetensors")).unwrap();
    for key in [RoundKey::Masked(0), RoundKey::Asked, RoundKey::Answer(0), RoundKey::Answered] {
        let path = path(&world, &round, key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"anything").unwrap();
        assert_eq!(named(&audited(&world, &round, None)), BTreeSet::from([&*round.key(key).to_string()]));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn removed_objects_are_not_missing() {
    let (world, round) = asked(2);
    assert_eq!(roles::remove(&world.server, &round).unwrap_err(), Error::NotTaken { round: 0 });
    world.pull(&round, &world.path("mean.safetensors")).unwrap();
    let removal = roles::remove(&world.server, &round).unwrap();
    assert_eq!(removal.objects, 6 + 3 + 3 + 3);
    let left: Vec<Key> =
        world.store.list("").unwrap().iter().map(|entry| entry.name.parse().unwrap()).collect();
    assert!(left.iter().all(|key| !matches!(key, Key::Round(_, _, key) if key.is_sealed())), "{left:?}");
    assert_eq!(audited(&world, &round, Some(&world.aggregator)).findings, []);
}

/// Six parties, each a process, with a key holder that answers in all rounds.
#[test]
fn a_key_holder_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path());
    let (store, holder) = (path("store"), path("key-holder"));
    let refused =
        cipherfold(&["session", "new", "--home", &path("server"), "--store", &store]).output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.contains("this is a command of the key-holder") && refused.status.code() == Some(1),
        "{text}"
    );
    json(&["session", "new", "--home", &holder, "--store", &store, "--key-bits", "2048"]);
    let mut watching =
        cipherfold(&["decrypt", "--home", &holder, "--store", &store, "--watch", "--poll", "0.05"]);
    let mut watching = watching.stderr(std::process::Stdio::piped()).spawn().unwrap();
    for number in ["0", "1"] {
        declare(folder.path(), &store, number);
        contribute(folder.path(), &store, number);
        let pulled = pull(folder.path(), &store);
        assert_eq!(pulled["participants"], serde_json::json!([0, 1]));
        assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);
    }
    let again = json(&["decrypt", "--home", &holder, "--store", &store, "--round", "0"]);
    assert_eq!((&again["earlier"], &again["clients"]), (&true.into(), &2.into()));
    let status = json(&["status", "--home", &path("client-0"), "--store", &store]);
    assert_eq!(
        (&status["rounds"][1]["state"], &status["key_owner"]),
        (&"saved".into(), &"key-holder".into())
    );
    let audit = json(&["audit", "--home", &path("aggregator"), "--store", &store]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &2.into()));
    let removed = json(&["round", "remove", "--home", &path("server"), "--store", &store, "--round", "0"]);
    assert_eq!(removed["objects"], 6 + 3 + 3 + 3);
    assert_eq!(watching.try_wait().unwrap(), None, "it goes on");
    watching.kill().unwrap();
    let notes = String::from_utf8(watching.wait_with_output().unwrap().stderr).unwrap();
    assert!(notes.contains("round 0: decrypted") && notes.contains("round 1: decrypted"), "{notes}");

    // No key holder answers now. The server waits, and its error names the answer.
    declare(folder.path(), &store, "2");
    contribute(folder.path(), &store, "2");
    let pull =
        ["pull", "--home", &path("server"), "--store", &store, "--out", &path("mean"), "--timeout", "0.1"];
    let waiting = cipherfold(&pull).output().unwrap();
    let text = String::from_utf8(waiting.stderr).unwrap();
    assert!(text.contains("the key holder's answer for round 2 did not come"), "{text}");
    assert_eq!(waiting.status.code(), Some(75));
    let status = json(&["status", "--home", &holder, "--store", &store, "--round", "2"]);
    assert_eq!(status["rounds"][0]["state"], "asked");
}

/// A round with a bad request is noted, and the others continue.
#[test]
fn a_key_holder_that_watches_continues_after_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path());
    let (store, holder, server) = (path("store"), path("key-holder"), path("server"));
    let session = json(&["session", "new", "--home", &holder, "--store", &store, "--key-bits", "2048"]);
    let session = folder.path().join("store").join(session["session"].as_str().unwrap());
    for number in ["0", "1", "2"] {
        declare(folder.path(), &store, number);
        contribute(folder.path(), &store, number);
        let pull = ["pull", "--home", &server, "--store", &store, "--round", number, "--out", &path("mean")];
        let asked = cipherfold(&[&pull[..], &["--timeout", "0.05", "--quiet"]].concat()).status().unwrap();
        assert_eq!(asked.code(), Some(75));
    }
    fs::write(session.join("0/asked"), b"anything").unwrap();
    fs::write(session.join("1/masked/1"), vec![0; 1 << 20]).unwrap();
    let watch = ["decrypt", "--home", &holder, "--store", &store, "--watch", "--poll", "0.05"];
    let mut watching = cipherfold(&watch).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let pull = ["pull", "--home", &server, "--store", &store, "--round", "2", "--out", &path("mean")];
    json(&[&pull[..], &["--timeout", "60"]].concat());
    assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);
    assert_eq!(watching.try_wait().unwrap(), None, "it goes on");
    watching.kill().unwrap();
    let notes = String::from_utf8(watching.wait_with_output().unwrap().stderr).unwrap();
    for expected in
        ["round 0 is refused", "asked: 8 bytes are not", "round 1 is refused", "masked/1: has 1048576 bytes"]
    {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
}

/// The board admits what a key holder and its server write, and nothing of it from others.
#[cfg(feature = "board")]
#[test]
fn a_key_holder_through_the_board() {
    use std::net::{TcpListener, TcpStream};

    use cipherfold_service::Store;

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let (files, store) = (path("store"), format!("https://{listen}"));
    let (aggregator, holder, server) = (path("aggregator"), path("key-holder"), path("server"));
    let board = ["board", "--home", &aggregator, "--store", &files, "--listen", &listen, "--quiet"];
    let mut board = cipherfold(&board).env("RUST_LOG", "off").spawn().unwrap();
    let listens = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(50));
        TcpStream::connect(&listen).is_ok()
    });
    assert!(listens, "the board does not listen");
    json(&["session", "new", "--home", &holder, "--store", &store, "--key-bits", "2048"]);
    declare(folder.path(), &store, "0");
    contribute(folder.path(), &store, "0");
    thread::scope(|scope| {
        scope.spawn(|| json(&["decrypt", "--home", &holder, "--store", &store, "--timeout", "60"]));
        json(&["pull", "--home", &server, "--store", &store, "--out", &path("mean"), "--timeout", "60"]);
    });
    assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);

    let status = json(&["status", "--home", &server, "--store", &store]);
    let session = objects::parse_session(status["session"].as_str().unwrap()).unwrap();
    let refused = |home: &str, key: RoundKey, length: usize| {
        let home = Home::open(home.as_ref()).unwrap();
        let through_board = Store::open_as(&home, &store).unwrap();
        through_board.put(&Key::Round(session, 0, key), vec![0; length]).unwrap_err().to_string()
    };
    let cases = [
        (&server, RoundKey::Answer(0), 1, "only the key-holder writes this object"),
        (&server, RoundKey::Answered, 1, "only the key-holder writes this object"),
        (&holder, RoundKey::Masked(0), 1, "only the server writes this object"),
        (&holder, RoundKey::Answer(3), 1, "the round has shards 0 to 2"),
        (&server, RoundKey::Masked(3), 1, "the round has shards 0 to 2"),
        (&holder, RoundKey::Answer(0), 1 << 20, "bytes are possible, the request has 1048576"),
        (&holder, RoundKey::Answered, 100, "100 bytes are not a control object"),
        (&server, RoundKey::Asked, 100, "100 bytes are not a control object"),
    ];
    for (home, key, length, expected) in cases {
        let text = refused(home, key, length);
        assert!(text.contains(expected), "{key:?}: {text}");
    }
    board.kill().unwrap();
    board.wait().unwrap();
}

#[test]
fn the_demonstration_has_a_key_holder_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display().to_string();
    let shown =
        json(&["demo", "--key-holder", "--clients", "2", "--values", "500", "--directory", &directory]);
    assert_eq!((&shown["values"], &shown["clients"]), (&500.into(), &2.into()));
    let owner = |home: &str| {
        let sessions = fs::read_dir(folder.path().join("homes").join(home).join("sessions")).unwrap();
        sessions.map(|session| session.unwrap().path().join("owner")).filter(|path| path.exists()).count()
    };
    assert_eq!((owner("key-holder"), owner("server")), (1, 0));
}

fn set_up(folder: &Path) {
    set_up_with(folder, &["server", "aggregator", "key-holder"], 2);
    write_updates(folder);
}

fn declare(folder: &Path, store: &str, number: &str) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (home, model) = (path("server"), path("update-0"));
    let declare = ["round", "open", "--home", &home, "--store", store, "--model", &model, "--round", number];
    json(&[&declare[..], &["--shards", "3", "--chunk", "1"]].concat());
}

/// Both clients and the aggregator, at the same time.
fn contribute(folder: &Path, store: &str, number: &str) {
    let path = |name: &str| folder.join(name).display().to_string();
    let at = ["--store", store, "--round", number];
    thread::scope(|scope| {
        scope.spawn(|| {
            json(&[&["aggregate", "--home", &path("aggregator"), "--poll", "0.05"], &at[..]].concat())
        });
        for client in [0, 1] {
            let (home, update) = (path(&format!("client-{client}")), path(&format!("update-{client}")));
            scope.spawn(move || json(&[&["submit", "--home", &home, &update], &at[..]].concat()));
        }
    });
}

/// Server and key holder are killed at each of their points, and started again.
#[cfg(feature = "fault-injection")]
#[test]
fn a_party_that_is_killed_at_any_point_continues() {
    use std::os::unix::process::ExitStatusExt;

    use crate::support::commands::{SIGKILL, killed_at};

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    set_up(folder.path());
    let (store, holder, server) = (path("store"), path("key-holder"), path("server"));
    let session = ["session", "new", "--home", &holder, "--store", &store, "--key-bits", "2048"];
    for point in ["session-saved", "session-declared"] {
        let status = cipherfold(&session).arg("--quiet").env("CIPHERFOLD_KILL_AT", point).status().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "{point}");
    }
    let asking = ["server-masked:1", "server-masked:3", "server-asked"];
    let answering =
        ["key-holder-recorded", "key-holder-answer:1", "key-holder-answer:3", "key-holder-answered"];
    let saving = ["server-shard:1", "server-shard:2", "server-opened", "server-written", "server-saved"];
    for round in 0..saving.len() {
        let number = round.to_string();
        declare(folder.path(), &store, &number);
        contribute(folder.path(), &store, &number);
        let at = ["--store", &store, "--round", &number];
        let decrypt = [&["decrypt", "--home", &holder], &at[..]].concat();
        // The session was declared by a process that was killed before it announced the key
        // holder's key.
        let early = cipherfold(&[&decrypt[..], &["--quiet", "--timeout", "0.05"]].concat()).status().unwrap();
        assert_eq!(early.code(), Some(75), "nobody has asked");
        let out = path("mean");
        let pull = [&["pull", "--home", &server, "--out", &out], &at[..]].concat();
        let point = asking[round % asking.len()];
        let status = cipherfold(&pull).arg("--quiet").env("CIPHERFOLD_KILL_AT", point).status().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "{point}");
        let waiting = cipherfold(&[&pull[..], &["--quiet", "--timeout", "0.05"]].concat()).status().unwrap();
        assert_eq!(waiting.code(), Some(75), "asked again after {point}");
        killed_at(answering[round % answering.len()], &decrypt);
        killed_at(saving[round], &pull);
        assert_is_mean(&read_mean(&folder.path().join("mean")), &[0, 1]);
    }
    let audit = json(&["audit", "--home", &path("aggregator"), "--store", &store]);
    assert_eq!((&audit["findings"], &audit["recomputed"]), (&serde_json::json!([]), &saving.len().into()));
}
