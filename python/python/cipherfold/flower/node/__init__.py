"""What runs at SuperNodes: the client's mod, the key holder and the aggregator, and what the node's
owner has configured.
"""

from .aggregator import aggregator_app
from .key_holder import key_holder_app
from .mod import SecureAggregationMod

__all__ = ["SecureAggregationMod", "aggregator_app", "key_holder_app"]
