"""Whole rounds: the server's results are those of the simulation without cryptography, bit for
bit.
"""

from __future__ import annotations

from typing import Any

import cipherfold as cf
import numpy as np
import pytest
from conftest import CODECS, Round, flat, model, same


@pytest.fixture(params=["open", "sealed", "key holder"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kind: str, key: cf.SecretKey, holder_key: cf.SecretKey, updates: list[Any], codec: Any, **settings: Any) -> Round:
    weights = settings.pop("weights", None)
    settings.setdefault("max_weight", None if weights is None else max(weights))
    spec = cf.RoundSpec.for_arrays(updates[0], codec, max_clients=len(updates), **settings)
    chosen = holder_key if kind == "key holder" else key
    made = Round(chosen, spec, updates, weights)
    return made if kind == "open" else made.sealed()


@pytest.mark.parametrize("weights", [None, [3, 0, 7]])
@pytest.mark.parametrize("chunk", [1, 1024])
def test_rounds_give_what_the_simulation_gives(
    kind: str, key: cf.SecretKey, holder_key: cf.SecretKey, round_number: int, weights: list[int] | None, chunk: int
) -> None:
    updates = [model(seed) for seed in range(3)]
    made = make(kind, key, holder_key, updates, CODECS, weights=weights, round=round_number, chunk_ciphertexts=chunk)
    result = made.run()
    expected = cf.simulate.secure_aggregate(updates, CODECS, weights=weights, in_the_clear=True)
    assert same(result.values, expected.values)
    assert result.weight == expected.weight == (3 if weights is None else 10)
    assert result.participants == [0, 1, 2]
    # They are also the mean and the sum, within the bound.
    counts = np.array([1, 1, 1] if weights is None else weights)
    kernels = [update["layers"][0]["kernel"].clip(-2, 2) for update in updates]
    mean = np.average(kernels, axis=0, weights=counts)
    assert np.abs(result.values["layers"][0]["kernel"] - mean).max() <= made.spec.error_bounds["layers/0/kernel"] + 1e-6
    assert result.values["steps"] == sum(update["steps"] * w for update, w in zip(updates, counts, strict=True))
    assert result.values["steps"].dtype == np.int64 and result.values["steps"].shape == ()
    assert result.values["layers"][1]["kernel"].dtype == np.float32
    assert result.values["empty"].shape == (0, 4)


def test_a_round_reports_its_costs(key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(np.zeros(100_000), cf.Quantizer(), max_clients=2, round=round_number, key=key)
    result = Round(key, spec, [np.zeros(100_000)] * 2).run()
    report = result.report
    assert (report.clients, report.values, report.ciphertexts) == (2, 100_000, spec.ciphertexts)
    assert spec.nbytes < report.bytes < spec.nbytes + 200 * spec.messages and report.seconds > 0
    assert str(report).startswith("1 sum of 2 updates opened, 0 single updates\n")
    assert result.values.tobytes() == np.zeros(100_000).tobytes()
    assert result.values.flags.owndata or result.values.base is not None


def test_a_plan_has_the_sizes_before_there_is_a_key(key: cf.SecretKey) -> None:
    arrays = {"w": np.zeros((1000, 1000), np.float32), "b": np.zeros(1000, np.float32)}
    plan = cf.RoundSpec.for_arrays(arrays, cf.Quantizer(), max_clients=100, key_bits=2048)
    assert (plan.values, plan.ciphertexts, plan.is_bound) == (1_001_000, 11_248, False)
    assert plan.bytes_per_value < 5.8 and plan.round_nbytes == 100 * plan.nbytes
    assert plan.error_bound == pytest.approx(1 / (2**16 - 2)) and plan.names == ["w", "b"]
    assert plan.key_holder is None and plan.max_weight is None
    assert plan.time(encryptions=1124.8, additions=1e30, decryptions=11248).client == pytest.approx(10)
    bound = plan.bind(key)
    assert bound.is_bound and bound.bind(key.public) == bound and bound.digest() == plan.digest(key.public)
    assert cf.RoundSpec.from_bytes(bound.to_bytes()) == bound != plan
    assert bound.for_round(3).round == 3 and bound.for_round(3) != bound
    assert cf.RoundSpec.for_arrays(arrays, cf.Quantizer(), max_clients=100, key=key) == bound


def test_names_of_a_mapping_come_in_any_order(key: cf.SecretKey, round_number: int) -> None:
    first = {"a": np.ones(3), "b": {"c": np.full(2, 0.5), "d": np.zeros(1)}}
    second = {"b": {"d": np.zeros(1), "c": np.full(2, 0.5)}, "a": np.ones(3)}
    spec = cf.RoundSpec.for_arrays(first, cf.Quantizer(), max_clients=2, round=round_number)
    result = Round(key, spec, [first, second]).run()
    assert list(result.values) == ["a", "b"] and list(result.values["b"]) == ["c", "d"]
    assert np.allclose(result.values["b"]["c"], 0.5, atol=spec.error_bound)


def test_messages_one_by_one_in_any_order_and_again(key: cf.SecretKey, round_number: int) -> None:
    updates = [np.linspace(-1, 1, 500)] * 2
    spec = cf.RoundSpec.for_arrays(updates[0], cf.Quantizer(), max_clients=3, round=round_number, chunk_ciphertexts=1)
    made = Round(key, spec, updates)
    aggregator = made.aggregator()
    aggregator.add("first", made.encrypt(0))
    messages = list(made.encrypt(1))
    for left, message in reversed(list(enumerate(messages))):
        assert aggregator.accept("second", message) == left
        assert aggregator.accept("second", bytearray(message)) == left
    assert aggregator.participants == ["first"]
    # A third client does not send all of its messages.
    aggregator.accept("third", next(iter(cf.Client(spec, key.public, number=2).encrypt(updates[0]))))
    with pytest.raises(cf.MessageError) as caught:
        aggregator.commit("third")
    assert caught.value.kind == "federated.IncompleteUpdate" and caught.value.missing == len(messages) - 1
    assert aggregator.discard("third") and not aggregator.discard("third")
    aggregator.commit("second")
    result = made.open(aggregator.finish())
    assert result.participants == ["first", "second"]
    assert np.allclose(result.values, updates[0], atol=spec.error_bound)


def test_an_aggregator_continues_in_another_process(
    kind: str, key: cf.SecretKey, holder_key: cf.SecretKey, round_number: int
) -> None:
    updates = [np.full(300, 0.25), np.full(300, 0.75)]
    made = make(kind, key, holder_key, updates, cf.Quantizer(), round=round_number, chunk_ciphertexts=2)
    aggregator = made.aggregator()
    aggregator.add("north", made.encrypt(0))
    messages = list(made.encrypt(1))
    aggregator.accept("south", messages[0])
    state = aggregator.to_bytes()
    again = cf.Aggregator.from_bytes(made.spec, made.key.public, state, channel=made.ends.get("aggregator"))
    assert again.participants == ["north"]
    assert again.accept("south", messages[1]) == len(messages) - 2
    again.add("south", messages)
    sums = again.finish()
    assert sums.participants == ["north", "south"]
    assert np.allclose(made.open(sums).values, 0.5, atol=made.spec.error_bound)


def test_everything_travels_as_bytes(kind: str, key: cf.SecretKey, holder_key: cf.SecretKey, round_number: int) -> None:
    updates = [np.full(300, 0.25), np.full(300, 0.75)]
    made = make(kind, key, holder_key, updates, cf.Quantizer(), round=round_number, chunk_ciphertexts=2)
    made.spec = cf.RoundSpec.from_bytes(made.spec.bind(made.key).to_bytes())
    public = cf.PublicKey.from_bytes(made.key.public.to_bytes(), made.key.public.pin)
    aggregator = cf.Aggregator(made.spec, public, channel=made.ends.get("aggregator"))
    for number, name in enumerate(["north", "süd"]):
        client = cf.Client(made.spec, public, number=number, channel=made.ends.get(f"client:{number}"), pin=public.pin)
        data = client.encrypt(updates[number]).to_bytes()
        if number:
            aggregator.add(name, memoryview(data))
        else:
            aggregator.add(name, cf.EncryptedUpdate.from_bytes(bytearray(data)))
    sums = aggregator.finish().to_bytes()
    server = cf.Server(made.spec, public if kind == "key holder" else made.key, channel=made.ends.get("server"))
    if kind == "key holder":
        questions = server.mask(sums).to_bytes()
        assert server.mask(sums).to_bytes() == questions, "the same sum gives the same questions"
        answers = cf.KeyHolder(made.key, channel=made.ends["key-holder"]).answer(made.spec, questions)
        result = server.unmask(cf.Answers.from_bytes(answers.to_bytes()))
    else:
        result = server.decrypt(cf.EncryptedSum.from_bytes(sums))
    assert result.participants == ["north", "süd"]
    assert np.allclose(result.values, 0.5, atol=made.spec.error_bound)


def test_a_sum_for_a_server_in_the_same_process(holder_key: cf.SecretKey, round_number: int) -> None:
    """Aggregator and server in one program, which makes and opens the boxes between them."""
    updates = [np.full(300, 0.25), np.full(300, 0.75)]
    spec = cf.RoundSpec.for_arrays(updates[0], cf.Quantizer(), max_clients=2, round=round_number)
    session = holder_key.session
    at_aggregator = cf.Channel.generate(session, "aggregator")
    at_server, at_holder = cf.Channel.generate(session, "server"), cf.Channel.generate(session, "key-holder")
    at_server.add_peer("key-holder", at_holder.public_key)
    at_holder.add_peer("server", at_server.public_key)
    aggregator = cf.Aggregator(spec, holder_key.public, channel=at_aggregator)
    for number, update in enumerate(updates):
        at_client = cf.Channel.generate(session, f"client:{number}")
        at_client.add_peer("aggregator", at_aggregator.public_key)
        at_aggregator.add_peer(f"client:{number}", at_client.public_key)
        aggregator.add(number, cf.Client(spec, holder_key.public, channel=at_client).encrypt(update))
    sums = aggregator.finish()
    with pytest.raises(cf.ConfigError) as caught:
        sums.to_bytes()
    assert caught.value.kind == "python.LocalSum"
    server = cf.Server(spec, holder_key.public, key_holder_channel=at_server)
    answers = cf.KeyHolder(holder_key, channel=at_holder).answer(spec, server.mask(sums))
    assert np.allclose(server.unmask(answers).values, 0.5, atol=spec.error_bound)


def test_keys_are_announced_under_identities_of_a_roster(round_number: int) -> None:
    parties = {"North": "client:0", "South": "client:1", "Alliance": "aggregator", "University": "server", "Notary": "key-holder"}
    identities = {party: cf.Identity.generate() for party in parties.values()}
    roster = cf.Roster({name: (party, identities[party].public) for name, party in parties.items()})
    assert cf.Roster.from_bytes(roster.to_bytes()) == roster and len(roster) == 5
    key = cf.SecretKey.generate(bits=2048, key_holder=True, roster=roster)
    assert key.public.roster == roster.digest
    ends = {party: cf.Channel.generate(key.session, party) for party in identities}
    announced = {party: end.announce(identities[party]) for party, end in ends.items()}
    for party, end in ends.items():
        for other in ends:
            if other != party:
                end.add_announcement(other, announced[other], roster)
    with pytest.raises(cf.BoxError) as caught:
        ends["server"].add_announcement("aggregator", ends["aggregator"].announce(cf.Identity.generate()), roster)
    assert caught.value.kind == "federated.AnnouncementSignature" and caught.value.party == "aggregator"
    updates = [np.arange(10), np.arange(10)]
    spec = cf.RoundSpec.for_arrays(updates[0], cf.Integers(max=9), max_clients=2, round=round_number)
    result = Round(key, spec, updates, ends=ends).run()
    assert result.values.tolist() == [2 * value for value in range(10)]


def test_short_exponents_and_threads_change_no_result(key: cf.SecretKey, round_number: int) -> None:
    updates = [np.linspace(-1, 1, 1000)] * 2
    spec = cf.RoundSpec.for_arrays(updates[0], cf.Quantizer(), max_clients=2, round=round_number)
    short = key.public.with_short_exponents()
    assert short.short_exponents and not key.public.short_exponents and short.pin == key.public.pin
    aggregator = cf.Aggregator(spec, key.public, threads=2)
    aggregator.add("a", cf.Client(spec, short, threads=1).encrypt(updates[0]))
    aggregator.add("b", cf.Client(spec, key.public, threads=2).encrypt(updates[1]))
    values = cf.Server(spec, key, threads=1).decrypt(aggregator.finish()).values
    assert same(values, cf.simulate.secure_mean(updates, in_the_clear=True).values)


def test_sums_of_integers_have_the_type_that_all_sums_fit(key: cf.SecretKey, round_number: int) -> None:
    codecs: dict[str, Any] = {
        "small": cf.Integers(max=2**32 - 1),
        "signed": cf.Integers(max=2**61, min=-(2**61)),
        "unsigned": cf.Integers(max=2**62),
        "huge": cf.Integers(max=2**64 - 1),
        "modular": cf.Modular(97),
        "symmetric": cf.Modular(4, symmetric=True),
    }
    update = {
        "small": np.array([2**32 - 1], np.uint32),
        "signed": np.array([-(2**61)], np.int64),
        "unsigned": np.array([2**62], np.uint64),
        "huge": np.array([2**64 - 1], np.uint64),
        "modular": np.array([96], np.int64),
        "symmetric": np.array([3], np.int8),
    }
    spec = cf.RoundSpec.for_arrays(update, codecs, max_clients=3, round=round_number)
    values = Round(key, spec, [update] * 3).run().values
    assert {name: array.dtype for name, array in values.items()} == {
        "small": np.uint64,
        "signed": np.int64,
        "unsigned": np.uint64,
        "huge": object,
        "modular": np.int64,
        "symmetric": np.int64,
    }
    sums = {name: array.item() for name, array in values.items()}
    assert sums == {
        "small": 3 * (2**32 - 1),
        "signed": -3 * 2**61,
        "unsigned": 3 * 2**62,
        "huge": 3 * (2**64 - 1),
        "modular": 3 * 96 % 97,
        "symmetric": 2,
    }


def test_clipped_values_are_counted_at_the_client_alone(key: cf.SecretKey, round_number: int) -> None:
    update = np.array([0.5, 3.0, -4.0, 1.0])
    spec = cf.RoundSpec.for_arrays(update, cf.Quantizer(clip=1.0), max_clients=2, round=round_number)
    encrypted = cf.Client(spec, key.public).encrypt(update)
    assert encrypted.clipped == 0
    encrypted.to_bytes()
    assert encrypted.clipped == 2


def test_an_update_is_encrypted_once(key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(np.zeros(10), cf.Quantizer(), max_clients=2, round=round_number)
    encrypted = cf.Client(spec, key.public).encrypt(np.zeros(10))
    assert len(encrypted) == len(list(encrypted)) == 1
    for again in (encrypted.to_bytes, lambda: list(encrypted)):
        with pytest.raises(cf.UpdateError) as caught:
            again()
        assert caught.value.kind == "python.Spent"
    read = cf.EncryptedUpdate.from_bytes(cf.Client(spec, key.public).encrypt(np.zeros(10)).to_bytes())
    assert list(read) == list(read) and read.client is None


def test_ciphertexts_are_never_the_same(key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(
        np.zeros(2000), cf.Quantizer(), max_clients=2, round=round_number, chunk_ciphertexts=1, key=key
    )
    client = cf.Client(spec, key.public, number=1)
    messages = [message for _ in range(3) for message in client.encrypt(np.zeros(2000))]
    assert len(set(messages)) == len(messages) == 3 * spec.messages


def test_values_of_zero_clients_are_none(key: cf.SecretKey, round_number: int) -> None:
    update: dict[str, Any] = {"empty": np.zeros((3, 0))}
    spec = cf.RoundSpec.for_arrays(update, cf.Quantizer(), max_clients=2, max_weight=5, round=round_number)
    result = Round(key, spec, [update] * 2, weights=[2, 5]).run()
    assert flat(result.values)[0].shape == (3, 0) and result.weight == 7
