//! Outputs at the clients stay with their clients, and are inputs of the next run.

use cipherfold::federated::{
    Clients, Placed, Server,
    computation::{Computation, Inputs, Value},
    report::AbsenceReason,
};

use super::support::{builder, opened};

type States<T> = Vec<Option<Placed<T, Clients>>>;

#[test]
fn every_client_that_is_asked_has_an_entry() {
    let x = Value::<u64, Clients>::input("x");
    let model = Value::<u64, Server>::input("model");
    let doubled = x.map(|x| 2 * x);
    let (constant, broadcast) = (Value::<u64, Clients>::constant(7), model.broadcast());
    let evaluated = Value::<u64, Clients>::eval(|context| u64::from(context.client()));
    // `x` is an output, too, so that every round of the run needs it.
    let computation = Computation::new((x.clone(), doubled, constant, broadcast, evaluated));
    assert_eq!(computation.rounds(), 1);
    let executor = builder().min_clients(2).build().unwrap();
    let inputs = Inputs::new().clients(&x, [Some(10), None, Some(30), None]).server(&model, 5);
    let (x, doubled, constant, broadcast, evaluated) = executor.run(&computation, inputs).unwrap().value;
    assert_eq!(opened(&executor, x), [Some(10), None, Some(30), None]);
    assert_eq!(opened(&executor, doubled), [Some(20), None, Some(60), None]);
    assert_eq!(opened(&executor, constant), [Some(7), None, Some(7), None]);
    assert_eq!(opened(&executor, broadcast), [Some(5), None, Some(5), None]);
    assert_eq!(opened(&executor, evaluated), [Some(0), None, Some(2), None]);
}

/// A client's output of a round exists if it took part in that round, also if a later round fails.
#[test]
fn a_client_has_what_it_computed_before_it_drops_out() {
    let (x, y) = (Value::<u64, Clients>::input("x"), Value::<u64, Clients>::input("y"));
    let early = x.map(|x| x + 1);
    let (always, later) = (Value::<u64, Clients>::constant(1), Value::<u64, Clients>::constant(2));
    let total = early.zip(&always).map(|(x, one)| x * one).secure_sum_up_to(100);
    let total = total.map(|total| u64::try_from(*total).unwrap());
    let late =
        Value::from((y.clone(), total.broadcast(), later.clone())).map(|(y, total, two)| (y + total) * two);
    let end = late.secure_count();
    let computation = Computation::new((early, always, late, later, total, end));
    assert_eq!(computation.rounds(), 2);
    let executor = builder().min_clients(2).build().unwrap();
    // The second client is absent in the first round, and the third one in the second.
    let inputs = Inputs::new()
        .clients(&x, [Some(10), None, Some(30), Some(40)])
        .clients(&y, [Some(1), Some(2), None, Some(4)]);
    let run = executor.run(&computation, inputs).unwrap();
    let (early, always, late, later, total, end) = run.value;
    assert_eq!((total, end), (83, 3));
    assert_eq!(opened(&executor, early), [Some(11), None, Some(31), Some(41)]);
    assert_eq!(opened(&executor, always), [Some(1), None, Some(1), Some(1)]);
    assert_eq!(opened(&executor, late), [Some(168), Some(170), None, Some(174)]);
    assert_eq!(opened(&executor, later), [Some(2), Some(2), None, Some(2)]);
}

/// An absent client's entry is empty. In the next run it means an absent client.
#[test]
fn outputs_are_inputs_as_they_are() {
    let state = Value::<u64, Clients>::input("state");
    let next = state.map(|state| state + 1);
    let computation = Computation::new((next, state.secure_sum_up_to(100)));
    let executor = builder().min_clients(2).build().unwrap();
    let inputs = Inputs::new().clients(&state, [Some(10), None, Some(30)]);
    let (states, sum) = executor.run(&computation, inputs).unwrap().value;
    assert_eq!(sum, 40);
    let (states, sum) = executor.run(&computation, Inputs::new().clients(&state, states)).unwrap().value;
    assert_eq!(sum, 42);
    assert_eq!(opened(&executor, states.clone()), [Some(12), None, Some(32)]);
    // Without the option, if all clients are present.
    let present = states.into_iter().flatten();
    let executor = builder().clients(2).build().unwrap();
    let (states, sum) = executor.run(&computation, Inputs::new().clients(&state, present)).unwrap().value;
    assert_eq!((opened(&executor, states), sum), (vec![Some(13), Some(33)], 44));
}

/// A refused client has no new state.
#[test]
fn a_refused_client_has_no_entry() {
    let x = Value::<u64, Clients>::input("x");
    let computation = Computation::new((x.map(|x| x + 1), x.secure_sum_up_to(50)));
    let executor = builder().min_clients(2).build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [10, 70, 30])).unwrap();
    let (next, sum) = run.value;
    assert_eq!((opened(&executor, next), sum), (vec![Some(11), None, Some(31)], 40));
    assert_eq!(run.rounds[0].absent[0].reason, AbsenceReason::Value { tensor: 0 });
}

/// SCAFFOLD (Karimireddy et al., ICML 2020, option II with one local step): the clients' control
/// variates are outputs of one run and inputs of the next. The server keeps its own. A client drops
/// out in between.
mod scaffold {
    use super::*;
    use cipherfold::packing::Quantizer;
    use ndarray::{Array1, array};

    type Model = Array1<f64>;

    const RATE: f64 = 0.25;
    const CLIENTS: usize = 4;

    /// The gradient of a client's loss, |x − target|²/2.
    fn gradient(x: &Model, target: &Model) -> Model {
        x - target
    }

    /// The new model and control variate of a client.
    fn local(target: &Model, x: &Model, c: &Model, own: &Model) -> (Model, Model) {
        let y = x - RATE * (gradient(x, target) - own + c);
        let next = own - c + (x - &y) / RATE;
        (y, next)
    }

    fn targets() -> [Model; CLIENTS] {
        [array![1.0, -1.0], array![2.0, 0.5], array![-3.0, 2.0], array![0.5, 4.0]]
    }

    #[test]
    fn each_client_gets_its_own_control_variate_back() {
        let target = Value::<Model, Clients>::input("target");
        let own = Value::<Model, Clients>::input("control variate");
        let (x, c) =
            (Value::<Model, Server>::input("model"), Value::<Model, Server>::input("control variate"));
        let worked = Value::from((target.clone(), x.broadcast(), c.broadcast(), own.clone()))
            .map(|(target, x, c, own)| (local(target, x, c, own), x.clone(), own.clone()));
        let next_own = worked.map(|((_, next), ..)| next.clone()).named("next control variate");
        let step = worked.map(|((y, _), x, _)| y - x).shaped_like(&x);
        let drift = worked.map(|((_, next), _, own)| next - own).shaped_like(&c);
        let quantizer = Quantizer::symmetric(32.0, 32).unwrap();
        let next_x = x.zip(&step.secure_mean(quantizer)).map(|(x, step)| x + step);
        let next_c = Value::from((c.clone(), drift.secure_mean(quantizer), drift.secure_count()))
            .map(|(c, drift, clients)| c + drift * (*clients as f64 / CLIENTS as f64));
        let computation = Computation::new((next_x, next_c, next_own)).secure_only().unwrap();
        let executor = builder().min_clients(2).secure_only().build().unwrap();

        // The same in the clear, client by client.
        let (mut x_now, mut c_now) = (Model::zeros(2), Model::zeros(2));
        let mut plain_x = x_now.clone();
        let mut plain_c = c_now.clone();
        let mut plain_own = vec![Model::zeros(2); CLIENTS];
        let mut states: Option<States<Model>> = None;
        for absent in [None, Some(1), None] {
            let is_there = |client: &usize| Some(*client) != absent;
            let data = targets().into_iter().enumerate().map(|(i, target)| is_there(&i).then_some(target));
            let inputs = Inputs::new().clients(&target, data).server(&x, x_now).server(&c, c_now);
            let inputs = match states.clone() {
                None => inputs.clients(&own, vec![Model::zeros(2); CLIENTS]),
                Some(states) => inputs.clients(&own, states),
            };
            let run = executor.run(&computation, inputs).unwrap();
            let next_states;
            (x_now, c_now, next_states) = run.value;

            let present: Vec<usize> = (0..CLIENTS).filter(is_there).collect();
            let (mut step, mut drift) = (Model::zeros(2), Model::zeros(2));
            let next_own =
                |client: &usize| local(&targets()[*client], &plain_x, &plain_c, &plain_own[*client]);
            let updates: Vec<_> = present.iter().map(next_own).collect();
            for (client, (y, next)) in present.iter().zip(updates) {
                step += &((&y - &plain_x) / present.len() as f64);
                drift += &((&next - &plain_own[*client]) / CLIENTS as f64);
                plain_own[*client] = next;
            }
            plain_x += &step;
            plain_c += &drift;
            for (found, expected) in [(&x_now, &plain_x), (&c_now, &plain_c)] {
                assert!((found - expected).iter().all(|error| error.abs() < 1e-6), "{found} for {expected}");
            }

            assert_eq!(next_states.len(), CLIENTS);
            assert_eq!(next_states.iter().position(Option::is_none), absent);
            // An absent client keeps its previous state.
            let old = states.unwrap_or_else(|| vec![None; CLIENTS]);
            let kept: States<Model> =
                next_states.into_iter().zip(old).map(|(new, old)| new.or(old)).collect();
            for (found, expected) in opened(&executor, kept.clone()).into_iter().zip(&plain_own) {
                let found = found.expect("all took part in the first round");
                assert!((&found - expected).iter().all(|error| error.abs() < 1e-6), "{found} for {expected}");
            }
            states = Some(kept);
        }
    }
}
