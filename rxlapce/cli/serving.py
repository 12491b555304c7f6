"""`rxlapce serve`, once its loop runs: from a configuration to a daemon that answers, and to the next configuration."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from rxlapce.cli.loop import ease_collector
from rxlapce.cli.passphrase import Remembered
from rxlapce.cli.settings import expanded
from rxlapce.config.assembled import manager_of
from rxlapce.config.check import raise_problems
from rxlapce.config.env import load_provider_configs_from_env, proxy_for, validate_provider_configs
from rxlapce.config.file import FileText, section_digests
from rxlapce.config.layers import Given, daemon_settings, with_given
from rxlapce.config.overrides import without_default_limit
from rxlapce.config.serve import ServeSettings
from rxlapce.config.simulated import simulated_environ
from rxlapce.config.sources import Config, load_config, load_daemon_settings
from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.metrics_server import serve_metrics
from rxlapce.daemon.reload import Read, Reloader, is_file
from rxlapce.daemon.server import Daemon
from rxlapce.daemon.service import Service
from rxlapce.daemon.shutdown import StopRequest, stop_on_signals
from rxlapce.errors import ConfigError
from rxlapce.flow import Exchange
from rxlapce.operators.breaker import Change, State
from rxlapce.operators.store_address import StoreAddress
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider
from rxlapce.routing.health import Health
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.traffic import MakeLedger, Traffic, in_memory
from rxlapce.telemetry.audit import Audit
from rxlapce.telemetry.happening_log import HappeningLog
from rxlapce.telemetry.hooks import each
from rxlapce.telemetry.log_output import LogFile
from rxlapce.telemetry.logs import Logger, loop_errors
from rxlapce.telemetry.settings import TelemetrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options and the environment say of who answers, and under which limits."""

    environ: Mapping[str, str]
    config: Path | None
    text: FileText | None = None
    """What is in the file, as it is when the daemon starts."""
    simulated: tuple[str, ...] = ()
    """Who is played by a simulator, by the names of providers; `simulator` for one that is nobody else."""
    given: Mapping[str, Given]
    passphrases: Remembered

    def daemon(self) -> tuple[TelemetrySettings, ServeSettings]:
        """How the daemon itself is to be; no key is fetched for it.

        Raises `ConfigError`; if the file is wrong here, it tells what is wrong anywhere in it.
        """
        try:
            found = load_daemon_settings(self.text)
        except ConfigError:
            if self.text is not None:
                raise_problems(self.text.text, self.text.name)
            raise
        return daemon_settings(*found, self.given)

    def first(self, played: Mapping[str, Provider]) -> Read[Config]:
        """All of it as it was when the daemon started, and what tells its sections apart; otherwise as `again`."""
        return self._read(self.text, played)

    def again(self, played: Mapping[str, Provider]) -> Read[Config]:
        """All of it as it is now. May block, while keys are fetched. Raises `ConfigError`."""
        if self.config is None:
            return self._read(None, played)
        if self.config.exists() and not is_file(self.config):
            raise ConfigError(f"{self.config} is no file any more")  # a pipe would be waited for
        return self._read(FileText.read(self.config), played)

    def _read(self, text: FileText | None, played: Mapping[str, Provider]) -> Read[Config]:
        config = load_config(self.environ, text, played=played, ask=self.passphrases.ask)
        return Read(configured(self, played, config), {} if text is None else section_digests(text))


def configured(wish: Wish, played: Mapping[str, Provider], config: Config) -> Config:
    """What is configured, and what the options lay over it. Raises `ConfigError`."""
    validate_provider_configs(config.providers)
    # A simulator costs nothing.
    return with_given(replace(config, settings=without_default_limit(config.settings, played)), wish.given)


async def serving(
    service: Service, wish: Wish, log_file: LogFile | None, ready_fd: int | None, lifeline_fd: int | None
) -> None:
    """Serve until a signal, or the end of whoever holds the other end of `lifeline_fd`, asks for a stop."""
    daemon = service.daemon
    asyncio.get_running_loop().set_exception_handler(loop_errors(daemon.log))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(service.close)
        played: dict[str, Provider] = {}
        if wish.simulated:
            found = await stack.enter_async_context(_simulated())
            played = {name: found[name] for name in wish.simulated}
        first = wish.first(played)  # nothing else runs yet that it could hold up
        wish.passphrases.close()
        client = await stack.enter_async_context(HttpClient(proxy_for=proxy_for))
        answering = await _answering(service, stack, client, first.config)
        reloader = _reloader(wish, played, first, answering, daemon)
        with stop_on_signals(partial(_hang_up, daemon.log, log_file, reloader), service.hand_over) as stop:
            _tell_of_config(daemon.log, first.config)
            await stack.enter_async_context(answering)
            ease_collector()
            await service.start(partial(_tell_ready, ready_fd))
            if reloader is not None:
                stack.push_async_callback(reloader.aclose)  # before who answers goes: it would put others there
                reloader.start()
            if lifeline_fd is not None:
                _stop_at_end_of(lifeline_fd, stop)
            await stop.requested.wait()
            await _stop(service, stop)


class Answering:
    """Who answers now: the manager of the configuration that holds, which another can replace while requests run.

    In `async with` it looks after the providers' health.
    """

    def __init__(self, make: Callable[[Config], ProviderManager], config: Config) -> None:
        self._make = make
        self.manager = make(config)
        self.routes = ProviderRoutes(self.manager)

    async def __aenter__(self) -> Self:
        self.manager.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.manager.stop()

    async def take(self, config: Config) -> None:
        """Let new requests be answered as `config` says; those under way go on as they began.

        Raises `ConfigError`, and is as before.
        """
        before, following = self.manager, self._make(config)
        self.routes.swap(following)
        self.manager = following
        await before.stop()
        following.start()


async def _answering(
    service: Service, stack: contextlib.AsyncExitStack, client: HttpClient, config: Config
) -> Answering:
    """Who answers as `config` says, with what they are counted by, told to, and written down in."""
    daemon, telemetry = service.daemon, config.telemetry
    traffic = Traffic(
        config.settings,
        on_breaker=partial(_tell_of_breaker, daemon.log),
        make_ledger=await stack.enter_async_context(_ledgers(config.store, daemon.log)),
    )
    traffic.on_trouble = partial(_tell_of_copy, daemon.log)
    traffic.log_of = partial(_log_of, daemon.log)
    stack.push_async_callback(traffic.aclose)
    metrics = serve_metrics(daemon, lambda: (traffic,), telemetry.metrics, patient=service.takes_over)
    listeners = [daemon.users.settled, await stack.enter_async_context(metrics)]
    if telemetry.audit.file is not None:
        audit = Audit(expanded(telemetry.audit.file), telemetry.audit, daemon.log)
        listeners.append((await stack.enter_async_context(audit)).settled)

    def make(config: Config) -> ProviderManager:
        return manager_of(
            config,
            client,
            traffic=traffic,
            default_provider=config.serve.default_provider,
            on_settled=each(*listeners),
            on_health=partial(_tell_of_health, daemon.log),
        )

    answering = Answering(make, config)
    answering.routes.register(daemon.handlers)
    return answering


def _reloader(
    wish: Wish, played: Mapping[str, Provider], first: Read[Config], answering: Answering, daemon: Daemon
) -> Reloader[Config] | None:
    """What looks at the file; None without one, and for a pipe, which can be read once."""
    if wish.config is None or not is_file(wish.config):
        return None
    reloader = Reloader(
        wish.config,
        partial(wish.again, played),
        answering.take,
        daemon.log,
        first=first,
        needs_restart=partial(_later, first.config),
    )
    daemon.config = lambda: reloader.loaded
    return reloader


def _later(held: Config, following: Config) -> tuple[str, ...]:
    """The settings of the file that only a new process takes: those of the daemon itself, and of the store."""
    parts = {
        "serve": (held.serve, following.serve, ("path", "ring_kib", "drain_s", "key_file", "require_signing")),
        "telemetry": (held.telemetry, following.telemetry, ("logs", "metrics", "audit")),
        "limits": (held, following, ("store",)),
    }
    return tuple(
        f"{part}.{name}"
        for part, (before, after, names) in parts.items()
        for name in names
        if getattr(before, name) != getattr(after, name)
    )


def _tell_of_config(log: Logger, config: Config) -> None:
    log.info("providers_configured", providers=", ".join(config.providers))
    if config.aliases:
        log.info("aliases_configured", aliases=", ".join(alias.name for alias in config.aliases))
    if config.pipelines:
        log.info("pipelines_configured", pipelines=", ".join(config.pipelines))


def _tell_of_breaker(log: Logger, change: Change) -> None:
    tell = log.info if change.after is State.CLOSED else log.warning
    tell("breaker", model=change.name, before=change.before, now=change.after, cause=change.cause)


def _tell_of_copy(log: Logger, pipeline: str, sink: str, request_id: str, error: Exception) -> None:
    told = f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__
    log.warning("copy_failed", request_id=request_id, pipeline=pipeline, sink=sink, error=told)


def _log_of(log: Logger, exchange: Exchange) -> HappeningLog:
    return HappeningLog(log.bind(request_id=exchange.request_id, user=exchange.user, client=exchange.client))


def _tell_of_health(log: Logger, provider: str, before: Health, after: Health) -> None:
    if not after.usable:
        log.warning("provider_unwell", provider=provider, cause=after.reason)
    elif not before.usable:
        log.info("provider_well_again", provider=provider)


@contextlib.asynccontextmanager
async def _ledgers(address: StoreAddress | None, log: Logger) -> AsyncGenerator[MakeLedger, None]:
    """What makes the ledgers of the models' quotas: in memory, or in the store at `address`, which need not be up yet.

    Raises `ConfigError` if its driver is not installed.
    """
    if address is None:
        yield in_memory
        return
    try:
        from rxlapce.operators.shared_store import SharedStore  # with its driver; only for a team
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigError("limits.store needs the package redis: pip install 'rxlapce[redis]'") from None

    def tell(failure: str | None) -> None:
        if failure is None:
            log.info("limits_store_answers", store=str(address))
        else:
            log.error("limits_store_failed", store=str(address), error=failure)

    async with SharedStore(address, on_change=tell) as store:
        log.info("limits_are_shared", store=str(address), answers=await store.check())
        yield store.ledger


async def _stop(service: Service, stop: StopRequest) -> None:
    """Stop in order; a second signal ends the waiting for running streams."""
    stopping = asyncio.ensure_future(service.stop())
    urgent = asyncio.ensure_future(stop.urgent.wait())
    await asyncio.wait((stopping, urgent), return_when=asyncio.FIRST_COMPLETED)
    urgent.cancel()
    if not stopping.done():
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await service.stop(drain_s=0)
    else:
        stopping.result()


def _tell_ready(descriptor: int | None) -> None:
    if descriptor is not None:
        os.write(descriptor, b"ready\n")
        os.close(descriptor)


def _hang_up(log: Logger, file: LogFile | None, reloader: Reloader[Config] | None) -> None:
    """What SIGHUP asks for: to write to the log file that stands there now, and to read the configuration anew."""
    try:
        if file is not None:
            file.reopen()
    except OSError as error:
        log.error("log_file_not_reopened", path=str(file and file.path), error=error.strerror)
    else:
        log.info("hangup", reopened=None if file is None else str(file.path))
    if reloader is not None:
        reloader.ask()


def _stop_at_end_of(descriptor: int, stop: StopRequest) -> None:
    """Ask for a stop when the other end of a pipe closes: its holder has ended, however it did."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        stop.ask()

    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, ended)


@contextlib.asynccontextmanager
async def _simulated() -> AsyncGenerator[dict[str, Provider], None]:
    """A simulator on a loopback port of its own, as every provider, and as one of its own by chat completions."""
    from rxlapce.simulator import Simulator  # only with --simulator

    async with Simulator() as simulator:
        found = load_provider_configs_from_env(simulated_environ(simulator.base_url))
        named = {name: replace(provider, origin=f"--simulate {name}") for name, provider in found.items()}
        yield {**named, "simulator": replace(found["local"], name="simulator", origin="--simulator")}
