"""The editor's side: connect to the daemon, ask, get tokens. Loads neither aiohttp nor any provider."""

from rxlapce.bridge.client import Client
from rxlapce.bridge.connecting import connect
from rxlapce.bridge.stream import TokenStream

__all__ = ["Client", "TokenStream", "connect"]
