"""The requirements and refusals of nodes: pins, limits, roles, and invalid messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cipherfold as cf
import cipherfold.flower as cff
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import strategy as flower
from harness import AGGREGATOR, HOLDER, Arrays, FakeGrid, arrays, client_app, delivered, node, nodes, record

MODEL: Arrays = {"w": np.zeros(20, np.float32)}


def train(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
    return {"w": model["w"] + np.float32(0.1) * client}, {"num-examples": 1, "loss": 1.0}


def start(grid: FakeGrid, *, rounds: int = 1, **options: Any) -> Arrays:
    options = {"max_weight": 10, "node_timeout": 5.0, **options}
    secure = cff.SecureAggregation(flower.FedAvg(fraction_evaluate=0.0), **options)
    return arrays(secure.start(grid, record(MODEL), num_rounds=rounds, timeout=2.0).arrays)


def make_grid(tmp_path: Path, clients: int = 3, **config: Any) -> FakeGrid:
    return FakeGrid(nodes(client_app(train), clients, tmp_path, **config))


def errors(grid: FakeGrid, **options: Any) -> list[str]:
    """The clients' replies to a round that all of them refuse."""
    replies: list[Message] = []
    grid.on_reply = replies.append
    with pytest.raises(cf.TooFewClients):
        start(grid, **options)
    return [str(r.error.reason) for r in replies if r.has_error() and r.metadata.message_type == "train"]


def pin_of(tmp_path: Path) -> str:
    """The pin of the key holder's key, from its owner."""
    from cipherfold.flower.node.key_holder import make_key

    folder = tmp_path / "key-holder"
    folder.mkdir(mode=0o700)
    return make_key(folder, 2048).public.pin


def test_the_pinned_key_is_used(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    pin = pin_of(tmp_path)
    np.testing.assert_allclose(start(make_grid(tmp_path, cipherfold_pin=pin), pin=pin)["w"], 0.1, atol=1e-4)
    assert "NO KEY IS PINNED" not in logged.text
    assert "no key is pinned" not in logged.text


def test_another_key_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    reasons = errors(make_grid(tmp_path, cipherfold_pin="ab" * 32))
    assert len(reasons) == 3
    with pytest.raises(cf.PinMismatch):
        start(make_grid(tmp_path), pin="ab" * 32)


def test_the_first_key_is_remembered_in_a_file(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    grid = make_grid(tmp_path)
    for number in range(3):
        grid.nodes[number].context.node_config["cipherfold-state"] = str(tmp_path / f"client-{number}")
    start(grid, rounds=2)
    assert logged.text.count("NO KEY IS PINNED") == 3
    pins = {(tmp_path / f"client-{number}" / "pin").read_text() for number in range(3)}
    assert len(pins) == 1
    # Another key, in another run.
    for file in (tmp_path / "key-holder").iterdir():
        file.unlink()
    for number in range(3):
        grid.nodes[number].context.state.clear()
    assert len(errors(grid)) == 3


def test_without_a_folder_the_first_key_is_remembered_for_the_run(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    start(grid)
    for file in (tmp_path / "key-holder").iterdir():
        file.unlink()
    assert len(errors(grid)) == 3
    for number in range(3):
        grid.nodes[number].context.state.clear()
    start(grid)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"cipherfold_min_clients": 3}, "this node asks for 3"),
        ({"cipherfold_min_key_bits": 3072}, "this node asks for 3072"),
        ({"cipherfold_topology": "aggregator-node"}, "this node asks for aggregator-node"),
        ({"cipherfold_pins": "typo"}, "the node's log has the details"),
        ({"cipherfold_pin": "0123"}, "the node's log has the details"),
        ({"cipherfold_min_clients": "many"}, "the node's log has the details"),
        ({"cipherfold_allow_clipping": 1}, "the node's log has the details"),
        ({"cipherfold_number": 1.5}, "the node's log has the details"),
    ],
)
def test_rounds_against_the_settings_of_a_node_are_refused(
    config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    reasons = errors(make_grid(tmp_path, **config), min_clients=2)
    assert len(reasons) == 3
    assert all(reason in found for found in reasons)


def test_a_node_may_forbid_clipping(tmp_path: Path) -> None:
    def large(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
        return {"w": model["w"] + 2}, {"num-examples": 1}

    grid = FakeGrid(nodes(client_app(large), 3, tmp_path, cipherfold_allow_clipping=False))
    assert len(errors(grid)) == 3


def test_a_train_message_without_a_round_is_refused(tmp_path: Path) -> None:
    """The app does not run either: a coordinator cannot get plain updates by omitting the
    wrapper.
    """
    ran = []

    def noting(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
        ran.append(client)
        return train(model, client)

    grid = FakeGrid({number: node(client_app(noting), number, partition_id=number) for number in range(3)})
    replies: list[Message] = []
    grid.on_reply = replies.append
    flower.FedAvg(fraction_evaluate=0.0).start(grid, record(MODEL), num_rounds=1, timeout=1.0)
    assert not ran
    assert all("declares no round" in str(reply.error.reason) for reply in replies)


def forged(change: Callable[[ConfigRecord], object]) -> type[FakeGrid]:
    """A grid whose relay changes the settings of train messages."""

    class Forged(FakeGrid):
        def push_messages(self, messages: Any) -> Any:
            messages = list(messages)
            for message in messages:
                if message.metadata.message_type == "train":
                    change(message.content["cipherfold"])
            return super().push_messages(messages)

    return Forged


@pytest.mark.parametrize("name", ["version", "key", "pin", "spec", "number", "channel-key", "differences"])
@pytest.mark.parametrize("what", ["missing", "text", "other"])
def test_settings_that_a_relay_changes_are_refused(name: str, what: str, tmp_path: Path) -> None:
    def change(settings: ConfigRecord) -> None:
        value = settings.pop(name)
        if what == "text":
            settings[name] = "text"
        elif what == "other" and isinstance(value, bytes):
            settings[name] = bytes([value[0] ^ 1]) + value[1:]
        elif what == "other" and isinstance(value, str):
            settings[name] = "0" * len(value)
        elif what == "other":
            settings[name] = value + 7

    grid = forged(change)(nodes(client_app(train), 3, tmp_path))
    with pytest.raises(cf.TooFewClients) as raised:
        start(grid)
    assert raised.value.found == 0


def altered(change: Callable[[RecordDict], object], client: int = 1) -> type[FakeGrid]:
    """A grid whose relay changes the reply of a client."""

    class Altered(FakeGrid):
        def pull_messages(self, message_ids: Any) -> Any:
            for reply in super().pull_messages(message_ids):
                if reply.metadata.src_node_id == client and reply.metadata.message_type == "train":
                    change(reply.content)
                yield reply

    return Altered


def first(content: RecordDict) -> Array:
    """The first message of ciphertexts."""
    return next(iter(content["cipherfold.ciphertexts"].values()))


def flip(content: RecordDict) -> None:
    """Changes a bit of a ciphertext."""
    array = first(content)
    array.data = array.data[:-20] + bytes([array.data[-20] ^ 1]) + array.data[-19:]


REPLIES: dict[str, Callable[[RecordDict], object]] = {
    "a bit of a ciphertext": flip,
    "no ciphertexts": lambda content: content.pop("cipherfold.ciphertexts"),
    "no settings": lambda content: content.pop("cipherfold"),
    "an empty message": lambda content: setattr(first(content), "data", b""),
    "no message": lambda content: content["cipherfold.ciphertexts"].clear(),
    "arrays in the clear beside": lambda content: content.__setitem__("arrays", record(MODEL)),
    "plain arrays in their place": lambda content: content.__setitem__("cipherfold.ciphertexts", record(MODEL)),
    "another number": lambda content: content["cipherfold"].__setitem__("number", 1 + content["cipherfold"]["number"]),
    "another session key": lambda content: content["cipherfold"].__setitem__("channel-key", b"\x09" + bytes(31)),
    "a shape of its own": lambda content: setattr(first(content), "shape", (1,)),
    "a name of its own": lambda content: content["cipherfold.ciphertexts"].__setitem__(
        "extra", content["cipherfold.ciphertexts"].pop("000000")
    ),
}


@pytest.mark.parametrize("topology", ["key-holder", "aggregator-node"])
@pytest.mark.parametrize("what", REPLIES)
def test_a_reply_that_is_changed_is_left_out_and_the_round_continues(
    what: str, topology: str, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    grid = altered(REPLIES[what])(nodes(client_app(train), 3, tmp_path))
    np.testing.assert_allclose(start(grid, topology=topology)["w"], 0.1, atol=1e-4)  # of clients 0 and 2
    assert "1 sum of 2 updates opened, 0 single updates" in logged.text
    assert "node 1 is not in the sum" in logged.text


def ask(grid: FakeGrid, number: int, action: str, content: RecordDict) -> Message:
    """Sends one query to a node."""
    return grid.nodes[number].answer(Message(content, number, f"query.{action}"))


def question(grid: FakeGrid, tmp_path: Path) -> Message:
    """The last query to the key holder."""
    asked: list[Message] = []

    class Keeping(FakeGrid):
        def push_messages(self, messages: Any) -> Any:
            messages = list(messages)
            for message in messages:
                if message.metadata.message_type == "query.cipherfold_decrypt":
                    asked.append(delivered(message))
            return super().push_messages(messages)

    start(Keeping(grid.nodes))
    return asked[-1]


def test_a_second_sum_of_a_round_is_not_decrypted(tmp_path: Path) -> None:
    """A new process, which has only the files, does not decrypt it either."""
    grid = make_grid(tmp_path)
    asked = question(grid, tmp_path)
    holder = grid.nodes[HOLDER]
    again = holder.answer(delivered(asked))
    assert not again.has_error(), "the same question gets the same numbers"
    # A ServerApp that masks another sum of the same round.
    spec = cf.RoundSpec.from_bytes(asked.content["cipherfold"]["spec"])
    offer = ask(grid, HOLDER, "cipherfold_key", RecordDict({"cipherfold": ConfigRecord({"version": 1})})).content
    key = cf.PublicKey.from_bytes(offer["cipherfold"]["key"], offer["cipherfold"]["pin"])
    channel = cf.Channel.generate(key.session, "aggregator")
    aggregator = cf.Aggregator(spec, key, channel=channel)
    for number in range(2):
        mine = cf.Channel.generate(key.session, f"client:{number}")
        mine.add_peer("aggregator", channel.public_key)
        channel.add_peer(f"client:{number}", mine.public_key)
        values = {name: np.zeros(spec.shapes[name], spec.dtypes[name]) for name in spec.names}
        aggregator.add(number, cf.Client(spec, key, number=number, channel=mine).encrypt(values, weight=1), number=number)
    server = cf.Channel.generate(key.session, "server")
    server.add_peer("key-holder", offer["cipherfold"]["channel-key"])
    questions = cf.Server(spec, key, channel=server, key_holder_channel=server).mask(aggregator.finish())
    arrays = {
        f"{i:06}": Array("uint8", (len(data),), "cipherfold.batch.v1", bytes(data)) for i, data in enumerate(questions)
    }
    settings = ConfigRecord({"version": 1, "spec": spec.to_bytes(), "channel-key": server.public_key})
    content = RecordDict({"cipherfold.ciphertexts": ArrayRecord(arrays), "cipherfold": settings})
    refused = holder.answer(Message(content, HOLDER, "query.cipherfold_decrypt"))
    assert refused.has_error()
    assert "opened" in str(refused.error.reason)


def test_only_nodes_with_a_role_answer_for_it(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    asked = question(grid, tmp_path)
    for number in (0, AGGREGATOR):
        reply = grid.nodes[number].answer(delivered(asked))
        assert "this node is no key-holder" in str(reply.error.reason)
    for action in ("cipherfold_open", "cipherfold_add", "cipherfold_finish"):
        reply = ask(grid, HOLDER, action, RecordDict())
        assert "this node is no aggregator" in str(reply.error.reason)


def test_a_key_holder_refuses_sums_of_too_few(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    grid.nodes[HOLDER].context.node_config["cipherfold-min-clients"] = 3
    with pytest.raises(cff.NodeRefused, match="asks for 3") as raised:
        start(grid, min_clients=2)
    assert raised.value.role == "key-holder"


def test_only_the_key_holder_can_read_its_files(tmp_path: Path) -> None:
    start(make_grid(tmp_path))
    folder = tmp_path / "key-holder"
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("key", "channel"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    folder.chmod(0o755)
    with pytest.raises(cff.NodeRefused, match="its log has the details"):
        start(make_grid(tmp_path))


def test_an_existing_key_is_used(tmp_path: Path) -> None:
    key = cf.SecretKey.generate(bits=2048, key_holder=True)
    folder = tmp_path / "key-holder"
    folder.mkdir(mode=0o700)
    key.save(str(folder / "key"))
    np.testing.assert_allclose(start(make_grid(tmp_path), pin=key.public.pin)["w"], 0.1, atol=1e-4)


def test_a_key_without_a_key_holder_is_refused_there(tmp_path: Path) -> None:
    """For example a server's key, which was copied into the folder by mistake."""
    folder = tmp_path / "key-holder"
    folder.mkdir(mode=0o700)
    cf.SecretKey.generate(bits=2048).save(str(folder / "key"))
    with pytest.raises(cf.Error):
        start(make_grid(tmp_path))


def test_a_key_holder_needs_a_folder(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    del grid.nodes[HOLDER].context.node_config["cipherfold-state"]
    with pytest.raises(cff.NodeRefused):
        start(grid)


def test_a_simulation_leaves_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nodes have no configuration. The run configuration selects the node with the key."""
    monkeypatch.setattr("cipherfold.flower.node.settings.gettempdir", lambda: str(tmp_path))
    app = client_app(train)
    grid = FakeGrid({number: node(app, number, partition_id=number, num_partitions=4) for number in range(4)})
    for simulated in grid.nodes.values():
        simulated.context.run_config["cipherfold-simulated-node"] = 3
    seen: list[bool] = []
    grid.on_reply = lambda reply: seen.append(any(tmp_path.iterdir()))
    for topology in ("key-holder", "aggregator-node"):
        np.testing.assert_allclose(start(grid, topology=topology)["w"], 0.1, atol=1e-4)
        assert any(seen)
        assert not any(tmp_path.iterdir())
        for simulated in grid.nodes.values():
            simulated.context.state.clear()


def test_the_coordinator_gives_no_role_to_a_node_with_settings(tmp_path: Path) -> None:
    """Otherwise it could cause the deletion of a node's folder with its pin."""
    state = tmp_path / "state"
    configured = node(client_app(train), 1, partition_id=1, num_partitions=3, cipherfold_state=str(state))
    configured.context.run_config["cipherfold-simulated-node"] = 1
    grid = FakeGrid({1: configured})
    reply = ask(grid, 1, "cipherfold_role", RecordDict())
    assert reply.content["cipherfold"]["role"] == "client"
    assert ask(grid, 1, "cipherfold_end", RecordDict()).has_error()


def test_a_key_holder_keeps_its_keys_when_a_run_ends(tmp_path: Path) -> None:
    grid = make_grid(tmp_path)
    start(grid)
    reply = ask(grid, HOLDER, "cipherfold_end", RecordDict())
    assert "this node is no simulated" in str(reply.error.reason)
    assert (tmp_path / "key-holder" / "key").exists()


def test_an_aggregator_begins_and_ends_a_round_once(tmp_path: Path) -> None:
    """Two sums over almost the same clients would reveal one update."""
    grid = make_grid(tmp_path)
    start(grid, topology="aggregator-node")
    kept = {m.metadata.message_type: m for m in grid.sent if m.metadata.dst_node_id == AGGREGATOR}
    for action in ("cipherfold_open", "cipherfold_finish"):
        reply = grid.nodes[AGGREGATOR].answer(delivered(kept[f"query.{action}"]))
        assert "round" in str(reply.error.reason)
        assert reply.has_error()
    assert not [path for path in (tmp_path / "aggregator").iterdir() if path.is_dir()], "files of the round are deleted"


def test_the_server_cannot_open_what_it_relays(tmp_path: Path) -> None:
    """Clients seal for the aggregator. The ServerApp has the secret key, and gets messages that it
    cannot read.
    """
    relayed: list[bytes] = []

    def keep(reply: Message) -> None:
        if reply.metadata.message_type == "train":
            relayed.extend(array.data for array in reply.content["cipherfold.ciphertexts"].values())

    key = cf.SecretKey.generate(bits=2048)
    grid = make_grid(tmp_path)
    grid.on_reply = keep
    start(grid, topology="aggregator-node", key=key)
    spec = cf.RoundSpec.from_bytes(grid.of_type("query.cipherfold_add")[0].content["cipherfold"]["spec"])
    own = cf.Channel.generate(key.session, "aggregator")
    told = grid.of_type("query.cipherfold_add")[0].content["cipherfold"]
    own.add_peer(f"client:{told['number']}", told["channel-key"])
    with pytest.raises(cf.Error):
        cf.Aggregator(spec, key.public, channel=own).add(told["number"], relayed[:1], number=told["number"])
