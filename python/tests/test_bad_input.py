"""Invalid input is refused by name, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cipherfold as cf
import numpy as np
import pytest
from conftest import Round, channels

UPDATE = {"w": np.linspace(-1, 1, 400), "b": np.zeros(3)}


@pytest.fixture
def made(key: cf.SecretKey, round_number: int) -> Round:
    spec = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=3, round=round_number, key=key, chunk_ciphertexts=1)
    return Round(key, spec, [UPDATE] * 3)


def refused(expected: type[cf.Error], kind: str, call: Any, *arguments: Any, **keywords: Any) -> cf.Error:
    with pytest.raises(expected) as caught:
        call(*arguments, **keywords)
    assert caught.value.kind == kind and type(caught.value) is expected
    return caught.value


def test_pins(key: cf.SecretKey, made: Round) -> None:
    data, pin, other = key.public.to_bytes(), key.public.pin, "00" * 32
    assert cf.PublicKey.from_bytes(data, pin.upper()) == key.public
    error = refused(cf.PinMismatch, "federated.PinMismatch", cf.PublicKey.from_bytes, data, other)
    assert (error.pinned, error.found) == (other, pin)
    assert isinstance(error, cf.KeyMismatch)
    refused(cf.PinMismatch, "federated.PinMismatch", cf.Client, made.spec, key.public, pin=other)
    for wrong in ("", pin[:-1], pin + "0", "x" * 64, "é" * 32, "+1" * 32):
        refused(cf.ConfigError, "python.Setting", cf.PublicKey.from_bytes, data, wrong)
    with pytest.raises(TypeError):
        cf.PublicKey.from_bytes(data)  # type: ignore[call-arg]
    for cut in (b"", data[:30], data[:-1], data + b"\0"):
        refused(cf.MessageError, "federated.EncodedLength", cf.PublicKey.from_bytes, cut, pin)
    refused(cf.MessageError, "federated.EncodingVersion", cf.PublicKey.from_bytes, b"\x09" + data[1:], pin)


def test_keys_of_other_sizes() -> None:
    for bits in (0, 512, 1024, 2047, 2**31):
        error = refused(cf.ConfigError, "federated.KeyBits", cf.SecretKey.generate, bits)
        assert error.found == bits
    refused(cf.ConfigError, "federated.KeyBits", cf.RoundSpec.for_arrays, UPDATE, cf.Quantizer(), max_clients=2, key_bits=512)
    error = refused(cf.BackendError, "backend.UnknownBackend", cf.SecretKey.generate, 2048, backend="cuda")
    assert error.name == "cuda" and "portable" in error.known


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"max_clients": 0}, "federated.Setting"),
        ({"max_clients": 5, "min_clients": 0}, "federated.Setting"),
        ({"max_clients": 5, "min_clients": 6}, "federated.TooManyClients"),
        ({"max_clients": 2**31, "max_weight": 2**32 - 1, "bits": 48}, "packing.WeightedValueTooWide"),
        ({"max_clients": 5, "chunk_ciphertexts": 0}, "federated.Setting"),
        ({"max_clients": -1}, "python.Setting"),
        ({"max_clients": 2**32}, "python.Setting"),
        ({"max_clients": 5, "max_weight": -3}, "python.Setting"),
        ({"max_clients": 5, "round": -1}, "python.Setting"),
        ({"max_clients": 5, "round": 2**64}, "python.Setting"),
    ],
)
def test_invalid_rounds(settings: dict[str, int], kind: str) -> None:
    codec = cf.Quantizer(bits=settings.pop("bits", 16))
    with pytest.raises(cf.Error) as caught:
        cf.RoundSpec.for_arrays(UPDATE, codec, **settings)  # type: ignore[arg-type]
    assert caught.value.kind == kind


def test_settings_of_other_types() -> None:
    for settings in ({"max_clients": 2.0}, {"max_clients": "2"}, {"max_clients": None}, {"max_clients": 2, "key": 3}):
        with pytest.raises(TypeError):
            cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), **settings)
    spec = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=np.int64(2), round=np.uint8(3))
    assert (spec.max_clients, spec.round) == (2, 3)


def test_invalid_codecs() -> None:
    for make, kind in [
        (lambda: cf.Quantizer(bits=1), "packing.QuantizerBits"),
        (lambda: cf.Quantizer(clip=float("nan")), "packing.QuantizerRange"),
        (lambda: cf.Quantizer(clip=0.0), "packing.QuantizerRange"),
        (lambda: cf.Quantizer(lower=1.0, upper=-1.0), "packing.QuantizerRange"),
        (lambda: cf.Quantizer(lower=1.0), "python.Setting"),
        (lambda: cf.Quantizer(1.0, lower=0.0, upper=1.0), "python.Setting"),
        (lambda: cf.Integers(max=1, min=2), "packing.IntegerRange"),
        (lambda: cf.Modular(0), "packing.Modulus"),
    ]:
        refused(cf.ConfigError, kind, make)


def test_updates_that_do_not_fit(key: cf.SecretKey, made: Round) -> None:
    encrypt = cf.Client(made.spec, key.public).encrypt
    error = refused(cf.UpdateError, "python.Names", encrypt, {"w": UPDATE["w"], "c": UPDATE["b"]})
    assert (error.missing, error.unexpected) == (["b"], ["c"])
    error = refused(cf.UpdateError, "python.Shape", encrypt, {**UPDATE, "w": np.zeros((400, 1))})
    assert (error.array, error.expected, error.found) == ("w", [400], [400, 1])
    error = refused(cf.DtypeError, "python.OtherDtype", encrypt, {**UPDATE, "w": np.zeros(400, np.float32)})
    assert (error.array, error.expected, error.found) == ("w", "float64", "float32")
    for wrong in ([UPDATE["w"], UPDATE["b"]], UPDATE["w"]):
        refused(cf.UpdateError, "python.Nesting", encrypt, wrong)
    refused(cf.UpdateError, "python.Nesting", encrypt, {**UPDATE, "b": [0.0, 0.0, 0.0]})
    for place, value in [(0, np.nan), (399, np.inf), (123, -np.inf)]:
        wrong = UPDATE["w"].copy()
        wrong[place] = value
        error = refused(cf.UpdateError, "federated.Tensor", encrypt, {**UPDATE, "w": wrong})
        assert (error.array, error.index) == ("w", place) and error.source.kind == "packing.NotFinite"
    refused(cf.UpdateError, "federated.WeightExpected", encrypt, UPDATE, weight=1)


def test_weights(key: cf.SecretKey, made: Round) -> None:
    spec = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=3, max_weight=10, key=key)
    encrypt = cf.Client(spec, key.public).encrypt
    assert refused(cf.UpdateError, "federated.WeightTooLarge", encrypt, UPDATE, weight=11).max == 10
    refused(cf.UpdateError, "federated.WeightExpected", encrypt, UPDATE)
    for wrong in (-1, 2**32, 1.5, "7", np.float64(3)):
        error = refused(cf.UpdateError, "python.WeightType", encrypt, UPDATE, weight=wrong)
        assert str(wrong) not in str(error), "a weight is the client's secret"
    encrypt(UPDATE, weight=np.int64(10))


def test_integers_out_of_range_are_named_by_place_and_not_by_value(key: cf.SecretKey) -> None:
    spec = cf.RoundSpec.for_arrays({"n": np.zeros(9, np.int64)}, cf.Integers(max=99), max_clients=2)
    array = np.zeros(9, np.int64)
    array[4] = 123456789
    error = refused(cf.UpdateError, "federated.Tensor", cf.Client(spec, key.public).encrypt, {"n": array})
    assert (error.array, error.index, error.min, error.max) == ("n", 4, 0, 99)
    assert "123456789" not in str(error) + repr(vars(error))


def test_messages_of_another_key_round_or_specification(key: cf.SecretKey, made: Round) -> None:
    aggregator = made.aggregator()
    other_key = cf.SecretKey.generate(2048)
    plan = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=3, round=made.spec.round, chunk_ciphertexts=1)
    foreign = cf.Client(plan, other_key.public).encrypt(UPDATE)
    error = refused(cf.WrongRound, "federated.WrongEnvelope", aggregator.add, "x", foreign)
    assert error.field == "session"
    later = cf.Client(made.spec.for_round(made.spec.round + 10**6), key.public).encrypt(UPDATE)
    error = refused(cf.WrongRound, "federated.WrongEnvelope", aggregator.add, "x", later)
    assert (error.field, error.expected, error.found) == ("round", made.spec.round, made.spec.round + 10**6)
    wider = cf.RoundSpec.for_arrays(
        UPDATE, cf.Quantizer(clip=2.0), max_clients=3, round=made.spec.round, key=key, chunk_ciphertexts=1
    )
    error = refused(cf.WrongRound, "federated.WrongEnvelope", aggregator.add, "x", cf.Client(wider, key.public).encrypt(UPDATE))
    assert (error.field, error.expected, error.found) == ("context", made.spec.digest(), wider.digest())
    for role in (cf.Client, cf.Aggregator, cf.Server):
        refused(cf.KeyMismatch, "federated.OtherOffer", role, made.spec, other_key)
    assert aggregator.participants == []


def test_duplicated_mutated_and_missing_messages(made: Round) -> None:
    aggregator = made.aggregator()
    messages = list(made.encrypt(0))
    aggregator.add("a", messages + messages)  # repeated messages are ignored
    aggregator.add("a", messages)
    other = list(made.encrypt(0))
    error = refused(cf.Replayed, "federated.ConflictingMessage", aggregator.add, "a", other)
    assert (error.from_, error.number) == ("client:0", 0)
    assert aggregator.participants == ["a"]
    mixed = list(made.encrypt(1))
    refused(cf.Replayed, "federated.ConflictingMessage", aggregator.add, "b", mixed + list(made.encrypt(1))[:1])
    error = refused(cf.MessageError, "federated.IncompleteUpdate", aggregator.add, "b", mixed[:-1])
    assert error.missing == 1
    for wrong, kinds in [
        (b"", {"python.Framing"}),
        (mixed[0][:50], {"python.Framing"}),
        (next(iter(made.sums())), {"python.Sender"}),
        (mixed[0][:-1], {"paillier.EncodedLength", "paillier.BatchLength"}),
        (mixed[0] + b"\0", {"paillier.EncodedLength", "paillier.BatchLength"}),
        (b"\x07" + mixed[0][1:], {"federated.EnvelopeVersion"}),
        (mixed[0][:-512] + b"\xff" * 512, {"paillier.CiphertextRange"}),
    ]:
        with pytest.raises(cf.MessageError) as caught:
            aggregator.add("b", [wrong, *mixed[1:]])
        assert caught.value.kind in kinds, caught.value.kind
        assert aggregator.participants == ["a"]
    with pytest.raises(TypeError):
        aggregator.add("b", ["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        aggregator.add("b", 7)  # type: ignore[arg-type]
    # Afterwards, the client's own messages are accepted.
    aggregator.add("b", mixed)
    aggregator.add("c", made.encrypt(2))
    too_many = cf.Client(made.spec, made.key.public, number=9).encrypt(UPDATE)
    error = refused(cf.TooManyClients, "federated.TooManyClients", aggregator.add, "d", too_many)
    assert (error.limit, error.found) == (3, 4)
    assert made.open(aggregator.finish()).participants == ["a", "b", "c"]


def test_messages_that_stop_early(made: Round) -> None:
    aggregator = made.aggregator()

    def broken() -> Iterator[bytes]:
        yield from list(made.encrypt(1))[:2]
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        aggregator.add("hospital", broken())
    aggregator.add("hospital", made.encrypt(1))
    assert aggregator.participants == ["hospital"]


def test_arguments_of_other_types(key: cf.SecretKey, made: Round) -> None:
    with pytest.raises(TypeError, match="a PublicKey or a SecretKey is expected, found bytes"):
        cf.Client(made.spec, key.public.to_bytes())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="RoundSpec"):
        cf.Server(key, made.spec)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        cf.KeyHolder(key.public)  # type: ignore[arg-type]


def test_names_and_numbers(made: Round) -> None:
    aggregator = made.aggregator()
    update = made.encrypt(1).to_bytes()
    error = refused(cf.MessageError, "python.ClientNumber", aggregator.add, 2, update)
    assert (error.name, error.expected, error.found) == ("2", 2, 1)
    refused(cf.MessageError, "python.ClientNumber", aggregator.add, "hospital", update, number=0)
    aggregator.add("hospital", update, number=1)
    error = refused(cf.MessageError, "python.ClientName", aggregator.add, "other", update)
    assert (error.client, error.expected, error.found) == (1, "hospital", "other")
    refused(cf.MessageError, "python.ClientNumber", aggregator.add, "hospital", made.encrypt(2))
    refused(cf.MessageError, "python.UnknownName", aggregator.commit, "nobody")
    for wrong in ("", "x" * 256, -1, 2**32):
        refused(cf.ConfigError, "python.Setting", aggregator.add, wrong, update)
    assert aggregator.participants == ["hospital"]


def test_too_few_clients_leave_the_sum_open(made: Round) -> None:
    aggregator = made.aggregator()
    aggregator.add("a", made.encrypt(0))
    error = refused(cf.TooFewClients, "federated.TooFewClients", aggregator.finish)
    assert (error.minimum, error.found, error.absent) == (2, 1, [])
    aggregator.add("b", made.encrypt(1))
    aggregator.finish()
    for late in (aggregator.finish, aggregator.to_bytes, lambda: aggregator.add("c", made.encrypt(2))):
        refused(cf.ConfigError, "python.Finished", late)


def test_a_round_is_opened_once(made: Round) -> None:
    aggregator = made.aggregator()
    for number in range(2):
        aggregator.add(number, made.encrypt(number))
    state = aggregator.to_bytes()
    sums = aggregator.finish()
    first = made.open(sums)
    assert np.array_equal(made.open(sums).values["w"], first.values["w"]), "the same sum may be opened again"
    third = cf.Aggregator.from_bytes(made.spec, made.key, state)
    third.add(2, made.encrypt(2))
    error = refused(cf.AlreadyOpened, "federated.AlreadyOpened", made.open, third.finish())
    assert error.round == made.spec.round


def test_sums_that_were_changed(made: Round) -> None:
    sums = made.sums()
    data, messages = sums.to_bytes(), list(sums)
    server = made.server()
    refused(cf.MessageError, "federated.MissingPart", server.decrypt, messages[:-1])
    refused(cf.MessageError, "federated.MissingPart", made.server().decrypt, [])
    other = made.sums()
    refused(cf.Replayed, "federated.ConflictingMessage", server.decrypt, messages + list(other)[:1])
    with pytest.raises(cf.Error) as caught:
        server.decrypt(data[:-300] + bytes(300))
    assert caught.value.kind in {"federated.AlreadyOpened", "paillier.CiphertextZero", "paillier.Decrypt", "federated.UnusedBits"}
    refused(cf.MessageError, "federated.WrongEnvelope", server.decrypt, list(made.encrypt(0)))


def test_roles_refuse_open_channels_with_a_key_holder(holder_key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=2, round=round_number)
    for role in (cf.Client, cf.Aggregator, cf.Server):
        error = refused(cf.OpenChannel, "federated.OpenChannel", role, spec, holder_key.public)
        assert isinstance(error, cf.ConfigError)
    made = Round(holder_key, spec, [UPDATE] * 2).sealed()
    questions = made.server().mask(made.sums())
    refused(cf.OpenChannel, "federated.OpenChannel", cf.KeyHolder(holder_key).answer, spec, questions)


def test_channels_of_others(key: cf.SecretKey, made: Round) -> None:
    ends = channels(key.session, 1)
    error = refused(cf.ConfigError, "python.ChannelParty", cf.Aggregator, made.spec, key.public, channel=ends["server"])
    assert (error.expected, error.found) == ("aggregator", "server")
    refused(cf.ConfigError, "python.ChannelParty", cf.Client, made.spec, key.public, number=1, channel=ends["client:0"])
    elsewhere = cf.Channel.generate(bytes(16), "aggregator")
    refused(cf.ConfigError, "python.ChannelSession", cf.Aggregator, made.spec, key.public, channel=elsewhere)
    for wrong in ("", "Server", "client", "client:", "client:-1", "client:01", "client:+1", "client:4294967296", "key holder"):
        refused(cf.ConfigError, "python.Party", cf.Channel.generate, key.session, wrong)
    refused(cf.ConfigError, "python.Setting", cf.Channel.generate, b"short", "server")
    refused(cf.ConfigError, "federated.SameParty", ends["server"].add_peer, "server", ends["aggregator"].public_key)
    refused(cf.ConfigError, "federated.BoxPublicKey", ends["server"].add_peer, "client:7", bytes(32))
    refused(cf.ConfigError, "python.Setting", ends["server"].add_peer, "client:7", bytes(31))
    other = cf.Channel.generate(key.session, "aggregator").public_key
    refused(cf.BoxError, "federated.OtherSessionKey", ends["server"].add_peer, "aggregator", other)


def test_boxes_of_unknown_keys(key: cf.SecretKey, made: Round) -> None:
    made.sealed()
    aggregator = made.aggregator()
    outsider = cf.Channel.generate(key.session, "client:0")
    outsider.add_peer("aggregator", made.ends["aggregator"].public_key)
    update = cf.Client(made.spec, key.public, channel=outsider).encrypt(UPDATE)
    error = refused(cf.BoxError, "federated.BoxOpen", aggregator.add, "hospital", update)
    assert (error.from_, error.to) == ("client:0", "aggregator")
    unknown = cf.Channel.generate(key.session, "client:77")
    unknown.add_peer("aggregator", made.ends["aggregator"].public_key)
    update = cf.Client(made.spec, key.public, channel=unknown).encrypt(UPDATE)
    refused(cf.BoxError, "federated.NoKeyExchange", aggregator.add, "hospital", update)
    aggregator.add("hospital", made.encrypt(0))
    assert aggregator.participants == ["hospital"]


def test_parties_with_the_wrong_key(key: cf.SecretKey, holder_key: cf.SecretKey, made: Round) -> None:
    ends = channels(key.session, 0)
    refused(cf.ConfigError, "federated.KeyHolding", cf.Server, made.spec, key.public, channel=ends["server"])
    with_holder = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=2, key=holder_key)
    server = cf.Server(with_holder, holder_key, channel=channels(holder_key.session, 0)["server"])
    refused(cf.ConfigError, "federated.KeyHolding", server.decrypt, [b"x"])
    refused(cf.ConfigError, "python.NotAsked", server.unmask, [])
    refused(cf.ConfigError, "federated.KeyHolding", made.server().mask, made.sums())
    holder = cf.KeyHolder(key, channel=ends["key-holder"])
    refused(cf.ConfigError, "federated.KeyHolding", holder.answer, made.spec, [b"x"])


def test_invalid_answers(holder_key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=2, round=round_number, key=holder_key, chunk_ciphertexts=1)
    made = Round(holder_key, spec, [UPDATE] * 2).sealed()
    server = made.server()
    holder = cf.KeyHolder(holder_key, channel=made.ends["key-holder"])
    answers = list(holder.answer(spec, server.mask(made.sums())))
    refused(cf.MessageError, "federated.MissingPart", server.unmask, answers[:-1])
    broken = answers[-1][:-1] + bytes([answers[-1][-1] ^ 1])
    refused(cf.BoxError, "federated.BoxOpen", server.unmask, [broken])
    # Correct answers are still accepted, also repeated ones.
    assert np.allclose(server.unmask(answers).values["w"], UPDATE["w"], atol=spec.error_bound)
    refused(cf.ConfigError, "python.Finished", server.unmask, answers)


def test_invalid_specifications(made: Round) -> None:
    data = made.spec.to_bytes()
    for cut in range(0, len(data), 7):
        with pytest.raises(cf.Error):
            cf.RoundSpec.from_bytes(data[:cut])
    refused(cf.MessageError, "federated.EncodingVersion", cf.RoundSpec.from_bytes, b"\x63" + data[1:])
    with pytest.raises(cf.Error):
        cf.RoundSpec.from_bytes(data + b"\0")


def test_threads() -> None:
    for wrong in (0, 10**6, -1):
        refused(cf.ConfigError, "python.Setting", cf.set_threads, wrong)
    with pytest.raises(TypeError):
        cf.set_threads(1.5)  # type: ignore[arg-type]


def test_a_plan_for_keys_of_a_stated_length_takes_no_other(key: cf.SecretKey) -> None:
    stated = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=2, key_bits=3072)
    for take in (stated.bind, lambda key: cf.Client(stated, key), lambda key: cf.Aggregator(stated.for_round(1), key)):
        refusal = refused(cf.KeyMismatch, "python.PlanKeyBits", take, key.public)
        assert (refusal.planned, refusal.found) == (3072, 2048)
    refused(
        cf.KeyMismatch, "python.PlanKeyBits", cf.RoundSpec.for_arrays, UPDATE, cf.Quantizer(), max_clients=2, key_bits=3072, key=key
    )
    plan = cf.RoundSpec.for_arrays(UPDATE, cf.Quantizer(), max_clients=2)
    assert (plan.key_bits, plan.bind(key).key_bits) == (3072, 2048)
