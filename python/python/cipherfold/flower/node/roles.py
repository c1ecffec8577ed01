"""The common part of nodes with a role: they answer queries for it, and send errors as replies."""

from __future__ import annotations

from collections.abc import Callable
from logging import ERROR, getLogger
from shutil import rmtree

import cipherfold as cf
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from ..errors import ReplyError, RoundRefused
from ..wire import END_QUERY, ROLE_QUERY, SETTINGS, SIMULATED, refusal, settings
from .settings import NodeSettings

# The texts of these errors contain public facts only: numbers of clients, rounds and pins.
_PUBLIC = (
    RoundRefused,
    ReplyError,
    cf.AlreadyOpened,
    cf.MessageError,
    cf.KeyMismatch,
    cf.TooFewClients,
    cf.TooManyClients,
)

Work = Callable[[Message, Context, NodeSettings], RecordDict]

_log = getLogger("flwr")


def with_role(role: str, work: Work, message: Message, context: Context) -> Message:
    """Does the work of a role if this node has it."""
    try:
        node = NodeSettings.of(context)
        if node.role not in (role, SIMULATED):
            raise RoundRefused(f"this node is no {role}")
        return Message(work(message, context, node), reply_to=message)
    except _PUBLIC as error:
        _log.log(ERROR, "cipherfold: %s: %s", role, error)
        return refusal(str(error), reply_to=message)
    except Exception as error:  # its text may contain names of this node's files
        _log.log(ERROR, "cipherfold: %s: %s", role, error, exc_info=not isinstance(error, cf.Error | OSError))
        return refusal(f"the {role} could not do its part; its log has the details", reply_to=message)


def register_role(app: ClientApp) -> None:
    """Registers the queries for the role and for the end of a simulation, once for each app."""
    if not getattr(app, "_cipherfold_role", False):
        register(app, ROLE_QUERY, _role)
        register(app, END_QUERY, _end)
        app._cipherfold_role = True  # type: ignore[attr-defined]


def register(app: ClientApp, action: str, answer: ClientAppCallable) -> None:
    """Registers an answer to a query. The app's mods do not run for it, because they may expect
    arrays.
    """
    app.query(action)(answer)
    app._registered_funcs[f"query.{action}"] = answer


def _role(message: Message, context: Context) -> Message:
    try:
        role = NodeSettings.of(context).role
    except (cf.Error, OSError) as error:
        _log.log(ERROR, "cipherfold: %s", error)
        return refusal("the settings of this node are wrong; its log has the details", reply_to=message)
    return Message(RecordDict({SETTINGS: settings(role=role)}), reply_to=message)


def _end(message: Message, context: Context) -> Message:
    return with_role(SIMULATED, _clear, message, context)


def _clear(message: Message, context: Context, node: NodeSettings) -> RecordDict:
    """Deletes the keys of a simulation at its end. A real node keeps its keys."""
    rmtree(node.folder(context))
    return RecordDict({SETTINGS: settings()})
