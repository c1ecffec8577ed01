"""The mod of a ClientApp, which encrypts the app's replies."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from logging import ERROR, INFO, getLogger

import cipherfold as cf
import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from ..declare import CLIPPED, METRIC, RESERVED, Floats, values_of
from ..errors import ReplyError, RoundRefused, SettingError
from ..parties import add_peer_key, session_key_settings
from ..wire import CIPHERTEXTS, SETTINGS, pack_ciphertexts, refusal, setting, settings, settings_of
from .pins import trusted_key
from .settings import NodeSettings, check_minimum

_log = getLogger("flwr")


class SecureAggregationMod:
    """Encrypts every reply to a train message::

        app = ClientApp(mods=[SecureAggregationMod()])

    List it **first**: mods after it, such as Flower's clipping for differential privacy, then see
    plain arrays.

    - The app's ``num-examples`` become the weight, inside the encryption. Other metrics are
      removed. Metrics that the ServerApp declares (``SecureAggregation(metrics=…)``) are averaged
      inside the encryption, too.
    - Replies to evaluate messages are not changed, unless the ServerApp declares a round for them
      (``SecureAggregation(evaluate_metrics=…)``). Messages of other types are not changed.
    - Values outside the declared range are clipped. The node logs their number. The server
      learns only their share over all clients, which is averaged inside the encryption.
    - A train message that does not declare a round is refused, and no arrays are sent.
    - If the app raises an exception, its text stays in this node's log. Without this mod, Flower
      would send it to the server.

    The node configuration has the organisation's requirements for a round: see
    :mod:`cipherfold.flower.node.settings`.

    Parameters
    ----------
    weight_key : str
        The metric that is the weight.
    keep_metrics : Collection[str]
        Metrics of a train reply that are sent **in the clear**. Each reveals something about one
        client.
    short_exponents : bool
        Encrypts four to five times as fast, under one more assumption: see SECURITY.md.
    threads : int, optional
        Threads for encryption; all processors by default.
    """

    def __init__(
        self,
        *,
        weight_key: str = "num-examples",
        keep_metrics: Collection[str] = (),
        short_exponents: bool = False,
        threads: int | None = None,
    ) -> None:
        if isinstance(keep_metrics, str):
            raise SettingError("keep_metrics", "must be a collection of names, not one name")
        self.weight_key = weight_key
        self.keep_metrics = frozenset(keep_metrics)
        self.short_exponents = short_exponents
        self.threads = threads

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Runs the app between the checks of the round and the encryption of its reply."""
        kind = message.metadata.message_type.split(".")[0]
        part = None
        if kind == "train" or (kind == "evaluate" and SETTINGS in message.content):
            try:
                part = _Part.of(message, context, self)
            except Exception as error:  # its text may contain data of the node
                return _refused(error, message)
        try:
            reply = call_next(message, context)
        except Exception:  # its text may contain data
            _log.log(ERROR, "cipherfold: the app raised an exception; the server gets no details", exc_info=True)
            return refusal("the app raised an exception; the node's log has it", reply_to=message)
        if part is None or reply.has_error():
            return reply
        try:
            reply.content = part.encrypt(reply.content, self)
        except Exception as error:  # its text may contain data
            return _refused(error, message)
        return reply


@dataclass(frozen=True)
class _Part:
    """This client's part in a round, prepared before the app runs."""

    spec: cf.RoundSpec
    client: cf.Client
    number: int
    base: ArrayRecord | None
    reply: Mapping[str, bytes]
    allow_clipping: bool

    @classmethod
    def of(cls, message: Message, context: Context, mod: SecureAggregationMod) -> _Part:
        """Checks the declared round. The app does not see its settings."""
        node = NodeSettings.of(context)
        declared = settings_of(message.content)
        if declared is None:
            raise RoundRefused("the train message declares no round of secure aggregation, and nothing is sent in the clear")
        del message.content[SETTINGS]
        key = trusted_key(declared, node, context)
        spec = cf.RoundSpec.from_bytes(setting(declared, "spec", bytes))
        _check_limits(spec, key, node)
        number = setting(declared, "number", int) if node.number is None else node.number
        channel = cf.Channel.generate(key.session, f"client:{number}")
        add_peer_key(channel, "aggregator", declared, node.roster)
        client = cf.Client(
            spec,
            key.with_short_exponents() if mod.short_exponents else key,
            number=number,
            channel=channel,
            threads=mod.threads,
        )
        return cls(
            spec=spec,
            client=client,
            number=number,
            # A copy, because an app may empty its record (`keep_input=False`). The arrays
            # themselves are shared.
            base=ArrayRecord(dict(_only_arrays(message.content))) if setting(declared, "differences", bool) else None,
            reply=session_key_settings(channel, node.identity),
            allow_clipping=node.allow_clipping and setting(declared, "clipping", bool),
        )

    def encrypt(self, content: RecordDict, mod: SecureAggregationMod) -> RecordDict:
        """The app's reply, encrypted, without the metrics that must not leave the node."""
        metrics = _only_metrics(content)
        # A round of evaluation sums metrics only.
        arrays_are_summed = any(not name.startswith(RESERVED) for name in self.spec.names)
        values = values_of(_only_arrays(content)) if arrays_are_summed else {}
        if self.base is not None:
            values = _differences(values, values_of(self.base))
        values |= self._metrics(metrics)
        clipped = self._clipped(values)
        values[CLIPPED] = np.array([clipped / max(1, self.spec.values - 1)])
        update = self.client.encrypt(values, weight=self._weight(metrics, mod.weight_key))
        arrays = pack_ciphertexts(update)
        _log.log(
            INFO,
            "cipherfold: %d values are encrypted in %d bytes; %d of them were clipped",
            self.spec.values,
            sum(len(array.data) for array in arrays.values()),
            clipped,
        )
        record = settings(number=self.number, round=str(self.spec.round))
        record.update(self.reply)
        reply = RecordDict({CIPHERTEXTS: arrays, SETTINGS: record})
        kept = {name: value for name, value in metrics.items() if name in mod.keep_metrics}
        if kept:
            _log.log(INFO, "cipherfold: sent in the clear, as the app requests: %s", ", ".join(sorted(kept)))
            reply["metrics"] = MetricRecord(kept)
        return reply

    def _metrics(self, metrics: MetricRecord) -> dict[str, Floats]:
        names = [name.removeprefix(METRIC) for name in self.spec.names if name.startswith(METRIC)]
        values: dict[str, Floats] = {}
        for name in names:
            value = metrics.get(name)
            if not isinstance(value, int | float):
                raise ReplyError(f"the app's reply has no numeric metric `{name}`, which the round declares")
            values[METRIC + name] = np.array([value], np.float64)
        return values

    def _weight(self, metrics: MetricRecord, key: str) -> int | None:
        if self.spec.max_weight is None:
            return None
        weight = metrics.get(key)
        if not isinstance(weight, int | float) or weight != int(weight):
            raise ReplyError(f"the app's reply has no integer metric `{key}` for its weight")
        return int(weight)

    def _clipped(self, values: Mapping[str, Floats]) -> int:
        """The number of values outside their range. The encryption detects values that are not
        numbers.
        """
        clipped = 0
        for name, array in values.items():
            codec = self.spec.codecs.get(name)
            if isinstance(codec, cf.Quantizer):
                clipped += int(np.count_nonzero((array < codec.lower) | (array > codec.upper)))
        if clipped and not self.allow_clipping:
            raise ReplyError(f"{clipped} values are outside of the declared range, and clipping is not allowed")
        return clipped


def _check_limits(spec: cf.RoundSpec, key: cf.PublicKey, node: NodeSettings) -> None:
    check_minimum(spec, node)
    if key.bits < node.min_key_bits:
        raise RoundRefused(f"the key has {key.bits} bits, this node asks for {node.min_key_bits}")
    topology = "key-holder" if key.key_holder else "aggregator-node"
    if node.topology not in (None, topology):
        raise RoundRefused(f"the round has the topology {topology}, this node asks for {node.topology}")


def _only_arrays(content: RecordDict) -> ArrayRecord:
    records = list(content.array_records.values())
    if len(records) != 1:
        raise ReplyError(f"expected one ArrayRecord, found {len(records)}")
    return records[0]


def _only_metrics(content: RecordDict) -> MetricRecord:
    records = list(content.metric_records.values())
    if len(records) > 1:
        raise ReplyError(f"expected one MetricRecord, found {len(records)}")
    return records[0] if records else MetricRecord()


def _differences(
    values: Mapping[str, Floats], base: Mapping[str, Floats]
) -> dict[str, Floats]:
    if {name: array.shape for name, array in values.items()} != {name: array.shape for name, array in base.items()}:
        raise ReplyError(
            "the arrays of the reply are not shaped like those of the train message, so that there is no difference; "
            'SecureAggregation(send="as-is", structure=…) sends other arrays'
        )
    return {name: np.subtract(array, base[name], dtype=array.dtype) for name, array in values.items()}


def _refused(error: Exception, message: Message) -> Message:
    """Logs all details at the node. The server learns only one of three kinds of errors, and public
    facts.
    """
    expected = isinstance(error, cf.Error | OSError)
    _log.log(ERROR, "cipherfold: this node does not take part in the round: %s", error, exc_info=not expected)
    if isinstance(error, RoundRefused | cf.KeyMismatch):
        return refusal(str(error), reply_to=message)
    if isinstance(error, cf.UpdateError | ReplyError):
        return refusal("the update does not fit the declared round; the node's log has the details", reply_to=message)
    return refusal("the round could not be joined; the node's log has the details", reply_to=message)
