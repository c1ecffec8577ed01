"""Errors of this package, all of them :class:`cipherfold.Error`."""

from __future__ import annotations

import cipherfold as cf


class StrategyRefused(cf.ConfigError):
    """A strategy that needs single updates.

    Attributes: ``strategy`` (the name of its class) and ``reason``.
    """

    def __init__(self, strategy: str, reason: str) -> None:
        super().__init__(f"{strategy} cannot be used with secure aggregation: {reason}")
        self.kind = "StrategyRefused"
        self.strategy = strategy
        self.reason = reason


class SettingError(cf.ConfigError):
    """A setting of the app or of a node is missing or wrong.

    Attributes: ``setting`` (its name) and ``reason``.
    """

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.kind = "SettingError"
        self.setting = setting
        self.reason = reason


class RoundRefused(cf.Error):
    """A node refuses a declared round. The message contains public facts only.

    Attributes: ``reason``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.kind = "RoundRefused"
        self.reason = reason


class ReplyError(cf.MessageError):
    """A node has sent an invalid record.

    Attributes: ``reason``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.kind = "ReplyError"
        self.reason = reason


class NodeUnavailable(cf.Error):
    """A node with a role (key holder, aggregator) was not found or does not answer.

    Attributes: ``role`` and ``reason``.
    """

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f"{role}: {reason}")
        self.kind = "NodeUnavailable"
        self.role = role
        self.reason = reason


class NodeRefused(cf.Error):
    """A node with a role has answered with an error.

    Attributes: ``role`` and ``reason``, the text that the node has sent.
    """

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f"{role} refuses: {reason}")
        self.kind = "NodeRefused"
        self.role = role
        self.reason = reason
