"""Every error of the core has its class, its kind and its fields in Python."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import cipherfold as cf
import numpy as np
import pytest
from cipherfold import errors
from cipherfold._cipherfold import _error_kinds

SOURCE = Path(__file__).parents[2] / "src"
SPECIAL = {"federated.WrongEnvelope", "federated.RoundFailed", "federated.Client", "federated.Tensor"}


def variants(layer: str) -> set[str]:
    """Names of the variants of a layer's errors, as its source has them, except those that wrap another error.

    Python does not tell the layers inside of `federated` apart.
    """
    names: set[str] = set()
    for source in [SOURCE / layer / "error.rs", *(SOURCE / layer).glob("*/error.rs")]:
        text = source.read_text()
        body = text[text.index("pub enum Error {") :]
        body = body[: body.index("\n}\n")]
        names |= set(re.findall(r"^    ([A-Z]\w*)(?=[ ,{])", body, re.MULTILINE))
    return names


@pytest.mark.parametrize("layer", ["backend", "packing", "paillier", "privacy", "federated"])
def test_every_variant_of_the_core_is_listed(layer: str) -> None:
    known = {kind.split(".")[1] for kind in [*_error_kinds(), *SPECIAL] if kind.startswith(f"{layer}.")}
    assert len(variants(layer)) >= 3
    assert variants(layer) == known


def test_classes() -> None:
    for name in errors.__all__:
        assert getattr(cf, name) is getattr(errors, name) and issubclass(getattr(errors, name), errors.Error)
        assert getattr(errors, name).__doc__
    assert issubclass(cf.ConfigError, ValueError) and issubclass(cf.UpdateError, ValueError)
    assert issubclass(cf.DtypeError, TypeError) and not issubclass(cf.MessageError, ValueError)


def test_errors_are_pickled_with_their_fields() -> None:
    nested = np.array([0.0, np.nan])
    spec = cf.RoundSpec.for_arrays({"w": nested}, cf.Quantizer(), max_clients=2)
    key = cf.SecretKey.generate(2048)
    with pytest.raises(cf.UpdateError) as caught:
        cf.Client(spec, key.public).encrypt({"w": nested})
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is cf.UpdateError and str(error) == str(caught.value)
    assert (error.kind, error.array, error.index, error.tensor) == ("federated.Tensor", "w", 1, 0)
    assert error.source.kind == "packing.NotFinite"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = error.nothing


def test_names_in_messages_have_no_control_characters() -> None:
    with pytest.raises(cf.DtypeError) as caught:
        cf.RoundSpec.for_arrays({"x\x1b[2J\n": "text"}, cf.Quantizer(), max_clients=2)
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.array == "x\x1b[2J\n"
