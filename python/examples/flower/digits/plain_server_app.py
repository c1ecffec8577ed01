"""The server."""

import json
from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits.task import accuracy, initial_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Averages models, and writes their accuracy to a file."""
    config = context.run_config
    clients = int(config["num-clients"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({name: Array(array) for name, array in initial_model().items()}),
        num_rounds=int(config["num-server-rounds"]),
        timeout=float(config["round-timeout"]),
        evaluate_fn=lambda _, arrays: MetricRecord({"accuracy": accuracy(_arrays(arrays))}),
    )
    if config["result"]:
        scores = [float(record["accuracy"]) for record in result.evaluate_metrics_serverapp.values()]
        model = {name: array.tolist() for name, array in _arrays(result.arrays).items()}
        Path(str(config["result"])).write_text(json.dumps({"accuracy": scores, "model": model}))


def _arrays(record: ArrayRecord) -> dict:
    return {name: array.numpy() for name, array in record.items()}
