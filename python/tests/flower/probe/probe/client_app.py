"""Clients with encryption, a key holder and an aggregator."""

from cipherfold.flower import SecureAggregationMod, aggregator_app, key_holder_app
from flwr.clientapp import ClientApp

from probe.known import register

app = aggregator_app(key_holder_app(register(ClientApp(mods=[SecureAggregationMod()]))))
