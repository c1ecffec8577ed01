"""Clients without encryption: what they send is found in the SuperLink's database."""

from flwr.clientapp import ClientApp

from probe.known import register

app = register(ClientApp())
