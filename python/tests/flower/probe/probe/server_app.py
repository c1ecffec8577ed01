"""A server that averages, and then asks for a second decryption of a round that is over."""

import cipherfold as cf
import numpy as np
from cipherfold.flower import NodeRefused, SecureAggregation
from cipherfold.flower.wire import pack_ciphertexts, settings
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from probe.known import VALUES

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Rounds as they should be, and one more question."""
    config = context.run_config
    clients = int(config["num-clients"])
    model = ArrayRecord({"w": Array(np.zeros(VALUES, np.float32))})
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
    secure = SecureAggregation(strategy, max_weight=100, min_clients=3, topology=str(config["topology"]))
    secure_grid = secure.secure_grid(grid)
    result = strategy.start(
        secure_grid, model, num_rounds=int(config["num-server-rounds"]), timeout=float(config["round-timeout"])
    )
    np.save(str(config["result"]), result.arrays["w"].numpy())
    ask_again(secure_grid, model)


def ask_again(grid: Grid, model: ArrayRecord) -> None:
    """Masks another sum of the first round: of updates that the server has made itself."""
    rounds = grid._rounds
    key = rounds.topology.key()
    spec = rounds.declaration.spec(model, key=key, clients=5, number=rounds.first + 1)
    try:
        opened = rounds.topology.begin(spec)
        for number in range(3):
            channel = cf.Channel.generate(key.session, f"client:{number}")
            channel.add_peer("aggregator", opened.session_key_settings()["channel-key"])
            values = {name: np.zeros(spec.shapes[name], spec.dtypes[name]) for name in spec.names}
            update = cf.Client(spec, key, number=number, channel=channel).encrypt(values, weight=1)
            told = settings(number=number, channel_key=channel.public_key)
            opened.add(number, told, pack_ciphertexts(update))
        opened.open()
        print("PROBE: a second sum of a round was opened")
    except NodeRefused as error:
        print(f"PROBE: refused: {error.reason}")
