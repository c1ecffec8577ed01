//! The static check.

use cipherfold::federated::{
    Clients, Error, Server,
    computation::{self, Computation, Inputs, LeakKind, Value},
    round,
};

use super::support::{Count, builder};

#[test]
fn clients_data_in_the_clear_is_a_leak() {
    let x = Value::<u64, Clients>::input("x");
    let noise = Value::<u64, Clients>::eval(|context| u64::from(context.client())).named("noise");
    let server = Value::<u64, Server>::input("model");
    let disturbed = Value::from((x.clone(), noise, server.broadcast())).map(|(a, b, c)| a + b + c);
    let computation =
        Computation::new((disturbed.collect().named("everything"), x.map(|x| x % 2).reduce(0, |a, b| a + b)));
    let leaks = computation.leaks();
    assert_eq!(leaks.len(), 2);
    assert_eq!(leaks[0].operation, "collect `everything`");
    assert_eq!(leaks[0].path, ["input `x`", "zip", "map", "collect `everything`"]);
    assert_eq!(leaks[0].sources, ["input `x`", "eval `noise`"]);
    assert_eq!(leaks[1].to_string(), "reduce shows the server: input `x` → map → reduce");
    let error = computation.secure_only().unwrap_err();
    assert_eq!(
        error.to_string(),
        "not secure: collect `everything` shows the server: input `x` → zip → map → collect `everything`; \
         reduce shows the server: input `x` → map → reduce"
    );
    assert_eq!(error, computation::Error::Leaks { leaks });
}

#[test]
fn data_that_the_server_knows_does_not_leak() {
    let model = Value::<u64, Server>::input("model");
    let known = Value::from((model.broadcast(), Value::<u64, Clients>::constant(2))).map(|(a, b)| a * b);
    let computation = Computation::new((known.collect(), known.reduce(0, |a, b| a + b)));
    assert!(computation.leaks().is_empty());
    assert!(computation.secure_only().is_ok());
    // Only the client knows its random draws.
    let drawn = known.map_with(|x, context| x + u64::from(context.client()));
    assert_eq!(Computation::new(drawn.collect()).leaks()[0].path, ["map_with", "collect"]);
    // Outputs at the clients stay there.
    let x = Value::<u64, Clients>::input("x");
    assert!(Computation::new(x.map(|x| x + 1)).leaks().is_empty());
}

#[test]
fn keys_leak_where_they_are_sent() {
    let table = Value::<u32, Server>::input("table");
    let keys = Value::<Vec<u32>, Clients>::input("keys");
    let selected = table.select(&keys, 7, |table, key| table + key);
    let secure = table.secure_select(&keys, 7, |table, key| table + key);
    let leaks = Computation::new(selected).leaks();
    assert_eq!(leaks[0].path, ["input `keys`", "keys", "select"]);
    assert!(Computation::new(secure.clone()).leaks().is_empty());
    // The selected values depend on the keys.
    let leaks = Computation::new(secure.collect()).leaks();
    assert_eq!(leaks[0].path, ["input `keys`", "keys", "secure_select", "collect"]);
    // Keys that are the same for all clients reveal nothing.
    let same = Value::<Vec<u32>, Clients>::constant(vec![1]);
    let selected = table.select(&same, 7, |table, key| table + key);
    assert!(Computation::new(selected.collect()).leaks().is_empty());
}

#[test]
fn leaks_are_found_in_later_rounds() {
    let x = Value::<u64, Clients>::input("x");
    let total = x.reduce(0, |a, b| a + b).named("total");
    let share = x.zip(&total.broadcast()).map(|(x, total)| x * 100 / total).named("share");
    let leaks = Computation::new(share.collect()).leaks();
    assert_eq!(leaks.len(), 2);
    assert_eq!(leaks[0].operation, "reduce `total`");
    assert_eq!(leaks[1].path, ["input `x`", "zip", "map `share`", "collect"]);
}

#[test]
fn an_executor_may_refuse_leaks_before_any_work() {
    let count = Count::default();
    let x = Value::<usize, Clients>::eval({
        let count = count.clone();
        move |_| count.up()
    });
    let executor = builder().clients(2).secure_only().build().unwrap();
    let computation = Computation::new(x.collect());
    let leaks = computation.leaks();
    assert_eq!(
        executor.run(&computation, Inputs::new()).unwrap_err(),
        Error::Computation(computation::Error::Leaks { leaks })
    );
    assert_eq!(count.get(), 0);
    assert_eq!(executor.run(&Computation::new(x), Inputs::new()).unwrap().value.len(), 2);
}

/// A closure that sees the client's number chooses whose value a sum shows.
#[test]
fn closures_that_see_the_number_leak_through_sums() {
    let x = Value::<u64, Clients>::input("x");
    let mine = x.map_with(|x, context| if context.client() == 1 { *x } else { 0 }).named("mine");
    let computation = Computation::new((mine.map(|x| *x).secure_sum_up_to(100), x.secure_count()));
    let leaks = computation.leaks();
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].kind, LeakKind::ClientNumber);
    assert_eq!(leaks[0].sources, ["map_with `mine`"]);
    let text = "secure_sum_up_to depends on the clients' numbers: map_with `mine` → map → secure_sum_up_to";
    assert_eq!(leaks[0].to_string(), text);
    assert_eq!(computation.secure_only().unwrap_err(), computation::Error::Leaks { leaks });
    // Through another value, for example weights.
    let chosen = Value::<u32, Clients>::eval(|context| u32::from(context.client() == 1)).named("chosen");
    let quantizer = cipherfold::packing::Quantizer::new(0.0, 100.0, 16).unwrap();
    let weighted = x.map(|x| *x as f64).secure_weighted_mean(&chosen, 1, quantizer);
    let leaks = Computation::new(weighted).leaks();
    assert_eq!(
        (leaks[0].kind, &leaks[0].path[..]),
        (LeakKind::ClientNumber, &["eval `chosen`", "secure_weighted_mean"].map(String::from)[..])
    );
    // A value that came back from the server does not contain a client's number.
    let total = mine.secure_sum_up_to(100).map(|total| u64::try_from(*total).unwrap());
    let next = x.zip(&total.broadcast()).map(|(x, total)| x + total).secure_sum_up_to(1000);
    assert_eq!(Computation::new(next).leaks().len(), 1);
    // At the server there is no client number.
    let server = Value::<u64, Server>::eval(|context| context.rng().next_u64() % 10);
    let sum = x.zip(&server.broadcast()).map(|(x, y)| x + y).secure_sum_up_to(1000);
    assert!(Computation::new(sum).leaks().is_empty());
}

#[test]
fn closures_that_draw_do_not_see_the_number() {
    let x = Value::<u64, Clients>::input("x");
    let drawn = Value::<u64, Clients>::draw(|rng| 1 + u64::from(rng.next_u32() % 9));
    let disturbed = x.map_drawing(|x, rng| x + u64::from(rng.next_u32() % 2));
    let sum = drawn.zip(&disturbed).map(|(a, b)| a + b).secure_sum_up_to(100);
    let computation = Computation::new(sum).secure_only().unwrap();
    let executor = builder().secure_only().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [10, 20])).unwrap();
    assert!((32..=50).contains(&run.value));
    // They are the client's own, and must not leave in the clear.
    let leaks = Computation::new((drawn.collect(), disturbed.collect())).leaks();
    assert_eq!((leaks[0].kind, &leaks[0].path[0][..]), (LeakKind::InTheClear, "draw"));
    assert_eq!(leaks[1].sources, ["input `x`", "map_drawing"]);
}

/// A sum over one client is that client's value.
#[test]
fn executors_that_are_secure_only_sum_over_two_or_more() {
    for min in [0, 1] {
        let error = builder().min_clients(min).secure_only().build().unwrap_err();
        assert_eq!(error, Error::Round(round::Error::Setting { setting: "min_clients", minimum: 2 }));
        assert!(builder().secure_only().min_clients(min).build().is_err());
        assert!(builder().min_clients(min).build().is_ok());
    }
    assert!(builder().min_clients(2).secure_only().build().is_ok());
    assert!(builder().secure_only().build().is_ok());
}
