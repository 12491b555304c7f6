"""`rxlapce serve`: the daemon."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from rxlapce.cli.loop import ease_collector, run
from rxlapce.cli.options import config_option
from rxlapce.config.env import (
    check_base_url,
    load_provider_configs_from_env,
    proxy_for,
    validate_provider_configs,
)
from rxlapce.config.overrides import with_rate_limit, without_default_limit
from rxlapce.config.simulated import simulated_environ
from rxlapce.config.sources import Config, load_config
from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.daemon.service import Service, raise_open_files
from rxlapce.daemon.shutdown import StopRequest, stop_on_signals
from rxlapce.daemon.systemd import Supervision, take_supervision
from rxlapce.errors import ConfigError
from rxlapce.operators.breaker import Change, State
from rxlapce.operators.store_address import StoreAddress
from rxlapce.providers import SPECS
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider
from rxlapce.routing.health import Health
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.traffic import MakeLedger, Traffic, in_memory
from rxlapce.telemetry.log_output import MIB, LogFile
from rxlapce.telemetry.logs import Logger, logger
from rxlapce.transports.handshake import Signing
from rxlapce.transports.key_file import read_keys
from rxlapce.transports.listening import Listener, adopt
from rxlapce.transports.unix import default_socket_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options and the environment say of who answers, and under which limits."""

    environ: Mapping[str, str]
    config: Path | None
    simulated: tuple[str, ...]
    """Who is played by a simulator, by the names of providers; `simulator` for one that is nobody else."""
    default_provider: str | None
    rate_limit: int | None
    health: bool


@click.command()
@click.option("--path", type=click.Path(path_type=Path), help="Socket to listen on.  [default: the user's own]")
@click.option("--simulator", is_flag=True, help="Add a provider `simulator` that needs no key and no network.")
@click.option("--simulate", "simulated", metavar="NAME", multiple=True, type=click.Choice(list(SPECS)),
              help="Let a simulator answer as provider NAME, in its own dialect; repeatable.")  # fmt: skip
@config_option
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, as provider `local`.")
@click.option("--default-provider", metavar="NAME", help="Who answers a model name without PROVIDER/ in front.")
@click.option("--rate-limit", metavar="N", type=click.IntRange(0), envvar="RXLAPCE_RATE_LIMIT", show_envvar=True,
              help="Requests a minute for each model of every provider, whatever the file says; 0: no limit.  "
              "[default: 60]")  # fmt: skip
@click.option("--no-health", is_flag=True, help="Do not look after the providers' health.")
@click.option("--ring-kib", type=click.IntRange(4, 1 << 20), default=1024, show_default=True, help="Ring of a client.")
@click.option("--drain", "drain_s", type=click.FloatRange(0), default=5.0, show_default=True,
              help="Seconds that running streams get to finish on SIGTERM.")  # fmt: skip
@click.option("--key-file", type=click.Path(path_type=Path), envvar="RXLAPCE_KEY_FILE", show_envvar=True,
              help="Secrets of clients that sign (see `rxlapce keygen`).")  # fmt: skip
@click.option("--require-signing", is_flag=True, help="Serve signed connections only.")
@click.option("--replace", is_flag=True, help="Take the place of the daemon that listens there: no connect fails, and "
              "what it has under way may finish.")  # fmt: skip
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              show_default=True, help="Log from this level up, on standard error or to --log-file.")  # fmt: skip
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), default="auto", show_default=True,
              help="auto: text on a terminal, JSON elsewhere.")  # fmt: skip
@click.option("--log-file", type=click.Path(path_type=Path), help="Log to this file.")
@click.option("--log-mib", type=click.IntRange(1), default=10, show_default=True,
              help="Size at which the file becomes PATH.1, that PATH.2, that PATH.3.")  # fmt: skip
@click.option("--ready-fd", type=int, hidden=True, help="Write one line to this descriptor when listening.")
@click.option("--lifeline-fd", type=int, hidden=True, help="Stop when this descriptor reaches its end.")
@click.option("--own-folder", is_flag=True, hidden=True, help="Remove the socket's folder at the end.")
def serve(
    path: Path | None,
    simulator: bool,
    simulated: tuple[str, ...],
    config: Path | None,
    base_url: str | None,
    default_provider: str | None,
    rate_limit: int | None,
    no_health: bool,
    ring_kib: int,
    drain_s: float,
    key_file: Path | None,
    require_signing: bool,
    replace: bool,
    log_level: str,
    log_format: str,
    log_file: Path | None,
    log_mib: int,
    ready_fd: int | None,
    lifeline_fd: int | None,
    own_folder: bool,
) -> None:
    """Run the daemon that editors connect to.

    Providers come from the environment (see `rxlapce providers`). SIGTERM or Ctrl-C stops in order: new requests are
    refused, running streams may finish for --drain seconds, then each gets a clear error; a second signal does not
    wait. SIGHUP reopens the log file. SIGUSR2 starts this command anew, and stops in order once that serves.

    A service manager may pass the socket to listen on, and be told how the daemon is (`rxlapce service`).
    """
    supervision = take_supervision(os.environ, os.getpid())
    if ring_kib & (ring_kib - 1):
        raise click.BadParameter(f"{ring_kib} is not a power of two", param_hint="--ring-kib")
    wish = Wish(
        environ=_environ(base_url),
        config=config,
        simulated=(*simulated, "simulator") if simulator else simulated,
        default_provider=default_provider,
        rate_limit=rate_limit,
        health=not no_health,
    )
    if require_signing and key_file is None:
        raise click.UsageError("--require-signing needs --key-file: with whose secrets?")
    passed, path = _place(supervision, path, replace=replace)
    settings = DaemonSettings(
        path=path,
        ring_bytes=ring_kib * 1024,
        drain_s=drain_s,
        signing=Signing(keys=read_keys(key_file) if key_file else {}, required=require_signing),
    )
    as_json = None if log_format == "auto" else log_format == "json"
    file = None if log_file is None else LogFile(log_file, log_mib * MIB)
    daemon = Daemon(settings, log=logger(output=file, level=log_level, as_json=as_json))
    before, files = raise_open_files()
    daemon.log.info("open_files", limit=files, before=before)
    service = Service(daemon, supervision, passed=passed, replace=replace)
    run(_serve(service, wish, file, ready_fd, lifeline_fd))
    if own_folder:
        with contextlib.suppress(OSError):  # it is not empty, or whoever made it was faster
            settings.path.parent.rmdir()


def _environ(base_url: str | None) -> dict[str, str]:
    environ: dict[str, str] = dict(os.environ)
    if base_url is not None:
        check_base_url(base_url, "--base-url")
        environ["LOCAL_BASE_URL"] = base_url
    return environ


def _place(supervision: Supervision, path: Path | None, *, replace: bool) -> tuple[Listener | None, Path]:
    """The socket that the service manager passed, if it did, and where to listen."""
    if supervision.passed is None:
        return None, path or default_socket_path()
    passed, where = adopt(supervision.passed)
    if replace or path not in (None, where):
        passed.close()
        raise click.UsageError(f"the service manager passed the socket at {where}: neither --path nor --replace")
    return passed, where


async def _serve(
    service: Service, wish: Wish, log_file: LogFile | None, ready_fd: int | None, lifeline_fd: int | None
) -> None:
    daemon = service.daemon
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(service.close)
        played: dict[str, Provider] = {}
        if wish.simulated:
            found = await stack.enter_async_context(_simulated())
            played = {name: found[name] for name in wish.simulated}
        config = configured(wish, played)
        client = await stack.enter_async_context(HttpClient(proxy_for=proxy_for))
        router = Router(config.providers, wish.default_provider, aliases=config.aliases)
        traffic = Traffic(
            config.settings,
            on_breaker=partial(_tell_of_breaker, daemon.log),
            make_ledger=await stack.enter_async_context(_ledgers(config.store, daemon.log)),
        )
        on_health = partial(_tell_of_health, daemon.log)
        manager = ProviderManager(client, router, config.settings, traffic=traffic, on_health=on_health)
        ProviderRoutes(manager).register(daemon.handlers)
        with stop_on_signals(partial(_hang_up, daemon.log, log_file), service.hand_over) as stop:
            daemon.log.info("providers_configured", providers=", ".join(config.providers))
            if config.aliases:
                daemon.log.info("aliases_configured", aliases=", ".join(router.aliases))
            await stack.enter_async_context(manager)
            ease_collector()
            await service.start(partial(_tell_ready, ready_fd))
            if lifeline_fd is not None:
                _stop_at_end_of(lifeline_fd, stop)
            await stop.requested.wait()
            await _stop(service, stop)


def configured(wish: Wish, played: Mapping[str, Provider]) -> Config:
    """The environment, the file, and what the options lay over them. Raises `ConfigError`."""
    config = load_config(wish.environ, wish.config, played=played)
    validate_provider_configs(config.providers)
    if wish.default_provider is not None and wish.default_provider not in config.providers:
        names = ", ".join(config.providers)
        raise ConfigError(f"--default-provider: {wish.default_provider!r} is not configured; configured: {names}")
    settings = without_default_limit(config.settings, played)  # a simulator costs nothing
    if wish.rate_limit is not None:
        settings = with_rate_limit(settings, wish.rate_limit)
    if not wish.health:
        settings = replace(settings, health=replace(settings.health, enabled=False))
    return replace(config, settings=settings)


def _tell_of_breaker(log: Logger, change: Change) -> None:
    tell = log.info if change.after is State.CLOSED else log.warning
    tell("breaker", model=change.name, before=change.before, now=change.after, cause=change.cause)


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


def _hang_up(log: Logger, file: LogFile | None) -> None:
    """What SIGHUP asks for: to write to the log file that stands there now. There is nothing else to read anew."""
    try:
        if file is not None:
            file.reopen()
    except OSError as error:
        log.error("log_file_not_reopened", path=str(file and file.path), error=error.strerror)
    else:
        log.info("hangup", reopened=None if file is None else str(file.path))


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
