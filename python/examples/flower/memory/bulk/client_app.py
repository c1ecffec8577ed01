"""Clients that change all weights a little. Their arrays are encrypted with short exponents, which
is faster.
"""

import numpy as np
from cipherfold.flower import SecureAggregationMod, key_holder_app
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = key_holder_app(ClientApp(mods=[SecureAggregationMod(short_exponents=True, threads=1)]))


@app.train()
def train(message: Message, context: Context) -> Message:
    """Adds the same small number to each weight."""
    step = np.float32(0.01 * (1 + int(context.node_config["partition-id"])))
    model = message.content["arrays"]["w"].numpy() + step
    content = {"arrays": ArrayRecord({"w": Array(model)}), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(content), reply_to=message)
