"""Secure aggregation for Flower 1.42: the server sees one sum of a round, and no single update.

Three lines in an app that uses Flower's message API::

    # client_app.py
    app = ClientApp(mods=[SecureAggregationMod()])      # what the app replies leaves the node encrypted
    key_holder_app(app)                                 # one node has the key and decrypts sums, masked

    # server_app.py
    strategy = SecureAggregation(FedAvg(), max_weight=2000)
    strategy.start(grid=grid, initial_arrays=arrays)

Who learns what, how to deploy and what it costs: ``examples/flower/README.md``. What the owner of a
node can demand: :mod:`cipherfold.flower.node.settings`.
"""

from .errors import NodeRefused, NodeUnavailable, ReplyError, RoundRefused, SettingError, StrategyRefused
from .node import SecureAggregationMod, aggregator_app, key_holder_app
from .server import SecureAggregation, SecureGrid

__all__ = [
    "NodeRefused",
    "NodeUnavailable",
    "ReplyError",
    "RoundRefused",
    "SecureAggregation",
    "SecureAggregationMod",
    "SecureGrid",
    "SettingError",
    "StrategyRefused",
    "aggregator_app",
    "key_holder_app",
]
