"""The node that has the secret key: it decrypts sums that the server has masked, once for each
round.

Flower may start a process for every message. So the key, the session key and the journal of opened
rounds are files, in the folder ``cipherfold-state`` of the node configuration:

=============  =================================================================================
``key``        the secret key (mode 0600), made at the first question if it does not exist
``channel``    the session key of this node (mode 0600), made with it
``opened``     the journal of opened rounds. **Without it a round can be opened again**
=============  =================================================================================
"""

from __future__ import annotations

from logging import INFO, getLogger
from pathlib import Path

import cipherfold as cf
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from ..parties import add_peer_key, session_key_settings
from ..wire import (
    CIPHERTEXTS,
    DECRYPT_QUERY,
    KEY_QUERY,
    SETTINGS,
    pack_ciphertexts,
    payload,
    required_settings,
    setting,
    settings,
    unpack_ciphertexts,
)
from .roles import register, register_role, with_role
from .settings import NodeSettings, check_minimum, locked

_log = getLogger("flwr")


def answer_key(message: Message, context: Context) -> Message:
    """Answers ``query.cipherfold_key``: the public key, its pin, and this node's session key."""
    return with_role("key-holder", _key, message, context)


def answer_decrypt(message: Message, context: Context) -> Message:
    """Answers ``query.cipherfold_decrypt``: decrypts the masked sum of a round. Refuses a second
    sum of a round.
    """
    return with_role("key-holder", _decrypt, message, context)


def make_key(folder: Path, bits: int, roster: cf.Roster | None = None) -> cf.SecretKey:
    """The secret key in a folder. Makes the key and the session key if they are missing."""
    path, channel = folder / "key", folder / "channel"
    with locked(folder):
        if path.exists():
            key = cf.SecretKey.load(str(path))
        else:
            key = cf.SecretKey.generate(bits=bits, key_holder=True, roster=roster)
            channel.unlink(missing_ok=True)  # of an earlier key
            key.save(str(path))
            _log.log(INFO, "cipherfold: a key of %d bits was made. All other parties must pin %s", bits, key.public.pin)
        if not channel.exists():
            cf.Channel.generate(key.session, "key-holder").save(str(channel))
        return key


def _key(message: Message, context: Context, node: NodeSettings) -> RecordDict:
    folder = node.folder(context)
    key = make_key(folder, node.key_bits, node.roster)
    record = settings(key=key.public.to_bytes(), pin=key.public.pin)
    record.update(session_key_settings(cf.Channel.load(str(folder / "channel")), node.identity))
    return RecordDict({SETTINGS: record})


def _decrypt(message: Message, context: Context, node: NodeSettings) -> RecordDict:
    folder = node.folder(context)
    question = required_settings(message.content)
    spec = cf.RoundSpec.from_bytes(setting(question, "spec", bytes))
    check_minimum(spec, node)
    channel = cf.Channel.load(str(folder / "channel"))
    add_peer_key(channel, "server", question, node.roster)
    with locked(folder):
        key = cf.SecretKey.load(str(folder / "key"))
        holder = cf.KeyHolder(key, channel=channel, journal=str(folder / "opened"))
        answers = holder.answer(spec, unpack_ciphertexts(payload(message.content)))
        record = pack_ciphertexts(answers)
    _log.log(INFO, "cipherfold: 1 masked sum was decrypted, for round %s", spec.round)
    return RecordDict({CIPHERTEXTS: record, SETTINGS: settings()})


def key_holder_app(app: ClientApp | None = None) -> ClientApp:
    """Adds a key holder's answers to a ClientApp::

        key_holder_app(app)

    The same app runs at all nodes. Only a node with ``cipherfold-role="key-holder"`` in its own
    node configuration answers as a key holder.
    """
    app = ClientApp() if app is None else app
    register_role(app)
    register(app, KEY_QUERY, answer_key)
    register(app, DECRYPT_QUERY, answer_decrypt)
    return app
