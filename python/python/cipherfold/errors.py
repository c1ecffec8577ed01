"""Exceptions of this package.

Each exception has ``kind``, the layer and the name of the error (``"federated.TooFewClients"``),
and further attributes with its facts, for example ``minimum`` and ``found``. Messages and
attributes have public sizes, names and places, never a value of an array. Exceptions can be
pickled.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyOpened",
    "BackendError",
    "BoxError",
    "Cancelled",
    "ConfigError",
    "DecryptError",
    "DtypeError",
    "Error",
    "KeyMismatch",
    "MessageError",
    "OpenChannel",
    "PinMismatch",
    "Replayed",
    "TooFewClients",
    "TooManyClients",
    "UpdateError",
    "WrongRound",
]


class Error(Exception):
    """The base class of all exceptions of this package."""

    kind: str = ""
    """Layer and name of the error: ``"federated.TooFewClients"``."""

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message)
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        # Python calls this only for missing attributes. It tells type checkers that errors have
        # more attributes.
        raise AttributeError(f"{type(self).__name__!r} object of kind {self.kind!r} has no attribute {name!r}")


class ConfigError(Error, ValueError):
    """An invalid round, key, channel or setting."""


class OpenChannel(ConfigError):
    """A role has no channel. With a key holder, every role needs one, so that no third party can
    read messages.
    """


class UpdateError(Error, ValueError):
    """An update that does not fit its round: structure, shape, value or weight."""


class DtypeError(UpdateError, TypeError):
    """An array that is not accepted; ``array`` is its name."""


class KeyMismatch(Error):
    """An object that belongs to another key."""


class PinMismatch(KeyMismatch):
    """A public key that is not the pinned one."""


class MessageError(Error):
    """An invalid message."""


class WrongRound(MessageError):
    """A message of another session, round or specification."""


class Replayed(MessageError):
    """A message that conflicts with an earlier one."""


class BoxError(MessageError):
    """A box that cannot be opened, or keys that were not exchanged."""


class TooFewClients(Error):
    """Too few clients, so no sum is opened. ``minimum`` and ``found`` are numbers of clients."""


class TooManyClients(Error):
    """More clients than the round allows."""


class AlreadyOpened(Error):
    """Another sum of the same round was already opened; ``round`` is its number."""


class DecryptError(Error):
    """A sum that honest clients cannot produce."""


class Cancelled(Error):
    """The caller has cancelled the work."""


class BackendError(Error):
    """An unknown backend, or one that cannot run on this machine."""
