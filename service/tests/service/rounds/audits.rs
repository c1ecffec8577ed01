//! Audits find every changed byte, and name the object.

use std::{collections::BTreeSet, fs};

use cipherfold_service::{Error, Key, objects::RoundKey, roles, round::OpenRound};

use crate::support::{World, audited, named};

/// A saved round of two clients. One of them abandoned its first attempt.
fn saved() -> (World, OpenRound) {
    let world = World::new(2);
    let session = world.session();
    let round = world.round(&session, 0);
    world.submit_all(&round);
    // An attempt that the client has not committed to, as after a crash: its own boxes under
    // another number.
    for shard in 0..round.shards() {
        let part = |attempt| round.key(RoundKey::Part { client: 0, attempt, shard });
        let bytes = world.store.get(&part(1), u64::MAX).unwrap().unwrap();
        world.store.put(&part(2), bytes).unwrap();
    }
    world.aggregate(&round).unwrap();
    world.pull(&round, &world.path("mean.safetensors")).unwrap();
    (world, round)
}

#[test]
fn a_good_session_has_no_faults() {
    let (world, round) = saved();
    let report = audited(&world, &round, None);
    assert_eq!(report.findings, []);
    assert_eq!((report.rounds, report.recomputed, report.unsigned.len()), (1, 0, 3));
    let report = audited(&world, &round, Some(&world.aggregator));
    assert_eq!((report.findings.len(), report.recomputed), (0, 1));
    assert_eq!(report.objects, world.store.list("").unwrap().len() as u64);
}

#[test]
fn every_changed_byte_is_found_and_its_object_is_named() {
    let (world, round) = saved();
    let names: Vec<_> = world.store.list("").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), 1 + 4 + 1 + 9 + 2 + 1 + 3 + 1 + 1);
    for name in &names {
        let path = world.object(name);
        let good = fs::read(&path).unwrap();
        let unsigned = name.contains("/in/client-0/2/");
        for place in [0, good.len() / 3, good.len() / 2, good.len() - 1] {
            let mut changed = good.clone();
            changed[place] ^= 0x10;
            fs::write(&path, changed).unwrap();
            if !unsigned {
                // An audit with the store finds this fault, and only this one.
                let report = audited(&world, &round, None);
                assert_eq!(named(&report), BTreeSet::from([&**name]), "byte {place} of {name}");
            }
        }
        // Unsigned parts need the aggregator's key.
        let report = audited(&world, &round, Some(&world.aggregator));
        assert!(named(&report).contains(&**name), "{name}: {report:?}");
        fs::write(&path, good).unwrap();
    }
    assert_eq!(audited(&world, &round, Some(&world.aggregator)).findings, []);
}

#[test]
fn every_missing_and_every_foreign_object_is_found() {
    let (world, round) = saved();
    for entry in world.store.list("").unwrap() {
        let path = world.object(&entry.name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = audited(&world, &round, Some(&world.aggregator));
        let last = entry.name.ends_with("/saved") || entry.name.contains("/in/client-0/2/");
        // An audit cannot detect that the last object of a round is missing.
        assert_eq!(named(&report).contains(&*entry.name), !last, "{}: {report:?}", entry.name);
        fs::write(&path, good).unwrap();
    }
    let session = round.session().id();
    for name in
        ["0/sum/3", "0/sum/x", "0/in/client-0/1/3", "0/in/client-0/1/03", "0/hello", "0/commit/client-7"]
    {
        let name = format!("{session}/{name}");
        let path = world.object(&name);
        fs::write(&path, b"anything").unwrap();
        assert_eq!(named(&audited(&world, &round, None)), BTreeSet::from([&*name]));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn objects_that_the_server_has_removed_are_not_missing() {
    let (world, round) = saved();
    let session = round.session();
    let next = world.round(session, 1);
    let open = roles::remove(&world.server, &next).unwrap_err();
    assert_eq!(open, Error::NotTaken { round: 1 });
    assert!(roles::remove(&world.aggregator, &round).is_err(), "another role");
    let removal = roles::remove(&world.server, &round).unwrap();
    assert_eq!(removal.objects, 9 + 3);
    assert_eq!(roles::remove(&world.server, &round).unwrap().objects, 0, "again");
    let report = audited(&world, &round, Some(&world.aggregator));
    assert_eq!((&report.findings[..], report.recomputed), (&[][..], 0));
    // Without the note, or with a note for another object, all removed objects are reported as
    // missing.
    let note = world.object(&round.key(RoundKey::Removed).to_string());
    let good = fs::read(&note).unwrap();
    for changed in [None, Some(vec![0; 9])] {
        match changed {
            None => fs::remove_file(&note).unwrap(),
            Some(bytes) => fs::write(&note, bytes).unwrap(),
        }
        let report = audited(&world, &round, None);
        assert!(report.findings.len() >= 9, "{report:?}");
    }
    fs::write(&note, good).unwrap();
}

/// An aggregator that signs a sum over clients that it does not state.
#[test]
fn a_sum_that_its_aggregator_made_up_is_found_with_its_key() {
    use cipherfold_service::objects::{Done, PartDigest, sign};

    let (world, round) = saved();
    let end = round.end().unwrap().unwrap();
    let done = round.done(&end).unwrap().unwrap();
    let sum = round.key(RoundKey::Sum(1));
    let path = |key: &Key| world.object(&key.to_string());
    let other = fs::read(path(&round.key(RoundKey::Sum(0)))).unwrap();
    fs::write(path(&sum), &other).unwrap();
    let mut sums = done.body().sums.clone();
    sums[1] = PartDigest::of(&other);
    let key = round.key(RoundKey::Done);
    let forged = sign(world.aggregator.identity(), &key, &Done { end: end.digest(), sums });
    fs::write(path(&key), forged).unwrap();
    fs::remove_file(path(&round.key(RoundKey::Saved))).unwrap();
    assert_eq!(audited(&world, &round, None).findings, [], "signatures are good");
    let report = audited(&world, &round, Some(&world.aggregator));
    assert_eq!(named(&report), BTreeSet::from([&*sum.to_string()]));
}
