"""Updates that the tests know."""

from __future__ import annotations

from pathlib import Path
from time import sleep

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

VALUES = 20_000


def update(client: int, server_round: int) -> NDArray[np.float32]:
    """A client's change of the model in a round: unique noise."""
    return np.random.default_rng([client, server_round]).uniform(-0.9, 0.9, VALUES).astype(np.float32)


def weight(client: int) -> int:
    """The client's number of examples."""
    return 10 + client


def register(app: ClientApp) -> ClientApp:
    """Adds the training to an app."""

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        server_round = int(message.content["config"]["server-round"])
        config = context.run_config
        if client == config["waiting-client"] and server_round == config["waiting-round"]:
            Path(str(config["waiting-file"])).touch()
            sleep(600)
        model = message.content["arrays"]["w"].numpy() + update(client, server_round)
        content = {
            "arrays": ArrayRecord({"w": Array(model)}),
            "metrics": MetricRecord({"num-examples": weight(client)}),
        }
        return Message(RecordDict(content), reply_to=message)

    return app
