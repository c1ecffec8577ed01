"""A wrapper that gives a strategy means instead of single updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from logging import INFO, getLogger

import cipherfold as cf
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ..declare import Declaration, Range
from ..errors import SettingError
from .aggregator import AggregatorTopology
from .directory import Directory
from .grid import SecureGrid
from .key_holder import KeyHolderTopology
from .refusals import check_strategy
from .rounds import Rounds, Sending
from .topology import Topology, Trust

_log = getLogger("flwr")


class SecureAggregation(Strategy):
    """A strategy whose train replies are encrypted, added, and opened as one sum a round::

        strategy = SecureAggregation(FedAvg(fraction_train=0.5), max_weight=2000)
        result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=10)

    The wrapped strategy gets **one** reply in each round: the weighted mean of all clients that
    have replied, with the sum of their weights. It processes it as any other reply.
    ``SecureAggregation`` must be the outermost wrapper.

    The ServerApp's memory does not depend on the number of clients: replies are added to one
    encrypted sum and dropped one by one.

    Parameters
    ----------
    strategy : Strategy
        A strategy that uses only the mean: ``FedAvg``, ``FedAvgM``, ``FedProx``, ``FedAdagrad``,
        ``FedAdam``, ``FedYogi``, and ``DifferentialPrivacyClientSideFixedClipping`` around one of
        them.
    max_weight : int or None
        The maximum weight (``num-examples``) of a client. Every doubling adds a bit to each value.
        None: all clients count equally.
    max_clients : int, optional
        The maximum number of clients in the sum. By default the number of nodes that are asked in a
        round.
    min_clients : int
        The minimum number of clients in the sum. With fewer, no sum is opened, and the round raises
        :class:`cipherfold.TooFewClients`.
    clip : float, cipherfold.Quantizer or a mapping from patterns of names to them
        The range of values: ``clip=0.5`` is −0.5 to 0.5. Values outside are clipped. The first
        pattern that matches counts. Arrays of integers, such as counters of batches, need their own
        ``Quantizer``.
    bits : int
        The precision of a value within its range.
    send : "differences" or "as-is"
        ``differences``: clients encrypt the differences of their arrays to those of the train
        message, and the ServerApp adds the mean to these. So ``clip`` limits the change in one
        round. ``as-is``: clients encrypt the arrays of the app's reply.
    structure : ArrayRecord, optional
        With ``as-is``: names, types and shapes of the clients' arrays, if they differ from the
        model's.
    metrics : mapping from names to (lower, upper), optional
        Metrics of train replies that are averaged inside the encryption, each within its range.
    evaluate_metrics : mapping from names to (lower, upper), optional
        The same for evaluate replies, in a separate round. By default evaluate replies are sent
        **in the clear**, with a warning.
    allow_clipping : bool
        False: a client with a value outside the range drops out instead.
    topology : "key-holder" or "aggregator-node"
        ``key-holder``: a node has the secret key, and the ServerApp adds. ``aggregator-node``: the
        ServerApp has the secret key, and a node adds.
    key : cipherfold.SecretKey, optional
        With ``aggregator-node``: the ServerApp's key. By default a new one for each run, which
        clients cannot pin.
    pin : str, optional
        With ``key-holder``: the pin of the key holder's public key.
    node_id : int, optional
        The node with the role. By default every node is asked once for its role.
    roster, identities
        With a roster, session keys need announcements by the identities in it. ``identities`` has
        the ServerApp's own: for ``aggregator`` and ``server`` with the topology ``key-holder``, or
        for ``server`` with ``aggregator-node``.
    weight_key : str
        The metric that is the weight. The default is the strategy's ``weighted_by_key``.
    uses_only_mean : bool
        States that a custom strategy uses only the mean.
    node_timeout : float
        Maximum seconds for each answer of the node with the role.

    Raises
    ------
    StrategyRefused
        The strategy needs single updates, or it is not known whether it does.
    SettingError
        Parameters contradict each other.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        max_weight: int | None,
        max_clients: int | None = None,
        min_clients: int = 2,
        clip: Range | Mapping[str, Range] = 1.0,
        bits: int = 16,
        send: str = "differences",
        structure: ArrayRecord | None = None,
        metrics: Mapping[str, tuple[float, float]] | None = None,
        evaluate_metrics: Mapping[str, tuple[float, float]] | None = None,
        allow_clipping: bool = True,
        topology: str = "key-holder",
        key: cf.SecretKey | None = None,
        key_bits: int = 3072,
        pin: str | None = None,
        node_id: int | None = None,
        roster: cf.Roster | None = None,
        identities: Mapping[str, cf.Identity] | None = None,
        weight_key: str | None = None,
        uses_only_mean: bool = False,
        node_timeout: float = 600.0,
    ) -> None:
        check_strategy(strategy, uses_only_mean=uses_only_mean)
        _check(send, structure, topology, key, pin, max_clients, min_clients)
        self.strategy = strategy
        self.declaration = Declaration(
            clip=clip,
            bits=bits,
            metrics=dict(metrics or {}),
            evaluate_metrics=None if evaluate_metrics is None else dict(evaluate_metrics),
            max_weight=max_weight,
            min_clients=min_clients,
            max_clients=max_clients,
        )
        self.sending = Sending(
            differences=send == "differences",
            structure=structure,
            allow_clipping=allow_clipping,
            weight_key=weight_key or _weight_key(strategy),
        )
        self.trust = Trust(pin=pin, roster=roster, identities=dict(identities or {}))
        self.topology = topology
        self.key = key
        self.key_bits = key_bits
        self.node_id = node_id
        self.node_timeout = node_timeout

    def secure_grid(self, grid: Grid) -> SecureGrid:
        """The grid that returns means instead of replies, for apps that do not call :meth:`start`.
        """
        role = "key-holder" if self.topology == "key-holder" else "aggregator"
        directory = Directory(grid, role, special=self.node_id, timeout=self.node_timeout)
        topology: Topology
        if self.topology == "key-holder":
            topology = KeyHolderTopology(grid, directory, self.trust, timeout=self.node_timeout)
        else:
            secret = self.key or cf.SecretKey.generate(bits=self.key_bits, roster=self.trust.roster)
            topology = AggregatorTopology(grid, directory, self.trust, secret, timeout=self.node_timeout)
        return SecureGrid(grid, directory, Rounds(grid, topology, self.declaration, self.sending, self.trust))

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Runs the wrapped strategy with means. Parameters and result are those of the wrapped
        strategy.
        """
        self._say()
        secure_grid = self.secure_grid(grid)
        try:
            return self.strategy.start(
                secure_grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn
            )
        finally:
            secure_grid.end()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the wrapped strategy. Raises :class:`SettingError` unless the grid is a
        :class:`SecureGrid`.
        """
        if not isinstance(grid, SecureGrid):
            raise SettingError(
                "SecureAggregation", "must be the outermost wrapper; else call `secure_grid(grid)` and use that grid"
            )
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The wrapped strategy's aggregation of the one reply that a :class:`SecureGrid` gives."""
        return self.strategy.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the wrapped strategy."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """As the wrapped strategy."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        """Logs the settings of both."""
        self._say()
        self.strategy.summary()

    def _say(self) -> None:
        declared = self.declaration
        _log.log(INFO, "\t├──> Secure aggregation (cipherfold):")
        _log.log(INFO, "\t│\t├── Topology: %s", self.topology)
        _log.log(INFO, "\t│\t├── Sent: %s, %d bits, clip %s", self._sent(), declared.bits, declared.clip)
        _log.log(INFO, "\t│\t└── Clients: at least %d, weights up to %s", declared.min_clients, declared.max_weight or 1)

    def _sent(self) -> str:
        return "differences" if self.sending.differences else "as-is"


def _check(
    send: str,
    structure: ArrayRecord | None,
    topology: str,
    key: cf.SecretKey | None,
    pin: str | None,
    max_clients: int | None,
    min_clients: int,
) -> None:
    if send not in ("differences", "as-is"):
        raise SettingError("send", 'must be "differences" or "as-is"')
    if structure is not None and send == "differences":
        raise SettingError("structure", 'needs send="as-is": differences are shaped like the model')
    if topology not in ("key-holder", "aggregator-node"):
        raise SettingError("topology", 'must be "key-holder" or "aggregator-node"')
    if key is not None and topology == "key-holder":
        raise SettingError("key", 'belongs at the key holder; the ServerApp has one with topology="aggregator-node"')
    if pin is not None and topology != "key-holder":
        raise SettingError("pin", "is for the key of a key holder; here the ServerApp has the key itself")
    if min_clients < 1 or (max_clients is not None and max_clients < min_clients):
        raise SettingError("min_clients", "must be at least 1 and at most max_clients")


def _weight_key(strategy: Strategy) -> str:
    inner = getattr(strategy, "strategy", strategy)
    return str(getattr(inner, "weighted_by_key", "num-examples"))
