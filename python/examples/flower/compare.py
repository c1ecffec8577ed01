"""Trains the example with plain and with secure averaging, and draws the accuracy of both.

    python compare.py                 # in simulation
    python compare.py --deployment    # SuperLink and SuperNodes on 127.0.0.1, with TLS and node authentication

Writes `accuracy.svg`. Needs matplotlib and cryptography in addition to the app's dependencies.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from loopback import APP, Loopback, copy_app, deployment, simulation

CLIENTS = 5
PLAIN = {"server_app:app": "plain_server_app:app", "client_app:app": "plain_client_app:app"}


def main() -> None:
    """Runs both kinds and draws one picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployment", action="store_true", help="real nodes instead of a simulation")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=APP / "accuracy.svg")
    options = parser.parse_args()
    curves = {}
    for kind in ("plain", "secure"):
        with TemporaryDirectory() as folder:
            curves[kind] = train(Path(folder), kind, rounds=options.rounds, deployed=options.deployment)
        print(f"{kind}: accuracy {curves[kind][-1]:.3f} after {options.rounds} rounds", flush=True)
    draw(curves, options.out)
    print(f"drawn: {options.out}")


def train(folder: Path, kind: str, *, rounds: int, deployed: bool) -> list[float]:
    """Runs the app, and returns the accuracy before the first round and after each."""
    app = copy_app(APP, folder / "app", PLAIN if kind == "plain" else None)
    result = folder / "result.json"
    config = f'num-server-rounds={rounds} result="{result}"'
    if deployed:
        with deployment(folder / "flower") as flower:
            add_nodes(flower, with_holder=kind == "secure")
            log = flower.run_app(app, config)
    else:
        with simulation(folder / "flower") as flower:
            log = flower.run_app(app, config, nodes=CLIENTS + (kind == "secure"))
    for line in re.findall(r"cipherfold: 1 sum of .*|Strategy execution finished in .*", log)[-2:]:
        print(f"{kind}: {line}")
    return list(json.loads(result.read_text())["accuracy"])


def add_nodes(flower: Loopback, *, with_holder: bool) -> None:
    """Five nodes that train, and the key holder."""
    for client in range(CLIENTS):
        flower.add_node(f"hospital-{client}", f"partition-id={client}")
    if with_holder:
        state = flower.folder / "key-holder-state"
        flower.add_node("key-holder", f'cipherfold-role="key-holder" cipherfold-state="{state}"')


def draw(curves: dict[str, list[float]], out: Path) -> None:
    """Draws both curves in one picture. If they agree, the dashes are on the line."""
    plt.rcParams["svg.hashsalt"] = "cipherfold"
    plt.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    axes.plot(curves["plain"], color="#1f77b4", linewidth=4, alpha=0.45, label="plain FedAvg")
    axes.plot(curves["secure"], color="#d62728", linestyle="--", label="SecureAggregation(FedAvg)")
    axes.set(xlabel="round", ylabel="accuracy on test images", ylim=(0, 1))
    axes.set_title("Handwritten digits, five clients with different data", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
