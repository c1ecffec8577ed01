"""Strategies and settings that cannot work are refused at construction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cipherfold as cf
import cipherfold.flower as cff
import numpy as np
import pytest
from cipherfold.flower.server.refusals import NEEDS_SINGLE_UPDATES, USES_ONLY_THE_MEAN
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp import strategy as flower
from flwr.supercore.privacy_accounting import PrivacyAccountant
from harness import FakeGrid, record

DP = {"noise_multiplier": 1.0, "clipping_norm": 1.0, "num_sampled_clients": 3}


def make(kind: type[flower.Strategy]) -> flower.Strategy:
    """A strategy of this kind."""
    if issubclass(kind, flower.FedProx):
        return kind(proximal_mu=0.1)
    if issubclass(kind, flower.DifferentialPrivacyClientSideFixedClipping | flower.DifferentialPrivacyServerSideFixedClipping):
        return kind(flower.FedAvg(), **DP)
    if "AdaptiveClipping" in kind.__name__:
        return kind(flower.FedAvg(), noise_multiplier=1.0, num_sampled_clients=50)
    if issubclass(kind, flower.QFedAvg):
        return kind(client_learning_rate=0.1)
    return kind()


@pytest.mark.parametrize("kind", NEEDS_SINGLE_UPDATES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("uses_only_mean", [False, True])
def test_strategies_that_need_single_updates_are_refused(kind: type[flower.Strategy], uses_only_mean: bool) -> None:
    with pytest.raises(cff.StrategyRefused) as raised:
        cff.SecureAggregation(make(kind), max_weight=None, uses_only_mean=uses_only_mean)
    assert raised.value.strategy == kind.__name__
    assert raised.value.reason == NEEDS_SINGLE_UPDATES[kind]
    assert isinstance(raised.value, cf.ConfigError | ValueError)


@pytest.mark.parametrize("kind", USES_ONLY_THE_MEAN, ids=lambda kind: kind.__name__)
def test_strategies_that_use_the_mean_are_accepted(kind: type[flower.Strategy]) -> None:
    cff.SecureAggregation(make(kind), max_weight=None)


def test_every_strategy_of_flower_is_listed() -> None:
    judged = {kind.__name__ for kind in (*USES_ONLY_THE_MEAN, *NEEDS_SINGLE_UPDATES)}
    judged |= {"DifferentialPrivacyClientSideFixedClipping", "Strategy", "Result"}
    assert set(flower.__all__) == judged


class Sampling(flower.FedAvg):
    """Asks other nodes, and reads replies like FedAvg."""

    def configure_train(self, *arguments: Any) -> Iterable[Message]:
        return list(super().configure_train(*arguments))[:3]


class Robust(flower.FedAvg):
    """Reads replies in its own way."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return super().aggregate_train(server_round, list(replies)[1:])


class Looking(flower.FedAvg):
    """Reads replies before FedAvg."""

    def _check_and_log_replies(self, *arguments: Any, **options: Any) -> Any:
        return super()._check_and_log_replies(*arguments, **options)


def test_subclasses_are_accepted_if_they_inherit_the_reading_of_replies() -> None:
    cff.SecureAggregation(Sampling(), max_weight=None)


@pytest.mark.parametrize("kind", [Robust, Looking])
def test_unknown_strategies_need_uses_only_mean(kind: type[flower.FedAvg]) -> None:
    with pytest.raises(cff.StrategyRefused, match="uses_only_mean=True"):
        cff.SecureAggregation(kind(), max_weight=None)
    cff.SecureAggregation(kind(), max_weight=None, uses_only_mean=True)


def test_clipping_at_clients_is_accepted_around_accepted_strategies() -> None:
    cff.SecureAggregation(flower.DifferentialPrivacyClientSideFixedClipping(flower.FedAvg(), **DP), max_weight=None)
    for inner in (flower.FedMedian(), Robust()):
        wrapped = flower.DifferentialPrivacyClientSideFixedClipping(inner, **DP)
        with pytest.raises(cff.StrategyRefused):
            cff.SecureAggregation(wrapped, max_weight=None)


def test_an_accountant_that_counts_replies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = flower.DifferentialPrivacyClientSideFixedClipping(flower.FedAvg(), **DP)
    wrapped.accountant = PrivacyAccountant.__new__(PrivacyAccountant)
    with pytest.raises(cff.StrategyRefused, match="accountant"):
        cff.SecureAggregation(wrapped, max_weight=None)


def test_other_wrappers_must_not_be_around() -> None:
    outer = flower.DifferentialPrivacyClientSideFixedClipping(cff.SecureAggregation(flower.FedAvg(), max_weight=None), **DP)
    with pytest.raises(cff.SettingError, match="outermost"):
        outer.start(FakeGrid({}), record({"w": np.zeros(3, np.float32)}), num_rounds=1)


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"send": "weights"}, "send"),
        ({"structure": ArrayRecord()}, "structure"),
        ({"topology": "star"}, "topology"),
        ({"pin": "00" * 32, "topology": "aggregator-node"}, "pin"),
        ({"min_clients": 0}, "min_clients"),
        ({"min_clients": 5, "max_clients": 4}, "min_clients"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict[str, Any], setting: str) -> None:
    with pytest.raises(cff.SettingError) as raised:
        cff.SecureAggregation(flower.FedAvg(), max_weight=None, **options)
    assert raised.value.setting == setting


def test_a_key_does_not_belong_at_a_server_that_has_a_key_holder() -> None:
    key = cf.SecretKey.generate(bits=2048)
    with pytest.raises(cff.SettingError) as raised:
        cff.SecureAggregation(flower.FedAvg(), max_weight=None, key=key)
    assert raised.value.setting == "key"
