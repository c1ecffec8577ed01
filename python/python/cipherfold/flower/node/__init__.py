"""The code that runs at SuperNodes: the client's mod, the key holder, the aggregator, and the
settings of the node's owner.
"""

from .aggregator import aggregator_app
from .key_holder import key_holder_app
from .mod import SecureAggregationMod

__all__ = ["SecureAggregationMod", "aggregator_app", "key_holder_app"]
