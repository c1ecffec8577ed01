"""With a roster, session keys need announcements by the identities in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cipherfold as cf
import cipherfold.flower as cff
import numpy as np
import pytest
from cipherfold.flower.__main__ import main
from flwr.app import ConfigRecord
from flwr.serverapp import strategy as flower
from harness import AGGREGATOR, HOLDER, Arrays, FakeGrid, arrays, client_app, nodes, record

MODEL: Arrays = {"w": np.zeros(20, np.float32)}
PARTIES = {"hospital-0": "client:0", "hospital-1": "client:1", "hospital-2": "client:2"}
OTHERS = {"adder": "aggregator", "coordinator": "server", "notary": "key-holder"}


def train(model: Arrays, client: int) -> tuple[Arrays, dict[str, float | int]]:
    return {"w": model["w"] + np.float32(0.1) * client}, {"num-examples": 1}


class Consortium:
    """Organisations with identities, and their roster."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        organisations = []
        for name, party in (PARTIES | OTHERS).items():
            assert main(["identity", str(folder / name)]) == 0
            organisations.append(f"{name}={party}={capsys.readouterr().out.strip()}")
        assert main(["roster", str(folder / "roster"), *organisations]) == 0
        self.digest = capsys.readouterr().out.strip()
        assert main(["key", str(folder / "key-holder"), "--bits", "2048", "--roster", str(folder / "roster")]) == 0
        self.pin = capsys.readouterr().out.strip()
        self.grid = FakeGrid(nodes(client_app(train), 3, folder))
        for number in range(3):
            self.join(number, f"hospital-{number}", cipherfold_number=number, cipherfold_pin=self.pin)
        self.join(HOLDER, "notary")
        self.join(AGGREGATOR, "adder")

    def join(self, number: int, name: str, **config: Any) -> None:
        """Configures a node."""
        settings = {"cipherfold_roster": str(self.folder / "roster"), "cipherfold_identity": str(self.folder / name)}
        for key, value in (settings | config).items():
            self.grid.nodes[number].context.node_config[key.replace("_", "-")] = value

    @property
    def roster(self) -> cf.Roster:
        return cf.Roster.from_bytes((self.folder / "roster").read_bytes())

    def identity(self, name: str) -> cf.Identity:
        return cf.Identity.load(str(self.folder / name))

    def start(self, **options: Any) -> Arrays:
        identities = {"aggregator": self.identity("adder"), "server": self.identity("coordinator")}
        options = {"max_weight": 10, "node_timeout": 5.0, "roster": self.roster, "identities": identities, **options}
        secure = cff.SecureAggregation(flower.FedAvg(fraction_evaluate=0.0), **options)
        return arrays(secure.start(self.grid, record(MODEL), num_rounds=1, timeout=2.0).arrays)


@pytest.fixture
def consortium(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Consortium:
    return Consortium(tmp_path, capsys)


def test_a_round_among_identities(consortium: Consortium) -> None:
    np.testing.assert_allclose(consortium.start(pin=consortium.pin)["w"], 0.1, atol=1e-4)


def test_a_round_among_identities_with_an_aggregator(consortium: Consortium) -> None:
    key = cf.SecretKey.generate(bits=2048, roster=consortium.roster)
    for number in (0, 1, 2, AGGREGATOR):
        consortium.grid.nodes[number].context.node_config["cipherfold-pin"] = key.public.pin
    found = consortium.start(topology="aggregator-node", key=key)
    np.testing.assert_allclose(found["w"], 0.1, atol=1e-4)


def test_clients_refuse_an_aggregator_that_is_another(consortium: Consortium) -> None:
    """A relay replaces the aggregator's session key by its own."""
    with pytest.raises(cf.TooFewClients):
        consortium.start(identities={"aggregator": cf.Identity.generate(), "server": consortium.identity("coordinator")})


def test_clients_refuse_an_aggregator_without_identity(consortium: Consortium) -> None:
    with pytest.raises(cf.TooFewClients):
        consortium.start(identities={"server": consortium.identity("coordinator")})


def test_the_key_holder_refuses_a_server_that_is_another(consortium: Consortium) -> None:
    with pytest.raises(cff.NodeRefused) as raised:
        consortium.start(identities={"aggregator": consortium.identity("adder"), "server": cf.Identity.generate()})
    assert raised.value.role == "key-holder"


def test_the_server_refuses_a_client_that_is_another(
    consortium: Consortium, logged: pytest.LogCaptureFixture
) -> None:
    cf.Identity.generate().save(str(consortium.folder / "outsider"))
    consortium.join(1, "outsider")
    np.testing.assert_allclose(consortium.start()["w"], 0.1, atol=1e-4)
    assert "1 sum of 2 updates opened, 0 single updates" in logged.text


def test_one_client_does_not_count_twice(consortium: Consortium, logged: pytest.LogCaptureFixture) -> None:
    consortium.join(2, "hospital-0", cipherfold_number=0)
    consortium.start()
    assert "1 sum of 2 updates opened, 0 single updates" in logged.text
    assert "1 dropped out" in logged.text


def test_clients_refuse_a_key_of_another_roster(consortium: Consortium) -> None:
    for number in range(3):
        del consortium.grid.nodes[number].context.node_config["cipherfold-pin"]
    folder = consortium.folder / "key-holder"
    for file in folder.iterdir():
        file.unlink()
    assert main(["key", str(folder), "--bits", "2048"]) == 0  # without a roster
    with pytest.raises(cf.TooFewClients):
        consortium.start()


@pytest.mark.parametrize("missing", ["cipherfold-identity", "cipherfold-roster"])
def test_roster_and_identity_belong_together(consortium: Consortium, missing: str) -> None:
    for number in range(3):
        del consortium.grid.nodes[number].context.node_config[missing]
    with pytest.raises(cf.TooFewClients):
        consortium.start()


def test_announcements_of_an_earlier_session_are_refused(consortium: Consortium) -> None:
    """A relay that has recorded a client's announcement cannot use it under another key."""
    recorded: list[ConfigRecord] = []
    consortium.grid.on_reply = lambda reply: (
        recorded.append(ConfigRecord(dict(reply.content["cipherfold"]))) if reply.metadata.message_type == "train" else None
    )
    consortium.start()
    session = cf.SecretKey.generate(bits=2048).session
    channel = cf.Channel.generate(session, "aggregator")
    with pytest.raises(cf.Error):
        channel.add_announcement("client:0", recorded[0]["announcement"], consortium.roster)


def test_commands_state_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["roster", str(tmp_path / "r"), "a=client:0=zz"],
        ["roster", str(tmp_path / "r"), "a=nobody=" + "00" * 32],
        ["roster", str(tmp_path / "r"), "a"],
        ["key", str(tmp_path / "k"), "--bits", "7"],
        ["key", str(tmp_path / "k"), "--roster", str(tmp_path / "missing")],
    ):
        assert main(arguments) == 1
        assert capsys.readouterr().err.startswith("error: ")
