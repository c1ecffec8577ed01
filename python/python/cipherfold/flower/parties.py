"""Session keys of parties: how they are sent, and how they are authenticated.

Without a roster, a session key is only as authentic as its transport: a relay can replace it. With
a roster, a session key needs a signature by the party's identity in the roster.
"""

from __future__ import annotations

import cipherfold as cf
from flwr.app import ConfigRecord

from .errors import RoundRefused
from .wire import setting


def session_key_settings(channel: cf.Channel, identity: cf.Identity | None) -> dict[str, bytes]:
    """The settings that contain this channel's session key, for other parties."""
    settings = {"channel-key": channel.public_key}
    if identity is not None:
        settings["announcement"] = channel.announce(identity)
    return settings


def add_peer_key(channel: cf.Channel, party: str, settings: ConfigRecord, roster: cf.Roster | None) -> None:
    """Adds another party's session key from settings that :func:`session_key_settings` has made.

    Raises :class:`RoundRefused` if there is a roster and no announcement. Raises the errors of
    ``Channel.add_announcement`` if the identity in the roster has not signed it.
    """
    if roster is None:
        channel.add_peer(party, setting(settings, "channel-key", bytes))
    elif "announcement" not in settings:
        raise RoundRefused(f"the session key of {party} has no announcement by an identity, which the roster requires")
    else:
        channel.add_announcement(party, setting(settings, "announcement", bytes), roster)
