"""Session keys of parties: how they are told, and how they are believed.

Without a roster a party's session key is as authentic as the way that it has come: whoever relays
messages can replace it. With a roster it counts only with the signature of the identity that the
roster names.
"""

from __future__ import annotations

import cipherfold as cf
from flwr.app import ConfigRecord

from .errors import RoundRefused
from .wire import setting


def introduce(channel: cf.Channel, identity: cf.Identity | None) -> dict[str, bytes]:
    """The settings that tell others this channel's session key."""
    settings = {"channel-key": channel.public_key}
    if identity is not None:
        settings["announcement"] = channel.announce(identity)
    return settings


def meet(channel: cf.Channel, party: str, settings: ConfigRecord, roster: cf.Roster | None) -> None:
    """Takes another party's session key from settings that :func:`introduce` has made.

    Raises :class:`RoundRefused` if a roster asks for an announcement and there is none, and what
    ``Channel.add_announcement`` raises for one that is not signed by the identity in the roster.
    """
    if roster is None:
        channel.add_peer(party, setting(settings, "channel-key", bytes))
    elif "announcement" not in settings:
        raise RoundRefused(f"the session key of {party} is not announced by an identity, as the roster demands")
    else:
        channel.add_announcement(party, setting(settings, "announcement", bytes), roster)
