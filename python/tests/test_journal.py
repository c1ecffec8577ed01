"""The key holder's journal: only one sum of each round is opened, in any process and at any
time.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import cipherfold as cf
import numpy as np
import pytest
from conftest import Round


@pytest.fixture
def own_key(tmp_path: Path) -> cf.SecretKey:
    key = cf.SecretKey.generate(bits=2048, key_holder=True)
    key.save(tmp_path / "key")
    return key


def make(key: cf.SecretKey, number: int) -> Round:
    spec = cf.RoundSpec.for_arrays(np.zeros(300), cf.Quantizer(), max_clients=2, round=number, chunk_ciphertexts=1, key=key)
    return Round(key, spec, [np.zeros(300)] * 2).sealed()


def test_a_second_sum_is_refused_also_after_a_restart(own_key: cf.SecretKey, tmp_path: Path) -> None:
    made, journal = make(own_key, 1), tmp_path / "journal"
    questions, others = made.server().mask(made.sums()), made.server().mask(made.sums())
    # Each holder is a new process that loads the key as it was before the round.
    holders = [
        cf.KeyHolder(cf.SecretKey.load(tmp_path / "key"), channel=made.ends["key-holder"], journal=journal) for _ in range(3)
    ]
    answers = holders[0].answer(made.spec, questions)
    with pytest.raises(cf.AlreadyOpened) as caught:
        holders[1].answer(made.spec, others)
    assert caught.value.round == 1
    # The same questions are answered again, and other rounds are answered too.
    assert len(holders[2].answer(made.spec, questions)) == len(answers)
    later = make(own_key, 2)
    assert len(
        cf.KeyHolder(cf.SecretKey.load(tmp_path / "key"), channel=later.ends["key-holder"], journal=journal).answer(
            later.spec, later.server().mask(later.sums())
        )
    )
    assert oct(journal.stat().st_mode & 0o777) == "0o600"


def test_without_a_journal_the_object_alone_remembers(own_key: cf.SecretKey, tmp_path: Path) -> None:
    made = make(own_key, 1)
    holder = cf.KeyHolder(own_key, channel=made.ends["key-holder"])
    holder.answer(made.spec, made.server().mask(made.sums()))
    others = made.server().mask(made.sums())
    with pytest.raises(cf.AlreadyOpened):
        holder.answer(made.spec, others)
    forgetful = cf.KeyHolder(cf.SecretKey.load(tmp_path / "key"), channel=made.ends["key-holder"])
    assert len(forgetful.answer(made.spec, others)) == made.spec.messages


def test_parts_that_were_opened_before_an_error_count(own_key: cf.SecretKey, tmp_path: Path) -> None:
    made, journal = make(own_key, 1), tmp_path / "journal"
    questions = list(made.server().mask(made.sums()))
    others = list(made.server().mask(made.sums()))
    with pytest.raises(cf.BoxError):
        cf.KeyHolder(cf.SecretKey.load(tmp_path / "key"), channel=made.ends["key-holder"], journal=journal).answer(
            made.spec, [questions[0], questions[1][:-1] + b"\0"]
        )
    holder = cf.KeyHolder(cf.SecretKey.load(tmp_path / "key"), channel=made.ends["key-holder"], journal=journal)
    with pytest.raises(cf.AlreadyOpened):
        holder.answer(made.spec, others)


def test_invalid_journals(own_key: cf.SecretKey, tmp_path: Path) -> None:
    made, journal = make(own_key, 1), tmp_path / "journal"
    questions = made.server().mask(made.sums())
    for wrong in (b"", b"something else entirely, and long enough to have been a journal once"):
        journal.write_bytes(wrong)
        with pytest.raises(cf.ConfigError) as caught:
            cf.KeyHolder(own_key, channel=made.ends["key-holder"], journal=journal).answer(made.spec, questions)
        assert caught.value.kind == "python.Journal"
    journal.unlink()
    other = make(cf.SecretKey.generate(2048, key_holder=True), 1)
    cf.KeyHolder(other.key, channel=other.ends["key-holder"], journal=journal).answer(
        other.spec, other.server().mask(other.sums())
    )
    with pytest.raises(cf.KeyMismatch) as mismatch:
        cf.KeyHolder(own_key, channel=made.ends["key-holder"], journal=journal).answer(made.spec, questions)
    assert (mismatch.value.expected, mismatch.value.found) == (own_key.public.pin, other.key.public.pin)
    with pytest.raises(FileNotFoundError):
        cf.KeyHolder(own_key, channel=made.ends["key-holder"], journal=tmp_path / "no" / "journal").answer(made.spec, questions)


def test_a_locked_journal_blocks_other_processes(own_key: cf.SecretKey, tmp_path: Path) -> None:
    """Other processes wait for the lock, and Ctrl-C ends the wait."""
    made, journal = make(own_key, 1), tmp_path / "journal"
    program = f"""
import fcntl, sys
with open({str(journal) + ".lock"!r}, "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""
    lock = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert lock.stdout is not None and lock.stdout.readline() == b"locked\n"
        questions = made.server().mask(made.sums())
        answered = threading.Event()

        def answer() -> None:
            cf.KeyHolder(own_key, channel=made.ends["key-holder"], journal=journal).answer(made.spec, questions)
            answered.set()

        thread = threading.Thread(target=answer)
        thread.start()
        time.sleep(0.3)
        assert not answered.is_set()
    finally:
        lock.communicate(b"")
    thread.join(20)
    assert answered.is_set()
