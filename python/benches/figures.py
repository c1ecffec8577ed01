"""Figures of the package, in one table.

    python benches/figures.py [--key-bits 2048] [--threads 1] [--values 10000000] [--repeats 3] [--wheel target/wheels/….whl]

encryption
    Ciphertexts a second of a client that encrypts float32 values, compared with the row ``encrypt``
    of ``cargo run --release --example throughput``: for the best message (that example also counts
    its best measurement), and for the whole update.
another thread
    The speed of a counting Python thread while a client encrypts, relative to its speed alone.
memory
    The peak memory of a process that encrypts 100 million float32 values and drops each message, without the memory of the values.
import
    ``import cipherfold`` in a new process, and ``import numpy``.
wheel
    Its size.

Run it on an idle machine, because other work affects all figures. If the example is not built, its
row is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cipherfold as cf
import numpy as np

ROOT = Path(__file__).parents[2]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--key-bits", type=int, default=2048, choices=[2048, 3072, 4096])
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--values", type=int, default=10_000_000)
    arguments.add_argument("--memory-values", type=int, default=100_000_000)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--wheel", type=Path)
    arguments.add_argument("--only", choices=["encryption", "thread", "memory", "import", "wheel"])
    arguments.add_argument("--child", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.child == "memory":
        return print(peak_of_child(given))
    figures = {
        "encryption": encryption,
        "thread": other_thread,
        "memory": memory,
        "import": importing,
        "wheel": wheel,
    }
    print(f"{given.key_bits}-bit key, {given.threads} threads, {given.values:,} float32 values, backend {backend(given)}\n")
    for name, figure in figures.items():
        if given.only in (None, name):
            for row, value, wanted in figure(given):
                print(f"{row:<58} {value:>24}   {wanted}", flush=True)


def round_of(given: argparse.Namespace, values: int) -> tuple[cf.RoundSpec, cf.SecretKey, np.ndarray]:
    key = cf.SecretKey.generate(given.key_bits)
    update = np.random.default_rng(7).normal(scale=0.3, size=values).astype(np.float32)
    return cf.RoundSpec.for_arrays({"w": update}, cf.Quantizer(), max_clients=100, key=key), key, update


def backend(given: argparse.Namespace) -> str:
    return cf.SecretKey.generate(given.key_bits).public.backend


def encryption(given: argparse.Namespace) -> list[tuple[str, str, str]]:
    spec, key, update = round_of(given, given.values)
    client = cf.Client(spec, key.public, threads=given.threads)
    next(iter(client.encrypt({"w": update})))  # makes the table
    theirs, best, processor, whole = None, 0.0, 0.0, 0.0
    # The measurements alternate, so that other work on the machine affects both alike.
    for _ in range(given.repeats):
        theirs = max(filter(None, [theirs, throughput(given)]), default=None)
        begun = time.perf_counter()
        messages = client.encrypt({"w": update})
        checked = time.perf_counter() - begun
        last, used = time.perf_counter(), time.process_time()
        for number, _ in enumerate(messages, start=1):
            now, used_now = time.perf_counter(), time.process_time()
            if number < spec.messages:  # the last one may be shorter
                best = max(best, spec.chunk_ciphertexts / (now - last))
                processor = max(processor, given.threads * spec.chunk_ciphertexts / (used_now - used))
            last, used = now, used_now
        whole = max(whole, spec.ciphertexts / (last - begun))
    rows = [
        ("encryption: whole update, with its check", f"{whole:,.0f} /s", f"the check took {checked:.2f} s"),
        ("encryption: best message", f"{best:,.0f} /s", ""),
        ("encryption: best message, by processor time", f"{processor:,.0f} /s", "without the time of other work"),
    ]
    if theirs is not None:
        rows.insert(0, ("encryption: throughput example", f"{theirs:,.0f} /s", ""))
        for name, found in [("best message", best), ("by processor time", processor)]:
            rows.append((f"encryption: {name}, to the example", f"{found / theirs:.1%}", "at least 95%"))
    return rows


def throughput(given: argparse.Namespace) -> float | None:
    """The row of the Rust example, if it is built."""
    program = ROOT / "target" / "release" / "examples" / "throughput"
    if not program.exists():
        return None
    command = [str(program), "--key-bits", str(given.key_bits), "--threads", str(given.threads), "--seconds", "0.5", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["rows"]
    name = backend(given)
    return next(float(row["per_second"]) for row in rows if (row["operation"], row["backend"]) == ("encrypt", name))


def other_thread(given: argparse.Namespace) -> list[tuple[str, str, str]]:
    spec, key, update = round_of(given, given.values // 5)
    client = cf.Client(spec, key.public, threads=given.threads)
    next(iter(client.encrypt({"w": update})))

    def speed(until: threading.Event) -> float:
        rounds, begun = 0, time.perf_counter()
        while not until.is_set():
            rounds += sum(range(100)) > 0
        return rounds / (time.perf_counter() - begun)

    def counted(seconds: float) -> float:
        end = threading.Event()
        threading.Timer(seconds, end.set).start()
        return speed(end)

    def while_encrypting() -> float:
        end, messages = threading.Event(), client.encrypt({"w": update})
        with ThreadPoolExecutor(1) as pool:
            counting = pool.submit(speed, end)
            for _ in messages:
                pass
            end.set()
            return counting.result()

    found = [while_encrypting() / counted(1.0) for _ in range(3)]
    return [("another thread: speed while a client encrypts", f"{max(found):.0%}", "at least 50%")]


def memory(given: argparse.Namespace) -> list[tuple[str, str, str]]:
    command = [sys.executable, __file__, "--child", "memory", "--key-bits", str(given.key_bits), "--threads", str(given.threads)]
    command += ["--memory-values", str(given.memory_values)]
    before, after = map(int, subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
    row = f"memory: in addition to {given.memory_values:,} float32 values ({before >> 20} MiB)"
    return [(row, f"{(after - before) / 1e6:,.0f} MB", "at most 200 MB")]


def peak_of_child(given: argparse.Namespace) -> str:
    """The peak memory of this process with the values alone, and after their encryption."""

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    # Short exponents take the same memory and a quarter of the time.
    key = cf.SecretKey.generate(given.key_bits)
    update = np.zeros(given.memory_values, np.float32)
    update += 0.25
    before = peak()
    spec = cf.RoundSpec.for_arrays({"w": update}, cf.Quantizer(), max_clients=100, key=key)
    for _ in cf.Client(spec, key.public.with_short_exponents(), threads=given.threads).encrypt({"w": update}):
        pass
    return f"{before} {peak()}"


def importing(_: argparse.Namespace) -> list[tuple[str, str, str]]:
    def seconds(module: str) -> float:
        program = f"import time; begun = time.perf_counter(); import {module}; print(time.perf_counter() - begun)"
        runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True) for _ in range(7)]
        return min(float(run.stdout) for run in runs)

    return [(f"import: cipherfold (numpy alone {seconds('numpy'):.3f} s)", f"{seconds('cipherfold'):.3f} s", "under 0.3 s")]


def wheel(given: argparse.Namespace) -> list[tuple[str, str, str]]:
    if given.wheel is None:
        library = next(Path(cf.__file__).parent.glob("_cipherfold*.so"))
        return [("wheel: its library, not compressed", f"{os.path.getsize(library) / 1e6:.1f} MB", "")]
    return [("wheel", f"{given.wheel.stat().st_size / 1e6:.1f} MB", "under 15 MB")]


if __name__ == "__main__":
    main()
