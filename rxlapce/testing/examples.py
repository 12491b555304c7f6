"""A configuration's text as a daemon on this loop, with a simulator in the place of every provider."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rxlapce.config.assembled import manager_of
from rxlapce.config.simulated import KEY, simulated_environ
from rxlapce.config.sources import Config, load_config
from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.providers.http import HttpClient
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.traffic import Traffic
from rxlapce.telemetry.hooks import Settled
from rxlapce.telemetry.logs import logger


class Troubles(list[tuple[str, str, str, Exception]]):
    """What copies failed of: pipeline, sink, request id, error (`routing.traffic.OnTrouble`)."""

    def tell(self, pipeline: str, sink: str, request_id: str, error: Exception) -> None:
        """One more."""
        self.append((pipeline, sink, request_id, error))


@dataclass(frozen=True, slots=True)
class Configured:
    """A daemon that a file configures: `settled` are the requests that have ended, `troubles` what copies failed of."""

    config: Config
    manager: ProviderManager
    routes: ProviderRoutes
    http: HttpClient
    path: Path
    settled: list[Settled]
    troubles: Troubles


def environ(base_url: str, **more: str) -> Mapping[str, str]:
    """The variables under which every provider is the simulator at `base_url`, and has a key."""
    return {**simulated_environ(base_url), "GROQ_API_KEY": KEY, **more}


@contextlib.asynccontextmanager
async def configured_daemon(
    text: str, base_url: str, folder: Path, variables: Mapping[str, str] | None = None
) -> AsyncGenerator[Configured]:
    """A daemon that serves what `text` says; it listens in `folder`, which must be this user's alone."""
    file = folder / "config.yaml"
    file.write_text(text)
    config = load_config(variables or environ(base_url), file)
    settled: list[Settled] = []
    traffic, troubles = Traffic(config.settings), Troubles()
    traffic.on_trouble = troubles.tell
    async with HttpClient() as http:
        manager = manager_of(config, http, traffic=traffic, on_settled=settled.append)
        daemon = Daemon(DaemonSettings(path=folder / "d.sock"), log=logger(level="error", as_json=True))
        routes = ProviderRoutes(manager)
        routes.register(daemon.handlers)
        await daemon.start()
        try:
            yield Configured(config, manager, routes, http, folder / "d.sock", settled, troubles)
        finally:
            await daemon.stop(drain_s=0)
            await traffic.aclose()
