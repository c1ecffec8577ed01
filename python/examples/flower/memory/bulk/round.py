"""One round, and its memory."""

from __future__ import annotations

import resource
from collections.abc import Callable

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy


def measure(grid: Grid, context: Context, wrap: Callable[[Strategy], Strategy]) -> None:
    """Prints the maximum resident memory of this process, and checks the mean."""
    clients = int(context.run_config["num-clients"])
    model = ArrayRecord({"w": Array(np.zeros(int(context.run_config["values"]), np.float32))})
    strategy = wrap(FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients))
    before = peak()
    result = strategy.start(grid, model, num_rounds=1, timeout=3600)
    mean = float(result.arrays["w"].numpy()[-1])
    expected = 0.01 * (1 + clients) / 2
    assert abs(mean - expected) < 1e-4, f"the mean is {mean} and not {expected}"
    print(f"MEMORY: {clients} clients: {before:.0f} MB before the round, {peak():.0f} MB at most")


def peak() -> float:
    """The maximum resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
