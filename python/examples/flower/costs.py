"""Prints the costs of a round before it runs: bytes and precision from its specification, time from
a sample on this machine.

    python costs.py                                            # ten million values, 20 clients, weights up to 1000
    python costs.py --values 1000000 --clients 5 --max-weight 1 --clip 0.5 --bits 20
"""

from __future__ import annotations

import argparse
from time import perf_counter

import cipherfold as cf
import numpy as np

SAMPLE = 500_000


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--max-weight", type=int, default=1000, help="1: all clients count equally")
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--bits", type=int, default=16)
    parser.add_argument("--key-bits", type=int, default=3072)
    options = parser.parse_args()
    spec = declare(options, options.values)
    print(f"an update     {spec.nbytes / 1e6:.1f} MB, {spec.bytes_per_value:.2f} bytes a value (float32 has 4)")
    print(f"a round       {spec.round_nbytes / 1e6:.1f} MB at most, through the SuperLink")
    print(f"the mean      differs by at most {spec.error_bound:.2g} from the exact one, clipping aside")
    for short in (False, True):
        rate = encryption(options, short=short)
        name = "short exponents" if short else "encryption"
        print(f"{name:<13} {rate / 1e6:.2f} million values a second on one thread: {options.values / rate:.1f} s an update")


def declare(options: argparse.Namespace, values: int, key: cf.PublicKey | None = None) -> cf.RoundSpec:
    """The round for a model with this number of values."""
    return cf.RoundSpec.for_arrays(
        {"w": np.broadcast_to(np.zeros((), np.float32), (values,))},
        cf.Quantizer(clip=options.clip, bits=options.bits),
        max_clients=options.clients,
        max_weight=None if options.max_weight == 1 else options.max_weight,
        key=key,
        key_bits=options.key_bits,
    )


def encryption(options: argparse.Namespace, *, short: bool) -> float:
    """Values a second on one thread."""
    key = cf.SecretKey.generate(bits=options.key_bits).public
    key = key.with_short_exponents() if short else key
    client = cf.Client(declare(options, SAMPLE, key), key, number=0, threads=1)
    values = {"w": np.linspace(-options.clip, options.clip, SAMPLE, dtype=np.float32)}
    rates = []
    for _ in range(2):  # the first one makes the tables
        update = client.encrypt(values, weight=None if options.max_weight == 1 else 1)
        start = perf_counter()
        for _ in update:
            pass
        rates.append(SAMPLE / (perf_counter() - start))
    return max(rates)


if __name__ == "__main__":
    main()
