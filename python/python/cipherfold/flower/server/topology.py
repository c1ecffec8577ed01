"""The interface of a topology: a public key, and rounds that take ciphertexts and return one
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import cipherfold as cf
from flwr.app import ArrayRecord, ConfigRecord


@dataclass(frozen=True)
class Trust:
    """The pin and roster that a ServerApp trusts, and its own identities."""

    pin: str | None = None
    roster: cf.Roster | None = None
    identities: Mapping[str, cf.Identity] = field(default_factory=dict)


class SecureRound(Protocol):
    """One round at the ServerApp."""

    def session_key_settings(self) -> Mapping[str, bytes]:
        """The settings with the session key that clients seal their messages for."""

    def add(self, number: int, reply: ConfigRecord, ciphertexts: ArrayRecord) -> None:
        """Adds the complete update of a client, or nothing. Raises :class:`cipherfold.Error`."""

    def open(self) -> cf.RoundResult:
        """Opens the sum of all added updates.

        Raises :class:`cipherfold.TooFewClients`, and the errors that nodes answer.
        """


class Topology(Protocol):
    """The placement of the secret key and of the additions."""

    role: str

    def key(self) -> cf.PublicKey:
        """The public key that clients encrypt for."""

    def begin(self, spec: cf.RoundSpec) -> SecureRound:
        """Begins a round with this specification."""
