"""The results of a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class RoundTime(NamedTuple):
    """The times of a round's arithmetic, in seconds."""

    client: float
    """One client's encryption."""
    aggregator: float
    """The additions, for the maximum number of clients."""
    key_owner: float
    """The decryption of the sum."""


@dataclass(frozen=True)
class Report:
    """The costs of a round at the server. ``str()`` gives a readable table."""

    clients: int
    """Number of clients in the sum."""
    values: int
    """Number of values of one client."""
    ciphertexts: int
    """Number of ciphertexts of one client, and of the sum."""
    messages: int
    """Number of messages of the sum."""
    bytes: int
    """Total bytes of the messages that the server received."""
    seconds: float
    """Time from the server's first call with the sum to the result."""
    key_bits: int
    """Length of the key in bits."""
    backend: str
    """The name of the backend."""
    round: int
    """The round's number in its session."""
    arrays: int
    """Number of arrays of one client."""
    clipped: int | None = None
    """Number of clipped values of all clients. Known only if all parties are simulated, otherwise
    None.
    """
    text: str = ""
    """A table of the whole run, if all parties are simulated."""

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
    """The result of a round."""

    values: Any
    """Sums or means: NumPy arrays by name, nested as declared, or one array."""
    weight: int
    """The total weight of the clients, or their number if there are no weights."""
    participants: list[int | str]
    """Names of the clients in the sum, in ascending order of their numbers."""
    report: Report
    """The costs of the round."""


def round_result(values: Any, weight: int, participants: list[int | str], report: dict[str, Any]) -> RoundResult:
    """Makes a result from the values of the compiled part."""
    return RoundResult(values, weight, participants, Report(**report))
