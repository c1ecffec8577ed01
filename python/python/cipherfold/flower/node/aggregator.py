"""The node that adds encrypted updates in the topology ``aggregator-node``. In this topology the
ServerApp has the secret key.

Clients seal their messages for this node, so that the ServerApp, which relays them, cannot open
them. A round is begun once and finished once, because two sums over almost the same clients would
reveal one update. Flower may start a process for every message. So each round has a folder with its
session key and its sum so far. Both are deleted at the end of the round.
"""

from __future__ import annotations

import os
from logging import INFO, getLogger
from pathlib import Path
from shutil import rmtree

import cipherfold as cf
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from ..errors import RoundRefused
from ..parties import add_peer_key, session_key_settings
from ..wire import (
    ADD_QUERY,
    CIPHERTEXTS,
    FINISH_QUERY,
    OPEN_QUERY,
    SETTINGS,
    pack_ciphertexts,
    payload,
    required_settings,
    setting,
    settings,
    unpack_ciphertexts,
)
from .pins import trusted_key
from .roles import register, register_role, with_role
from .settings import NodeSettings, check_minimum, locked

_log = getLogger("flwr")


def answer_open(message: Message, context: Context) -> Message:
    """Answers ``query.cipherfold_open``: begins a round, and returns the session key for the
    clients.
    """
    return with_role("aggregator", _open, message, context)


def answer_add(message: Message, context: Context) -> Message:
    """Answers ``query.cipherfold_add``: adds the complete update of a client, or nothing."""
    return with_role("aggregator", _add, message, context)


def answer_finish(message: Message, context: Context) -> Message:
    """Answers ``query.cipherfold_finish``: ends the round, and returns the sum, sealed for the
    server.
    """
    return with_role("aggregator", _finish, message, context)


def aggregator_app(app: ClientApp | None = None) -> ClientApp:
    """Adds an aggregator's answers to a ClientApp::

        aggregator_app(app)

    The same app runs at all nodes. Only a node with ``cipherfold-role="aggregator"`` in its own
    node configuration answers as an aggregator.
    """
    app = ClientApp() if app is None else app
    register_role(app)
    register(app, OPEN_QUERY, answer_open)
    register(app, ADD_QUERY, answer_add)
    register(app, FINISH_QUERY, answer_finish)
    return app


class _Folder:
    """The files of a running round."""

    def __init__(self, home: Path, session: bytes, number: int) -> None:
        self.home = home
        self.path = home / f"round-{session.hex()}-{number}"
        self.over = home / f"round-{session.hex()}-{number}.over"

    def make(self) -> None:
        if self.over.exists() or self.path.exists():
            raise RoundRefused("this round was begun before")
        self.path.mkdir(mode=0o700)

    def file(self, name: str) -> str:
        if not self.path.exists():
            raise RoundRefused("this round is not running")
        return str(self.path / name)

    def write(self, name: str, data: bytes) -> None:
        """Writes the file completely, or not at all."""
        draft = self.path / f"{name}.new"
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.path / name)

    def end(self) -> None:
        """Ends the round before the sum is returned, so that it can never begin again."""
        with open(self.over, "wb") as file:
            os.fsync(file.fileno())
        rmtree(self.path)


class _Round:
    """A round, as declared in its messages."""

    def __init__(self, message: Message, context: Context, node: NodeSettings) -> None:
        self.message = required_settings(message.content)
        self.key = trusted_key(self.message, node, context)
        self.spec = cf.RoundSpec.from_bytes(setting(self.message, "spec", bytes))
        check_minimum(self.spec, node)
        self.home = node.folder(context)
        self.files = _Folder(self.home, self.key.session, self.spec.round)

    def aggregator(self, channel: cf.Channel) -> cf.Aggregator:
        """The sum so far, if it has the same specification."""
        if Path(self.files.file("digest")).read_text() != self.spec.digest(self.key):
            raise RoundRefused("this round was begun with another specification")
        file = Path(self.files.file("sum"))
        if not file.exists():
            return cf.Aggregator(self.spec, self.key, channel=channel)
        return cf.Aggregator.from_bytes(self.spec, self.key, file.read_bytes(), channel=channel)


def _open(message: Message, context: Context, node: NodeSettings) -> RecordDict:
    part = _Round(message, context, node)
    with locked(part.home):
        part.files.make()
        part.files.write("digest", part.spec.digest(part.key).encode())
        channel = cf.Channel.generate(part.key.session, "aggregator")
        channel.save(part.files.file("channel"))
    record = settings()
    record.update(session_key_settings(channel, node.identity))
    return RecordDict({SETTINGS: record})


def _add(message: Message, context: Context, node: NodeSettings) -> RecordDict:
    part = _Round(message, context, node)
    number = setting(part.message, "number", int)
    with locked(part.home):
        channel = cf.Channel.load(part.files.file("channel"))
        add_peer_key(channel, f"client:{number}", part.message, node.roster)
        aggregator = part.aggregator(channel)
        aggregator.add(number, unpack_ciphertexts(payload(message.content)), number=number)
        part.files.write("sum", aggregator.to_bytes())
    return RecordDict({SETTINGS: settings()})


def _finish(message: Message, context: Context, node: NodeSettings) -> RecordDict:
    part = _Round(message, context, node)
    with locked(part.home):
        channel = cf.Channel.load(part.files.file("channel"))
        add_peer_key(channel, "server", part.message, node.roster)
        sums = part.aggregator(channel).finish()
        record = pack_ciphertexts(sums)
        part.files.end()
    _log.log(INFO, "cipherfold: 1 sum of %d encrypted updates is sent to the server", len(sums.participants))
    return RecordDict({CIPHERTEXTS: record, SETTINGS: settings()})
