//! Runs in the clear give the same numbers to the last bit, without keys and messages.

use cipherfold::{
    federated::{
        Error, LocalExecutorBuilder,
        report::{Operations, Phase},
        tensor,
    },
    packing::{IntegerRange, Quantizer},
};
use ndarray::{Array1, array};

use crate::support::{Choices, Executor, Key, builder, failed_round, rng};

fn both(configure: impl Fn(LocalExecutorBuilder<Key>) -> LocalExecutorBuilder<Key>) -> [Executor; 2] {
    [builder(), builder().in_the_clear()].map(|builder| configure(builder).build().unwrap())
}

#[test]
fn results_are_identical_also_where_rounding_is_random() {
    let mut choices = Choices::new(1);
    let quantizer = Quantizer::symmetric(1.0, 12).unwrap().stochastic();
    for case in 0..20 {
        let (clients, len) = (choices.between(2, 7), choices.between(0, 200));
        let (chunk, concurrent) = (choices.between(1, 5), choices.between(1, 3));
        let updates: Vec<(u32, Option<Array1<f32>>)> = (0..clients)
            .map(|i| {
                let update = Array1::from_shape_fn(len, |_| choices.unit() as f32 * 2.5 - 1.25);
                (i as u32, (i == 0 || choices.below(4) > 0).then_some(update))
            })
            .collect();
        let [encrypted, clear] = both(|builder| {
            let builder = builder.rng(rng(case)).min_clients(1).chunk_ciphertexts(chunk);
            builder.max_concurrent_clients(concurrent).max_clients(9)
        });
        for round in 0..3 {
            let means = [&encrypted, &clear].map(|executor| {
                let weighted = executor.secure_weighted_mean(updates.clone(), 100, quantizer);
                let mean = executor.secure_mean(updates.iter().map(|(_, update)| update.clone()), quantizer);
                [weighted, mean].map(|mean| match mean {
                    Ok(mean) => {
                        let (absent, clipped) = (mean.report().absent.clone(), mean.report().clipped_values);
                        (Ok(mean.value), absent, clipped)
                    }
                    // The reports differ, as expected.
                    Err(error) => {
                        let (report, error) = failed_round(error);
                        (Err(error), report.absent, report.clipped_values)
                    }
                })
            });
            assert_eq!(means[0], means[1], "case {case}, round {round}");
        }
    }
}

#[test]
fn errors_are_identical() {
    let [encrypted, clear] = both(|builder| builder.max_clients(3));
    let range = IntegerRange::up_to(9);
    for clients in [vec![array![1_u8], array![10]], vec![array![1], array![1, 2]], vec![], vec![array![1]; 4]]
    {
        let errors = [&encrypted, &clear].map(|executor| executor.secure_sum(&clients, range).unwrap_err());
        assert_eq!(errors[0], errors[1]);
    }
    let too_wide = [IntegerRange::of::<u64>(); 2];
    let error = clear.secure_sum([array![1_u8], array![2]], too_wide).unwrap_err();
    assert_eq!(error, Error::Tensor(tensor::Error::ParameterCount { tensors: 1, found: 2 }));
}

#[test]
fn the_report_says_that_nothing_was_encrypted() {
    let [_, clear] = both(|builder| builder);
    let report =
        clear.secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>()).unwrap().report().clone();
    assert_eq!(
        (report.backend, report.ciphertexts, report.clients, report.values),
        ("in the clear", 0, 2, 1)
    );
    assert!(report.traffic.is_empty());
    assert_eq!(report.operations, Operations::default());
    assert!(report.time(Phase::KeyGeneration).is_zero() && report.time(Phase::Encryption).is_zero());
    assert!(report.to_string().contains("in the clear"));
}
