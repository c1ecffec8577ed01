"""Secrets are not shown, copied or pickled, and only their owner can read their files."""

from __future__ import annotations

import copy
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import cipherfold as cf
import numpy as np
import pytest
from conftest import Round


def secrets(key: cf.SecretKey) -> list[Any]:
    return [key, cf.Channel.generate(key.session, "key-holder"), cf.Identity.generate()]


def test_secrets_are_not_pickled_or_copied(key: cf.SecretKey) -> None:
    for secret in [*secrets(key), cf.KeyHolder(key)]:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(secret, protocol)
        for duplicate in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                duplicate(secret)


def test_roles_and_messages_are_not_pickled(key: cf.SecretKey, round_number: int) -> None:
    spec = cf.RoundSpec.for_arrays(np.zeros(3), cf.Quantizer(), max_clients=2, round=round_number)
    made = Round(key, spec, [np.zeros(3)] * 2)
    for role in (cf.Client(spec, key), made.aggregator(), made.server(), made.encrypt(0), made.sums()):
        with pytest.raises(TypeError):
            pickle.dumps(role)


def test_no_secret_is_shown(key: cf.SecretKey) -> None:
    p, q = key.expose_primes()
    for secret in [*secrets(key), cf.KeyHolder(key), key.public]:
        for text in (repr(secret), str(secret), f"{secret}"):
            assert str(p) not in text and f"{q:x}" not in text and len(text) < 200
        with pytest.raises(AttributeError):
            _ = secret.__dict__
    assert {name for name in dir(key) if not name.startswith("_")} == {
        "bits", "expose_primes", "from_primes", "generate", "load", "public", "save", "session",
    }  # fmt: skip


def test_public_things_are_pickled(key: cf.SecretKey) -> None:
    roster = cf.Roster({"A": ("client:0", cf.Identity.generate().public), "Ü": ("server", cf.Identity.generate().public)})
    plan = cf.RoundSpec.for_arrays({"w": np.zeros(3)}, cf.Quantizer(), max_clients=2)
    public: list[Any] = [
        key.public,
        key.public.with_short_exponents(),
        roster,
        plan,
        plan.bind(key),
        cf.Quantizer(clip=0.5, bits=9, stochastic=True, sum=True),
        cf.Quantizer(lower=-1.0, upper=3.0),
        cf.Integers(max=7, min=-(2**63)),
        cf.Modular(2**63, symmetric=True),
    ]
    for thing in public:
        for again in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
            assert again == thing and hash(again) == hash(thing) and repr(again) == repr(thing)
    assert len(set(map(hash, public))) >= len(public) - 1  # both exponents have one pin
    assert key.public != key.public.with_short_exponents()


def test_key_files(key: cf.SecretKey, tmp_path: Path, round_number: int) -> None:
    path = tmp_path / "session.key"
    spec = cf.RoundSpec.for_arrays(np.zeros(3), cf.Quantizer(), max_clients=3, round=round_number)
    made = Round(key, spec, [np.zeros(3)] * 2)
    made.run()
    key.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["session.key"]
    with pytest.raises(FileExistsError):
        key.save(path)
    again = cf.SecretKey.load(str(path))
    assert again.public == key.public and again.session == key.session
    assert again.expose_primes() == key.expose_primes()
    # The loaded key has the opened rounds.
    made.key = again
    with pytest.raises(cf.AlreadyOpened):
        made.run()
    made.key = cf.SecretKey.load(path)
    key.save(path, replace=True)
    assert os.listdir(tmp_path) == ["session.key"]


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_invalid_key_files(key: cf.SecretKey, tmp_path: Path) -> None:
    path = tmp_path / "session.key"
    with pytest.raises(FileNotFoundError) as missing:
        cf.SecretKey.load(path)
    assert missing.value.filename == str(path)
    with pytest.raises(FileNotFoundError):
        key.save(tmp_path / "no folder" / "key")
    with pytest.raises(IsADirectoryError):
        cf.SecretKey.load(tmp_path)
    key.save(path)
    data = path.read_bytes()
    for wrong in (
        b"",
        b"x" * 1000,
        data[:-1],
        data + b"\0",
        data[:200],
        *(flipped(data, place) for place in range(0, len(data), 60)),
    ):
        path.write_bytes(wrong)
        with pytest.raises(cf.Error):
            cf.SecretKey.load(path)
    path.write_bytes(data)
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(cf.ConfigError) as caught:
            cf.SecretKey.load(path)
        assert caught.value.kind == "python.KeyFile" and "chmod 600" in str(caught.value)
    path.chmod(0o400)
    assert cf.SecretKey.load(path).public == key.public


def test_identity_files(tmp_path: Path) -> None:
    identity, path = cf.Identity.generate(), tmp_path / "identity"
    identity.save(path)
    assert cf.Identity.load(path).public == identity.public and stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        identity.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(cf.ConfigError):
        cf.Identity.load(path)
