"""Topology ``aggregator-node``: the ServerApp has the secret key, and a node adds ciphertexts.

The ServerApp relays the clients' messages, which are sealed for that node, and gets one sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import INFO, getLogger

import cipherfold as cf
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import Grid

from ..parties import add_peer_key, session_key_settings
from ..wire import (
    ADD_QUERY,
    CIPHERTEXTS,
    FINISH_QUERY,
    OPEN_QUERY,
    SETTINGS,
    payload,
    required_settings,
    settings,
    unpack_ciphertexts,
)
from .calls import ask
from .directory import Directory
from .topology import Trust

_log = getLogger("flwr")


class AggregatorTopology:
    """The ServerApp's side of the topology ``aggregator-node``."""

    role = "aggregator"

    def __init__(
        self, grid: Grid, directory: Directory, trust: Trust, secret: cf.SecretKey, *, timeout: float
    ) -> None:
        self.grid = grid
        self.directory = directory
        self.trust = trust
        self.secret = secret
        self.timeout = timeout
        _log.log(INFO, "cipherfold: public key of %d bits, pin %s", secret.bits, secret.public.pin)

    def key(self) -> cf.PublicKey:
        """The public half of the ServerApp's key."""
        return self.secret.public

    def begin(self, spec: cf.RoundSpec) -> _Round:
        """Begins a round at the aggregator."""
        return _Round(self, spec)

    def ask(self, action: str, content: RecordDict) -> RecordDict:
        """Asks the aggregator."""
        return ask(self.grid, self.directory.holder(), action, content, role=self.role, timeout=self.timeout)


class _Round:
    def __init__(self, topology: AggregatorTopology, spec: cf.RoundSpec) -> None:
        self.topology = topology
        self.spec = spec
        self.channel = cf.Channel.generate(topology.secret.session, "server")
        answer = required_settings(topology.ask(OPEN_QUERY, RecordDict({SETTINGS: self._declaration()})))
        add_peer_key(self.channel, "aggregator", answer, topology.trust.roster)
        self.aggregator = {
            name: value for name in ("channel-key", "announcement") if isinstance(value := answer.get(name), bytes)
        }

    def session_key_settings(self) -> Mapping[str, bytes]:
        return self.aggregator

    def add(self, number: int, reply: ConfigRecord, ciphertexts: ArrayRecord) -> None:
        record = self._declaration()
        record["number"] = number
        for name in ("channel-key", "announcement"):
            if name in reply:
                record[name] = reply[name]
        self.topology.ask(ADD_QUERY, RecordDict({CIPHERTEXTS: ciphertexts, SETTINGS: record}))

    def open(self) -> cf.RoundResult:
        record = self._declaration()
        record.update(session_key_settings(self.channel, self.topology.trust.identities.get("server")))
        answer = self.topology.ask(FINISH_QUERY, RecordDict({SETTINGS: record}))
        sums = unpack_ciphertexts(payload(answer))
        return cf.Server(self.spec, self.topology.secret, channel=self.channel).decrypt(sums)

    def _declaration(self) -> ConfigRecord:
        key = self.topology.secret.public
        return settings(key=key.to_bytes(), pin=key.pin, spec=self.spec.to_bytes())
