"""The strategies that work with sums, and the refusal of others."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.serverapp import strategy as flower

from ..errors import StrategyRefused

# These strategies use only the mean of the arrays.
USES_ONLY_THE_MEAN: tuple[type[flower.Strategy], ...] = (
    flower.FedAvg,
    flower.FedAvgM,
    flower.FedProx,
    flower.FedAdagrad,
    flower.FedAdam,
    flower.FedYogi,
)

NEEDS_SINGLE_UPDATES: Mapping[type[flower.Strategy], str] = {
    flower.Bulyan: "it compares single updates with each other",
    flower.Krum: "it compares single updates with each other",
    flower.MultiKrum: "it compares single updates with each other",
    flower.FedMedian: "the median of updates cannot be computed from their sum",
    flower.FedTrimmedAvg: "it sorts single updates and removes the extremes",
    flower.QFedAvg: "it weighs each update by its client's loss and by its own norm",
    flower.FedXgbBagging: "it collects the trees of each client, which cannot be summed",
    flower.FedXgbCyclic: "it uses the trees of one client, which cannot be summed",
    flower.DifferentialPrivacyServerSideFixedClipping: "it clips single updates at the server; "
    "DifferentialPrivacyClientSideFixedClipping does that at the clients",
    flower.DifferentialPrivacyServerSideAdaptiveClipping: "it clips single updates at the server",
    flower.DifferentialPrivacyClientSideAdaptiveClipping: "it needs from each client whether its update was clipped",
}

_METHODS = ("aggregate_train", "start", "_check_and_log_replies")


def check_strategy(strategy: flower.Strategy, *, uses_only_mean: bool = False) -> None:
    """Refuses a strategy that needs single updates.

    Also refuses a strategy that is not Flower's own. It is accepted if it inherits all methods that
    read replies from a strategy that uses only the mean, or if ``uses_only_mean`` is set.

    Raises :class:`StrategyRefused`.
    """
    name = type(strategy).__name__
    for refused, reason in NEEDS_SINGLE_UPDATES.items():
        if isinstance(strategy, refused):
            raise StrategyRefused(name, reason)
    if isinstance(strategy, flower.DifferentialPrivacyClientSideFixedClipping):
        if strategy.accountant is not None:
            raise StrategyRefused(name, "its accountant counts the single replies of clients")
        check_strategy(strategy.strategy, uses_only_mean=uses_only_mean)
    elif not uses_only_mean and not _reads_replies_as_known(type(strategy)):
        raise StrategyRefused(
            name,
            "it would get one reply with the mean, and it is not known whether it supports that; "
            "set `uses_only_mean=True` if it does",
        )


def _reads_replies_as_known(strategy: type[flower.Strategy]) -> bool:
    return any(
        issubclass(strategy, known)
        and all(getattr(strategy, method) is getattr(known, method) for method in _METHODS)
        for known in USES_ONLY_THE_MEAN
    )
