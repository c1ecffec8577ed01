"""Lists of messages as bytes: each list has exactly one encoding."""

from __future__ import annotations

import struct
from typing import Any

import cipherfold as cf
import numpy as np
import pytest
from conftest import Round
from hypothesis import given, settings
from hypothesis import strategies as st

KINDS: dict[int, Any] = {1: cf.EncryptedUpdate, 2: cf.EncryptedSum, 3: cf.Questions, 4: cf.Answers}

# At most four bytes a character: within the limit of 255.
names = st.dictionaries(st.integers(0, 2**32 - 1), st.none() | st.text(min_size=1, max_size=60), max_size=4)


def framed(kind: int, named: dict[int, str | None], messages: list[bytes], version: int = 1) -> bytes:
    """An independent implementation of the format."""
    parts = [b"cfld", bytes([version, kind]), struct.pack(">I", len(named))]
    for client, name in sorted(named.items()):
        text = b"" if name is None else name.encode()
        parts.append(struct.pack(">IBH", client, name is not None, len(text)) + text)
    parts.append(struct.pack(">I", len(messages)))
    parts.extend(struct.pack(">I", len(message)) + message for message in messages)
    return b"".join(parts)


@given(st.sampled_from(sorted(KINDS)), names, st.lists(st.binary(max_size=40), max_size=8))
def test_what_was_written_is_read(kind: int, named: dict[int, str | None], messages: list[bytes]) -> None:
    data = framed(kind, named, messages)
    read = KINDS[kind].from_bytes(data)
    assert list(read) == messages and len(read) == len(messages)
    assert read.to_bytes() == data
    if isinstance(read, cf.EncryptedSum):
        assert read.participants == [client if name is None else name for client, name in sorted(named.items())]


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))
def test_other_bytes_are_refused(kind: int, data: bytes) -> None:
    for wrong in (data, b"cfld\x01" + bytes([kind]) + data):
        try:
            read = KINDS[kind].from_bytes(wrong)
        except cf.MessageError as error:
            assert error.kind == "python.Framing"
        else:
            assert read.to_bytes() == wrong


@settings(max_examples=300)
@given(names, st.lists(st.binary(max_size=20), max_size=5), st.data())
def test_every_change_is_refused_or_read_as_it_is(
    named: dict[int, str | None], messages: list[bytes], data: st.DataObject
) -> None:
    whole = bytearray(framed(2, named, messages))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert cf.EncryptedSum.from_bytes(whole).to_bytes() == whole
    except cf.MessageError as error:
        assert error.kind == "python.Framing"
    for wrong in (framed(2, named, messages)[:place], framed(2, named, messages) + b"\0"):
        with pytest.raises(cf.MessageError):
            cf.EncryptedSum.from_bytes(wrong)


def test_wrong_lengths_allocate_no_memory() -> None:
    head = b"cfld\x01\x01"
    for lie in (head + b"\xff" * 4, head + bytes(4) + b"\xff" * 4, head + bytes(4) + b"\0\0\0\1\xff\xff\xff\xff"):
        with pytest.raises(cf.MessageError):
            cf.EncryptedUpdate.from_bytes(lie)


def test_versions_kinds_and_duplicates() -> None:
    for wrong, told in [
        (framed(1, {}, [], version=2), "version 2"),
        (framed(2, {}, []), "kind 2"),
        (b"CFLD" + framed(1, {}, [])[4:], "other bytes"),
    ]:
        with pytest.raises(cf.MessageError, match=told):
            cf.EncryptedUpdate.from_bytes(wrong)
    twice = framed(2, {5: None, 6: None}, []).replace(struct.pack(">I", 6), struct.pack(">I", 5))
    with pytest.raises(cf.MessageError, match="order"):
        cf.EncryptedSum.from_bytes(twice)
    with pytest.raises(TypeError):
        cf.EncryptedUpdate.from_bytes("text")  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_states_and_updates_are_refused_or_the_same(data: st.DataObject) -> None:
    """A flipped bit gives a named error, or a message with another ciphertext."""
    key, made, state, update = fixture()
    for original, read in (
        (state, lambda changed: cf.Aggregator.from_bytes(made.spec, key, changed)),
        (update, lambda changed: made.aggregator().add("a", changed)),
        (made.spec.to_bytes(), cf.RoundSpec.from_bytes),
        (key.public.to_bytes(), lambda changed: cf.PublicKey.from_bytes(changed, key.public.pin)),
    ):
        changed = bytearray(original)
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        try:
            read(bytes(changed))
        except cf.Error as error:
            assert error.kind


_made: list[tuple[cf.SecretKey, Round, bytes, bytes]] = []


def fixture() -> tuple[cf.SecretKey, Round, bytes, bytes]:
    if not _made:
        key = cf.SecretKey.generate(2048)
        spec = cf.RoundSpec.for_arrays({"w": np.zeros(150)}, cf.Quantizer(), max_clients=2, key=key, chunk_ciphertexts=1)
        made = Round(key, spec, [{"w": np.zeros(150)}] * 2)
        aggregator = made.aggregator()
        aggregator.add("a", made.encrypt(0))
        aggregator.accept("b", next(iter(made.encrypt(1))))
        _made.append((key, made, aggregator.to_bytes(), made.encrypt(0).to_bytes()))
    return _made[0]
