//! The static check.

use cipherfold::{
    Error,
    federated::{Clients, Computation, Inputs, Server, Value},
};

use super::support::{Count, builder};

#[test]
fn what_depends_on_clients_data_and_leaves_in_the_clear_leaks() {
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
    assert_eq!(error, Error::Leaks { leaks });
}

#[test]
fn what_the_server_knows_already_does_not_leak() {
    let model = Value::<u64, Server>::input("model");
    let known = Value::from((model.broadcast(), Value::<u64, Clients>::constant(2))).map(|(a, b)| a * b);
    let computation = Computation::new((known.collect(), known.reduce(0, |a, b| a + b)));
    assert!(computation.leaks().is_empty());
    assert!(computation.secure_only().is_ok());
    // What a client draws, it alone knows.
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
    // But what was selected depends on the keys.
    let leaks = Computation::new(secure.collect()).leaks();
    assert_eq!(leaks[0].path, ["input `keys`", "keys", "secure_select", "collect"]);
    // Keys that are the same for all say nothing.
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
    assert_eq!(executor.run(&computation, Inputs::new()).unwrap_err(), Error::Leaks { leaks });
    assert_eq!(count.get(), 0);
    assert_eq!(executor.run(&Computation::new(x), Inputs::new()).unwrap().value.len(), 2);
}
