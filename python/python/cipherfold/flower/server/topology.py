"""What a ServerApp needs of a topology: a public key, and rounds that take ciphertexts and give one
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
    """Whom a ServerApp believes, and by which identities it is believed."""

    pin: str | None = None
    roster: cf.Roster | None = None
    identities: Mapping[str, cf.Identity] = field(default_factory=dict)


class SecureRound(Protocol):
    """One round at the ServerApp."""

    def introduction(self) -> Mapping[str, bytes]:
        """The settings that tell clients for whom to seal their messages."""

    def add(self, number: int, reply: ConfigRecord, ciphertexts: ArrayRecord) -> None:
        """Adds the update of a client, whole or not at all. Raises :class:`cipherfold.Error`."""

    def open(self) -> cf.RoundResult:
        """Opens the sum of all that was added.

        Raises :class:`cipherfold.TooFewClients`, and what nodes answer.
        """


class Topology(Protocol):
    """Who has the secret key and who adds."""

    role: str

    def key(self) -> cf.PublicKey:
        """The public key that clients encrypt for."""

    def begin(self, spec: cf.RoundSpec) -> SecureRound:
        """A round of this specification."""
