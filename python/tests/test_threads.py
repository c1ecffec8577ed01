"""Threads share roles, and calls can be cancelled."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import cipherfold as cf
import numpy as np
import pytest
from conftest import Round


def test_clients_of_many_threads_are_added_at_the_same_time(key: cf.SecretKey, round_number: int) -> None:
    updates = [np.full(2000, number, np.int64) for number in range(24)]
    spec = cf.RoundSpec.for_arrays(
        updates[0], cf.Integers(max=99), max_clients=24, round=round_number, key=key, chunk_ciphertexts=4
    )
    made = Round(key, spec, updates)
    aggregator = made.aggregator()

    def add(number: int) -> None:
        aggregator.add(f"client {number}", made.encrypt(number))

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(add, number) for number in range(24)]:
            done.result(60)
        states = [pool.submit(aggregator.to_bytes) for _ in range(4)]
        assert len({state.result(60) for state in states}) == 1
    result = made.open(aggregator.finish())
    assert result.values.tolist() == [sum(range(24))] * 2000
    assert result.participants == [f"client {number}" for number in range(24)]


def test_one_update_is_iterated_by_many_threads(key: cf.SecretKey, round_number: int) -> None:
    update = np.arange(3000)
    spec = cf.RoundSpec.for_arrays(update, cf.Integers(max=2999), max_clients=2, round=round_number, key=key, chunk_ciphertexts=1)
    made = Round(key, spec, [update, update])
    messages = iter(made.encrypt(0))
    with ThreadPoolExecutor(6) as pool:
        parts = [pool.submit(lambda: list(messages)) for _ in range(6)]
        shuffled = [message for part in parts for message in part.result(60)]
    random.shuffle(shuffled)
    aggregator = made.aggregator()
    aggregator.add(0, shuffled)
    aggregator.add(1, made.encrypt(1))
    assert made.open(aggregator.finish()).values.tolist() == (2 * update).tolist()


def test_masks_of_many_threads(holder_key: cf.SecretKey, round_number: int) -> None:
    update = np.arange(1000)
    spec = cf.RoundSpec.for_arrays(
        update, cf.Integers(max=999), max_clients=2, round=round_number, key=holder_key, chunk_ciphertexts=1
    )
    made = Round(holder_key, spec, [update, update]).sealed()
    sums, server = made.sums(), made.server()
    with ThreadPoolExecutor(6) as pool:
        asked = {done.result(60).to_bytes() for done in [pool.submit(server.mask, sums) for _ in range(6)]}
    assert len(asked) == 1
    answers = cf.KeyHolder(holder_key, channel=made.ends["key-holder"]).answer(spec, asked.pop())
    assert server.unmask(answers).values.tolist() == (2 * update).tolist()


def test_other_threads_run_while_messages_are_made(key: cf.SecretKey) -> None:
    spec = cf.RoundSpec.for_arrays(np.zeros(400_000), cf.Quantizer(), max_clients=2, key=key)
    turns, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0.0005)

    thread = threading.Thread(target=count)
    thread.start()
    cf.Client(spec, key.public).encrypt(np.zeros(400_000)).to_bytes()
    stop.set()
    thread.join()
    assert turns[0] > 20


def test_cancelling_from_another_thread(key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(
        np.zeros(100_000), cf.Quantizer(), max_clients=2, round=round_number, key=key, chunk_ciphertexts=8
    )
    update = cf.Client(spec, key.public, number=1).encrypt(np.zeros(100_000))
    messages = iter(update)
    next(messages)
    thread = threading.Thread(target=update.cancel)
    thread.start()
    thread.join()
    for _ in range(2):
        with pytest.raises(cf.Cancelled) as caught:
            next(messages)
    assert caught.value.messages == spec.messages
    aggregator = cf.Aggregator(spec, key)
    cancelled = cf.Client(spec, key.public, number=1).encrypt(np.zeros(100_000), progress=lambda done, _: cancelled.cancel())
    with pytest.raises(cf.Cancelled):
        aggregator.add("a", cancelled)
    aggregator.add("a", cf.Client(spec, key.public, number=1).encrypt(np.zeros(100_000)))


def test_progress_grows_to_the_end_and_is_reported_ten_times_a_second(key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(
        np.zeros(300_000), cf.Quantizer(), max_clients=2, round=round_number, key=key, chunk_ciphertexts=4
    )
    told: list[tuple[float, int, int]] = []
    made = Round(key, spec, [np.zeros(300_000)] * 2)
    begun = time.monotonic()
    made.encrypt(0, progress=lambda done, of: told.append((time.monotonic(), done, of))).to_bytes()
    ended = time.monotonic()
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert told[-1][1:] == (spec.messages, spec.messages) and all(of == spec.messages for _, _, of in told)
    assert 1 <= len(told) <= 10 * (ended - begun) + 2


@pytest.mark.parametrize("role", ["client", "finish", "decrypt", "simulate"])
def test_an_exception_in_progress_ends_the_work(key: cf.SecretKey, round_number: int, role: str) -> None:
    spec = cf.RoundSpec.for_arrays(
        np.zeros(3000), cf.Quantizer(), max_clients=2, round=round_number, key=key, chunk_ciphertexts=1
    )
    made = Round(key, spec, [np.zeros(3000)] * 2)

    def stop(done: int, of: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        if role == "client":
            made.encrypt(0, progress=stop).to_bytes()
        elif role == "finish":
            aggregator = made.aggregator()
            for number in range(2):
                aggregator.add(number, made.encrypt(number))
            aggregator.finish(progress=stop)
        elif role == "decrypt":
            made.server().decrypt(made.sums(), progress=stop)
        else:
            cf.simulate.secure_mean([np.zeros(200_000)] * 8, progress=stop)


def test_arrays_and_callbacks_are_released(key: cf.SecretKey, round_number: int) -> None:
    """After the last message, after an error, and when the update is dropped, also in a reference
    cycle.
    """
    spec = cf.RoundSpec.for_arrays(
        np.zeros(1000), cf.Quantizer(), max_clients=2, round=round_number, key=key, chunk_ciphertexts=1
    )
    client = cf.Client(spec, key.public)

    class Callback:
        update: cf.EncryptedUpdate

        def __call__(self, done: int, of: int) -> None:
            pass

    def encrypt() -> tuple[cf.EncryptedUpdate, weakref.ref[np.ndarray], weakref.ref[Callback]]:
        array, callback = np.zeros(1000), Callback()
        callback.update = client.encrypt(array, progress=callback)
        return callback.update, weakref.ref(array), weakref.ref(callback)

    update, array, callback = encrypt()
    assert array() is not None and callback() is not None
    list(update)
    assert array() is None and callback() is None
    update, array, callback = encrypt()
    update.cancel()
    with pytest.raises(cf.Cancelled):
        update.to_bytes()
    assert array() is None and callback() is None
    update, array, callback = encrypt()
    del update
    gc.collect()
    assert array() is None and callback() is None


LOOP = """
    import sys
    import numpy as np
    import cipherfold as cf

    cf.set_threads(2)
    {setup}
    print("ready", flush=True)
    try:
        while True:
            {work}
    except KeyboardInterrupt:
        pass
    # Everything still works.
    result = cf.simulate.secure_sum([np.arange(3)] * 2, max=9, key_bits=2048)
    print("interrupted", result.values.tolist(), flush=True)
"""

WORK = {
    "encrypt": (
        "key = cf.SecretKey.generate(2048); data = np.zeros(1_000_000, np.float32);"
        " spec = cf.RoundSpec.for_arrays(data, cf.Quantizer(), max_clients=2, key=key, chunk_ciphertexts=64);"
        " client = cf.Client(spec, key.public)",
        "list(client.encrypt(data))",
    ),
    "aggregate": (
        "key = cf.SecretKey.generate(2048); data = np.zeros(100_000, np.float32);"
        " spec = cf.RoundSpec.for_arrays(data, cf.Quantizer(), max_clients=2, key=key, chunk_ciphertexts=16);"
        " updates = [cf.Client(spec, key.public).encrypt(data).to_bytes() for _ in range(2)]",
        "agg = cf.Aggregator(spec, key); agg.add('a', updates[0]); agg.add('b', updates[1]);"
        " cf.Server(spec, key).decrypt(agg.finish())",
    ),
    "simulate": ("data = [np.zeros(300_000, np.float32)] * 3", "cf.simulate.secure_mean(data, key_bits=2048)"),
}


@pytest.mark.parametrize("name", WORK)
def test_ctrl_c_at_any_moment(name: str) -> None:
    setup, work = WORK[name]
    program = textwrap.dedent(LOOP).format(setup=setup, work=work)
    chance = random.Random(name)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.8))
        sent = time.monotonic()
        os.kill(child.pid, signal.SIGINT)
        try:
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
        assert (child.returncode, out) == (0, "interrupted [0, 2, 4]\n"), err
        assert time.monotonic() - sent < 15
