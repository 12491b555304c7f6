"""`rxlapce record --listen`: what other programs ask a provider, recorded on its way."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from rxlapce.cli.listening import address, listening, until_stopped
from rxlapce.cli.loop import run
from rxlapce.cli.record import fields_of
from rxlapce.cli.screen import json_line, printable
from rxlapce.config.env import check_base_url, proxy_for
from rxlapce.errors import ConfigError
from rxlapce.operators.recording import read_recording
from rxlapce.providers import SPECS
from rxlapce.providers.http import HttpClient
from rxlapce.providers.spec import Settings
from rxlapce.simulator.recorder import RecordingProxy, Taken

#: The providers whose base URL is the same for everybody.
_KNOWN: Final = ("openai", "anthropic", "gemini", "xai", "openrouter")


def record_others(
    folder: Path, listen: str | None, to: str | None, alone: Mapping[str, object], *, as_json: bool
) -> None:
    """Be the proxy until Ctrl-C. `alone` are options, by name, that say nothing here. Raises `click.UsageError`."""
    for name, value in alone.items():
        if value:
            raise click.UsageError(f"{name} asks a provider; with --listen others ask: leave it out")
    if listen is None or to is None:
        raise click.UsageError("--listen HOST:PORT and --to URL go together")
    check_base_url(to, "--to")
    place = address(listen)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder: with --listen many recordings are made, in the folder of --output")
    run(_serve(folder, listen, place, to, as_json=as_json))


async def _serve(folder: Path, listen: str, place: tuple[str, int], to: str, *, as_json: bool) -> None:
    provider = provider_of(to)
    async with HttpClient(proxy_for=proxy_for) as client:
        proxy = RecordingProxy(
            to,
            folder,
            client,
            provider=provider,
            host=place[0],
            port=place[1],
            on_taken=partial(_tell, as_json=as_json),
            on_trouble=_trouble,
        )
        async with listening(proxy, listen):
            _announce(proxy.base_url, provider, to, folder, as_json=as_json)
            await until_stopped()


def provider_of(url: str) -> str:
    """The provider whose own host is in `url`; "" for one that nobody knows."""
    host = urlsplit(url).hostname or ""
    if host.endswith(".openai.azure.com"):
        return "azure"
    if host.startswith("bedrock-runtime.") and host.endswith(".amazonaws.com"):
        return "bedrock"
    if host == "aiplatform.googleapis.com" or host.endswith("-aiplatform.googleapis.com"):
        return "vertex"
    for name in _KNOWN:
        if urlsplit(SPECS[name].build(Settings()).base_url).hostname == host:
            return name
    return ""


def _announce(base_url: str, provider: str, to: str, folder: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line({"url": base_url, "to": to, "folder": str(folder)}))
    else:
        click.echo(f"Recording what goes by {base_url} to {to} into {folder}. To send a program this way:")
        for name, value in base_urls(base_url, provider, urlsplit(to).path).items():
            click.echo(f"  export {name}={value}")
        click.echo("Ctrl-C ends it.")
    sys.stdout.flush()


def base_urls(base_url: str, provider: str, prefix: str = "") -> dict[str, str]:
    """The variable that leads a program here instead of to `provider`; to OpenAI where nobody knows who it is.

    `prefix` is the path that stands in front of every path already.
    """
    spec = SPECS.get(provider, SPECS["openai"])
    own = urlsplit(spec.build(Settings()).base_url).path if spec.name in _KNOWN else ""
    return {spec.base_url_env: base_url + own.removeprefix(prefix.rstrip("/"))}


def _tell(taken: Taken, *, as_json: bool) -> None:
    if as_json:
        recording = read_recording(taken.file) if taken.file.exists() else None
        fields = {} if recording is None else fields_of(taken.file, recording)
        click.echo(json_line({"method": taken.method, "path": taken.path} | fields))
    else:
        error = "" if taken.error is None else f" ({taken.error.message})"
        line = (
            f"{taken.method} {taken.path} {taken.model or '-'} {taken.status or 'no response'} {taken.end}{error}: "
            f"{taken.bytes:,} bytes in {taken.reads:,} reads, {taken.seconds:.2f} s -> {taken.file.name}"
        )
        click.echo(printable(line.replace("\n", " ")))
    sys.stdout.flush()


def _trouble(error: Exception) -> None:
    click.echo(f"a recording is not whole: {error}", err=True)
