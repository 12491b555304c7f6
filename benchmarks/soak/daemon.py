"""The daemon of `rxlapce serve`, composed here so that it can be asked how it stands.

`python -m benchmarks.soak.daemon SOCKET CONFIG KEYS` prints `ready`, then for each line on standard input one line of
JSON with its gauges, and stops in order when standard input ends. Providers come from the environment.
"""

import asyncio
import gc
import os
import sys
from pathlib import Path

import msgspec
import uvloop

from benchmarks.soak.gauges import Lateness, gauges_of
from rxlapce.config.sources import load_config
from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.providers.http import HttpClient
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.telemetry.logs import logger
from rxlapce.transports.handshake import Signing
from rxlapce.transports.key_file import read_keys


async def main(path: Path, file: Path, keys: Path) -> None:
    """Serve until standard input ends."""
    config = load_config(os.environ, file)
    daemon = Daemon(DaemonSettings(path=path, signing=Signing(keys=read_keys(keys))), log=logger(level="error"))
    router = Router(config.providers, None, aliases=config.aliases)
    async with HttpClient() as client, ProviderManager(client, router, config.settings) as manager:
        ProviderRoutes(manager).register(daemon.handlers)
        await daemon.start()
        asked = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
        lateness = Lateness()
        print("ready", flush=True)
        while await asked.readline():
            # Else the cycles of what has ended count as memory in use, now more, now less.
            gc.collect()
            print(msgspec.json.encode(gauges_of(daemon, manager, client, lateness.worst_ms())).decode(), flush=True)
        await daemon.stop()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
