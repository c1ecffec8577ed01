"""The grid that replaces Flower's own for a strategy."""

from __future__ import annotations

from collections.abc import Iterable
from logging import WARNING, getLogger
from typing import TYPE_CHECKING

import cipherfold as cf
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from ..errors import SettingError
from ..wire import END_QUERY, SETTINGS, SIMULATED, settings
from .calls import ask
from .directory import Directory
from .rounds import Rounds

if TYPE_CHECKING:
    from flwr.proto.node_pb2 import NodeInfo
    from flwr.supercore.run import Run

_log = getLogger("flwr")


class SecureGrid(Grid):
    """Answers train messages with **one** reply that holds the mean, and so evaluate messages if
    their metrics are declared. All other messages pass.

    The grid does not list nodes with a role in the protocol.
    """

    def __init__(self, grid: Grid, directory: Directory, rounds: Rounds) -> None:
        self._grid = grid
        self._directory = directory
        self._rounds = rounds

    def set_run(self, run: Run) -> None:
        """Sets the run of the wrapped grid."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Makes a message."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes that train."""
        return self._directory.clients()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """The nodes that train."""
        clients = set(self._directory.clients())
        return [node for node in self._grid.get_nodes() if node.node_id in clients]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Sends messages unchanged. Clients refuse such train messages, which do not declare a
        round.
        """
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Receives replies unchanged."""
        return self._grid.pull_messages(message_ids)

    def end(self) -> None:
        """Ends a run. In a simulation, the node with the role then deletes its keys."""
        node = self._directory.simulated()
        if node is not None:
            try:
                ask(self._grid, node, END_QUERY, RecordDict({SETTINGS: settings()}), role=SIMULATED, timeout=30)
            except cf.Error as error:  # the result is valid nevertheless
                _log.log(WARNING, "cipherfold: the keys of this simulation were not deleted: %s", error)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Runs a round of secure aggregation for train messages, and for evaluate messages if their
        metrics are declared. Sends others as they are.

        Raises :class:`cipherfold.TooFewClients` if too few clients have replied, and the errors
        that nodes answer.
        """
        messages = list(messages)
        kinds = {message.metadata.message_type.split(".")[0] for message in messages}
        if kinds == {"train"}:
            return [self._rounds.train(messages, timeout)]
        if kinds == {"evaluate"} and self._rounds.declaration.evaluate_metrics is not None:
            return [self._rounds.evaluate(messages, timeout)]
        if "train" in kinds:
            raise SettingError("messages", "train messages and other messages must be sent in separate calls")
        if "evaluate" in kinds:
            _log.log(
                WARNING,
                "cipherfold: the server receives single clients' replies to evaluate messages IN THE CLEAR. "
                "Declare `evaluate_metrics`, or set `fraction_evaluate=0.0`",
            )
        return self._grid.send_and_receive(messages, timeout=timeout)
