"""A daemon to test against: in a process of its own, or on the test's own loop."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.retry import RetryPolicy
from rxlapce.providers.http import HttpClient, HttpTimeouts
from rxlapce.providers.provider import Provider
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import Admission, Quota, RoutingSettings, StreamTimeouts
from rxlapce.telemetry.logs import logger

START_S = 20.0


@dataclass(slots=True)
class DaemonProcess:
    """A `rxlapce serve` that listens at `path`."""

    path: Path
    process: asyncio.subprocess.Process
    lifeline: int
    """The writing end of the pipe whose end stops the daemon."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def terminate(self) -> None:
        """Ask for an orderly stop."""
        self.process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.process.kill()
        await self.process.wait()

    async def exit_code(self) -> int:
        """Wait until it has ended by itself."""
        return await self.process.wait()

    def let_go(self) -> None:
        """Close this process's end of the lifeline, as its death would. Idempotent."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1


#: What `bare` says, as a configuration file.
BARE = """
limits: {default: {requests: null}}
retry: {max_attempts: 1}
breaker: {consecutive: 1024, window: 1024, min_outcomes: 1024, failure_percent: 100, max_cooldown_s: 0.001}
health: {enabled: false}
"""


@contextlib.asynccontextmanager
async def daemon_process(
    path: Path, *options: str, environ: Mapping[str, str] | None = None, config: str = BARE
) -> AsyncGenerator[DaemonProcess]:
    """A daemon that listens at `path` when this yields; at the end it is killed unless it has ended.

    `config` is the text of its configuration file, by default as `bare` has it. It writes its log to standard error of
    this process. `path.parent` must be this user's alone (mode 0700).
    """
    ready_read, ready_write = os.pipe()
    life_read, life_write = os.pipe()
    file = _written(config)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "rxlapce", "serve", "--path", str(path), "--log-level", "warning",
        "--ready-fd", str(ready_write), "--lifeline-fd", str(life_read), "--config", file,
        *options,
        pass_fds=(ready_write, life_read), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
        env=dict(os.environ if environ is None else environ),
    )  # fmt: skip
    os.close(ready_write)
    os.close(life_read)
    daemon = DaemonProcess(path, process, life_write)
    try:
        await _readable(ready_read)
        if not os.read(ready_read, 16):
            raise RuntimeError(f"the daemon ended with {await process.wait()} before it listened")
        yield daemon
    finally:
        os.close(ready_read)
        daemon.let_go()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        _remove(file)


def _written(config: str) -> str:
    descriptor, file = tempfile.mkstemp(suffix=".yaml")
    os.write(descriptor, config.encode())
    os.close(descriptor)
    return file


def _remove(file: str) -> None:
    Path(file).unlink()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_reader(descriptor, told.set)
    try:
        async with asyncio.timeout(START_S):
            await told.wait()
    finally:
        loop.remove_reader(descriptor)


def bare(timeouts: StreamTimeouts | None = None) -> RoutingSettings:
    """Settings under which each request is asked once, as often as a test likes, and no failure changes the next."""
    return RoutingSettings(
        timeouts=timeouts or StreamTimeouts(),
        admission=Admission(default=Quota()),
        retry=RetryPolicy(max_attempts=1),
        breaker=BreakerSettings(
            consecutive=1024, window=1024, min_outcomes=1024, failure_percent=100, max_cooldown_s=0.001
        ),
    )


@dataclass(frozen=True, slots=True)
class EmbeddedDaemon:
    """A daemon on this loop, with all that it holds open to be looked at."""

    daemon: Daemon
    http: HttpClient
    manager: ProviderManager
    path: Path


@contextlib.asynccontextmanager
async def embedded_daemon(
    settings: DaemonSettings,
    *providers: Provider,
    http_timeouts: HttpTimeouts | None = None,
    routing: RoutingSettings | None = None,
) -> AsyncGenerator[EmbeddedDaemon]:
    """A daemon with these providers that listens at `settings.path`; it is stopped without draining at the end."""
    async with HttpClient(http_timeouts) as http:
        daemon = Daemon(settings, log=logger(level="error", as_json=True))
        router = Router({provider.name: provider for provider in providers})
        manager = ProviderManager(http, router, routing or bare(), on_settled=daemon.users.settled)
        ProviderRoutes(manager).register(daemon.handlers)
        await daemon.start()
        try:
            yield EmbeddedDaemon(daemon, http, manager, settings.path)
        finally:
            await daemon.stop(drain_s=0)
