//! The board over HTTPS.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cipherfold::backend::BackendChoice;
use cipherfold_service::{
    Error, Home, Key, Store,
    board::{Board, Setting, client_config},
    inspect::audit,
    objects::{Commit, End, Outcome, Removed, RoundKey, sign},
    progress::Silent,
    roles,
    round::{OpenRound, OpenSession},
    store,
};
use rustls::{ClientConnection, StreamOwned};

use crate::support::{
    World, aggregation, assert_is_mean, outsider, read_mean,
    running_board::{Running, answer},
    submission, timeout,
};

fn put(name: &str, length: usize) -> String {
    format!(
        "PUT /v1/o/{name} HTTP/1.1\r\nhost: board\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn at(store: &Store, world: &World, round: &OpenRound) -> OpenRound {
    let session = OpenSession::find(store, &world.consortium, Some(round.session().id())).unwrap();
    session.round(Some(round.number())).unwrap()
}

#[test]
fn a_round_through_the_board() {
    let world = World::new(2);
    let board = Running::new(&world, |_| ());
    let server = board.store(&world.server);
    let new = roles::NewSession { key_bits: 2048, min_clients: 2, backend: BackendChoice::Auto };
    let session = roles::new_session(&world.server, &server, new, &Silent).unwrap();
    let session = OpenSession::find(&server, &world.consortium, Some(session)).unwrap();
    let round = world.round(&session, 0);
    let mean = thread::scope(|scope| {
        let (world, board, round) = (&world, &board, &round);
        let adding = scope.spawn(move || {
            let round = at(&board.store(&world.aggregator), world, round);
            roles::aggregate(&world.aggregator, &round, aggregation(), &Silent).unwrap()
        });
        for client in [0, 1] {
            scope.spawn(move || {
                let home = &world.clients[client as usize];
                let round = at(&board.store(home), world, round);
                roles::submit(home, &round, submission(&world.update(client)), &Silent).unwrap();
                roles::wait_for_end(home, &round, timeout()).unwrap();
            });
        }
        let out = world.path("mean.safetensors");
        world.pull(round, &out).unwrap();
        assert_eq!(adding.join().unwrap().participants, [0, 1]);
        read_mean(&out)
    });
    assert_is_mean(&mean, &[0, 1]);
    let aggregator = Some((&world.aggregator, BackendChoice::Auto));
    let through_board = board.store(&world.aggregator);
    let report = audit(&through_board, &world.consortium, session.id(), aggregator, &Silent).unwrap();
    assert_eq!((&report.findings[..], report.recomputed), (&[][..], 1));
    assert_eq!(through_board.list("").unwrap(), world.store.list("").unwrap());
    let sum = round.key(RoundKey::Sum(0));
    let whole = through_board.get(&sum, u64::MAX).unwrap().unwrap();
    assert_eq!(through_board.get_range(&sum, 10..20).unwrap().unwrap(), whole[10..20]);

    assert!(board.operations("/healthz").ends_with("ok\n"));
    let metrics = board.operations("/metrics");
    for line in [
        "cipherfold_board_requests_total{method=\"PUT\",status=\"201\"}",
        "received_bytes_total{party=\"client-1\"}",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let page = board.operations("/");
    for part in ["state saved", "2 of 2, at least 2", "client-0, client-1", "default-src 'none'"] {
        assert!(page.contains(part), "{page}");
    }
}

/// A declared round, and its store through the board for each client.
fn declared() -> (World, Running, OpenRound) {
    let world = World::in_memory(2);
    let board = Running::new(&world, |_| ());
    let session = world.session();
    roles::announce(&world.aggregator, &session).unwrap();
    let round = world.round(&session, 0);
    (world, board, round)
}

#[test]
fn every_bad_request_has_its_own_error() {
    let (world, board, round) = declared();
    let [client, other] = &world.clients[..] else { panic!("two") };
    let store = board.store(client);
    let reason = |key: RoundKey, bytes: Vec<u8>| match store.put(&round.key(key), bytes) {
        Err(store::Error::Refused { reason, .. }) => reason,
        other => panic!("{key:?}: {other:?}"),
    };
    let part = |client, attempt, shard| RoundKey::Part { client, attempt, shard };
    let cases = [
        (part(1, 1, 0), vec![0], "only the client-1 writes this object"),
        (RoundKey::End, vec![0], "only the aggregator writes this object"),
        (part(0, 1, 3), vec![0], "the round has shards 0 to 2"),
        (part(0, 3, 0), vec![0], "a client has 2 attempts in a round"),
        (part(0, 1, 0), vec![0; 1 << 20], "bytes are possible, the request has 1048576"),
        (RoundKey::Commit(0), vec![0; 100], "100 bytes are not a control object"),
        (
            RoundKey::Commit(0),
            signed_commit(&round, &outsider()),
            "is not signed by the identity of client-0",
        ),
    ];
    for (key, bytes, expected) in cases {
        let found = reason(key, bytes);
        assert!(found.contains(expected), "{key:?}: {found}");
    }
    let elsewhere = Key::Round(round.session().id(), 7, part(0, 1, 0));
    let found = store.put(&elsewhere, "x").unwrap_err().to_string();
    assert!(found.contains("no such session, or no such round"), "{found}");

    // The same bytes again, other bytes, and a missing object.
    let key = round.key(part(0, 1, 0));
    assert_eq!(store.put(&key, "x").unwrap(), store::Written::New);
    assert_eq!(store.put(&key, "x").unwrap(), store::Written::Same);
    assert_eq!(store.put(&key, "y"), Err(store::Error::Conflict { key }));
    assert_eq!(store.get(&round.key(part(0, 2, 0)), 10), Ok(None));

    let raw = |request: &str, body: &[u8]| board.raw(&world, client, request, body);
    let name = round.key(part(0, 1, 1)).to_string();
    let no_length = format!(
        "PUT /v1/o/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    );
    assert_eq!(raw(&no_length, b"").0, 411);
    assert_eq!(raw(&put("../../etc/passwd", 1), b"x").0, 400);
    assert_eq!(raw(&put(&name, 1 << 40), b"x").0, 413, "before the body is read");
    let get = |path: &str, range: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{range}\r\n")
    };
    let object = format!("/v1/o/{key}");
    assert_eq!(raw(&get(&object, "range: bytes=5-\r\n"), b"").0, 416);
    assert_eq!(raw(&get(&object, "range: bytes=0-0\r\n"), b"").0, 206);
    assert_eq!(raw(&get("/v1/list?folder=../..", ""), b"").0, 400);
    assert_eq!(raw(&get("/elsewhere", ""), b"").0, 404);
    let delete = |path: &str| format!("DELETE {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(&delete(&object), b"").0, 403);
    assert_eq!(raw(&delete("/v1/o/elsewhere"), b"").0, 400);
    assert_eq!(raw(&delete("/v1/list"), b"").0, 405);

    // A round that has ended.
    let end =
        End { open: round.declared().digest(), outcome: Outcome::Closed(Vec::new()), refused: Vec::new() };
    let key = round.key(RoundKey::End);
    world.store.put(&key, sign(world.aggregator.identity(), &key, &end)).unwrap();
    let found = reason(part(0, 2, 0), vec![0]);
    assert_eq!(found.split(": ").last(), Some("the round is over"), "{found}");

    let metrics = board.operations("/metrics");
    for kind in [
        "writer",
        "remover",
        "shard",
        "quota",
        "too_long",
        "object",
        "conflict",
        "length",
        "name",
        "range",
        "query",
        "round_over",
    ] {
        let line = format!("refusals_total{{party=\"client-0\",kind=\"{kind}\"}}");
        assert!(metrics.contains(&line), "{kind}: {metrics}");
    }
    assert!(!metrics.contains("party=\"client-1\""), "{:?}", other.party());
}

fn signed_commit(round: &OpenRound, signer: &cipherfold::federated::channel::Identity) -> Vec<u8> {
    let commit = Commit { open: round.declared().digest(), attempt: 1, shards: vec![] };
    sign(signer, &round.key(RoundKey::Commit(0)), &commit)
}

#[test]
fn parties_with_unknown_keys_cannot_send_a_request() {
    let (world, board, _round) = declared();
    // A party of another consortium, with valid keys.
    let other = World::in_memory(1);
    let store = Store::open_as(&other.aggregator, &board.url()).unwrap();
    let error =
        store.length(&Key::Session(cipherfold::federated::SessionId::from_bytes([1; 16]))).unwrap_err();
    assert!(matches!(error, store::Error::Unreachable { .. }), "{error}");
    // A client that trusts the board, but has keys that the board does not know.
    let mut stream = {
        let config = client_config(&other.aggregator, &world.consortium).unwrap();
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(connection, TcpStream::connect(board.address).unwrap())
    };
    let _ = stream.write_all(b"GET /v1/list HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut text = Vec::new();
    assert!(stream.read_to_end(&mut text).is_err() && text.is_empty(), "{text:?}");
    // Without TLS there is no answer either.
    let mut plain = TcpStream::connect(board.address).unwrap();
    plain.write_all(b"GET /v1/list HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut text = Vec::new();
    let _ = plain.read_to_end(&mut text);
    assert!(!text.starts_with(b"HTTP"), "{text:?}");
    let metrics = board.operations("/metrics");
    let failed =
        metrics.lines().find_map(|line| line.strip_prefix("cipherfold_board_handshakes_failed_total "));
    assert!(failed.unwrap().parse::<u32>().unwrap() >= 3, "{metrics}");
    // A client does not accept another client as the board.
    let error = match Store::open(&board.url()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a board needs a home"),
    };
    assert!(error.contains("with the keys of a home"), "{error}");
}

#[test]
fn a_slow_client_does_not_delay_others() {
    let world = World::in_memory(2);
    let board = Running::new(&world, |setting| {
        setting.requests_per_party = 2;
        setting.grace = Duration::from_millis(700);
    });
    let session = world.session();
    roles::announce(&world.aggregator, &session).unwrap();
    let round = world.round(&session, 0);
    let part = |client, shard| round.key(RoundKey::Part { client, attempt: 1, shard });
    let start = Instant::now();
    let mut slow: Vec<_> = (0..2)
        .map(|shard| {
            let mut stream = board.connect(&world, &world.clients[0]);
            stream.write_all(put(&part(0, shard).to_string(), 1000).as_bytes()).unwrap();
            stream.write_all(b"a few bytes").unwrap();
            stream
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    // The party has as many requests under way as it may have.
    let (status, text) = board.raw(&world, &world.clients[0], &put(&part(0, 2).to_string(), 1), b"x");
    assert_eq!(status, 429);
    assert!(text.contains("retry-after: 1"), "{text}");
    // Another party has its own.
    let other = board.store(&world.clients[1]);
    assert_eq!(other.put(&part(1, 0), "x"), Ok(store::Written::New));
    for stream in &mut slow {
        let (status, text) = answer(stream);
        assert!(status == 408 && text.contains("too slowly"), "{text}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    // Truncated bodies left no object, and the store's client retries after a refusal.
    let own = board.store(&world.clients[0]);
    assert_eq!(own.put(&part(0, 0), "whole"), Ok(store::Written::New));
}

#[test]
fn a_request_without_room_is_refused_as_busy() {
    let world = World::in_memory(2);
    let board = Running::new(&world, |setting| {
        setting.memory = 1024;
        setting.queue = Duration::from_millis(100);
        setting.grace = Duration::from_secs(3);
    });
    let session = world.session();
    roles::announce(&world.aggregator, &session).unwrap();
    let round = world.round(&session, 0);
    let part = |client| round.key(RoundKey::Part { client, attempt: 1, shard: 0 });
    let mut first = board.connect(&world, &world.clients[0]);
    first.write_all(put(&part(0).to_string(), 1000).as_bytes()).unwrap();
    first.write_all(&[7; 500]).unwrap();
    thread::sleep(Duration::from_millis(300));
    let (status, text) = board.raw(&world, &world.clients[1], &put(&part(1).to_string(), 1000), &[1; 1000]);
    assert_eq!(status, 429, "{text}");
    // The client of a store waits and retries, while the first one finishes.
    let store = board.store(&world.clients[1]);
    let waiting = {
        let key = part(1);
        thread::spawn(move || store.put(&key, vec![1; 1000]))
    };
    thread::sleep(Duration::from_millis(300));
    first.write_all(&[7; 500]).unwrap();
    assert_eq!(answer(&mut first).0, 201);
    assert_eq!(waiting.join().unwrap(), Ok(store::Written::New));
}

#[test]
fn requests_under_way_are_finished_when_the_board_stops() {
    let (world, mut board, round) = declared();
    let key = round.key(RoundKey::Part { client: 0, attempt: 1, shard: 0 });
    let mut stream = board.connect(&world, &world.clients[0]);
    stream.write_all(put(&key.to_string(), 10).as_bytes()).unwrap();
    stream.write_all(b"01234").unwrap();
    thread::sleep(Duration::from_millis(300));
    let stop = board.stop.take();
    drop(stop);
    thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(board.address).is_err(), "no new connections");
    stream.write_all(b"56789").unwrap();
    assert_eq!(answer(&mut stream).0, 201);
    board.stop();
    assert_eq!(world.store.get(&key, 10).unwrap().unwrap(), "0123456789");
}

/// The aggregator hears of a client's control object at once, and not of parts. All others hear of
/// what they wait for: clients that wait for the end are not woken by the commitments of others.
#[test]
fn waiting_ends_with_a_change() {
    let (world, board, round) = declared();
    let changes = |home: &Home, since: Option<u64>, seconds: u32| -> u64 {
        let since = since.map_or_else(String::new, |since| format!("&since={since}"));
        let path = format!("/v1/changes?seconds={seconds}{since}");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let (status, text) = board.raw(&world, home, &request, b"");
        assert_eq!(status, 200, "{text}");
        let body = text.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str::<serde_json::Value>(body).unwrap()["changes"].as_u64().unwrap()
    };
    let (aggregator, other) = (&world.aggregator, &world.clients[1]);
    let (now, milestone) = (changes(aggregator, None, 0), changes(other, None, 0));
    let client = board.store(&world.clients[0]);
    client.put(&round.key(RoundKey::Part { client: 0, attempt: 1, shard: 0 }), "x").unwrap();
    let start = Instant::now();
    assert_eq!(changes(aggregator, Some(now), 1), now);
    assert!(start.elapsed() >= Duration::from_millis(900));
    let session = OpenSession::find(&client, &world.consortium, Some(round.session().id())).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| changes(aggregator, Some(now), 20));
        thread::sleep(Duration::from_millis(200));
        roles::announce(&world.clients[0], &session).unwrap();
        assert_eq!(waiting.join().unwrap(), now + 1);
        assert_eq!(changes(other, Some(milestone), 1), milestone);
        let waiting =
            [&world.server, other].map(|home| scope.spawn(move || changes(home, Some(milestone), 20)));
        thread::sleep(Duration::from_millis(200));
        let session =
            OpenSession::find(&board.store(&world.server), &world.consortium, Some(session.id())).unwrap();
        world.round(&session, 1);
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), milestone + 1);
        }
    });
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_board_is_not_a_client() {
    // A client's home can serve a board, but no party accepts it as the board.
    let world = World::in_memory(1);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let home = Home::open(world.clients[0].directory()).unwrap();
    let board = runtime.block_on(Board::bind(&home, world.store.clone(), &Setting::new(loopback))).unwrap();
    let address = board.address().unwrap();
    let serving = runtime.spawn(board.serve(std::future::pending()));
    let config = client_config(&world.server, &world.consortium).unwrap();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    let error = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    serving.abort();
}

/// Contributions and sums of a saved round go through the board, by the server alone, and for no
/// other round.
#[test]
fn a_taken_round_is_removed_through_the_board() {
    let world = World::new(2);
    let session = world.session();
    let (round, next) = (world.round(&session, 0), world.round(&session, 1));
    world.submit_all(&round);
    world.submit_all(&next);
    world.aggregate(&round).unwrap();
    let board = Running::new(&world, |setting| setting.capacity = Some(1 << 30));
    let server = board.store(&world.server);
    let refused = |store: &Store, key: Key| match store.remove(&key) {
        Err(store::Error::Refused { reason, .. }) => reason,
        other => panic!("{key}: {other:?}"),
    };
    let part = |round: &OpenRound| round.key(RoundKey::Part { client: 0, attempt: 1, shard: 0 });
    let not_signed = "the server has not signed that this round is removed";
    assert!(refused(&server, part(&round)).contains(not_signed), "neither saved nor noted");
    assert_eq!(roles::remove(&world.server, &at(&server, &world, &round)), Err(Error::NotTaken { round: 0 }));
    // A note without a receipt does not get as far as the store.
    let key = round.key(RoundKey::Removed);
    let early = Removed { last: round.end().unwrap().unwrap().digest() };
    let reason = server.put(&key, sign(world.server.identity(), &key, &early)).unwrap_err().to_string();
    assert!(reason.contains("the round is neither saved nor aborted"), "{reason}");
    world.pull(&at(&server, &world, &round), &world.path("mean.safetensors")).unwrap();
    assert!(refused(&server, part(&round)).contains(not_signed), "saved, and not noted");
    let reason = server.put(&key, sign(world.server.identity(), &key, &early)).unwrap_err().to_string();
    assert!(reason.contains("is not the last object of the round"), "{reason}");

    let before = world.store.usage("").unwrap();
    let removal = roles::remove(&world.server, &at(&server, &world, &round)).unwrap();
    assert_eq!(removal.objects, 6 + 3);
    let note = world.store.length(&key).unwrap().unwrap();
    let stored = world.store.usage("").unwrap();
    assert_eq!(stored, (before.0 - 9 + 1, before.1 - removal.bytes + note));
    assert_eq!(roles::remove(&world.server, &at(&server, &world, &round)).unwrap().objects, 0, "again");
    let metrics = board.operations("/metrics");
    assert!(metrics.contains(&format!("board_stored_bytes {}\n", stored.1)), "{metrics}");
    assert!(metrics.contains("requests_total{method=\"DELETE\",status=\"204\"} 9\n"), "{metrics}");

    // All others, all else, and all other rounds.
    for other in [&world.aggregator, &world.clients[0]] {
        let reason = refused(&board.store(other), part(&round));
        assert!(reason.contains("only the server removes objects"), "{reason}");
    }
    for kept in [RoundKey::Open, RoundKey::Commit(0), RoundKey::End, RoundKey::Done, RoundKey::Saved] {
        let reason = refused(&server, round.key(kept));
        assert!(reason.contains("the objects which a party has signed stay"), "{reason}");
    }
    assert!(refused(&server, part(&next)).contains(not_signed));
    assert_eq!(roles::remove(&world.server, &at(&server, &world, &next)), Err(Error::NotTaken { round: 1 }));
    // Removed objects cannot be written again.
    let aggregator = board.store(&world.aggregator);
    let reason = aggregator.put(&round.key(RoundKey::Sum(0)), "x").unwrap_err().to_string();
    assert!(reason.contains("the round is over"), "{reason}");

    let auditor = Some((&world.aggregator, BackendChoice::Auto));
    let report = audit(&aggregator, &world.consortium, session.id(), auditor, &Silent).unwrap();
    assert_eq!((&report.findings[..], report.rounds, report.recomputed), (&[][..], 2, 0));
    assert_eq!(world.aggregate(&next).unwrap().participants, [0, 1], "the other round goes on");
}

/// A store with a limit: what does not fit is refused with the facts, what was acknowledged stays,
/// and no round is stuck.
#[test]
fn a_store_has_room_for_so_many_bytes() {
    let world = World::new(2);
    let session = world.session();
    roles::announce(&world.aggregator, &session).unwrap();
    let round = world.round(&session, 0);
    let used = || world.store.usage("").unwrap().1;
    // Each board is a process that was started again with another limit.
    let with = |capacity: u64| Running::new(&world, |setting| setting.capacity = Some(capacity));
    let submit = |board: &Running, client: u32| {
        let home = &world.clients[client as usize];
        let update = world.update(client);
        roles::submit(home, &at(&board.store(home), &world, &round), submission(&update), &Silent)
    };
    let quota = |submitted: cipherfold_service::Result<roles::Submitted>| {
        let error = submitted.unwrap_err();
        assert_eq!(error.exit_code(), 75);
        match error {
            Error::Store(store::Error::Full { quota: Some(quota), address })
                if address.starts_with("https") =>
            {
                quota
            }
            other => panic!("{other:?}"),
        }
    };

    let announcement = cipherfold::federated::channel::Announcement::ENCODED_LEN as u64;
    let first = quota(submit(&with(used() + announcement), 0));
    assert_eq!((first.limit, first.stored), (used(), used()), "the announcement was accepted");
    assert!(first.reserved > 0 && first.asked > 0, "{first:?}");

    submit(&with(1 << 30), 0).unwrap();
    let capacity = used() + first.reserved + first.asked;
    let board = with(capacity);
    let objects = world.store.list(&format!("{}/0/in/client-0", session.id())).unwrap();
    let second = quota(submit(&board, 1));
    assert!(second.stored + second.reserved + second.asked > capacity, "{second:?}");
    assert_eq!((second.limit, second.stored, second.reserved), (capacity, used(), first.reserved));
    assert_eq!(world.store.list(&format!("{}/0/in/client-0", session.id())).unwrap(), objects);
    // The same bytes again are fine, even if there is no room for more.
    let part = round.key(RoundKey::Part { client: 0, attempt: 1, shard: 0 });
    let bytes = world.store.get(&part, u64::MAX).unwrap().unwrap();
    assert_eq!(board.store(&world.clients[0]).put(&part, bytes), Ok(store::Written::Same));
    let metrics = board.operations("/metrics");
    for line in [
        format!("board_capacity_bytes {capacity}\n"),
        format!("board_stored_bytes {}\n", used()),
        "refusals_total{party=\"client-1\",kind=\"full\"} 1\n".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    drop(board);

    assert!(!submit(&with(1 << 30), 1).unwrap().earlier);
    // A limit below the present size: the round still ends, and its removal makes room.
    let board = with(1 << 10);
    let ended = roles::aggregate(
        &world.aggregator,
        &at(&board.store(&world.aggregator), &world, &round),
        aggregation(),
        &Silent,
    );
    assert_eq!(ended.unwrap().participants, [0, 1]);
    let server = board.store(&world.server);
    let out = world.path("mean.safetensors");
    world.pull(&at(&server, &world, &round), &out).unwrap();
    assert_is_mean(&read_mean(&out), &[0, 1]);
    assert!(roles::remove(&world.server, &at(&server, &world, &round)).unwrap().objects >= 9);
}

/// A browser shows the page correctly: one client has committed, another was refused.
#[test]
#[ignore = "needs chromium on the path: apt-get install chromium"]
fn the_status_page_in_a_browser() {
    let (world, board, round) = declared();
    let home = &world.clients[0];
    let there = at(&board.store(home), &world, &round);
    roles::submit(home, &there, submission(&world.update(0)), &Silent).unwrap();
    let part = round.key(RoundKey::Part { client: 1, attempt: 1, shard: 0 });
    board.store(home).put(&part, vec![0]).unwrap_err();

    let profile = world.path("browser");
    let dom = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://{}/", board.operations))
        .output()
        .unwrap();
    let dom = String::from_utf8(dom.stdout).unwrap();
    for part in [
        "<span class=\"state open\">open</span>",
        "<progress max=\"2\" value=\"1\"></progress>",
        "1 of 2, at least 2",
        "writer: 1",
        " connections; ",
    ] {
        assert!(dom.contains(part), "{part} in {dom}");
    }
    assert!(!dom.contains("<script"), "{dom}");
}
