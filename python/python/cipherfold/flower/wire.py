"""The contents of Flower's messages: settings of a round, and ciphertexts as arrays.

Settings are a ``ConfigRecord`` named ``cipherfold``. Ciphertexts are an ``ArrayRecord`` named
``cipherfold.ciphertexts`` with one ``Array`` for each message of the round. Flower's own
``Array.numpy()`` raises ``TypeError`` for such an array. So a strategy that treats ciphertexts as
weights fails instead of averaging them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from .errors import ReplyError

SETTINGS = "cipherfold"
CIPHERTEXTS = "cipherfold.ciphertexts"
STYPE = "cipherfold.batch.v1"
VERSION = 1

ROLE_QUERY = "cipherfold_role"
KEY_QUERY = "cipherfold_key"
DECRYPT_QUERY = "cipherfold_decrypt"
OPEN_QUERY = "cipherfold_open"
ADD_QUERY = "cipherfold_add"
FINISH_QUERY = "cipherfold_finish"
END_QUERY = "cipherfold_end"

# The role of a node that is key holder or aggregator in a simulation.
SIMULATED = "simulated"

# Flower divides arrays into objects of at most 5 MiB. One message with envelope and box must fit
# into one object.
MESSAGE_BYTES = 4 << 20

# `ErrorCode.MOD_FAILED_PRECONDITION` of Flower 1.42.
REFUSED = 6

T = TypeVar("T", int, str, bytes, bool)


def pack_ciphertexts(messages: Iterable[bytes]) -> ArrayRecord:
    """Messages of a round as arrays, in order."""
    return ArrayRecord({f"{number:06}": _array(message) for number, message in enumerate(messages)})


def unpack_ciphertexts(record: ArrayRecord) -> Iterator[bytes]:
    """The messages of a round, in order. Each is removed from the record when it is taken.

    Raises :class:`ReplyError` for an array that does not hold ciphertexts.
    """
    for number, name in enumerate(sorted(record)):
        array = record[name]
        if name != f"{number:06}" or array.stype != STYPE or array.shape != (len(array.data),):
            raise ReplyError("an array of the reply is not a message of ciphertexts")
        del record[name]
        yield array.data


def payload(content: RecordDict) -> ArrayRecord:
    """The ciphertexts of a message.

    Raises :class:`ReplyError` if there are none, or if there are other arrays too.
    """
    records = dict(content.array_records.items())
    if CIPHERTEXTS not in records:
        raise ReplyError("the message holds no ciphertexts")
    if len(records) != 1:
        raise ReplyError("the message holds arrays that are not encrypted")
    return records[CIPHERTEXTS]


def settings_of(content: RecordDict) -> ConfigRecord | None:
    """The settings of this package in a message, if there are any.

    Raises :class:`ReplyError` for settings of another version.
    """
    record = content.get(SETTINGS)
    if record is None:
        return None
    if not isinstance(record, ConfigRecord) or record.get("version") != VERSION:
        raise ReplyError(f"the settings `{SETTINGS}` of the message do not have version {VERSION}")
    return record


def required_settings(content: RecordDict) -> ConfigRecord:
    """The settings of this package in a message.

    Raises :class:`ReplyError` if there are none.
    """
    record = settings_of(content)
    if record is None:
        raise ReplyError(f"the message has no settings `{SETTINGS}`")
    return record


def setting(record: ConfigRecord, name: str, kind: type[T]) -> T:
    """A setting of this type.

    Raises :class:`ReplyError` if it is missing or of another type.
    """
    value = record.get(name)
    if type(value) is not kind:
        raise ReplyError(f"the setting `{name}` of the message is missing, or is not of type {kind.__name__}")
    return value


def settings(**values: int | str | bytes | bool) -> ConfigRecord:
    """Settings of this version. Underscores in names become hyphens."""
    record = ConfigRecord({"version": VERSION})
    for name, value in values.items():
        record[name.replace("_", "-")] = value
    return record


def refusal(reason: str, *, reply_to: Message) -> Message:
    """An error reply. **The reason leaves the node**: it must not contain data."""
    return Message(Error(code=REFUSED, reason=f"cipherfold: {reason}"), reply_to=reply_to)


def _array(message: bytes) -> Array:
    return Array(dtype="uint8", shape=(len(message),), stype=STYPE, data=bytes(message))
