"""Flower's nodes without Flower's processes: a grid that calls ClientApps when their replies are
pulled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import cipherfold.flower as cff
import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.app.user_config import UserConfigValue
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
Train = Callable[[Arrays, int], tuple[Arrays, dict[str, float | int]]]

HOLDER = 900
AGGREGATOR = 901


def record(arrays: Arrays) -> ArrayRecord:
    """Converts arrays to a record of Flower."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def arrays(record: ArrayRecord) -> Arrays:
    """Converts a record of Flower to arrays."""
    return {name: array.numpy() for name, array in record.items()}


def client_app(train: Train, mods: list[Mod] | None = None) -> ClientApp:
    """An app that trains, with the roles that a deployment's app has."""
    app = ClientApp(mods=[cff.SecureAggregationMod()] if mods is None else mods)

    @app.train()
    def run(message: Message, context: Context) -> Message:
        assert "cipherfold" not in message.content, "the app does not get the settings of the round"
        trained, metrics = train(arrays(message.content["arrays"]), int(context.node_config["partition-id"]))
        content = RecordDict({"arrays": record(trained), "metrics": MetricRecord(dict(metrics))})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        content = RecordDict({"metrics": MetricRecord({"num-examples": 1, "accuracy": 0.5})})
        return Message(content, reply_to=message)

    return cff.aggregator_app(cff.key_holder_app(app))


@dataclass
class Node:
    """A SuperNode."""

    app: ClientApp
    context: Context
    silent: bool = False

    def answer(self, message: Message) -> Message:
        """Answers a message as Flower's process for a ClientApp does."""
        try:
            return self.app(message, self.context)
        except Exception as error:  # as Flower does
            return Message(Error(code=2, reason=f"{type(error)}:<'{error}'>"), reply_to=message)


def node(app: ClientApp, number: int, **config: UserConfigValue) -> Node:
    """A node with this configuration. Underscores in names become hyphens."""
    node_config = {name.replace("_", "-"): value for name, value in config.items()}
    return Node(app, Context(1, number, node_config, RecordDict(), {}))


def nodes(app: ClientApp, clients: int, state: Path, **config: UserConfigValue) -> dict[int, Node]:
    """Clients 0, 1, …, a key holder and an aggregator. Keys are short, because there are many
    tests.
    """
    found = {number: node(app, number, partition_id=number, **config) for number in range(clients)}
    for number, role in ((HOLDER, "key-holder"), (AGGREGATOR, "aggregator")):
        found[number] = node(
            app, number, cipherfold_role=role, cipherfold_state=str(state / role), cipherfold_key_bits=2048
        )
    return found


def delivered(message: Message) -> Message:
    """A copy of the message with its own records. Arrays are shared, because they are not
    changed.
    """
    content = {name: type(part)(dict(part)) for name, part in message.content.items()}
    return Message(RecordDict(content), metadata=message.metadata)


@dataclass
class FakeGrid(Grid):
    """A grid whose nodes work when their replies are pulled. It counts the replies in memory."""

    nodes: dict[int, Node]
    on_reply: Callable[[Message], None] = lambda reply: None
    sent: list[Message] = field(default_factory=list)
    _waiting: dict[str, Message] = field(default_factory=dict)
    _numbers: count = field(default_factory=lambda: count(1))

    def set_run(self, run: Run) -> None:
        """Ignores the run."""

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers = []
        for message in messages:
            identifier = f"message-{next(self._numbers)}"
            message.metadata.__dict__["_message_id"] = identifier
            self._waiting[identifier] = message
            self.sent.append(message)
            identifiers.append(identifier)
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        for identifier in message_ids:
            message = self._waiting.get(identifier)
            if message is None or self.nodes[message.metadata.dst_node_id].silent:
                continue
            del self._waiting[identifier]
            reply = self.nodes[message.metadata.dst_node_id].answer(delivered(message))
            self.on_reply(reply)
            yield reply
            del reply

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return [reply for message in self.push_messages(messages) for reply in self.pull_messages([message])]

    def of_type(self, kind: str) -> list[Message]:
        """The sent messages of this type."""
        return [message for message in self.sent if message.metadata.message_type == kind]
