"""Secure aggregation for Flower 1.42: the server gets one sum for each round, and no single update.

Three lines in an app that uses Flower's message API::

    # client_app.py
    app = ClientApp(mods=[SecureAggregationMod()])      # encrypts the app's replies
    key_holder_app(app)                                 # one node has the key and decrypts sums, masked

    # server_app.py
    strategy = SecureAggregation(FedAvg(), max_weight=2000)
    strategy.start(grid=grid, initial_arrays=arrays)

``examples/flower/README.md`` describes the trust model, the deployment and the costs.
:mod:`cipherfold.flower.node.settings` lists the settings for the owner of a node.
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
