//! Bindings of inputs, the number of clients, and errors before any work.

use cipherfold::federated::{
    Clients, Error, PlacementKind, Server,
    channel::{self, ChannelGrid},
    computation::{self, Computation, Inputs, Value},
    report::AbsenceReason,
    round,
};

use super::support::{Count, builder, run};

#[test]
fn every_input_is_bound_once() {
    let ran = Count::default();
    let a = Value::<i32, Clients>::input("a");
    let b = Value::<i32, Server>::input("b");
    let other = Value::<i32, Clients>::input("other");
    let doubled = a.map({
        let ran = ran.clone();
        move |a| {
            ran.up();
            2 * a
        }
    });
    let computation = Computation::new((doubled.collect(), b.clone()));
    let executor = builder().build().unwrap();
    let refused = |inputs: Inputs<'_>| executor.run(&computation, inputs).unwrap_err();

    let missing =
        Error::Computation(computation::Error::MissingInput { name: "b", placement: PlacementKind::Server });
    assert_eq!(refused(Inputs::new().clients(&a, [1])), missing);
    let missing =
        Error::Computation(computation::Error::MissingInput { name: "a", placement: PlacementKind::Clients });
    assert_eq!(refused(Inputs::new().server(&b, 1)), missing);
    let both = || Inputs::new().clients(&a, [1]).server(&b, 1);
    assert_eq!(
        refused(both().clients(&a, [1])),
        Error::Computation(computation::Error::RepeatedInput { name: "a" })
    );
    assert_eq!(
        refused(both().clients(&other, [1])),
        Error::Computation(computation::Error::ForeignInput { name: "other" })
    );
    let error = Error::Computation(computation::Error::NotAnInput { value: "map `twice`".into() });
    assert_eq!(refused(both().clients(&doubled.clone().named("twice"), [1])), error);
    assert_eq!(ran.get(), 0);
    assert_eq!(executor.run(&computation, both()).unwrap().value, (vec![2], 1));
}

#[test]
fn all_agree_on_the_number_of_clients() {
    let (a, b) = (Value::<i32, Clients>::input("a"), Value::<i32, Clients>::input("b"));
    let computation = Computation::new(a.zip(&b).collect());
    let inferring = builder().build().unwrap();
    let stating = builder().clients(3).build().unwrap();

    let inputs = Inputs::new().clients(&a, 0..10).clients(&b, 0..11);
    let conflict = Error::Computation(computation::Error::ConflictingInputs {
        name: "a",
        clients: 10,
        other: "b",
        other_clients: 11,
    });
    assert_eq!(inferring.run(&computation, inputs).unwrap_err(), conflict);
    assert_eq!(conflict.to_string(), "inputs disagree on the number of clients: `a` has 10, `b` has 11");
    let inputs = Inputs::new().clients(&a, 0..3).clients(&b, 0..2);
    assert_eq!(stating.run(&computation, inputs).unwrap_err(), Error::ClientCount { stated: 3, found: 2 });
    let inputs = Inputs::new().clients(&a, 0..0).clients(&b, 0..0);
    assert_eq!(inferring.run(&computation, inputs).unwrap_err(), Error::NoClients);

    // An iterator without a known length: another input must state the number.
    let even = || (0..10).filter(|i| i % 2 == 0);
    let inputs = Inputs::new().clients(&a, even()).clients(&b, even());
    assert_eq!(inferring.run(&computation, inputs).unwrap_err(), Error::UnknownClientCount);
    let inputs = Inputs::new().clients(&a, even()).clients(&b, 0..5);
    let expected = [(0, 0), (2, 1), (4, 2), (6, 3), (8, 4)];
    assert_eq!(inferring.run(&computation, inputs).unwrap().value, expected);
    let inputs = Inputs::new().clients(&a, even()).clients(&b, 0..6);
    let short = Error::ClientCount { stated: 6, found: 5 };
    assert_eq!(inferring.run(&computation, inputs).unwrap_err(), short);
    let inputs = Inputs::new().clients(&a, even()).clients(&b, 0..3);
    let long = Error::ClientCount { stated: 3, found: 4 };
    assert_eq!(inferring.run(&computation, inputs).unwrap_err(), long);

    // The number of evaluating clients is unknown.
    let eval = Computation::new(Value::<u32, Clients>::eval(|context| context.client()).collect());
    assert_eq!(inferring.run(&eval, Inputs::new()).unwrap_err(), Error::UnknownClientCount);
    assert_eq!(stating.run(&eval, Inputs::new()).unwrap().value, [0, 1, 2]);
}

#[test]
fn the_number_of_clients_may_change_between_runs() {
    let x = Value::<i32, Clients>::input("x");
    let computation = Computation::new(x.clone());
    let executor = builder().build().unwrap();
    for clients in [5, 10] {
        let found = executor.run(&computation, Inputs::new().clients(&x, 0..clients)).unwrap().value;
        let found: Vec<i32> = executor.run_at(|here| found.iter().flatten().map(|x| *x.get(here)).collect());
        assert_eq!(found, (0..clients).collect::<Vec<_>>());
    }
}

#[test]
fn items_are_taken_one_at_a_time() {
    let (taken, done) = (Count::default(), Count::default());
    let x = Value::<usize, Clients>::input("x");
    let worked = x.map({
        let done = done.clone();
        move |x| {
            done.up();
            *x
        }
    });
    let items = (0..20).inspect(|_| {
        // Two clients work at a time: the item of one that has not reached its closure yet, and
        // this one.
        assert!(taken.up() < done.get() + 2, "taken only as clients begin to work");
    });
    let executor = builder().max_concurrent_clients(2).build().unwrap();
    let sum = worked.reduce(0, |a, b| a + b);
    let found = executor.run(&Computation::new(sum), Inputs::new().clients(&x, items)).unwrap();
    assert_eq!(found.value, 190);
}

#[test]
fn items_may_fail_or_be_absent() {
    let x = Value::<u32, Clients>::input("x");
    let computation = Computation::new(x.collect());
    let strict = builder().build().unwrap();
    let lenient = builder().min_clients(2).build().unwrap();

    let items = [Ok(1), Err("disk full"), Ok(3)];
    let no_update = Error::NoUpdate { reason: "disk full".into() };
    let error = Error::Client { client: 1, source: Box::new(no_update.clone()) };
    assert_eq!(strict.run(&computation, Inputs::new().clients(&x, items)).unwrap_err(), error);
    let run = lenient.run(&computation, Inputs::new().clients(&x, items)).unwrap();
    assert_eq!(run.value, [1, 3]);
    let absence = &run.report().absent[0];
    assert_eq!((absence.client, absence.reason), (1, AbsenceReason::Failed));
    assert_eq!(absence.details, Some(no_update.to_string()));

    let items = [Some(1), None, Some(3)];
    let error = Error::Client { client: 1, source: Box::new(Error::DroppedOut) };
    assert_eq!(strict.run(&computation, Inputs::new().clients(&x, items)).unwrap_err(), error);
    assert_eq!(lenient.run(&computation, Inputs::new().clients(&x, items)).unwrap().value, [1, 3]);
    let items = [None, None, Some(3)];
    let error = lenient.run(&computation, Inputs::new().clients(&x, items)).unwrap_err();
    let Error::Round(round::Error::TooFewClients { minimum: 2, found: 1, absent }) = error else {
        panic!("{error}")
    };
    assert_eq!(absent.iter().map(|absence| absence.client).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn channels_are_looked_for_before_any_work() {
    let ran = Count::default();
    let x = Value::<u32, Clients>::eval({
        let ran = ran.clone();
        move |_| u32::from(ran.up() > 0)
    });
    let (clients, server) = (PlacementKind::Clients, PlacementKind::Server);
    let channels = ChannelGrid::default().without(clients, server).unwrap();
    let executor = builder().clients(2).channels(channels).build().unwrap();
    let error = executor.run(&Computation::new(x.collect()), Inputs::new()).unwrap_err();
    assert_eq!(error, Error::Channel(channel::Error::MissingChannel { from: clients, to: server }));
    assert_eq!(ran.get(), 0);
}

#[test]
fn values_that_are_read_once_are_moved() {
    /// Panics if it is cloned.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Heavy(u32);
    impl Clone for Heavy {
        fn clone(&self) -> Self {
            panic!("cloned")
        }
    }
    let x = Value::<Heavy, Clients>::input("x");
    let pair = x.zip(&Value::<u32, Clients>::constant(1));
    let sum = pair.map(|(x, one)| x.0 + one).reduce(0, |a, b| a + b);
    assert_eq!(run(sum, Inputs::new().clients(&x, [Heavy(1), Heavy(2)])), 5);
}
