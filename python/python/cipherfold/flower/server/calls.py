"""Queries to single nodes, and replies that are processed one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from ..errors import NodeRefused, NodeUnavailable

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


def ask(grid: Grid, node: int, action: str, content: RecordDict, *, role: str, timeout: float) -> RecordDict:
    """Sends a query to a node and waits for the answer.

    Raises :class:`NodeUnavailable` if no answer arrives within ``timeout`` seconds, and
    :class:`NodeRefused` if it is an error.
    """
    message = Message(content, node, f"query.{action}")
    for identifier in grid.push_messages([message]):
        for _, reply in replies(grid, {identifier: node}, timeout=timeout):
            if reply.has_error():
                raise NodeRefused(role, reply.error.reason or "an error without a reason")
            return reply.content
    raise NodeUnavailable(role, f"node {node} did not answer `{action}` within {timeout:g} seconds")


def replies(grid: Grid, asked: dict[str, int], *, timeout: float | None) -> Iterator[tuple[int, Message]]:
    """Replies to messages with these identifiers, each with its node, in the order of arrival.

    Only one reply is in memory at a time, if the caller drops it before the next. Ends when all
    nodes have replied, or after ``timeout`` seconds. ``asked`` then contains the nodes that have
    not replied.
    """
    end = None if timeout is None else monotonic() + timeout
    pause = _SHORTEST_PAUSE
    while asked:
        for identifier in list(asked):
            for reply in grid.pull_messages([identifier]):
                yield asked.pop(identifier), reply
                del reply
                pause = _SHORTEST_PAUSE
        if not asked or (end is not None and monotonic() >= end):
            return
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
