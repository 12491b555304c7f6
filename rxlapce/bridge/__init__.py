"""The editor's side: connect to the daemon, ask, get tokens. Loads neither aiohttp nor any provider.

`connect` gives a `Client`: one connection, and Python's types. A `Bridge` is what an editor's UI holds: messages in and
out, and a connection that comes back by itself (`docs/bridge.md`).
"""

from rxlapce.bridge.bridge import Bridge
from rxlapce.bridge.client import Client
from rxlapce.bridge.connecting import connect
from rxlapce.bridge.messages import ConnectionState, InboundMessage, OutboundMessage
from rxlapce.bridge.stream import TokenStream

__all__ = ["Bridge", "Client", "ConnectionState", "InboundMessage", "OutboundMessage", "TokenStream", "connect"]
