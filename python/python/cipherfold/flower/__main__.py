"""Keys, identities and rosters from the command line, before Flower runs.

    python -m cipherfold.flower key FOLDER [--bits 3072] [--roster FILE]    the key holder's key; prints the pin
    python -m cipherfold.flower identity FILE                               a long-term identity; prints its public key
    python -m cipherfold.flower roster FILE NAME=PARTY=PUBLIC …             all parties and their identities; prints its digest

Parties are `client:3`, `aggregator`, `server` and `key-holder`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cipherfold as cf

from .node.key_holder import make_key


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m cipherfold.flower", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("key", help="make the key holder's key, or print the pin of an existing one")
    command.add_argument("folder", type=Path)
    command.add_argument("--bits", type=int, default=3072)
    command.add_argument("--roster", type=Path)
    command.set_defaults(run=_key)
    command = commands.add_parser("identity", help="make an identity, or print the public key of an existing one")
    command.add_argument("file", type=Path)
    command.set_defaults(run=_identity)
    command = commands.add_parser("roster", help="write a file with the role and identity of each party")
    command.add_argument("file", type=Path)
    command.add_argument("organisations", nargs="+", metavar="NAME=PARTY=PUBLIC")
    command.set_defaults(run=_roster)
    options = parser.parse_args(arguments)
    try:
        print(options.run(options))
    except (cf.Error, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _key(options: argparse.Namespace) -> str:
    roster = None if options.roster is None else cf.Roster.from_bytes(options.roster.read_bytes())
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(make_key(options.folder, options.bits, roster).public.pin)


def _identity(options: argparse.Namespace) -> str:
    if options.file.exists():
        return cf.Identity.load(str(options.file)).public.hex()
    identity = cf.Identity.generate()
    identity.save(str(options.file))
    return identity.public.hex()


def _roster(options: argparse.Namespace) -> str:
    organisations = {}
    for organisation in options.organisations:
        name, party, public = (*organisation.split("="), "", "")[:3]
        if name in organisations:
            raise ValueError(f"{name} is named twice")
        organisations[name] = (party, bytes.fromhex(public))
    roster = cf.Roster(organisations)
    with open(options.file, "xb") as file:
        file.write(roster.to_bytes())
    return roster.digest if isinstance(roster.digest, str) else roster.digest.hex()


if __name__ == "__main__":
    raise SystemExit(main())
