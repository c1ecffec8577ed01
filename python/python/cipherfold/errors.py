"""Exceptions of this package.

Each has ``kind``, the layer and the name of what happened (``"federated.TooFewClients"``), and what
is known about it as further attributes: ``minimum`` and ``found``, say. Messages and attributes
hold public sizes, names and places, never a value of an array. They can be pickled.
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
    """Everything that this package raises itself."""

    kind: str = ""
    """Layer and name of what happened: ``"federated.TooFewClients"``."""

    def __init__(self, message: str = "", /, **fields: Any) -> None:
        super().__init__(message)
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        # Never reached for attributes that are there: this only tells type checkers that errors
        # have more of them.
        raise AttributeError(f"{type(self).__name__!r} object of kind {self.kind!r} has no attribute {name!r}")


class ConfigError(Error, ValueError):
    """A round, a key, a channel or a setting that cannot be."""


class OpenChannel(ConfigError):
    """Others than the two ends could read what must be sealed: with a key holder, every role needs
    a channel.
    """


class UpdateError(Error, ValueError):
    """An update that does not fit its round: structure, shape, value or weight."""


class DtypeError(UpdateError, TypeError):
    """An array that cannot be taken; ``array`` is its name."""


class KeyMismatch(Error):
    """Something belongs to another key."""


class PinMismatch(KeyMismatch):
    """A public key is not the one that was pinned."""


class MessageError(Error):
    """A message that is not what it should be."""


class WrongRound(MessageError):
    """A message of another session, round or specification."""


class Replayed(MessageError):
    """Another message in the place of one that came before."""


class BoxError(MessageError):
    """A box that does not open, or keys that were not exchanged."""


class TooFewClients(Error):
    """Fewer clients than the round needs: nothing is opened. ``minimum`` and ``found`` are numbers
    of clients.
    """


class TooManyClients(Error):
    """More clients than the round has room for."""


class AlreadyOpened(Error):
    """Another sum of the same round was opened; ``round`` is its number."""


class DecryptError(Error):
    """A sum that no honest clients add up to."""


class Cancelled(Error):
    """The caller has asked for the end."""


class BackendError(Error):
    """A backend that there is not, or that cannot run here."""
