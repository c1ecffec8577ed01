"""Measures the memory of a ServerApp, in a deployment on 127.0.0.1 with TLS and node
authentication.

    python measure.py                           # 2 and 10 nodes, 100 MB of float32 each
    python measure.py --megabytes 20 --plain    # plain averaging, for comparison

All nodes and the SuperLink run on this machine: ten nodes of 100 MB take about 10 GB of memory and
some minutes.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from loopback import copy_app, deployment

PLAIN = {"server_app:app": "plain_server_app:app", "client_app:app": "plain_client_app:app"}


def main() -> None:
    """Prints one line for each number of nodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 10])
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    for nodes in options.nodes:
        with TemporaryDirectory() as folder:
            print(run(Path(folder), nodes, options.megabytes * 250_000, plain=options.plain), flush=True)


def run(folder: Path, clients: int, values: int, *, plain: bool) -> str:
    """Runs the app, and returns the ServerApp's line."""
    app = copy_app(HERE, folder / "app", PLAIN if plain else None)
    with deployment(folder / "flower") as flower:
        for client in range(clients):
            flower.add_node(f"client-{client}", f"partition-id={client}")
        if not plain:
            state = flower.folder / "state"
            flower.add_node("key-holder", f'cipherfold-role="key-holder" cipherfold-state="{state}"')
        log = flower.run_app(app, f"num-clients={clients} values={values}", timeout=3600)
    found = re.search(r"MEMORY: .*", log)
    if found is None:
        raise RuntimeError(log)
    return found.group(0)


if __name__ == "__main__":
    main()
