"""Rounds of secure aggregation at the ServerApp."""

from __future__ import annotations

from dataclasses import dataclass, field
from logging import INFO, WARNING, getLogger
from time import time_ns

import cipherfold as cf
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from ..declare import CLIPPED, METRIC, Declaration, Floats, count_values
from ..errors import ReplyError, SettingError
from ..wire import SETTINGS, payload, required_settings, setting, settings
from .calls import replies
from .topology import SecureRound, Topology, Trust

# A key opens one sum for each round number, so all rounds of a key must have different numbers,
# also over several runs. A number starts with the time in milliseconds, and ends with these bits,
# which count rounds.
_COUNTER_BITS = 20

_log = getLogger("flwr")


@dataclass(frozen=True)
class Sending:
    """The form of the clients' replies and of the result. :class:`SecureAggregation` documents it.
    """

    differences: bool = True
    structure: ArrayRecord | None = None
    allow_clipping: bool = True
    weight_key: str = "num-examples"


@dataclass
class _Collected:
    """The replies of the asked nodes, and the nodes without a valid reply."""

    participants: int = 0
    nbytes: int = 0
    absent: dict[int, str] = field(default_factory=dict)
    metrics: list[MetricRecord] = field(default_factory=list)


class Rounds:
    """Runs one round after the other."""

    def __init__(self, grid: Grid, topology: Topology, declaration: Declaration, sending: Sending, trust: Trust) -> None:
        self.grid = grid
        self.topology = topology
        self.declaration = declaration
        self.sending = sending
        self.trust = trust
        self.first = time_ns() // 1_000_000 << _COUNTER_BITS
        self.count = 0

    def evaluate(self, messages: list[Message], timeout: float | None) -> Message:
        """Sends evaluate messages and returns one reply, which contains the means of the declared
        metrics.

        Raises :class:`SettingError`, :class:`cipherfold.Error`.
        """
        result, collected = self._round(messages, timeout, None, differences=False)
        metrics = self._metrics(dict(result.values), result.weight, collected)
        return Message(RecordDict({"metrics": metrics}), reply_to=messages[0])

    def train(self, messages: list[Message], timeout: float | None) -> Message:
        """Sends train messages and returns one reply, which contains the mean of all replies in
        time.

        Raises :class:`SettingError`, :class:`cipherfold.Error`.
        """
        key, model = _model(messages, same=self.sending.differences)
        shape = self.sending.structure or model
        result, collected = self._round(messages, timeout, shape, differences=self.sending.differences)
        return Message(self._content(result, key, model, collected), reply_to=messages[0])

    def _round(
        self, messages: list[Message], timeout: float | None, shape: ArrayRecord | None, *, differences: bool
    ) -> tuple[cf.RoundResult, _Collected]:
        """A round that sums arrays of this shape, and metrics."""
        self._check_sampled(len(messages))
        self.count += 1
        number = self.first + self.count
        spec = self.declaration.spec(shape, key=self.topology.key(), clients=len(messages), number=number)
        self._say_before(spec, 0 if shape is None else count_values(shape))
        secure = self.topology.begin(spec)
        collected = self._collect(spec, secure, messages, timeout, differences=differences)
        self._say_absent(collected)
        result = secure.open()
        self._say_after(result, collected, "updates" if shape is not None else "evaluations")
        return result, collected

    def _check_sampled(self, nodes: int) -> None:
        minimum, maximum = self.declaration.min_clients, self.declaration.max_clients
        if nodes < minimum:
            raise SettingError("min_clients", f"is {minimum}, and the strategy has sampled {nodes} nodes")
        if maximum is not None and nodes > maximum:
            raise SettingError("max_clients", f"is {maximum}, and the strategy has sampled {nodes} nodes")

    def _collect(
        self,
        spec: cf.RoundSpec,
        secure: SecureRound,
        messages: list[Message],
        timeout: float | None,
        *,
        differences: bool,
    ) -> _Collected:
        collected = _Collected()
        numbers = {message.metadata.dst_node_id: number for number, message in enumerate(messages)}
        record = self._declared(spec, secure, differences=differences)
        declared = [_with_settings(message, record, numbers[message.metadata.dst_node_id]) for message in messages]
        identifiers = list(self.grid.push_messages(declared))
        asked = dict(zip(identifiers, numbers, strict=True)) if len(identifiers) == len(numbers) else {}
        if not asked or None in asked:
            raise SettingError("messages", "not all messages could be sent; Flower's log has the reason")
        del declared
        for node, reply in replies(self.grid, asked, timeout=timeout):
            try:
                self._add(secure, reply, numbers[node], collected)
            except cf.Error as error:
                collected.absent[node] = str(error)
            del reply
        collected.absent |= dict.fromkeys(asked.values(), "did not reply in time")
        return collected

    def _add(self, secure: SecureRound, reply: Message, number: int, collected: _Collected) -> None:
        if reply.has_error():
            raise ReplyError(reply.error.reason or f"error {reply.error.code}")
        told = required_settings(reply.content)
        claimed = setting(told, "number", int)
        if self.trust.roster is None and claimed != number:
            raise ReplyError(f"the client states the number {claimed}, and its number is {number}")
        ciphertexts = payload(reply.content)
        nbytes = sum(len(array.data) for array in ciphertexts.values())
        metrics = list(reply.content.metric_records.values())
        secure.add(claimed, told, ciphertexts)
        collected.participants += 1
        collected.nbytes += nbytes
        collected.metrics += metrics[:1]

    def _declared(self, spec: cf.RoundSpec, secure: SecureRound, *, differences: bool) -> ConfigRecord:
        key = self.topology.key()
        record = settings(
            key=key.to_bytes(),
            pin=key.pin,
            spec=spec.to_bytes(),
            differences=differences,
            clipping=self.sending.allow_clipping,
        )
        record.update(secure.session_key_settings())
        return record

    def _content(self, result: cf.RoundResult, key: str, model: ArrayRecord, collected: _Collected) -> RecordDict:
        values: dict[str, Floats] = dict(result.values)
        metrics = self._metrics(values, result.weight, collected)
        shape = self.sending.structure or model
        arrays = ArrayRecord()
        for name in shape:
            base = model[name].numpy() if self.sending.differences else None
            arrays[name] = Array(_as_declared(shape[name], values.pop(name), base))
        return RecordDict({key: arrays, "metrics": metrics})

    def _metrics(self, values: dict[str, Floats], weight: int, collected: _Collected) -> MetricRecord:
        """The means of metrics, removed from the values. The sum of weights replaces a client's
        weight.
        """
        values.pop(CLIPPED)
        metrics = _plain_metrics(collected.metrics, self.sending.weight_key)
        for name in [name for name in values if name.startswith(METRIC)]:
            metrics[name.removeprefix(METRIC)] = float(values.pop(name)[0])
        metrics[self.sending.weight_key] = weight
        return metrics

    def _say_before(self, spec: cf.RoundSpec, values: int) -> None:
        _log.log(
            INFO,
            "cipherfold: round %d (number %d): %d values of the model in %d ciphertexts, %.2f MB from each of up to %d clients; "
            "their mean differs by at most %.2g from the exact one",
            self.count,
            spec.round,
            values,
            spec.ciphertexts,
            spec.nbytes / 1e6,
            spec.max_clients,
            max(self._bounds(spec).values(), default=0.0),
        )

    @staticmethod
    def _bounds(spec: cf.RoundSpec) -> dict[str, float]:
        return {name: bound for name, bound in spec.error_bounds.items() if not name.startswith("cipherfold.")}

    def _say_absent(self, collected: _Collected) -> None:
        for node, reason in collected.absent.items():
            _log.log(WARNING, "cipherfold: node %d is not in the sum: %s", node, reason)

    def _say_after(self, result: cf.RoundResult, collected: _Collected, what: str) -> None:
        clients = len(result.participants)
        clipped = float(result.values[CLIPPED][0])
        _log.log(
            INFO,
            "cipherfold: 1 sum of %d %s opened, 0 single %s; %.3g %% of their values clipped; %.2f MB received; "
            "%d dropped out",
            clients,
            what,
            what,
            100 * clipped,
            collected.nbytes / 1e6,
            len(collected.absent),
        )


def _with_settings(message: Message, declared: ConfigRecord, number: int) -> Message:
    """The same message, with the settings of the round for this client."""
    record = ConfigRecord({**declared, "number": number})
    content = RecordDict({**message.content, SETTINGS: record})
    metadata = message.metadata
    return Message(content, metadata.dst_node_id, metadata.message_type, ttl=metadata.ttl, group_id=metadata.group_id)


def _model(messages: list[Message], *, same: bool) -> tuple[str, ArrayRecord]:
    """The arrays of the messages, with the name of their record."""
    first = messages[0].content.array_records
    if len(first) != 1:
        raise SettingError("arrays", f"a train message must have one ArrayRecord, and has {len(first)}")
    key, model = next(iter(first.items()))
    for message in messages[1:]:
        other = message.content.get(key)
        if same and other is not model and (not isinstance(other, ArrayRecord) or other.object_id != model.object_id):
            raise SettingError(
                "send", 'nodes get different arrays, so the mean of differences is meaningless; use send="as-is"'
            )
    return key, model


def _as_declared(declared: Array, mean: Floats, base: Floats | None) -> Floats:
    """The mean in the type of the model. Means of integers are float64, as in Flower's FedAvg."""
    kind = np.dtype(declared.dtype)
    mean = np.asarray(mean if base is None else np.add(base, mean, dtype=mean.dtype))
    return mean.astype(kind if kind.kind == "f" else np.float64, copy=False).reshape(declared.shape)


def _plain_metrics(records: list[MetricRecord], weight_key: str) -> MetricRecord:
    """The mean of metrics that clients have sent in the clear, weighted if they have sent weights.
    """
    mean = MetricRecord()
    weights = [float(record.get(weight_key, 1)) for record in records]  # type: ignore[arg-type]
    for name in sorted(set.intersection(*(set(record) for record in records))) if records else []:
        values = [record[name] for record in records]
        if name != weight_key and all(isinstance(value, int | float) for value in values) and sum(weights) > 0:
            mean[name] = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)  # type: ignore[operator,misc]
    return mean
