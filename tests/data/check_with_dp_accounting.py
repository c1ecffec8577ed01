#!/usr/bin/env python3
"""Writes dp_accounting.csv: epsilons by Google's dp-accounting, for tests/accountant.rs.

Needs: pip install dp-accounting (0.6.0 wrote the table in this folder)
Run:   python3 check_with_dp_accounting.py > dp_accounting.csv

Each line has the mechanisms (noise multiplier:sampling probability:rounds, joined by +), delta, epsilon, and slack.
Clients are added or removed (ADD_OR_REMOVE_ONE), so that both directions count.

Epsilon is dp-accounting's upper bound by the "connect the dots" discretisation. Its error is of
second order in the interval h. Slack is the bound with 2h minus the bound with h. The true epsilon
is about slack/3 below the bound, and the test uses epsilon - slack as a lower bound. Without
sampling (Balle and Wang, 2018), and for one round, epsilon is exact and slack is 0.
"""

import itertools
import math
import sys

from dp_accounting.pld import privacy_loss_distribution as pld
from scipy.optimize import brentq
from scipy.special import log_ndtr

NOISE = [0.5, 0.7, 1.0, 1.5, 3.0, 8.0]
SAMPLING = [1e-3, 0.01, 0.1, 0.5, 0.9, 1.0]
ROUNDS = [1, 4, 30, 300, 3000, 30000]
DELTAS = [1e-3, 1e-5, 1e-7, 1e-9]
MIXTURES = [
    [(1.0, 0.01, 1000), (4.0, 1.0, 3)],
    [(0.8, 0.02, 100), (1.3, 0.005, 2000)],
    [(2.0, 0.5, 10), (1.0, 0.001, 500), (10.0, 0.1, 5000)],
    [(0.6, 0.001, 50), (6.0, 1.0, 1), (5.0, 0.3, 40), (1.1, 0.03, 300)],
]


def deviation(noise, sampling):
    """Of one round's loss, roughly."""
    return sampling * math.sqrt(math.expm1(min(noise**-2, 50.0)))


def bounds(mechanisms, interval):
    """Upper bounds on epsilon for all deltas."""
    total = None
    for noise, sampling, rounds in mechanisms:
        one = pld.from_gaussian_mechanism(
            noise, value_discretization_interval=interval, sampling_prob=sampling, use_connect_dots=True
        )
        one = one.self_compose(rounds) if rounds > 1 else one
        total = one if total is None else total.compose(one)
    return [total.get_epsilon_for_delta(delta) for delta in DELTAS]


def exact(mechanisms, delta):
    """Epsilon of Gaussian mechanisms without sampling."""
    mu = math.sqrt(sum(rounds / noise**2 for noise, _, rounds in mechanisms))

    def excess(epsilon):
        first, second = log_ndtr(mu / 2 - epsilon / mu), epsilon + log_ndtr(-mu / 2 - epsilon / mu)
        return first + math.log(-math.expm1(second - first)) - math.log(delta)

    return 0.0 if excess(0.0) <= 0 else brentq(excess, 0.0, mu * (mu / 2 + 40), xtol=1e-14, rtol=1e-13)


def exact_sampled(noise, sampling, delta):
    """Epsilon of one round: the hockey-stick divergence has a closed form in both directions."""

    def place(loss):
        ratio = math.expm1(loss) / sampling + 1
        return noise * math.log(ratio) + 0.5 / noise if ratio > 0 else -math.inf

    def tail(x):
        return math.exp(log_ndtr(-x))

    def excess(epsilon):
        x, y, shift = place(epsilon), place(-epsilon), 1 / noise
        leaving = (1 - sampling - math.exp(epsilon)) * tail(x) + sampling * tail(x - shift)
        mixture = (1 - sampling) * tail(-y) + sampling * tail(shift - y)
        return max(leaving, tail(-y) - math.exp(epsilon) * mixture) - delta

    return 0.0 if excess(0.0) <= 0 else brentq(excess, 0.0, 100.0, xtol=1e-15, rtol=1e-13)


def main():
    singles = [[one] for one in itertools.product(NOISE, SAMPLING, ROUNDS)]
    for mechanisms in singles + MIXTURES:
        name = "+".join(f"{noise:g}:{sampling:g}:{rounds}" for noise, sampling, rounds in mechanisms)
        if all(sampling == 1.0 for _, sampling, _ in mechanisms):
            rows = [(exact(mechanisms, delta), 0.0) for delta in DELTAS]
        elif [rounds for _, _, rounds in mechanisms] == [1]:
            rows = [(exact_sampled(*mechanisms[0][:2], delta), 0.0) for delta in DELTAS]
        else:
            total = math.sqrt(sum(rounds * deviation(noise, q) ** 2 for noise, q, rounds in mechanisms))
            if total > 6.0:
                continue  # No longer private.
            per_round = total / math.sqrt(sum(rounds for _, _, rounds in mechanisms))
            interval = min(max(per_round / 8, 2e-5), 1e-3)
            pairs = zip(bounds(mechanisms, interval), bounds(mechanisms, 2 * interval))
            rows = [(fine, coarse - fine) for fine, coarse in pairs]
        for delta, (epsilon, slack) in zip(DELTAS, rows):
            if 0.0 <= epsilon < 60.0:
                print(f"{name},{delta:g},{epsilon:.9g},{max(slack, 0.0):.2g}", flush=True)
        print(name, file=sys.stderr)


if __name__ == "__main__":
    main()
