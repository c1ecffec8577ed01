"""The clients. The only difference from plain_client_app.py is the encryption."""

from cipherfold.flower import SecureAggregationMod, key_holder_app
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import train

app = key_holder_app(ClientApp(mods=[SecureAggregationMod()]))


@app.train()
def train_model(message: Message, context: Context) -> Message:
    """Trains the global model on the images of this node."""
    config = context.run_config
    model, loss, images = train(
        {name: array.numpy() for name, array in message.content["arrays"].items()},
        int(context.node_config["partition-id"]),
        int(config["num-clients"]),
        epochs=int(config["local-epochs"]),
        rate=float(config["learning-rate"]),
        seed=int(message.content["config"]["server-round"]),
    )
    arrays = ArrayRecord({name: Array(array) for name, array in model.items()})
    metrics = MetricRecord({"num-examples": images, "train-loss": loss})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
