//! Operations with known inputs share a round, and every closure runs once for each client.

use cipherfold::federated::{
    Clients, Error, PlacementKind, Server,
    computation::{self, Computation, Inputs, Value},
};

use super::support::{Count, builder, opened};

/// Counts how often it runs.
fn counted(x: &Value<u64, Clients>, count: &Count) -> Value<u64, Clients> {
    let count = count.clone();
    x.map(move |x| {
        count.up();
        x + 1
    })
}

fn sum(x: &Value<u64, Clients>) -> Value<u64, Server> {
    x.reduce(0, |a, b| a + b)
}

#[test]
fn operations_that_can_share_a_round() {
    let count = Count::default();
    let x = Value::<u64, Clients>::input("x");
    let shared = counted(&x, &count);
    let outputs = (sum(&shared), shared.collect(), sum(&shared.map(|x| 10 * x)), shared.clone());
    let computation = Computation::new(outputs);
    assert_eq!(computation.rounds(), 1);
    let executor = builder().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, 0..4)).unwrap();
    let (total, all, tenfold, _) = run.value;
    assert_eq!((total, all, tenfold), (10, vec![1, 2, 3, 4], 100));
    assert_eq!(count.get(), 4, "once for each client");
    assert_eq!(run.rounds.len(), 1);
}

#[test]
fn a_later_round_reads_the_values_that_clients_kept() {
    let (early, late, server) = (Count::default(), Count::default(), Count::default());
    let x = Value::<u64, Clients>::input("x");
    let y = Value::<u64, Clients>::input("y");
    let shared = counted(&x, &early);
    let mean = sum(&shared).map({
        let server = server.clone();
        move |sum| {
            server.up();
            sum / 4
        }
    });
    let deviation = Value::from((shared.clone(), mean.broadcast(), counted(&y, &late)))
        .map(|(x, mean, y)| x.abs_diff(*mean) + 100 * y);
    let computation = Computation::new((deviation.collect(), mean));
    assert_eq!(computation.rounds(), 2);

    let executor = builder().build().unwrap();
    // The second input is needed, and requested, only in the second round.
    let late_items = (0..4).inspect(|_| {
        assert_eq!((early.get(), server.get()), (4, 1), "after the first round");
    });
    let inputs = Inputs::new().clients(&x, [0, 4, 8, 16]).clients(&y, late_items);
    let run = executor.run(&computation, inputs).unwrap();
    // 1, 5, 9 and 17 have the mean 8.
    assert_eq!(run.value, (vec![107, 203, 301, 409], 8));
    assert_eq!((early.get(), late.get(), server.get()), (4, 4, 1));
    assert_eq!(run.rounds.len(), 2);
    assert!(run.rounds[0].traffic(PlacementKind::Server, PlacementKind::Clients).is_none());
    let down = run.rounds[1].traffic(PlacementKind::Server, PlacementKind::Clients).unwrap();
    assert_eq!(down.messages, 4);
}

#[test]
fn absent_clients_stay_absent_in_later_rounds_that_need_them() {
    let x = Value::<u64, Clients>::input("x");
    let total = sum(&x);
    let shares = x.zip(&total.broadcast()).map(|(x, total)| 100 * x / total);
    // Does not depend on the absent client's missing value.
    let heard = total.broadcast();
    let executor = builder().min_clients(1).build().unwrap();
    let inputs = || Inputs::new().clients(&x, [Some(1), None, Some(3)]);
    let run = executor.run(&Computation::new(shares.collect()), inputs()).unwrap();
    assert_eq!(run.value, [25, 75]);
    assert_eq!(run.rounds.iter().map(|round| round.clients).collect::<Vec<_>>(), [2, 2]);
    let run = executor.run(&Computation::new(heard.collect()), inputs()).unwrap();
    assert_eq!(run.value, [4, 4, 4]);
    // Outputs at the clients exist for the participants.
    let run = executor.run(&Computation::new((x.clone(), total)), inputs()).unwrap();
    let (kept, total) = run.value;
    assert_eq!((opened(&executor, kept), total), (vec![Some(1), None, Some(3)], 4));
}

/// A failure at the server after the clients' contributions names the round and the participants.
#[test]
fn a_round_that_fails_at_the_server_says_who_took_part() {
    let x = Value::<u64, Clients>::input("x");
    let total = sum(&x);
    let refused = total.try_map(|total| u8::try_from(*total));
    let failing =
        x.aggregate(0_u64, |a, x| a + x, |a, b| a + b, |total| total).try_map(|_| "x".parse::<u8>());
    let next = sum(&x.zip(&total.broadcast()).map(|(x, _)| *x)).try_map(|_| "x".parse::<u8>());
    let executor = builder().min_clients(1).build().unwrap();
    for (output, round) in [(refused, 0), (failing, 0), (next, 1)] {
        let inputs = Inputs::new().clients(&x, [Some(300), None, Some(3)]);
        let before = executor.run(&Computation::new(sum(&x)), Inputs::new().clients(&x, [1])).unwrap();
        let error = executor.run(&Computation::new(output), inputs).unwrap_err();
        assert!(
            matches!(
                error.root(),
                Error::Computation(computation::Error::Closure { operation: "try_map", .. })
            ),
            "{error}"
        );
        let Error::RoundFailed { report, .. } = error else { panic!("{error}") };
        assert_eq!(report.participants().collect::<Vec<_>>(), [0, 2]);
        assert_eq!((report.absent.len(), report.round), (1, before.rounds[0].round + 1 + round));
    }
}

#[test]
fn many_rounds_follow_one_another() {
    let x = Value::<u64, Clients>::input("x");
    let mut model = Value::<u64, Server>::constant(1);
    for _ in 0..10 {
        model = sum(&x.zip(&model.broadcast()).map(|(x, model)| x * model));
    }
    let computation = Computation::new(model);
    assert_eq!(computation.rounds(), 10);
    let executor = builder().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [1, 0, 1])).unwrap();
    assert_eq!(run.value, 1 << 10);
    assert_eq!(run.rounds.len(), 10);
}

/// Counts its instances.
struct Alive(Count);

impl Alive {
    fn new(born: &Count, died: &Count, most: usize) -> Self {
        assert!(born.up() < died.get() + most, "more than {most} at the same time");
        Self(died.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.up();
    }
}

#[test]
fn clients_values_are_forgotten_as_soon_as_they_are_read() {
    let (born, died) = (Count::default(), Count::default());
    let x = Value::<u64, Clients>::input("x");
    let large = x.map({
        let (born, died) = (born.clone(), died.clone());
        // Two clients work at the same time.
        move |x| (Alive::new(&born, &died, 2), *x)
    });
    let small = large.map(|(_, x)| *x);
    // After the last reader the value is dropped, although this client continues.
    let gone = small.map({
        let (born, died) = (born.clone(), died.clone());
        move |x| {
            assert!(born.get() <= died.get() + 1, "only the other client's");
            *x
        }
    });
    let executor = builder().max_concurrent_clients(2).build().unwrap();
    let inputs = Inputs::new().clients(&x, 0..100);
    assert_eq!(executor.run(&Computation::new(sum(&gone)), inputs).unwrap().value, 4950);
    assert_eq!((born.get(), died.get()), (100, 100));
}

#[test]
fn chains_of_100_000_operations_work() {
    let mut x = Value::<u64, Server>::constant(0);
    for _ in 0..100_000 {
        x = x.map(|x| x + 1);
    }
    let computation = Computation::new(x);
    let executor = builder().build().unwrap();
    assert_eq!(executor.run(&computation, Inputs::new()).unwrap().value, 100_000);
}

#[test]
fn an_output_may_be_asked_for_twice() {
    let x = Value::<u64, Clients>::input("x");
    let all = x.collect();
    let computation = Computation::new((all.clone(), (all.clone(), x.clone()), x.clone(), all.map(Vec::len)));
    let executor = builder().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [7, 8])).unwrap();
    let (first, (second, placed), again, count) = run.value;
    assert_eq!((first, second, count), (vec![7, 8], vec![7, 8], 2));
    assert_eq!((placed.len(), again.len()), (2, 2));
    assert_eq!(run.rounds[0].traffic(PlacementKind::Clients, PlacementKind::Server).unwrap().messages, 2);
}
