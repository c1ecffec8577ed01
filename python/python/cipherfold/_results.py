"""What a round gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class RoundTime(NamedTuple):
    """How long the arithmetic of a round takes, in seconds."""

    client: float
    """One client's encryption."""
    aggregator: float
    """The additions, for the largest number of clients."""
    key_owner: float
    """The decryption of the sum."""


@dataclass(frozen=True)
class Report:
    """What a round took, seen from the server. ``str()`` is a table for people."""

    clients: int
    """Clients in the sum."""
    values: int
    """Values of one client."""
    ciphertexts: int
    """Ciphertexts of one client, and of the sum."""
    messages: int
    """Messages of the sum."""
    bytes: int
    """Bytes of the messages that the server got."""
    seconds: float
    """From the server's first look at the sum to the result."""
    key_bits: int
    """Length of the key."""
    backend: str
    """What computed."""
    round: int
    """The round's number in its session."""
    arrays: int
    """Arrays of one client."""
    clipped: int | None = None
    """Values that were clipped, over all clients: known where all parties are simulated, else
    None.
    """
    text: str = ""
    """A table of the whole run, where all parties are simulated."""

    def __str__(self) -> str:
        if self.text:
            return self.text
        return (
            f"1 sum of {self.clients} updates opened, 0 single updates\n"
            f"round       {self.round}\n"
            f"arrays      {self.arrays}\n"
            f"values      {self.values}\n"
            f"ciphertexts {self.ciphertexts} of {self.key_bits} bits\n"
            f"messages    {self.messages}\n"
            f"bytes       {self.bytes}\n"
            f"seconds     {self.seconds:.3f}\n"
            f"backend     {self.backend}"
        )


@dataclass(frozen=True)
class RoundResult:
    """What a round gave."""

    values: Any
    """Sums or means: NumPy arrays by name, nested as they were declared, or one array."""
    weight: int
    """The total weight of the clients: their number, if they have no weights."""
    participants: list[int | str]
    """Names of the clients in the sum, in ascending order of their numbers."""
    report: Report
    """What it took."""


def round_result(values: Any, weight: int, participants: list[int | str], report: dict[str, Any]) -> RoundResult:
    """A result, as the compiled half makes it."""
    return RoundResult(values, weight, participants, Report(**report))
