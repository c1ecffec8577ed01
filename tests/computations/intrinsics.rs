//! Each operation alone, with TensorFlow Federated's own cases if they have data.

use std::collections::HashSet;

use cipherfold::federated::{
    Clients, Error, Party, PlacementKind, Server,
    computation::{self, Computation, Inputs, Value},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::support::{builder, run};

fn input<T: Send + Sync + 'static>() -> Value<T, Clients> {
    Value::input("x")
}

#[test]
fn aggregate_starts_from_zero_once() {
    let x = input::<f32>();
    let sum = x.aggregate(10.0, |sum, x| sum + x, |a, b| a + b, |sum| sum);
    assert_eq!(run(sum, Inputs::new().clients(&x, [10.0, 11.0, 12.0])), 43.0);
}

#[test]
fn aggregate_accumulates_in_order_and_reports_once() {
    let x = input::<u32>();
    let text = x.aggregate(
        String::from("0"),
        |text, x| format!("{text}+{x}"),
        |a, b| format!("({a}) & ({b})"),
        |text| format!("={text}"),
    );
    let computation = Computation::new(text);
    let inputs = || Inputs::new().clients(&x, 1..=5);
    let linear = builder().build().unwrap().run(&computation, inputs()).unwrap();
    assert_eq!(linear.value, "=0+1+2+3+4+5", "nothing to merge");
    let tree = builder().max_fanout(2).build().unwrap().run(&computation, inputs()).unwrap();
    assert_eq!(tree.value, "=((0+1+2) & (0+3+4)) & (0+5)");
    let wide = builder().max_fanout(5).build().unwrap().run(&computation, inputs()).unwrap();
    assert_eq!(wide.value, "=0+1+2+3+4+5");
}

#[test]
fn reduce_combines_in_order() {
    let x = input::<String>();
    let joined = x.reduce(String::new(), |a, b| a + &b);
    let inputs = Inputs::new().clients(&x, ["a", "b", "c"].map(String::from));
    assert_eq!(run(joined, inputs), "abc");
}

#[test]
fn collect_keeps_the_clients_order() {
    let x = input::<i32>();
    let inputs = || Inputs::new().clients(&x, [1, 2, 3]);
    assert_eq!(run(x.collect(), inputs()), [1, 2, 3]);
    // The order of completion does not matter. Here later clients finish far earlier.
    let slow = x.map(|x| {
        std::thread::sleep(std::time::Duration::from_millis(u64::from(*x == 1) * 50));
        *x
    });
    let executor = builder().max_concurrent_clients(3).max_fanout(2).build().unwrap();
    assert_eq!(executor.run(&Computation::new(slow.collect()), inputs()).unwrap().value, [1, 2, 3]);
}

#[test]
fn broadcast_reaches_every_client() {
    let x = Value::<f32, Server>::input("x");
    let received = x.broadcast();
    let executor = builder().clients(3).build().unwrap();
    let computation = Computation::new((received.clone(), received.collect()));
    let found = executor.run(&computation, Inputs::new().server(&x, 10.0)).unwrap();
    let (placed, collected) = found.value;
    let at_clients: Vec<f32> =
        executor.run_at(|here| placed.into_iter().flatten().map(|x| x.into_inner(here)).collect());
    assert_eq!(at_clients, [10.0; 3]);
    assert_eq!(collected, [10.0; 3]);
    // Messages in both directions: a float has four bytes.
    for (from, to) in
        [(PlacementKind::Server, PlacementKind::Clients), (PlacementKind::Clients, PlacementKind::Server)]
    {
        let traffic = found.rounds[0].traffic(from, to).unwrap();
        assert_eq!((traffic.messages, traffic.payload_bytes), (3, 12));
    }
}

#[test]
fn map_runs_at_the_server_too() {
    let x = Value::<f32, Server>::input("x");
    assert_eq!(run(x.map(|x| *x), Inputs::new().server(&x, 10.0)), 10.0);
    // As a computation without a placement: no clients are needed.
    let five = Value::<i32, Server>::constant(5);
    let computation = Computation::new(five.zip(&five).map(|(a, b)| a + b));
    assert_eq!(computation.rounds(), 0);
    for builder in [builder(), builder().clients(1)] {
        let run = builder.build().unwrap().run(&computation, Inputs::new()).unwrap();
        assert_eq!(run.value, 10);
        assert!(run.rounds.is_empty());
    }
}

#[test]
fn constants_are_the_same_for_all() {
    let x = Value::<f32, Clients>::constant(10.0);
    let executor = builder().clients(3).build().unwrap();
    let computation = Computation::new((x.collect(), x));
    let (collected, placed) = executor.run(&computation, Inputs::new()).unwrap().value;
    assert_eq!(collected, [10.0; 3]);
    assert_eq!(placed.len(), 3);
}

#[test]
fn eval_differs_between_clients() {
    let draw = Value::<u64, Clients>::eval(|context| context.rng().next_u64());
    let seeded = || {
        let rng = ChaCha20Rng::seed_from_u64(7);
        let executor = builder().clients(50).max_concurrent_clients(4).rng(rng).build().unwrap();
        let computation = Computation::new(draw.collect());
        [(); 2].map(|()| executor.run(&computation, Inputs::new()).unwrap().value)
    };
    let [first, second] = seeded();
    let all: HashSet<u64> = first.iter().chain(&second).copied().collect();
    assert_eq!(all.len(), 100, "all values distinct, in every run");
    assert_eq!(seeded(), [first, second], "and the same with the same seed");
}

#[test]
fn contexts_say_who_runs() {
    let clients = Value::<u32, Clients>::eval(|context| context.client());
    let named = clients.map_with(|client, context| (*client, context.party().to_string()));
    let server = Value::<bool, Server>::eval(|context| context.party() == Party::Server);
    let executor = builder().clients(2).build().unwrap();
    let computation = Computation::new((named.collect(), server));
    let (clients, server) = executor.run(&computation, Inputs::new()).unwrap().value;
    assert_eq!(clients, [(0, "client 0".into()), (1, "client 1".into())]);
    assert!(server);
}

#[test]
fn tuples_and_vectors_zip() {
    let (a, b) = (input::<u8>(), input::<char>());
    let triple = Value::from((a.clone(), b.clone(), a.map(|a| a * 2)));
    let all = Value::all([a.clone(), a.map(|a| a + 1), a.clone()]);
    let inputs = Inputs::new().clients(&a, [1, 2]).clients(&b, ['x', 'y']);
    let (triples, all) = run((triple.collect(), all.collect()), inputs);
    assert_eq!(triples, [(1, 'x', 2), (2, 'y', 4)]);
    assert_eq!(all, [[1, 2, 1], [2, 3, 2]]);
}

#[test]
fn try_map_names_the_client() {
    let x = input::<i32>();
    let checked = x.try_map(|x| u32::try_from(*x));
    let computation = Computation::new(checked.collect());
    let executor = builder().build().unwrap();
    assert_eq!(executor.run(&computation, Inputs::new().clients(&x, [1, 2])).unwrap().value, [1, 2]);
    let error = executor.run(&computation, Inputs::new().clients(&x, [1, -2, 3])).unwrap_err();
    let reason = u32::try_from(-2_i32).unwrap_err().to_string();
    let source = Box::new(Error::Computation(computation::Error::Closure { operation: "try_map", reason }));
    assert_eq!(error, Error::Client { client: 1, source });

    let text = Value::<&str, Server>::constant("five");
    let error = executor.run(&Computation::new(text.try_map(|text| text.parse::<i32>())), Inputs::new());
    assert_eq!(error.unwrap_err().to_string(), "try_map failed: invalid digit found in string");
}

#[test]
fn select_gives_each_client_what_it_asks_for() {
    let table = Value::<Vec<String>, Server>::input("table");
    let keys = Value::<Vec<u32>, Clients>::input("keys");
    let row = |table: &Vec<String>, key: u32| table[key as usize].clone();
    let (plain, secure) = (table.select(&keys, 2, row), table.secure_select(&keys, 2, row));
    let executor = builder().build().unwrap();
    let words = || ["a", "bb", "ccc"].map(String::from).to_vec();
    let inputs = |keys_of: &[&[u32]]| {
        let clients: Vec<_> = keys_of.iter().map(|keys| keys.to_vec()).collect();
        Inputs::new().server(&table, words()).clients(&keys, clients)
    };
    for chosen in [plain.clone(), secure.clone()] {
        let computation = Computation::new(chosen.collect());
        let found = executor.run(&computation, inputs(&[&[2, 0], &[], &[1, 1]])).unwrap();
        assert_eq!(found.value, [vec!["ccc", "a"], vec![], vec!["bb", "bb"]]);
        let error = executor.run(&computation, inputs(&[&[0], &[3]])).unwrap_err();
        assert_eq!(
            error,
            Error::Client {
                client: 1,
                source: Box::new(Error::Computation(computation::Error::KeyTooLarge { max: 2 }))
            }
        );
    }
    // One sends the requested items; the other sends all items and receives no request.
    let traffic = |chosen: &Value<Vec<String>, Clients>| {
        let run = executor.run(&Computation::new(chosen.clone()), inputs(&[&[2], &[]])).unwrap();
        let bytes = |from, to| run.rounds[0].traffic(from, to).map_or(0, |traffic| traffic.payload_bytes);
        let (clients, server) = (PlacementKind::Clients, PlacementKind::Server);
        (bytes(clients, server), bytes(server, clients))
    };
    // A length and a key, a length; a length and a word of a length and three letters, a length.
    assert_eq!(traffic(&plain), (2 + 1, 5 + 1));
    // To each a length, and three words.
    assert_eq!(traffic(&secure), (0, 2 * (1 + 2 + 3 + 4)));
}
