"""All parties of a round in one process, for experiments and tests. The results are the same bits
as in a deployment.

The caller owns all updates. So errors contain a client's own message, and the first update declares
the round. In a deployment a :class:`~cipherfold.RoundSpec` declares the round before any client
works.

>>> import cipherfold as cf, numpy as np
>>> updates = [np.array([0.25, -0.5]), np.array([0.75, 0.5])]
>>> result = cf.simulate.secure_mean(updates, clip=1.0, key_bits=2048)
>>> result.values.round(3).tolist()
[0.5, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, TypedDict, Unpack

from ._cipherfold import Integers, Quantizer, _simulate
from ._results import Report, RoundResult
from .errors import ConfigError

__all__ = ["Settings", "secure_aggregate", "secure_mean", "secure_sum"]


class Settings(TypedDict, total=False):
    """The settings of all functions of this module."""

    weights: Sequence[int] | None
    """A weight for each client, which multiplies its values. None: all clients count equally."""
    max_weight: int | None
    """The maximum weight of the round; by default the maximum of ``weights``."""
    clients: int | None
    """Number of clients, if ``updates`` has no ``len()``."""
    min_clients: int | None
    """The minimum number of clients. A client whose update cannot be taken is left out then. None: every client is required."""
    key_bits: int
    """Length of the key: 2048, 3072 (the default) or 4096."""
    key_holder: bool
    """Whether a party other than the server has the key."""
    short_exponents: bool
    """Whether clients use short exponents: see :meth:`~cipherfold.PublicKey.with_short_exponents`.
    """
    in_the_clear: bool
    """Runs without cryptography, **for debugging only**: the same results, faster."""
    backend: str
    """The backend: one of the names of :func:`~cipherfold.backends`."""
    threads: int | None
    """Threads for all parties together."""
    chunk_ciphertexts: int | None
    """Number of ciphertexts in one message."""
    progress: Callable[[int, int], object] | None
    """Called with the amount of finished work and the total, at most ten times a second. An
    exception in it ends the run.
    """


def secure_mean(updates: Iterable[Any], *, clip: float = 1.0, bits: int = 16, **settings: Unpack[Settings]) -> RoundResult:
    """The mean of floating-point arrays, as the server of a secure round gets it.

    Args:
        updates: One update for each client: a mapping of names to arrays, a nested mapping, a list,
            or one array. With ``clients`` they may come from a generator, so that only few are in
            memory at a time.
        clip: Values are clipped to ``[-clip, clip]``.
        bits: Bits of a value.
        settings: See :class:`Settings`.

    Returns:
        The mean, the total weight, the numbers of the clients that took part, and a report.

    Raises:
        UpdateError: For updates that do not fit the first one, and values that cannot be encoded.
        ConfigError: For invalid settings.
        TooFewClients: If too few clients took part.
    """
    return secure_aggregate(updates, Quantizer(clip, bits), **settings)


def secure_sum(
    updates: Iterable[Any],
    *,
    max: int | None = None,
    min: int = 0,
    lower: float | None = None,
    upper: float | None = None,
    bits: int = 16,
    **settings: Unpack[Settings],
) -> RoundResult:
    """The sum of arrays, as the server of a secure round gets it: exact for integers, on a grid for
    floating-point numbers.

    Args:
        updates: As for :func:`secure_mean`.
        max, min: For integers: the maximum and the minimum value of a client.
        lower, upper, bits: For floating-point numbers: the bounds that they are clipped to, and bits of a value.
        settings: See :class:`Settings`.

    Raises:
        Those of :func:`secure_mean`.
    """
    if max is not None and lower is None and upper is None:
        return secure_aggregate(updates, Integers(max, min=min), **settings)
    if max is None and lower is not None and upper is not None:
        return secure_aggregate(updates, Quantizer(bits=bits, lower=lower, upper=upper, sum=True), **settings)
    raise ConfigError("a sum needs max for integers, or lower and upper for floating-point numbers", kind="python.Setting")


def secure_aggregate(updates: Iterable[Any], codec: Any, **settings: Unpack[Settings]) -> RoundResult:
    """Sums and means of arrays, each with its codec.

    Args:
        updates: As for :func:`secure_mean`.
        codec: A codec for all arrays, or a mapping like an update with a codec for each: see
            :meth:`RoundSpec.for_arrays <cipherfold.RoundSpec.for_arrays>`.
        settings: See :class:`Settings`.

    Raises:
        Those of :func:`secure_mean`.
    """
    unknown = sorted(settings.keys() - Settings.__annotations__.keys())
    if unknown:
        raise TypeError(f"unknown settings: {', '.join(unknown)}")
    stated, weights, max_weight = settings.get("clients"), settings.get("weights"), settings.get("max_weight")
    if stated is None:
        if not isinstance(updates, Sized):
            updates = list(updates)
        stated = len(updates)
    if weights is not None:
        weights = list(weights)
        if len(weights) != stated:
            raise ConfigError(
                f"{len(weights)} weights for {stated} clients", kind="python.Weights", expected=stated, found=len(weights)
            )
        max_weight = max(weights, default=0) if max_weight is None else max_weight
    elif max_weight is not None:
        raise ConfigError("max_weight needs weights", kind="python.Weights", expected=stated, found=0)
    values, participants, report = _simulate(
        updates,
        codec,
        weights,
        max_weight,
        {
            "clients": stated,
            "key_bits": settings.get("key_bits", 3072),
            "key_holder": settings.get("key_holder", False),
            "min_clients": settings.get("min_clients"),
            "in_the_clear": settings.get("in_the_clear", False),
            "short_exponents": settings.get("short_exponents", False),
            "backend": settings.get("backend", "auto"),
            "threads": settings.get("threads"),
            "chunk_ciphertexts": settings.get("chunk_ciphertexts"),
        },
        settings.get("progress"),
    )
    weight = len(participants) if weights is None else sum(weights[int(client)] for client in participants)
    return RoundResult(values, weight, participants, Report(**report))
