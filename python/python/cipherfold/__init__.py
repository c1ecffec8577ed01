"""Secure sums of many clients' model updates: no party sees a single update.

A round has three roles, and a key holder if the server must not have the key:

====================  ==========================================  =============================================
:class:`Client`       knows its update and the public key         learns nothing of others
:class:`Aggregator`   knows the public key                        learns who takes part, and sizes
:class:`Server`       knows the secret key, or masks              learns the sums, the total weight, who took part
:class:`KeyHolder`    knows the secret key                        learns how many numbers there are
relay                                                             learns who sends to whom, when, and sizes
====================  ==========================================  =============================================

>>> import cipherfold as cf, numpy as np
>>> key = cf.SecretKey.generate(bits=2048)
>>> update = {"w": np.array([0.25, -0.5], dtype=np.float32)}
>>> spec = cf.RoundSpec.for_arrays(update, cf.Quantizer(clip=1.0, bits=16), max_clients=2)
>>> aggregator = cf.Aggregator(spec, key.public)
>>> for hospital in ["north", "south"]:
...     aggregator.add(hospital, cf.Client(spec, key.public).encrypt(update))
>>> result = cf.Server(spec, key).decrypt(aggregator.finish())
>>> bool(np.allclose(result.values["w"], [0.25, -0.5], atol=spec.error_bound))
True

If the server has the key, server and aggregator must not collude. If a key holder has it, key
holder and aggregator must not collude, and neither must key holder and server.
"""

from __future__ import annotations

import os as _os

from . import errors
from ._cipherfold import (
    Aggregator,
    Answers,
    Channel,
    Client,
    EncryptedSum,
    EncryptedUpdate,
    Identity,
    Integers,
    KeyHolder,
    Modular,
    PublicKey,
    Quantizer,
    Questions,
    Roster,
    RoundSpec,
    SecretKey,
    Server,
    __version__,
    _after_fork,
    _before_fork,
    backends,
    set_threads,
)

from . import paillier, simulate  # isort: skip
from ._results import Report, RoundResult, RoundTime
from .errors import (
    AlreadyOpened,
    BackendError,
    BoxError,
    Cancelled,
    ConfigError,
    DecryptError,
    DtypeError,
    Error,
    KeyMismatch,
    MessageError,
    OpenChannel,
    PinMismatch,
    Replayed,
    TooFewClients,
    TooManyClients,
    UpdateError,
    WrongRound,
)

__all__ = [
    "Aggregator",
    "AlreadyOpened",
    "Answers",
    "BackendError",
    "BoxError",
    "Cancelled",
    "Channel",
    "Client",
    "ConfigError",
    "DecryptError",
    "DtypeError",
    "EncryptedSum",
    "EncryptedUpdate",
    "Error",
    "Identity",
    "Integers",
    "KeyHolder",
    "KeyMismatch",
    "MessageError",
    "Modular",
    "OpenChannel",
    "PinMismatch",
    "PublicKey",
    "Quantizer",
    "Questions",
    "Replayed",
    "Report",
    "Roster",
    "RoundResult",
    "RoundSpec",
    "RoundTime",
    "SecretKey",
    "Server",
    "TooFewClients",
    "TooManyClients",
    "UpdateError",
    "WrongRound",
    "__version__",
    "backends",
    "errors",
    "paillier",
    "set_threads",
    "simulate",
]

if hasattr(_os, "register_at_fork"):
    # A fork waits for running work, so that the child does not inherit a lock of a thread that it
    # does not have.
    _os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(False),
        after_in_child=lambda: _after_fork(True),
    )
