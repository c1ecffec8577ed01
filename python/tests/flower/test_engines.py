"""The example and a probe on Flower's own engines: simulation, and a deployment with TLS and node
authentication.
"""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from loopback import APP, Loopback, copy_app, deployment, simulation

PROBE = Path(__file__).parent / "probe"
PLAIN = {"server_app:app": "plain_server_app:app", "client_app:app": "plain_client_app:app"}
sys.path.append(str(PROBE))

from probe.known import VALUES, update, weight

CLIENTS = 5


@pytest.mark.simulation
def test_five_nodes_in_simulation_end_with_the_model_of_plain_averaging(tmp_path: Path) -> None:
    plain = copy_app(APP, tmp_path / "plain", PLAIN)
    secure = copy_app(APP, tmp_path / "secure")
    models, logs = {}, {}
    with simulation(tmp_path / "flower") as flower:
        for name, app, nodes in (("plain", plain, CLIENTS), ("secure", secure, CLIENTS + 1)):
            result = tmp_path / f"{name}.json"
            logs[name] = flower.run_app(app, f'num-server-rounds=1 result="{result}"', nodes=nodes, timeout=170)
            models[name] = json.loads(result.read_text())["model"]
    stated = float(re.search(r"differs by at most (\S+) from the exact one", logs["secure"]).group(1))
    assert 0 < stated < 1e-4
    assert "1 sum of 5 updates opened, 0 single updates" in logs["secure"]
    for name, array in models["plain"].items():
        # Plain averaging also rounds to float32.
        np.testing.assert_allclose(models["secure"][name], array, rtol=0, atol=stated + 1e-6, err_msg=name)


def add_nodes(flower: Loopback, *, role: str | None) -> None:
    """Adds clients, and the node with the role."""
    for client in range(CLIENTS):
        flower.add_node(f"client-{client}", f"partition-id={client}")
    if role is not None:
        flower.add_node(role, f'cipherfold-role="{role}" cipherfold-state="{flower.folder / role}-state"')


def stored(flower: Loopback) -> bytes:
    """The bytes of the SuperLink's database, also of deleted messages."""
    return b"".join(path.read_bytes() for path in sorted(flower.folder.glob("superlink.db*")))


def known_plaintexts(database: bytes, model: np.ndarray, rounds: int) -> set[int]:
    """The clients with a piece of 32 bytes of their update, or of a model with it, in the
    database.
    """
    found = set()
    for client in range(CLIENTS):
        for server_round in range(1, rounds + 1):
            for plain in (update(client, server_round), model + update(client, server_round)):
                pieces = [plain[start : start + 8].astype("<f4").tobytes() for start in range(0, VALUES, 997)]
                if any(piece in database for piece in pieces):
                    found.add(client)
    return found


@pytest.mark.deployment
def test_a_deployment_keeps_updates_secret_and_outlives_a_client(tmp_path: Path) -> None:
    waiting, result = tmp_path / "waiting", tmp_path / "result.npy"
    app = copy_app(PROBE, tmp_path / "app")
    config = f'waiting-client=4 waiting-file="{waiting}" result="{result}"'
    with deployment(tmp_path / "flower") as flower, ThreadPoolExecutor() as threads:
        add_nodes(flower, role="key-holder")
        run = threads.submit(flower.run_app, app, config, timeout=280)
        end = monotonic() + 150
        while not waiting.exists() and not run.done() and monotonic() < end:
            sleep(0.2)
        assert waiting.exists(), run.result() if run.done() else "the second round did not begin in time"
        flower.kill("client-4")
        log = run.result()
        database = stored(flower)
        holder = flower.log("key-holder").read_text()
    assert "1 sum of 5 updates opened, 0 single updates" in log
    assert "1 sum of 4 updates opened, 0 single updates" in log
    assert "1 dropped out" in log
    assert re.search(r"node \d+ is not in the sum", log)
    assert "PROBE: refused:" in log
    assert "PROBE: a second sum" not in log
    assert holder.count("1 masked sum was decrypted") == 2
    expected = np.zeros(VALUES)
    for server_round, clients in ((1, range(5)), (2, range(4))):
        weights = [weight(client) for client in clients]
        expected += np.average([update(client, server_round) for client in clients], axis=0, weights=weights)
    np.testing.assert_allclose(np.load(result), expected, rtol=0, atol=1e-4)
    first = np.average([update(c, 1) for c in range(5)], axis=0, weights=[weight(c) for c in range(5)])
    assert not known_plaintexts(database, np.zeros(VALUES, np.float32), 2)
    assert not known_plaintexts(database, first.astype(np.float32), 2)


@pytest.mark.deployment
def test_without_encryption_the_database_has_the_updates(tmp_path: Path) -> None:
    """Shows that the search of the test above can find an update."""
    app = copy_app(PROBE, tmp_path / "app", PLAIN)
    with deployment(tmp_path / "flower") as flower:
        add_nodes(flower, role=None)
        flower.run_app(app, timeout=170)
        assert known_plaintexts(stored(flower), np.zeros(VALUES, np.float32), 1) == set(range(CLIENTS))


@pytest.mark.deployment
def test_an_aggregator_node_in_a_deployment(tmp_path: Path) -> None:
    result = tmp_path / "result.npy"
    app = copy_app(PROBE, tmp_path / "app")
    with deployment(tmp_path / "flower") as flower:
        add_nodes(flower, role="aggregator")
        config = f'num-server-rounds=1 topology="aggregator-node" result="{result}"'
        log = flower.run_app(app, config, timeout=170)
    assert "1 sum of 5 updates opened, 0 single updates" in log
    assert "PROBE: refused: cipherfold: this round was begun before" in log
    expected = np.average([update(c, 1) for c in range(5)], axis=0, weights=[weight(c) for c in range(5)])
    np.testing.assert_allclose(np.load(result), expected, rtol=0, atol=1e-4)
