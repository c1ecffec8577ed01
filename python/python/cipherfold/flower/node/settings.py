"""The settings of an organisation's own node: ``flower-supernode --node-config 'cipherfold-…=…'``.

The coordinator can change an app and its run configuration, but not these settings. So all settings
that protect the node are here.

==============================  ============================================================================================
``cipherfold-pin``              64 hex digits: the public key that this node encrypts for, and no other
``cipherfold-state``            a folder of this node: pins, and at key holders and aggregators their keys and journals
``cipherfold-role``             ``client`` (default), ``key-holder`` or ``aggregator``
``cipherfold-min-clients``      rounds that may open a sum of fewer clients are refused (default 2)
``cipherfold-min-key-bits``     rounds with shorter keys are refused (default 2048)
``cipherfold-allow-clipping``   ``false``: an update with a value outside the declared range is not sent (default ``true``)
``cipherfold-topology``         ``key-holder`` or ``aggregator-node``: rounds of the other topology are refused
``cipherfold-roster``           file of the roster: session keys must be announced by the identities in it
``cipherfold-identity``         file of this node's identity, for a roster
``cipherfold-number``           the client's number in the roster
``cipherfold-key-bits``         bits of the key that a key holder makes (default 3072)
==============================  ============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from os import O_CREAT, O_RDWR, close, getuid, open
from pathlib import Path
from tempfile import gettempdir

import cipherfold as cf
from flwr.app import Context

from ..errors import RoundRefused, SettingError
from ..wire import SIMULATED

PREFIX = "cipherfold-"
ROLES = ("client", "key-holder", "aggregator")
TOPOLOGIES = ("key-holder", "aggregator-node")

# A setting of the run configuration: the partition that is key holder or aggregator in a
# simulation, whose nodes do not have their own configuration.
SIMULATED_NODE = "cipherfold-simulated-node"


@dataclass(frozen=True)
class NodeSettings:
    """The settings of a node, checked. The module documents them."""

    role: str = "client"
    state: Path | None = None
    pin: str | None = None
    min_clients: int = 2
    min_key_bits: int = 2048
    key_bits: int = 3072
    allow_clipping: bool = True
    topology: str | None = None
    number: int | None = None
    roster: cf.Roster | None = None
    identity: cf.Identity | None = None

    @classmethod
    def of(cls, context: Context) -> NodeSettings:
        """The settings in the configuration of a node. Raises :class:`SettingError`."""
        config = {name: value for name, value in context.node_config.items() if name.startswith(PREFIX)}
        read = _Reader(config)
        state = read.text("state")
        number = read.integer("number", None, minimum=0)
        roster, identity = read.text("roster"), read.text("identity")
        settings = cls(
            role=read.one_of("role", ROLES) or ("client" if config else _simulated(context)),
            state=None if state is None else Path(state).expanduser(),
            pin=_pin(read.text("pin")),
            min_clients=read.integer("min-clients", 2, minimum=1),
            min_key_bits=read.integer("min-key-bits", 2048, minimum=1),
            key_bits=read.integer("key-bits", 3072, minimum=1),
            allow_clipping=read.switch("allow-clipping", True),
            topology=read.one_of("topology", TOPOLOGIES),
            number=number,
            roster=None if roster is None else cf.Roster.from_bytes(_read("roster", roster)),
            identity=None if identity is None else _identity(identity),
        )
        read.finish()
        if (settings.roster is None) != (settings.identity is None):
            raise SettingError(PREFIX + "roster", f"needs `{PREFIX}identity` beside it, and that needs a roster")
        return settings

    def folder(self, context: Context) -> Path:
        """The folder for keys and journals, which only its owner can read. It is made if it is
        missing.

        Raises :class:`SettingError` if none is configured, except in a simulation, which gets one
        for its run.
        """
        path = self.state
        if path is None:
            if self.role != SIMULATED:
                raise SettingError(PREFIX + "state", f"a node with the role {self.role} needs a folder for its keys")
            path = Path(gettempdir()) / f"cipherfold-simulation-{getuid()}-{context.run_id}"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != getuid() or path.stat().st_mode & 0o077:
            raise SettingError(PREFIX + "state", "the folder must belong to this user and be closed to others (chmod 700)")
        return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder against other processes of this node. Flower may start one for every
    message.
    """
    file = open(folder / "lock", O_CREAT | O_RDWR, 0o600)
    try:
        flock(file, LOCK_EX)
        yield
    finally:
        close(file)


def check_minimum(spec: cf.RoundSpec, node: NodeSettings) -> None:
    """Raises :class:`RoundRefused` for a round that may open a sum of fewer clients than the node
    requires.
    """
    if spec.min_clients < node.min_clients:
        raise RoundRefused(f"the round may open a sum of {spec.min_clients} clients, this node asks for {node.min_clients}")


def _simulated(context: Context) -> str:
    """The role of a node without settings of this package. Only such a node uses the run
    configuration.
    """
    chosen = context.run_config.get(SIMULATED_NODE)
    simulated = "num-partitions" in context.node_config and context.node_config.get("partition-id") == chosen
    return SIMULATED if simulated else "client"


class _Reader:
    """Reads settings by name, and records the unknown ones."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self.config = dict(config)

    def text(self, name: str) -> str | None:
        value = self.config.pop(PREFIX + name, None)
        if value is not None and not isinstance(value, str):
            raise SettingError(PREFIX + name, 'must be text: write it as name="value"')
        return value

    def integer(self, name: str, default: int | None, *, minimum: int) -> int:
        value = self.config.pop(PREFIX + name, default)
        if value is default:
            return value  # type: ignore[return-value]
        if type(value) is not int or value < minimum:
            raise SettingError(PREFIX + name, f"must be an integer of at least {minimum}")
        return value

    def switch(self, name: str, default: bool) -> bool:
        value = self.config.pop(PREFIX + name, default)
        if type(value) is not bool:
            raise SettingError(PREFIX + name, "must be true or false")
        return value

    def one_of(self, name: str, values: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is not None and value not in values:
            raise SettingError(PREFIX + name, f"must be one of {', '.join(values)}")
        return value

    def finish(self) -> None:
        """Refuses unknown settings, because a misspelt one would not protect the node."""
        for name in self.config:
            raise SettingError(name, "there is no such setting")


def _pin(value: str | None) -> str | None:
    if value is not None and (len(value) != 64 or set(value.lower()) - set("0123456789abcdef")):
        raise SettingError(PREFIX + "pin", "must be 64 hexadecimal digits")
    return None if value is None else value.lower()


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise SettingError(PREFIX + name, f"cannot be read: {error.strerror}") from None


def _identity(path: str) -> cf.Identity:
    _read("identity", path)
    return cf.Identity.load(str(Path(path).expanduser()))
