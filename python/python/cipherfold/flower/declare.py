"""Declares a round: its arrays, their ranges, and the values that are summed with the model.

Names of arrays that this package adds begin with ``cipherfold.``: the share of clipped values, and
metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import prod
from typing import Any, TypeAlias

import cipherfold as cf
import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from .errors import SettingError
from .wire import MESSAGE_BYTES

RESERVED = "cipherfold."
CLIPPED = "cipherfold.clipped"
METRIC = "cipherfold.metric."

METRIC_BITS = 24

# `SType.NUMPY` of Flower: what `Array.numpy()` reads.
NUMPY = "numpy.ndarray"

Range: TypeAlias = "float | cf.Quantizer"
Floats: TypeAlias = "NDArray[np.floating[Any]]"


@dataclass(frozen=True)
class Declaration:
    """The ServerApp's declaration of all rounds. :class:`SecureAggregation` documents the fields.
    """

    clip: Range | Mapping[str, Range] = 1.0
    bits: int = 16
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    evaluate_metrics: Mapping[str, tuple[float, float]] | None = None
    max_weight: int | None = None
    min_clients: int = 2
    max_clients: int | None = None

    def spec(self, model: ArrayRecord | None, *, key: cf.PublicKey, clients: int, number: int) -> cf.RoundSpec:
        """The specification of a round with this number, for a model of these names, types and
        shapes.

        With None the round is one of evaluation, which sums metrics only. ``clients`` is the number
        of asked clients. Raises :class:`cipherfold.ConfigError` for arrays that cannot be summed.
        """
        types = {} if model is None else model_types(model)
        codecs = {} if model is None else {name: self.quantizer(name, model[name].dtype) for name in types}
        metrics = (self.evaluate_metrics or {}) if model is None else self.metrics
        codecs[CLIPPED] = cf.Quantizer(lower=0.0, upper=1.0, bits=METRIC_BITS)
        types[CLIPPED] = np.zeros(1, np.float64)
        for name, (lower, upper) in metrics.items():
            codecs[METRIC + name] = cf.Quantizer(lower=lower, upper=upper, bits=METRIC_BITS)
            types[METRIC + name] = np.zeros(1, np.float64)
        return cf.RoundSpec.for_arrays(
            types,
            codecs,
            max_clients=clients if self.max_clients is None else self.max_clients,
            min_clients=self.min_clients,
            max_weight=self.max_weight,
            round=number,
            key=key,
            chunk_ciphertexts=MESSAGE_BYTES // (key.bits // 4),
        )

    def quantizer(self, name: str, dtype: str) -> cf.Quantizer:
        """The range of an array: that of the first pattern that matches its name.

        Arrays of integers need their own ``Quantizer``. They are usually counters, and a range
        for weights would clip them.
        """
        ranges = self.clip if isinstance(self.clip, Mapping) else {"*": self.clip}
        for pattern, value in ranges.items():
            if fnmatchcase(name, pattern):
                if np.dtype(dtype).kind in "iub" and not isinstance(value, cf.Quantizer):
                    raise SettingError(
                        "clip",
                        f"`{name}` holds integers ({dtype}), and needs its own range before other patterns: "
                        f'clip={{"{name}": cipherfold.Quantizer(lower=…, upper=…, bits=…), "*": …}}',
                    )
                return value if isinstance(value, cf.Quantizer) else cf.Quantizer(clip=float(value), bits=self.bits)
        raise SettingError("clip", f"no pattern matches the array `{name}`; add a pattern `*` at the end")


def model_types(model: ArrayRecord) -> dict[str, Floats]:
    """The type of each array of a model in the sum, as an array without its own memory.

    Raises :class:`SettingError` for arrays that do not contain numbers.
    """
    types = {}
    for name, array in model.items():
        if name.startswith(RESERVED):
            raise SettingError("arrays", f"names that begin with `{RESERVED}` are reserved, and the model has `{name}`")
        if array.stype != NUMPY:
            raise SettingError("arrays", f"`{name}` is no NumPy array but `{array.stype}`")
        types[name] = np.broadcast_to(np.zeros((), summed_dtype(name, array.dtype)), tuple(array.shape))
    if not types:
        raise SettingError("arrays", "the model has no arrays")
    return types


def summed_dtype(name: str, dtype: str) -> np.dtype[np.floating[Any]]:
    """Floats stay as they are. Integers are averaged as float64, as Flower's FedAvg does."""
    kind = np.dtype(dtype)
    if kind.kind in "iub":
        return np.dtype(np.float64)
    if kind.kind != "f" or kind.itemsize > 8:
        raise SettingError("arrays", f"`{name}` has the dtype {dtype}, which cannot be summed")
    return kind


def values_of(model: ArrayRecord) -> dict[str, Floats]:
    """The arrays of a model, in their types in the sum."""
    values = {}
    for name, array in model.items():
        if array.stype != NUMPY:
            raise SettingError("arrays", f"`{name}` is no NumPy array but `{array.stype}`")
        values[name] = array.numpy().astype(summed_dtype(name, array.dtype), copy=False)
    return values


def count_values(model: ArrayRecord) -> int:
    """The number of values in a model."""
    return sum(prod(array.shape) for array in model.values())
