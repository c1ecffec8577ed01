"""Which strategies work with sums alone."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.serverapp import strategy as flower

from ..errors import StrategyRefused

# They use the mean of the arrays, and nothing else of single replies.
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
    flower.FedMedian: "the median of updates is no function of their sum",
    flower.FedTrimmedAvg: "it sorts single updates and leaves the outermost out",
    flower.QFedAvg: "it weighs each update by its client's loss and by its own norm",
    flower.FedXgbBagging: "it takes over the trees of each client, which is no sum of numbers",
    flower.FedXgbCyclic: "it takes over the trees of one client, which is no sum of numbers",
    flower.DifferentialPrivacyServerSideFixedClipping: "it clips single updates at the server; "
    "DifferentialPrivacyClientSideFixedClipping does that at the clients",
    flower.DifferentialPrivacyServerSideAdaptiveClipping: "it clips single updates at the server",
    flower.DifferentialPrivacyClientSideAdaptiveClipping: "it needs from each client whether its update was clipped",
}

_METHODS = ("aggregate_train", "start", "_check_and_log_replies")


def check_strategy(strategy: flower.Strategy, *, uses_only_mean: bool = False) -> None:
    """Refuses a strategy that has to see single updates.

    A strategy that is not Flower's own is refused, too, unless it inherits all that reads replies
    from one that uses the mean only, or ``uses_only_mean`` says that it does.

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
            "it gets one reply with the mean, and whether it works with that is not known; "
            "`uses_only_mean=True` says that it does",
        )


def _reads_replies_as_known(strategy: type[flower.Strategy]) -> bool:
    return any(
        issubclass(strategy, known)
        and all(getattr(strategy, method) is getattr(known, method) for method in _METHODS)
        for known in USES_ONLY_THE_MEAN
    )
