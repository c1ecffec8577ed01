"""The roles of nodes: which of them train, and which have a role in the protocol."""

from __future__ import annotations

from logging import INFO, getLogger
from time import monotonic, sleep

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from ..errors import NodeUnavailable
from ..wire import ROLE_QUERY, SETTINGS, SIMULATED, settings, settings_of
from .calls import replies

# In seconds. Flower may have to start a process at each node.
_ROLE_TIMEOUT = 30.0

_log = getLogger("flwr")


class Directory:
    """Asks each node once for its role, when it is first connected.

    ``special`` is the node with the role, if the app knows it. Then no node is asked.
    """

    def __init__(self, grid: Grid, role: str, *, special: int | None, timeout: float) -> None:
        self.grid = grid
        self.role = role
        self.special = special
        self.timeout = timeout
        self.roles: dict[int, str] = {} if special is None else {special: role}
        self._asked: dict[str, int] = {}

    def clients(self) -> list[int]:
        """The connected nodes that train. Nodes whose role is unknown are not among them."""
        connected = list(self.grid.get_node_ids())
        if self.special is not None:
            return [node for node in connected if node != self.special]
        self._ask(connected)
        return [node for node in connected if self.roles.get(node) == "client"]

    def holder(self) -> int:
        """The node with the role. Waits until it is connected.

        Raises :class:`NodeUnavailable` if there is none in time, or more than one.
        """
        end = monotonic() + self.timeout
        while True:
            self.clients()
            nodes = [node for node, role in self.roles.items() if role in (self.role, SIMULATED)]
            if len(nodes) > 1:
                raise NodeUnavailable(self.role, f"{len(nodes)} nodes have this role")
            if nodes:
                return nodes[0]
            if monotonic() >= end:
                raise NodeUnavailable(
                    self.role,
                    "no connected node has this role; set `cipherfold-role` in its node configuration, and call "
                    "`key_holder_app(app)` or `aggregator_app(app)` in the ClientApp",
                )
            _log.log(INFO, "cipherfold: waiting for a node with the role %s", self.role)
            sleep(1)

    def simulated(self) -> int | None:
        """The node that has the role in a simulation."""
        return next((node for node, role in self.roles.items() if role == SIMULATED), None)

    def _ask(self, connected: list[int]) -> None:
        new = [node for node in connected if node not in self.roles and node not in self._asked.values()]
        messages = [Message(RecordDict({SETTINGS: settings()}), node, f"query.{ROLE_QUERY}") for node in new]
        for identifier, node in zip(self.grid.push_messages(messages) if messages else [], new, strict=True):
            self._asked[identifier] = node
        # New nodes get some time to answer. After that, a node is checked once at each call.
        timeout = min(self.timeout, _ROLE_TIMEOUT) if new else 0
        for node, reply in replies(self.grid, self._asked, timeout=timeout):
            # An app without roles answers that it does not know the query. Its nodes train.
            record = None if reply.has_error() else settings_of(reply.content)
            self.roles[node] = "client" if record is None else str(record.get("role", "client"))
