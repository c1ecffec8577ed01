"""A forked child shares no random numbers and no pool with its parent, and no process hangs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cipherfold as cf
import numpy as np
import pytest
from conftest import Round

SECONDS = 60


def in_child(work: Callable[[], bytes]) -> bytes:
    """The result of the work in a forked child; empty if it fails or does not end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.close(reader)
        try:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(work())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return result


@pytest.fixture
def made(key: cf.SecretKey, round_number: int) -> Round:
    spec = cf.RoundSpec.for_arrays(
        np.zeros(5000), cf.Quantizer(), max_clients=4, round=round_number, key=key, chunk_ciphertexts=8
    )
    return Round(key, spec, [np.zeros(5000)] * 4)


def test_parent_and_child_draw_other_numbers_in_the_middle_of_an_update(made: Round) -> None:
    messages = iter(made.encrypt(0))
    first = next(messages)
    in_children = [in_child(lambda: next(messages)) for _ in range(3)]
    here = next(messages)
    found = {first, here, *in_children}
    assert len(found) == 5 and all(len(message) == len(first) for message in found)


def test_a_child_runs_a_whole_round(made: Round) -> None:
    list(made.encrypt(0))
    values = np.frombuffer(in_child(lambda: made.run().values.tobytes()))
    assert np.array_equal(values, np.zeros(5000)) and len(values) == 5000
    assert np.array_equal(made.run().values, values), "the parent continues"


def test_forks_while_other_threads_work(made: Round) -> None:
    stop = threading.Event()
    seen: list[bytes] = []

    def encrypt() -> None:
        while not stop.is_set():
            seen.extend(made.encrypt(1))

    # More threads than processors, so that one could always start.
    threads = [threading.Thread(target=encrypt) for _ in range(16)]
    for thread in threads:
        thread.start()
    try:
        children = [in_child(lambda: b"".join(made.encrypt(1))) for _ in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    size = len(seen[0])
    pieces = [child[:size] for child in children]
    assert all(pieces) and len({*pieces, *seen}) == len(pieces) + len(seen)


def _round_of(number: int) -> tuple[int, bytes]:
    key = _shared[0]
    spec = cf.RoundSpec.for_arrays(np.zeros(100), cf.Quantizer(), max_clients=2, key=key)
    return os.getpid(), cf.Client(spec, key.public, number=number).encrypt(np.zeros(100)).to_bytes()


_shared: list[cf.SecretKey] = []


def test_threads_that_fork_at_the_same_time(made: Round) -> None:
    with ThreadPoolExecutor(6) as pool:
        children = [pool.submit(in_child, lambda: next(iter(made.encrypt(2)))) for _ in range(24)]
        found = [child.result(SECONDS) for child in children]
    assert all(found) and len(set(found)) == 24


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes(method: str, key: cf.SecretKey) -> None:
    if method == "fork":
        _shared[:] = [key]
        with multiprocessing.get_context(method).Pool(3) as pool:
            results = pool.map_async(_round_of, [7] * 12).get(SECONDS)
        assert len({data for _, data in results}) == 12
    else:
        with multiprocessing.get_context(method).Pool(2) as pool:
            sizes = pool.map_async(_size, [key.public] * 4).get(SECONDS)
        assert len(set(sizes)) == 1


def _size(public: cf.PublicKey) -> int:
    spec = cf.RoundSpec.for_arrays(np.zeros(100), cf.Quantizer(), max_clients=2, key=public)
    return len(cf.Client(spec, public).encrypt(np.zeros(100)).to_bytes())


def test_simulations_in_children(key: cf.SecretKey) -> None:
    def simulate() -> bytes:
        result = cf.simulate.secure_sum([np.arange(10)] * 3, max=9, key_bits=2048)
        return bytes(result.values.tolist())

    assert in_child(simulate) == simulate() == bytes(3 * value for value in range(10))


@pytest.mark.skipif(cf.backends()["gpu"] is not None, reason="no GPU, and no software GPU")
def test_a_gpu_does_not_survive_a_fork() -> None:
    key = cf.SecretKey.generate(2048, backend="gpu")
    spec = cf.RoundSpec.for_arrays(np.zeros(10), cf.Quantizer(), max_clients=2, key=key)
    encrypted = cf.Client(spec, key.public).encrypt(np.zeros(10))

    def refused() -> bytes:
        kinds = []
        for call in (
            lambda: next(iter(encrypted)),
            lambda: cf.Client(spec, key.public),
            lambda: cf.SecretKey.generate(2048, backend="gpu"),
        ):
            try:
                call()
            except cf.BackendError as error:
                assert (error.backend, error.process) == ("gpu", os.getpid()) and error.opened_by == os.getppid()
                kinds.append(error.kind)
        cf.SecretKey.generate(2048, backend="portable")
        return " ".join(kinds).encode()

    assert in_child(refused) == b"python.Forked python.Forked python.Forked"
