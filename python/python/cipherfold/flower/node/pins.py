"""The public key of a node: the pinned one, or the first that it has received."""

from __future__ import annotations

import os
from logging import WARNING, getLogger
from pathlib import Path

import cipherfold as cf
from flwr.app import ConfigRecord, Context

from ..errors import RoundRefused
from ..wire import setting
from .settings import NodeSettings, locked

_STATE = "cipherfold.pin"

_log = getLogger("flwr")


def trusted_key(message: ConfigRecord, node: NodeSettings, context: Context) -> cf.PublicKey:
    """The public key that a ServerApp offers, if this node trusts it.

    With ``cipherfold-pin``, only this key is trusted. With ``cipherfold-state``, the pin of the
    first key is written to the file ``pin`` in that folder, and later keys must be the same.
    Otherwise the first key of this run is trusted.

    Raises :class:`cipherfold.PinMismatch`, and :class:`RoundRefused` if the key belongs to a roster that is not the node's.
    """
    offered = setting(message, "pin", str)
    pin = node.pin or _known(offered, node, context)
    key = cf.PublicKey.from_bytes(setting(message, "key", bytes), pin)
    if node.pin is None:
        _remember(key.pin, node, context)
    if node.roster is not None and key.roster != node.roster.digest:
        raise RoundRefused("the offered key does not belong to this node's roster")
    return key


def _known(offered: str, node: NodeSettings, context: Context) -> str:
    if node.state is not None:
        file = _file(node, context)
        return file.read_text().strip() if file.exists() else offered
    record = context.state.get(_STATE)
    return str(record["pin"]) if isinstance(record, ConfigRecord) else offered


def _remember(pin: str, node: NodeSettings, context: Context) -> None:
    if node.state is not None:
        file = _file(node, context)
        with locked(file.parent):
            if not file.exists():
                _write(file, pin)
                _say(pin, f"trusted from now on ({file}). Delete that file if the key is wrong or is to change")
            elif file.read_text().strip() != pin:  # another process of this node was first
                raise RoundRefused("this node already trusts another key")
    elif _STATE not in context.state:
        context.state[_STATE] = ConfigRecord({"pin": pin})
        _say(pin, "trusted for this run. Set `cipherfold-pin` in the node configuration to accept no other")


def _say(pin: str, what: str) -> None:
    _log.log(
        WARNING,
        "cipherfold: NO KEY IS PINNED at this node. The first key that arrived is %s: %s. "
        "Compare it with the key owner over another channel.",
        what,
        pin,
    )


def _file(node: NodeSettings, context: Context) -> Path:
    return node.folder(context) / "pin"


def _write(file: Path, pin: str) -> None:
    """Writes a new file completely, or not at all: it is renamed when it is on the disk."""
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, (pin + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(file)
