"""Keys and rounds that tests share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cipherfold as cf
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No deadlines: a busy machine is slow, and no test is about time.
settings.register_profile("cipherfold", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cipherfold")

PARTIES = ["aggregator", "server", "key-holder"]


@pytest.fixture(scope="session")
def key() -> cf.SecretKey:
    """A session in which the server has the key. Rounds of different tests have different
    numbers.
    """
    return cf.SecretKey.generate(bits=2048)


@pytest.fixture(scope="session")
def holder_key() -> cf.SecretKey:
    """A session with a key holder."""
    return cf.SecretKey.generate(bits=2048, key_holder=True)


_rounds = iter(range(1, 10**9))


@pytest.fixture
def round_number() -> int:
    """A number that no other test has: a key opens one sum of each round."""
    return next(_rounds)


def channels(session: bytes, clients: int) -> dict[str, cf.Channel]:
    """Channels of all parties, with each other's keys."""
    parties = [f"client:{number}" for number in range(clients)] + PARTIES
    ends = {party: cf.Channel.generate(session, party) for party in parties}
    for party, end in ends.items():
        for other, its in ends.items():
            if party != other:
                end.add_peer(other, its.public_key)
    return ends


@dataclass
class Round:
    """A round with one client for each update."""

    key: cf.SecretKey
    spec: cf.RoundSpec
    updates: list[Any]
    weights: list[int] | None = None
    ends: dict[str, cf.Channel] = field(default_factory=dict)

    def sealed(self) -> Round:
        self.ends = channels(self.key.session, len(self.updates))
        return self

    def encrypt(self, number: int, **settings: Any) -> cf.EncryptedUpdate:
        client = cf.Client(self.spec, self.key.public, number=number, channel=self.ends.get(f"client:{number}"))
        weight = None if self.weights is None else self.weights[number]
        return client.encrypt(self.updates[number], weight=weight, **settings)

    def aggregator(self) -> cf.Aggregator:
        return cf.Aggregator(self.spec, self.key.public, channel=self.ends.get("aggregator"))

    def sums(self) -> cf.EncryptedSum:
        aggregator = self.aggregator()
        for number in range(len(self.updates)):
            aggregator.add(number, self.encrypt(number))
        return aggregator.finish()

    def server(self) -> cf.Server:
        key = self.key.public if self.key.public.key_holder else self.key
        return cf.Server(self.spec, key, channel=self.ends.get("server"))

    def open(self, sums: cf.EncryptedSum | bytes, journal: Any = None) -> cf.RoundResult:
        server = self.server()
        if not self.key.public.key_holder:
            return server.decrypt(sums)
        holder = cf.KeyHolder(self.key, channel=self.ends["key-holder"], journal=journal)
        return server.unmask(holder.answer(self.spec, server.mask(sums)))

    def run(self) -> cf.RoundResult:
        return self.open(self.sums())


def flat(tree: Any) -> list[Any]:
    """The arrays of a nested result, in order."""
    if isinstance(tree, dict):
        return [leaf for member in tree.values() for leaf in flat(member)]
    if isinstance(tree, list):
        return [leaf for member in tree for leaf in flat(member)]
    return [tree]


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same to the last bit, in the same structure."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def model(seed: int) -> dict[str, Any]:
    """An update with nesting, several element types, a single number and an empty array."""
    rng = np.random.default_rng(seed)
    return {
        "layers": [
            {"kernel": rng.normal(size=(17, 9)).astype(np.float32), "bias": rng.normal(size=9)},
            {"kernel": rng.normal(size=(9, 3)).astype(np.float16), "bias": rng.normal(size=3).astype(np.float32)},
        ],
        "steps": np.array(int(rng.integers(0, 1000)), dtype=np.int32),
        "counts": rng.integers(-5, 6, size=(2, 2), dtype=np.int8),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "seen": rng.integers(0, 2, size=11).astype(bool),
    }


CODECS: dict[str, Any] = {
    "layers": cf.Quantizer(clip=2.0, bits=20),
    "steps": cf.Integers(max=1000),
    "counts": cf.Integers(max=5, min=-5),
    "empty": cf.Quantizer(),
    "seen": cf.Integers(max=1),
}
