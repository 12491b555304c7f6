"""`rxlapce models`: what the configured providers list; never billed."""

import asyncio
import os
from functools import partial
from pathlib import Path

import click

from rxlapce.cli.loop import run
from rxlapce.cli.options import config_option
from rxlapce.cli.passphrase import ask_on_terminal
from rxlapce.cli.screen import json_line, printable
from rxlapce.config.env import proxy_for, validate_provider_configs
from rxlapce.config.sources import load_config
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.providers.discovery import by_any_key, list_models
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
@click.argument("names", metavar="[PROVIDER]...", nargs=-1)
def models(config: Path | None, names: tuple[str, ...], as_json: bool) -> None:
    """List the models of PROVIDER; without one your aliases first, then the models of every configured provider.

    The names are as `rxlapce chat -m` takes them. A provider that cannot be asked is told on standard error, and the
    exit code is then 1. Nothing of this is billed.
    """
    loaded = load_config(os.environ, config, ask=ask_on_terminal())
    configured = loaded.providers
    validate_provider_configs(configured)
    for name in names:
        if name not in configured:
            raise ConfigError(f"provider {name!r} is not configured; configured: {', '.join(configured)}")
    for alias in () if names else loaded.aliases:
        click.echo(_line(alias, as_json=as_json))
    asked = [configured[name] for name in names or configured]
    if not run(_models(asked, as_json=as_json)):
        raise click.exceptions.Exit(1)


def _line(alias: Alias, *, as_json: bool) -> str:
    """The alias's name, as what follows it a model's, and what it stands for."""
    asks = [target.model for target in alias.targets]
    if as_json:
        return json_line({"provider": None, "model": alias.name, "choose": alias.choose, "asks": asks})
    return printable(f"{alias.name} ({alias.choose.replace('_', ' ')}: {', '.join(asks)})")


async def _models(asked: list[Provider], *, as_json: bool) -> bool:
    """Ask all at once and tell the answers in the order of the table; False if one failed."""
    from rxlapce.providers.http import HttpClient  # aiohttp takes a quarter of a second to load

    async with HttpClient(proxy_for=proxy_for) as client:
        lists = (by_any_key(provider, partial(list_models, client)) for provider in asked)
        answers = await asyncio.gather(*lists, return_exceptions=True)
    whole = True
    for provider, answer in zip(asked, answers, strict=True):
        if isinstance(answer, ProviderError):
            whole = False
            click.echo(printable(str(answer)), err=True)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            for model in sorted(answer):
                full = f"{provider.name}/{model}"
                click.echo(json_line({"provider": provider.name, "model": full}) if as_json else printable(full))
    return whole
