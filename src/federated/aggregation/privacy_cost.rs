//! Costs: how much the results of a round reveal about one client.

use super::neighbours::Neighbours;
use crate::{
    federated::{Result, Server, computation::Value},
    privacy::{self, Accountant, Gaussian, SummedDiscreteGaussian},
};

/// The privacy cost of one round: the noise in everything that the round releases.
///
/// Releases are the result, the measurements, and the numbers that follow from them in later rounds
/// (norms and bounds). The cost of a composition is that of all its parts [together](Self::and),
/// because a client's value is in all of them.
///
/// Your own [`AggregationFactory`](super::AggregationFactory) states its cost with
/// [`Step::with_cost`](super::Step::with_cost). Otherwise the cost is [unknown](Self::unknown), and
/// ε is infinite.
///
/// ```
/// use cipherfold::{federated::aggregation::PrivacyCost, privacy::Accountant};
///
/// // Noise of 3.75 times the norm on the sum, and of 5 clients on a count.
/// let cost = PrivacyCost::sum(3.75)?.and(&PrivacyCost::count(5.0)?);
/// let mut accountant = Accountant::new();
/// cost.charge(&mut accountant, 100);
/// let mut together = Accountant::new();
/// together.compose(&cipherfold::privacy::Gaussian::new(3.0)?, 100); // 1/3² = 1/3.75² + 1/5²
/// assert!((accountant.epsilon(1e-5)? / together.epsilon(1e-5)? - 1.0).abs() < 1e-5);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyCost {
    /// Deviation of the joint Gaussian noise, divided by the change that one client can make, by
    /// relation. Infinite if nothing with Gaussian noise is released; zero if something is released
    /// without known noise.
    zeroed_out: f64,
    replaced: f64,
    distributed: Vec<SummedDiscreteGaussian>,
    reveals_participants: bool,
}

impl PrivacyCost {
    /// The cost of results that depend on no client's value.
    pub const fn nothing() -> Self {
        Self {
            zeroed_out: f64::INFINITY,
            replaced: f64::INFINITY,
            distributed: Vec::new(),
            reveals_participants: false,
        }
    }

    /// The cost of exact numbers, and of numbers with unknown noise: infinite.
    pub fn unknown() -> Self {
        Self { zeroed_out: 0.0, replaced: 0.0, ..Self::nothing() }
    }

    /// The cost of results that show which clients take part, or their number, but nothing of
    /// their values. It is zero. However, [random participation](super::Process::sampled) in the
    /// round no longer reduces the cost of other results.
    pub fn participation() -> Self {
        Self { reveals_participants: true, ..Self::nothing() }
    }

    /// The cost of a sum with Gaussian noise (continuous, or discrete on a fine grid). The
    /// standard deviation of the noise is `noise_multiplier` times the maximum L2 norm of one
    /// client's contribution. A client with the value zero contributes zero.
    ///
    /// # Errors
    ///
    /// Those of [`Gaussian::new`].
    pub fn sum(noise_multiplier: f64) -> Result<Self, privacy::Error> {
        let zeroed_out = Gaussian::new(noise_multiplier)?.noise_multiplier();
        Ok(Self { zeroed_out, replaced: zeroed_out / 2.0, ..Self::nothing() })
    }

    /// The cost of a count of clients with Gaussian noise of standard deviation `stddev`. A client
    /// contributes 0 or 1.
    ///
    /// # Errors
    ///
    /// Those of [`Gaussian::new`].
    pub fn count(stddev: f64) -> Result<Self, privacy::Error> {
        let stddev = Gaussian::new(stddev)?.noise_multiplier();
        Ok(Self { zeroed_out: stddev, replaced: stddev, ..Self::nothing() })
    }

    /// The cost of a sum to which clients have added noise in shares. A client with the value zero
    /// contributes zero.
    pub fn distributed(noise: SummedDiscreteGaussian) -> Self {
        Self { distributed: vec![noise], ..Self::nothing() }
    }

    /// The cost of both together.
    ///
    /// Two releases about the same clients, with Gaussian noise of multipliers a and b, are one
    /// Gaussian release of a vector with two parts. In units of each part's noise, one client
    /// changes the parts by at most 1/a and 1/b, and so the vector by at most (a⁻² + b⁻²)^½. So
    /// both cost as much as one release with multiplier z, where z⁻² = a⁻² + b⁻².
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            zeroed_out: joint(self.zeroed_out, other.zeroed_out),
            replaced: joint(self.replaced, other.replaced),
            distributed: self.distributed.iter().chain(&other.distributed).copied().collect(),
            reveals_participants: self.reveals_participants || other.reveals_participants,
        }
    }

    /// The cost of all of these together. A round may compute each of them.
    pub fn of_all(costs: impl IntoIterator<Item = Value<Self, Server>>) -> Value<Self, Server> {
        Value::all(costs).map(|costs| costs.iter().fold(Self::nothing(), |sum, cost| sum.and(cost)))
    }

    /// Adds `rounds` rounds at this cost to an account for [`Neighbours::ZeroedOut`].
    pub fn charge(&self, accountant: &mut Accountant, rounds: u32) {
        self.charge_under(accountant, rounds, &Terms::default());
    }

    /// Adds rounds under the terms of a process.
    pub(super) fn charge_under(&self, accountant: &mut Accountant, rounds: u32, terms: &Terms) {
        let (multiplier, factor) = match terms.neighbours {
            Neighbours::ZeroedOut => (self.zeroed_out, 1.0),
            Neighbours::Replaced => (self.replaced, 2.0),
        };
        if multiplier < f64::INFINITY {
            let gaussian =
                Gaussian::new(multiplier).expect("valid multipliers have a valid joint multiplier");
            let gaussian = match terms.sampling {
                Some(sampling) if self.gains_by_sampling(terms.neighbours) => {
                    gaussian.sampled(sampling).expect("the probability was checked when it was set")
                }
                _ => gaussian,
            };
            accountant.compose(&gaussian, rounds);
        }
        for noise in &self.distributed {
            accountant.compose(&noise.with_contributions_scaled(factor), rounds);
        }
    }

    /// Whether the analysis of randomly chosen participants applies.
    ///
    /// It compares N(0, z²) with (1 − q)·N(0, z²) + q·N(1, z²). A client that is zeroed out and a
    /// client that is not chosen must contribute the same to everything that is released. So the
    /// analysis needs:
    ///
    /// - The relation of zeroing out. Two values other than zero give other mixtures.
    /// - No result that shows which clients take part, or their number.
    /// - Only Gaussian noise, and so one joint mechanism. The choice of clients is the same for all
    ///   releases of a round, so the releases cannot be analysed separately: one may reveal the
    ///   choice for another.
    const fn gains_by_sampling(&self, neighbours: Neighbours) -> bool {
        matches!(neighbours, Neighbours::ZeroedOut)
            && self.distributed.is_empty()
            && !self.reveals_participants
    }
}

/// The same cost in every round.
impl From<PrivacyCost> for Value<PrivacyCost, Server> {
    fn from(cost: PrivacyCost) -> Self {
        Self::constant(cost)
    }
}

/// The terms under which a process charges for its rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) neighbours: Neighbours,
    /// Probability that a client takes part in a round.
    pub(super) sampling: Option<f64>,
}

/// The multiplier of one noise that costs as much as noises of these two multipliers.
fn joint(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if small == 0.0 || large == f64::INFINITY {
        return small;
    }
    small / (small / large).hypot(1.0)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the tests check exact equality")]
mod tests {
    use super::*;
    use crate::privacy::{DistributedGaussian, DistributedParameters};

    fn epsilon(cost: &PrivacyCost, rounds: u32, terms: &Terms) -> f64 {
        let mut accountant = Accountant::new();
        cost.charge_under(&mut accountant, rounds, terms);
        accountant.epsilon(1e-5).unwrap()
    }

    fn of(multiplier: f64, rounds: u32) -> f64 {
        let mut accountant = Accountant::new();
        accountant.compose(&Gaussian::new(multiplier).unwrap(), rounds);
        accountant.epsilon(1e-5).unwrap()
    }

    fn close(a: f64, b: f64) -> bool {
        // The accountant rounds up.
        (a / b - 1.0).abs() < 1e-5
    }

    #[test]
    fn joint_noise_costs_as_much_as_both() {
        let infinity = f64::INFINITY;
        assert!((joint(3.75, 5.0) - 3.0).abs() < 1e-12);
        for (a, b, expected) in [
            (0.0, 1.0, 0.0),
            (1.0, 0.0, 0.0),
            (0.0, 0.0, 0.0),
            (2.0, infinity, 2.0),
            (infinity, 2.0, 2.0),
            (infinity, infinity, infinity),
            (0.0, infinity, 0.0),
            (1e200, 1e-200, 1e-200),
        ] {
            assert_eq!(joint(a, b), expected, "{a}, {b}");
        }
        assert!(joint(f64::MAX, f64::MAX) > 1e308 && joint(5e-324, 5e-324) < 1e-300);
    }

    #[test]
    fn costs_add_up() {
        let sum = PrivacyCost::sum(2.0).unwrap();
        let terms = Terms::default();
        assert_eq!(epsilon(&PrivacyCost::nothing(), 5, &terms), 0.0);
        assert_eq!(epsilon(&PrivacyCost::participation(), 5, &terms), 0.0);
        assert_eq!(epsilon(&PrivacyCost::unknown(), 1, &terms), f64::INFINITY);
        assert_eq!(epsilon(&PrivacyCost::sum(0.0).unwrap(), 1, &terms), f64::INFINITY);
        assert!(close(epsilon(&sum.and(&PrivacyCost::nothing()), 3, &terms), of(2.0, 3)));
        assert_eq!(epsilon(&sum.and(&PrivacyCost::unknown()), 3, &terms), f64::INFINITY);
        assert!(close(epsilon(&sum.and(&sum), 3, &terms), of(2.0, 6)));
        assert!(PrivacyCost::sum(-1.0).is_err() && PrivacyCost::count(f64::NAN).is_err());
    }

    #[test]
    fn a_count_changes_by_one_client_and_not_by_half() {
        // 100 rounds. The budget is that of multiplier 1. It is split with noise of 1 on the
        // counts, as if a client changed them by ½: z' = (1 − 1/4)^(−1/2). The true divergence of
        // order α is 100·α/2·(3/4 + 1).
        let split = (1.0_f64 - 0.25).powf(-0.5);
        let cost = PrivacyCost::sum(split).unwrap().and(&PrivacyCost::count(1.0).unwrap());
        let found = epsilon(&cost, 100, &Terms::default());
        // The minimum of ρα + ln(1 − 1/α) − (ln δ + ln α)/(α − 1) over a dense grid of α, with ρ =
        // 87.5 and δ = 10⁻⁵.
        let orders = (10_001..20_000_u32).map(|order| f64::from(order) / 10_000.0);
        let convert =
            |order: f64| 87.5 * order + (-1.0 / order).ln_1p() - (1e-5_f64.ln() + order.ln()) / (order - 1.0);
        let loosest = orders.map(convert).fold(f64::INFINITY, f64::min);
        // An exact accountant is below this by at most 5%.
        assert!(found <= loosest * 1.01 && found > loosest * 0.95, "{found}, {loosest}");
        assert!(found > 140.0, "{found}");
    }

    #[test]
    fn a_replaced_value_counts_twice_and_an_answer_once() {
        let replaced = Terms { neighbours: Neighbours::Replaced, sampling: None };
        assert!(close(epsilon(&PrivacyCost::sum(2.0).unwrap(), 3, &replaced), of(1.0, 3)));
        assert!(close(epsilon(&PrivacyCost::count(2.0).unwrap(), 3, &replaced), of(2.0, 3)));
        // One client's noise is a discrete Gaussian: ρ = ½(Δ/σ)², and four times that for twice the
        // change.
        let ratio = distributed().concentrated_epsilon();
        let mut expected = Accountant::new();
        expected.compose(&Gaussian::new(0.5 / ratio).unwrap(), 1);
        let found = epsilon(&PrivacyCost::distributed(distributed()), 1, &replaced);
        assert!((found / expected.epsilon(1e-5).unwrap() - 1.0).abs() < 1e-4);
    }

    /// One client that adds noise of three times its norm.
    fn distributed() -> SummedDiscreteGaussian {
        let parameters = DistributedParameters {
            noise_multiplier: 3.0,
            clients: 1,
            dimension: 4,
            ..DistributedParameters::DEFAULTS
        };
        DistributedGaussian::new(parameters).unwrap().mechanism(1).unwrap()
    }

    #[test]
    fn random_participation_lowers_the_cost_unless_results_show_it() {
        let terms = Terms { sampling: Some(0.01), ..Terms::default() };
        let cost = PrivacyCost::sum(1.5).unwrap().and(&PrivacyCost::count(4.0).unwrap());
        let mut expected = Accountant::new();
        let multiplier = (1.5_f64.powi(-2) + 4.0_f64.powi(-2)).powf(-0.5);
        expected.compose(&Gaussian::new(multiplier).unwrap().sampled(0.01).unwrap(), 10);
        assert!(close(epsilon(&cost, 10, &terms), expected.epsilon(1e-5).unwrap()));

        let full = epsilon(&cost, 10, &Terms::default());
        for telling in [PrivacyCost::participation(), PrivacyCost::distributed(distributed())] {
            assert!(epsilon(&cost.and(&telling), 10, &terms) >= full);
        }
        let replaced = Terms { neighbours: Neighbours::Replaced, ..terms };
        assert!(epsilon(&cost, 10, &replaced) > full);
    }
}
