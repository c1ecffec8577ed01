"""The simulation: all parties in one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cipherfold as cf
import numpy as np
import pytest
from conftest import CODECS, model, same

UPDATES = [{"w": np.linspace(-1, 1, 700) * number} for number in range(1, 4)]


@pytest.mark.parametrize(
    "settings", [{"key_bits": 2048}, {"key_bits": 2048, "key_holder": True}, {"key_bits": 2048, "short_exponents": True}]
)
@pytest.mark.parametrize("weights", [None, [2, 0, 5]])
def test_encrypted_and_in_the_clear_are_the_same(settings: dict[str, Any], weights: list[int] | None) -> None:
    encrypted = cf.simulate.secure_mean(UPDATES, clip=2.0, bits=12, weights=weights, **settings)
    clear = cf.simulate.secure_mean(UPDATES, clip=2.0, bits=12, weights=weights, in_the_clear=True)
    assert same(encrypted.values, clear.values) and encrypted.weight == clear.weight == (3 if weights is None else 7)
    assert clear.report.backend == "in the clear" and encrypted.report.backend != "in the clear"
    assert encrypted.report.bytes > clear.report.bytes
    assert encrypted.report.clipped == clear.report.clipped != 0
    assert "3 clients, 700 values each" in str(encrypted.report)
    mean = np.average([update["w"].clip(-2, 2) for update in UPDATES], axis=0, weights=weights)
    assert np.abs(encrypted.values["w"] - mean).max() <= cf.Quantizer(clip=2.0, bits=12).error_bound * 1.001


def test_sums() -> None:
    result = cf.simulate.secure_sum([np.array([-3, 2]), np.array([4, 2])], max=4, min=-3, in_the_clear=True)
    assert result.values.tolist() == [1, 4] and result.participants == [0, 1]
    result = cf.simulate.secure_sum([np.array([0.5]), np.array([7.0])], lower=0.0, upper=2.0, in_the_clear=True)
    assert result.values == pytest.approx(2.5, abs=1e-4)
    several: list[dict[str, Any]] = [{}, {"max": 3, "lower": 0.0, "upper": 1.0}, {"lower": 0.0}]
    for wrong in several:
        with pytest.raises(cf.ConfigError):
            cf.simulate.secure_sum([np.zeros(1)] * 2, **wrong)
    assert same(
        cf.simulate.secure_aggregate([model(1), model(2)], CODECS, key_bits=2048).values,
        cf.simulate.secure_aggregate([model(1), model(2)], CODECS, in_the_clear=True).values,
    )


def test_updates_from_a_generator() -> None:
    alive = 0
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def updates() -> Iterator[Any]:
        nonlocal alive, most
        for number in range(40):
            alive += 1
            most = max(most, alive)
            yield np.full(10, number).view(Counted)

    result = cf.simulate.secure_sum(updates(), max=99, clients=40, threads=2, in_the_clear=True)
    assert result.values.tolist() == [sum(range(40))] * 10 and len(result.participants) == 40
    assert most < 10, "updates are read as they are needed"
    # Without a number of clients, the clients are counted first.
    assert cf.simulate.secure_sum((np.ones(2, int) for _ in range(3)), max=9, in_the_clear=True).values.tolist() == [3, 3]
    with pytest.raises(cf.ConfigError) as caught:
        cf.simulate.secure_sum((np.ones(2, int) for _ in range(3)), max=9, in_the_clear=True, clients=5)
    assert caught.value.kind == "federated.ClientCount"


def test_invalid_updates_of_a_client() -> None:
    wrong = {"w": np.full(700, np.nan)}
    with pytest.raises(cf.UpdateError) as caught:
        cf.simulate.secure_mean([UPDATES[0], wrong], in_the_clear=True)
    assert (caught.value.client, caught.value.array, caught.value.index) == (1, "w", 0)
    with pytest.raises(cf.UpdateError) as caught:
        cf.simulate.secure_mean([UPDATES[0], {"w": np.zeros(3)}], in_the_clear=True)
    assert caught.value.kind == "python.Shape"
    for absent in (wrong, {"w": np.zeros(3)}, {"v": np.zeros(700)}):
        result = cf.simulate.secure_mean([UPDATES[0], absent, UPDATES[1]], weights=[1, 1, 1], in_the_clear=True, min_clients=2)
        assert result.participants == [0, 2] and result.weight == 2 and "1 client did not take part" in str(result.report)
    with pytest.raises(cf.TooFewClients) as few:
        cf.simulate.secure_mean([UPDATES[0], wrong], in_the_clear=True, min_clients=2)
    assert (few.value.minimum, few.value.found) == (2, 1) and few.value.absent[0]["client"] == 1
    with pytest.raises(cf.TooFewClients):
        cf.simulate.secure_mean(UPDATES[:1], in_the_clear=True)


def test_invalid_settings() -> None:
    for settings, kind in [
        ({"weights": [1]}, "python.Weights"),
        ({"max_weight": 3}, "python.Weights"),
        ({"weights": [1, 2, 4], "max_weight": 3}, "federated.Client"),
        ({"weights": [1, 2, -1]}, "python.Setting"),
        ({"key_bits": 512}, "federated.KeyBits"),
        ({"backend": "abacus"}, "backend.UnknownBackend"),
        ({"threads": 0}, "federated.Setting"),
    ]:
        with pytest.raises(cf.Error) as caught:
            cf.simulate.secure_mean(UPDATES, **settings)  # type: ignore[arg-type]
        assert caught.value.kind == kind, settings
    with pytest.raises(TypeError, match="unknown settings: rounds"):
        cf.simulate.secure_mean(UPDATES, rounds=3)  # type: ignore[call-arg]
    with pytest.raises(cf.ConfigError):
        cf.simulate.secure_mean([], in_the_clear=True)
    with pytest.raises(TypeError):
        cf.simulate.secure_mean(3)  # type: ignore[arg-type]


def test_errors_of_the_callers_own_code() -> None:
    def updates() -> Iterator[Any]:
        yield UPDATES[0]
        raise ZeroDivisionError("mine")

    for settings in ({}, {"min_clients": 1}):
        with pytest.raises(ZeroDivisionError, match="mine"):
            cf.simulate.secure_mean(updates(), clients=3, in_the_clear=True, **settings)  # type: ignore[arg-type]
