"""Rounds end to end: clients, ServerApp and key holder, over a grid without processes."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import cipherfold as cf
import cipherfold.flower as cff
import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.mod import fixedclipping_mod
from flwr.serverapp import strategy as flower
from harness import HOLDER, Arrays, FakeGrid, arrays, client_app, node, nodes, record

MODEL: Arrays = {"layer.weight": np.linspace(-2, 2, 60, dtype=np.float32).reshape(5, 12), "bias": np.zeros(3, np.float32)}
CLIENTS = 5


def drift(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
    """Simulates training: each client changes each weight differently, by less than 1."""
    random = np.random.default_rng(client)
    moved = {name: (array + random.uniform(-0.9, 0.9, array.shape)).astype(array.dtype) for name, array in model.items()}
    return moved, {"num-examples": 10 * client + 1, "loss": 0.25 * client}


def run(
    grid: FakeGrid, strategy: flower.Strategy | None = None, *, rounds: int = 1, model: Arrays = MODEL, **options: Any
) -> Arrays:
    """The strategy's final arrays."""
    options.setdefault("max_weight", 100)
    options.setdefault("node_timeout", 5.0)
    strategy = flower.FedAvg(fraction_evaluate=0.0) if strategy is None else strategy
    secure = cff.SecureAggregation(strategy, **options)
    return arrays(secure.start(grid, record(model), num_rounds=rounds, timeout=5.0).arrays)


def plain(strategy: flower.Strategy, *, rounds: int = 1, train: Any = drift) -> Arrays:
    """The final arrays without encryption."""
    app = client_app(train, mods=[])
    grid = FakeGrid({number: node(app, number, partition_id=number) for number in range(CLIENTS)})
    return arrays(strategy.start(grid, record(MODEL), num_rounds=rounds, timeout=5.0).arrays)


def assert_close(found: Arrays, expected: Arrays, bound: float) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=0, atol=bound)


@pytest.fixture
def grid(tmp_path: Path) -> FakeGrid:
    return FakeGrid(nodes(client_app(drift), CLIENTS, tmp_path))


def fed_avg(**options: Any) -> flower.FedAvg:
    return flower.FedAvg(fraction_evaluate=0.0, **options)


# Half a step of 2/65535, and the rounding of float32 on both sides.
BOUND = 1 / 65535 + 1e-6


@pytest.mark.parametrize("topology", ["key-holder", "aggregator-node"])
def test_the_mean_is_that_of_plain_averaging(grid: FakeGrid, topology: str) -> None:
    assert_close(run(grid, topology=topology), plain(fed_avg()), BOUND)


@pytest.mark.parametrize(
    "kind", [flower.FedAvg, flower.FedAvgM, flower.FedProx, flower.FedAdam, flower.FedAdagrad, flower.FedYogi]
)
def test_strategies_that_use_the_mean_work_unchanged(grid: FakeGrid, kind: type[flower.FedAvg]) -> None:
    options: dict[str, Any] = {"fraction_evaluate": 0.0}
    if kind is flower.FedProx:
        options["proximal_mu"] = 0.1
    if kind is flower.FedAvgM:
        options["server_momentum"] = 0.5
    # Adam and Yogi divide by the root of small numbers, which makes a small difference larger.
    bound = 20 * BOUND if issubclass(kind, flower.FedAdam | flower.FedYogi | flower.FedAdagrad) else 3 * BOUND
    assert_close(run(grid, kind(**options), rounds=2), plain(kind(**options), rounds=2), bound)


def test_an_app_may_empty_the_arrays_that_it_gets(tmp_path: Path) -> None:
    """Like Flower's `to_torch_state_dict(keep_input=False)`."""
    app = client_app(drift)

    @app.train("emptying")
    def train(message: Message, context: Context) -> Message:
        model = dict(zip(MODEL, message.content["arrays"].to_numpy_ndarrays(keep_input=False), strict=True))
        assert not message.content["arrays"]
        trained, metrics = drift(model, int(context.node_config["partition-id"]))
        return Message(RecordDict({"arrays": record(trained), "metrics": MetricRecord(dict(metrics))}), reply_to=message)

    class Emptying(flower.FedAvg):
        def configure_train(self, *arguments: Any) -> list[Message]:
            messages = super().configure_train(*arguments)
            return [Message(m.content, m.metadata.dst_node_id, "train.emptying") for m in messages]

    found = run(FakeGrid(nodes(app, CLIENTS, tmp_path)), Emptying(fraction_evaluate=0.0))
    assert_close(found, plain(fed_avg()), BOUND)


def test_all_clients_count_the_same_without_weights(grid: FakeGrid) -> None:
    expected = {name: np.mean([drift(MODEL, client)[0][name] for client in range(CLIENTS)], axis=0) for name in MODEL}
    assert_close(run(grid, max_weight=None), {name: array.astype(np.float32) for name, array in expected.items()}, BOUND)


def test_one_reply_is_held_at_a_time(grid: FakeGrid) -> None:
    """Therefore the ServerApp's memory does not grow with the number of clients."""
    earlier: list[weakref.ref[Message]] = []

    def check(reply: Message) -> None:
        if reply.metadata.message_type == "train":
            gc.collect()
            assert not any(held() for held in earlier)
            earlier.extend([weakref.ref(reply), weakref.ref(reply.content["cipherfold.ciphertexts"])])

    grid.on_reply = check
    run(grid)
    assert len(earlier) == 2 * CLIENTS


def test_the_log_says_what_was_opened(grid: FakeGrid, logged: pytest.LogCaptureFixture) -> None:
    run(grid)
    assert "1 sum of 5 updates opened, 0 single updates; 0 % of their values clipped;" in logged.text
    assert "MB received; 0 dropped out" in logged.text


def test_only_the_share_of_clipped_values_of_all_clients_is_known(grid: FakeGrid, logged: pytest.LogCaptureFixture) -> None:
    moved = [np.concatenate([(drift(MODEL, c)[0][n] - MODEL[n]).ravel() for n in MODEL]) for c in range(CLIENTS)]
    expected = [int((np.abs(move) > 0.5).sum()) for move in moved]
    run(grid, clip=0.5, max_weight=None)
    values = sum(array.size for array in MODEL.values())
    assert f"opened, 0 single updates; {100 * sum(expected) / (5 * values):.3g} % of their values clipped" in logged.text
    for count in expected:  # in each client's own log
        assert f"{count} of them were clipped" in logged.text


def test_clients_drop_out_if_clipping_is_not_allowed(grid: FakeGrid, logged: pytest.LogCaptureFixture) -> None:
    with pytest.raises(cf.TooFewClients) as raised:
        run(grid, clip=0.5, allow_clipping=False)
    assert raised.value.found == 0
    replies = [line for line in logged.messages if "is not in the sum" in line]
    assert len(replies) == CLIENTS
    assert all("does not fit the declared round" in line for line in replies)
    assert not any("outside" in line for line in replies), "the number of values outside stays at the node"


def test_a_metric_is_averaged_inside_the_encryption(grid: FakeGrid) -> None:
    secure = cff.SecureAggregation(fed_avg(), max_weight=100, metrics={"loss": (0.0, 2.0)}, node_timeout=5.0)
    result = secure.start(grid, record(MODEL), num_rounds=1, timeout=5.0)
    weights = np.array([10 * client + 1 for client in range(CLIENTS)])
    expected = (weights * 0.25 * np.arange(CLIENTS)).sum() / weights.sum()
    assert result.train_metrics_clientapp[1]["loss"] == pytest.approx(expected, abs=2e-7)


def test_only_ciphertexts_and_settings_leave_a_node(tmp_path: Path) -> None:
    seen = []
    app = client_app(drift)
    grid = FakeGrid(nodes(app, CLIENTS, tmp_path), on_reply=lambda reply: seen.append(reply.content.copy()))
    run(grid)
    trained = [content for content in seen if "number" in content.get("cipherfold", {})]
    assert len(trained) == CLIENTS
    for content in trained:
        assert set(content) == {"cipherfold", "cipherfold.ciphertexts"}
        assert set(content["cipherfold"]) == {"version", "number", "round", "channel-key"}


def test_metrics_that_the_app_keeps_are_averaged(tmp_path: Path) -> None:
    app = client_app(drift, mods=[cff.SecureAggregationMod(keep_metrics=["loss"])])
    secure = cff.SecureAggregation(fed_avg(), max_weight=100, node_timeout=5.0)
    result = secure.start(FakeGrid(nodes(app, CLIENTS, tmp_path)), record(MODEL), num_rounds=1, timeout=5.0)
    assert result.train_metrics_clientapp[1]["loss"] == pytest.approx(0.5)


@pytest.mark.parametrize("topology", ["key-holder", "aggregator-node"])
def test_a_round_continues_without_a_client_that_has_stopped(
    grid: FakeGrid, topology: str, logged: pytest.LogCaptureFixture
) -> None:
    grid.nodes[2].silent = True
    secure = cff.SecureAggregation(fed_avg(), max_weight=100, min_clients=4, topology=topology, node_id=None, node_timeout=5.0)
    secure_grid = secure.secure_grid(grid)
    grid.nodes[2].silent = False
    assert sorted(secure_grid.get_node_ids()) == list(range(CLIENTS))
    grid.nodes[2].silent = True  # does not answer after it was asked for its role
    found = arrays(secure.strategy.start(secure_grid, record(MODEL), num_rounds=1, timeout=1.0).arrays)
    rest = [client for client in range(CLIENTS) if client != 2]
    weights = np.array([10 * client + 1 for client in rest], float)
    expected = {
        name: np.average([drift(MODEL, client)[0][name] for client in rest], axis=0, weights=weights).astype(np.float32)
        for name in MODEL
    }
    assert_close(found, expected, BOUND)
    assert "node 2 is not in the sum: did not reply in time" in logged.text
    assert "1 sum of 4 updates opened, 0 single updates" in logged.text
    assert "1 dropped out" in logged.text


def test_a_node_that_does_not_answer_for_its_role_delays_no_other_node(grid: FakeGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cipherfold.flower.server.directory._ROLE_TIMEOUT", 0.2)
    grid.nodes[2].silent = True
    secure_grid = cff.SecureAggregation(fed_avg(), max_weight=100, node_timeout=5.0).secure_grid(grid)
    assert sorted(secure_grid.get_node_ids()) == [0, 1, 3, 4]
    asked = len(grid.sent)
    monkeypatch.setattr("cipherfold.flower.server.directory._ROLE_TIMEOUT", 600.0)
    assert sorted(secure_grid.get_node_ids()) == [0, 1, 3, 4]  # at once
    grid.nodes[2].silent = False
    assert sorted(secure_grid.get_node_ids()) == [0, 1, 2, 3, 4]
    assert len(grid.sent) == asked, "each node is asked once"


def test_below_the_minimum_nothing_is_opened(grid: FakeGrid) -> None:
    secure = cff.SecureAggregation(fed_avg(), max_weight=100, min_clients=4, node_timeout=5.0)
    secure_grid = secure.secure_grid(grid)
    list(secure_grid.get_node_ids())
    for number in (1, 2):
        grid.nodes[number].silent = True
    with pytest.raises(cf.TooFewClients) as raised:
        secure.strategy.start(secure_grid, record(MODEL), num_rounds=1, timeout=1.0)
    assert (raised.value.minimum, raised.value.found) == (4, 3)
    assert not grid.of_type("query.cipherfold_decrypt")


def wrong(kind: str) -> Any:
    """Training that fails at client 1."""

    def train(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
        moved, metrics = drift(model, client)
        if client == 1:
            if kind == "raises":
                raise ValueError("patient 4711 has a value of 3.25")
            if kind == "nan":
                moved["bias"][0] = np.nan
            if kind == "shape":
                moved["bias"] = np.zeros(4711, np.float32)
            if kind == "name":
                moved["patient-4711"] = moved.pop("bias")
            if kind == "weight":
                metrics["num-examples"] = 4711
            if kind == "no weight":
                del metrics["num-examples"]
        return moved, metrics

    return train


@pytest.mark.parametrize("kind", ["raises", "nan", "shape", "name", "weight", "no weight"])
def test_errors_at_a_client_reveal_no_data(kind: str, tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    replies = []
    app = client_app(wrong(kind))
    grid = FakeGrid(nodes(app, CLIENTS, tmp_path), on_reply=replies.append)
    run(grid)
    errors = [reply.error.reason for reply in replies if reply.has_error()]
    assert len(errors) == 1
    for secret in ("4711", "3.25", "bias", "nan"):
        assert secret not in errors[0]
    assert "1 sum of 4 updates opened, 0 single updates" in logged.text


def test_other_types_are_averaged_as_flower_does(tmp_path: Path) -> None:
    model = {
        "half": np.linspace(-1, 1, 8, dtype=np.float16),
        "double": np.linspace(-1, 1, 8),
        "batches": np.array(5, np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }

    def train(given: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
        moved = {name: array + np.float16(0.125) * client for name, array in given.items() if name != "batches"}
        return {**moved, "batches": np.asarray(given["batches"] + client)}, {"num-examples": 1}

    found = run(
        FakeGrid(nodes(client_app(train), CLIENTS, tmp_path)),
        model=model,
        clip={"batches": cf.Quantizer(lower=0.0, upper=100.0, bits=20), "*": 1.0},
    )
    assert {name: str(array.dtype) for name, array in found.items()} == {
        "half": "float16", "double": "float64", "batches": "float64", "empty": "float32"
    }  # fmt: skip
    assert float(found["batches"]) == pytest.approx(7.0, abs=1e-4)
    np.testing.assert_allclose(found["double"], model["double"] + 0.25, atol=2e-5)
    np.testing.assert_allclose(found["half"], model["half"] + 0.25, atol=2e-3)


@pytest.mark.parametrize(("setting", "options"), [("min_clients", {"min_clients": 6}), ("max_clients", {"max_clients": 4})])
def test_a_sample_that_does_not_fit_the_round_is_refused(grid: FakeGrid, setting: str, options: dict[str, int]) -> None:
    with pytest.raises(cff.SettingError, match="has sampled 5 nodes") as raised:
        run(grid, **options)
    assert raised.value.setting == setting
    assert not grid.of_type("train")


def test_integers_need_their_own_range(grid: FakeGrid) -> None:
    """A counter of batches would be clipped to ±1 without an error."""
    model = MODEL | {"bn.num_batches_tracked": np.array(5, np.int64)}
    with pytest.raises(cff.SettingError, match="num_batches_tracked"):
        run(grid, model=model)
    with pytest.raises(cff.SettingError, match="no pattern matches the array `bias`"):
        run(grid, clip={"layer.*": 1.0})


def test_arrays_are_sent_as_they_are_if_the_app_requests_it(tmp_path: Path) -> None:
    def train(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
        return {"adapter": np.full((2, 2), 0.1 * client, np.float32)}, {"num-examples": 1}

    found = run(
        FakeGrid(nodes(client_app(train), CLIENTS, tmp_path)),
        send="as-is",
        structure=record({"adapter": np.zeros((2, 2), np.float32)}),
    )
    np.testing.assert_allclose(found["adapter"], 0.2, atol=2e-5)


def test_clients_of_other_mods_see_plain_arrays(tmp_path: Path) -> None:
    """Flower's client-side clipping expects one ConfigRecord and clips what it sees."""
    app = client_app(drift, mods=[cff.SecureAggregationMod(), fixedclipping_mod])
    inner = flower.DifferentialPrivacyClientSideFixedClipping(
        fed_avg(), noise_multiplier=0.0, clipping_norm=0.5, num_sampled_clients=CLIENTS
    )
    found = run(FakeGrid(nodes(app, CLIENTS, tmp_path)), inner)
    moved = np.concatenate([(found[name] - MODEL[name]).ravel() for name in MODEL])
    assert 0 < np.linalg.norm(moved) <= 0.5 + 1e-3


def test_rounds_of_one_key_have_different_numbers_also_over_runs(grid: FakeGrid) -> None:
    run(grid, rounds=2)
    run(grid, rounds=1)
    specs = [
        cf.RoundSpec.from_bytes(message.content["cipherfold"]["spec"]).round
        for message in grid.of_type("query.cipherfold_decrypt")
    ]
    assert len(set(specs)) == 3


def test_nodes_with_a_role_do_not_train(grid: FakeGrid) -> None:
    run(grid)
    assert {message.metadata.dst_node_id for message in grid.of_type("train")} == set(range(CLIENTS))


@pytest.mark.parametrize("topology", ["key-holder", "aggregator-node"])
def test_evaluation_can_be_a_secure_round(grid: FakeGrid, topology: str, logged: pytest.LogCaptureFixture) -> None:
    replies: list[Message] = []
    grid.on_reply = replies.append
    secure = cff.SecureAggregation(
        flower.FedAvg(),
        max_weight=100,
        evaluate_metrics={"accuracy": (0.0, 1.0)},
        topology=topology,
        node_timeout=5.0,
    )
    result = secure.start(grid, record(MODEL), num_rounds=2, timeout=5.0)
    assert dict(result.evaluate_metrics_clientapp[2]) == {"accuracy": pytest.approx(0.5, abs=1e-6)}
    evaluated = [reply for reply in replies if reply.metadata.message_type == "evaluate"]
    assert len(evaluated) == 2 * CLIENTS
    assert all(set(reply.content) == {"cipherfold", "cipherfold.ciphertexts"} for reply in evaluated)
    assert logged.text.count("1 sum of 5 evaluations opened, 0 single evaluations") == 2
    assert "IN THE CLEAR" not in logged.text


def test_evaluation_passes(grid: FakeGrid, logged: pytest.LogCaptureFixture) -> None:
    secure = cff.SecureAggregation(flower.FedAvg(), max_weight=100, node_timeout=5.0)
    result = secure.start(grid, record(MODEL), num_rounds=1, timeout=5.0)
    assert result.evaluate_metrics_clientapp[1]["accuracy"] == pytest.approx(0.5)
    assert {message.metadata.dst_node_id for message in grid.of_type("evaluate")} == set(range(CLIENTS))
    assert "IN THE CLEAR" in logged.text


def test_no_node_with_the_role_is_an_error(grid: FakeGrid) -> None:
    del grid.nodes[HOLDER]
    with pytest.raises(cff.NodeUnavailable, match="cipherfold-role"):
        run(grid, node_timeout=1.0)


def test_a_strategy_that_takes_ciphertexts_for_weights_fails(tmp_path: Path) -> None:
    """Flower's own arrays raise an error, so ciphertexts are not averaged by mistake."""
    held = []

    def hold(reply: Message) -> None:
        if reply.metadata.message_type == "train":
            content = {name: ArrayRecord(dict(r)) if isinstance(r, ArrayRecord) else r for name, r in reply.content.items()}
            held.append(Message(RecordDict(content), metadata=reply.metadata))

    app = client_app(drift, mods=[cff.SecureAggregationMod(keep_metrics=["num-examples"])])
    run(FakeGrid(nodes(app, CLIENTS, tmp_path), on_reply=hold))
    assert len(held) == CLIENTS
    with pytest.raises(TypeError, match=r"cipherfold\.batch\.v1"):
        fed_avg().aggregate_train(1, held)
