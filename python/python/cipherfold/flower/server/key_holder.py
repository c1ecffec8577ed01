"""Topology ``key-holder``, the default: a node has the secret key, and the ServerApp adds
ciphertexts.

The ServerApp masks the sum, so that the key holder decrypts a uniformly random number.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import INFO, WARNING, getLogger

import cipherfold as cf
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import Grid

from ..parties import add_peer_key, session_key_settings
from ..wire import (
    CIPHERTEXTS,
    DECRYPT_QUERY,
    KEY_QUERY,
    SETTINGS,
    pack_ciphertexts,
    payload,
    required_settings,
    setting,
    settings,
    unpack_ciphertexts,
)
from .calls import ask
from .directory import Directory
from .topology import Trust

_log = getLogger("flwr")


class KeyHolderTopology:
    """The ServerApp's side of the topology ``key-holder``."""

    role = "key-holder"

    def __init__(self, grid: Grid, directory: Directory, trust: Trust, *, timeout: float) -> None:
        self.grid = grid
        self.directory = directory
        self.trust = trust
        self.timeout = timeout
        self._key: cf.PublicKey | None = None
        self._key_settings: ConfigRecord | None = None

    def key(self) -> cf.PublicKey:
        """Asks the key holder for the public key, once."""
        if self._key is None:
            answer = required_settings(self.ask(KEY_QUERY, RecordDict({SETTINGS: settings()})))
            offered = setting(answer, "pin", str)
            if self.trust.pin is None:
                _log.log(WARNING, "cipherfold: no key is pinned at the ServerApp; the key holder offers %s", offered)
            self._key = cf.PublicKey.from_bytes(setting(answer, "key", bytes), self.trust.pin or offered)
            self._key_settings = answer
            _log.log(INFO, "cipherfold: public key of %d bits, pin %s", self._key.bits, self._key.pin)
        return self._key

    def begin(self, spec: cf.RoundSpec) -> _Round:
        """Begins a round, with its own session keys."""
        return _Round(self, spec, self.key())

    def ask(self, action: str, content: RecordDict) -> RecordDict:
        """Asks the key holder."""
        return ask(self.grid, self.directory.holder(), action, content, role=self.role, timeout=self.timeout)

    def add_key_holder_key(self, channel: cf.Channel) -> None:
        """Adds the key holder's session key."""
        assert self._key_settings is not None, "`key` was called before a round began"
        add_peer_key(channel, "key-holder", self._key_settings, self.trust.roster)


class _Round:
    def __init__(self, topology: KeyHolderTopology, spec: cf.RoundSpec, key: cf.PublicKey) -> None:
        self.topology = topology
        self.spec = spec
        self.key = key
        self.channel = cf.Channel.generate(key.session, "aggregator")
        self.aggregator = cf.Aggregator(spec, key, channel=self.channel)

    def session_key_settings(self) -> Mapping[str, bytes]:
        return session_key_settings(self.channel, self.topology.trust.identities.get("aggregator"))

    def add(self, number: int, reply: ConfigRecord, ciphertexts: ArrayRecord) -> None:
        add_peer_key(self.channel, f"client:{number}", reply, self.topology.trust.roster)
        self.aggregator.add(number, unpack_ciphertexts(ciphertexts), number=number)

    def open(self) -> cf.RoundResult:
        sums = self.aggregator.finish()
        channel = cf.Channel.generate(self.key.session, "server")
        self.topology.add_key_holder_key(channel)
        server = cf.Server(self.spec, self.key, channel=channel, key_holder_channel=channel)
        record = settings(spec=self.spec.to_bytes())
        record.update(session_key_settings(channel, self.topology.trust.identities.get("server")))
        questions = RecordDict({CIPHERTEXTS: pack_ciphertexts(server.mask(sums)), SETTINGS: record})
        return server.unmask(unpack_ciphertexts(payload(self.topology.ask(DECRYPT_QUERY, questions))))
