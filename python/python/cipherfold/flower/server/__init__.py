"""The code that runs at the ServerApp: the wrapper of a strategy, its grid, and the topologies."""

from .grid import SecureGrid
from .strategy import SecureAggregation

__all__ = ["SecureAggregation", "SecureGrid"]
