"""A party that continues in another process, and a client's checks of a round before it
encrypts.
"""

from __future__ import annotations

from pathlib import Path

import cipherfold as cf
import numpy as np
import pytest

MODEL = {"w": np.zeros((2, 3), np.float32), "n": np.zeros((), np.int64), "r": np.zeros(2, np.uint16)}
CODECS = {"w": cf.Quantizer(lower=-1.0, upper=3.0, bits=12), "n": cf.Integers(9, min=-9), "r": cf.Modular(7)}


def test_a_saved_channel_opens_what_was_sealed_for_it(tmp_path: Path) -> None:
    key = cf.SecretKey.generate(bits=2048)
    spec = cf.RoundSpec.for_arrays(MODEL, CODECS, max_clients=3, min_clients=1, key=key)
    aggregator = cf.Channel.generate(key.session, "aggregator")
    client = cf.Channel.generate(key.session, "client:1")
    client.add_peer("aggregator", aggregator.public_key)
    update = list(cf.Client(spec, key.public, number=1, channel=client).encrypt(MODEL))
    aggregator.save(tmp_path / "channel")
    assert (tmp_path / "channel").stat().st_mode & 0o777 == 0o600
    again = cf.Channel.load(tmp_path / "channel")
    assert (again.session, again.party, again.public_key) == (key.session, "aggregator", aggregator.public_key)
    again.add_peer("client:1", client.public_key)
    sums = cf.Aggregator(spec, key.public, channel=again)
    sums.add(1, iter(update), number=1)
    assert sums.participants == [1]


def test_a_channel_does_not_overwrite_a_file_unless_asked_to(tmp_path: Path) -> None:
    channel = cf.Channel.generate(bytes(16), "key-holder")
    channel.save(tmp_path / "channel")
    with pytest.raises(FileExistsError):
        channel.save(tmp_path / "channel")
    channel.save(tmp_path / "channel", replace=True)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:40], lambda b: b"", lambda b: b[:-40] + b"x" + b[-39:]])
def test_a_damaged_channel_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "channel"
    cf.Channel.generate(bytes(16), "client:4294967295").save(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(cf.ConfigError):
        cf.Channel.load(path)


def test_other_files_are_not_channels(tmp_path: Path) -> None:
    cf.Identity.generate().save(tmp_path / "identity")
    with pytest.raises(cf.ConfigError):
        cf.Channel.load(tmp_path / "identity")
    cf.Channel.generate(bytes(16), "server").save(tmp_path / "open")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(cf.ConfigError, match="chmod"):
        cf.Channel.load(tmp_path / "open")
    with pytest.raises(FileNotFoundError):
        cf.Channel.load(tmp_path / "missing")


def test_a_round_shows_what_it_sums() -> None:
    spec = cf.RoundSpec.from_bytes(cf.RoundSpec.for_arrays(MODEL, CODECS, max_clients=3).to_bytes())
    assert spec.codecs == CODECS
    assert spec.shapes == {"w": (2, 3), "n": (), "r": (2,)}
    assert spec.dtypes == {"w": "float32", "n": "int64", "r": "uint16"}
