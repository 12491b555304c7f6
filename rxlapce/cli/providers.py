"""`rxlapce providers`: what is configured, from where, and whether it answers; never a key."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rxlapce.cli.loop import run
from rxlapce.cli.options import config_option
from rxlapce.cli.passphrase import ask_on_terminal
from rxlapce.cli.screen import printable
from rxlapce.config.env import proxy_for
from rxlapce.config.sources import load_provider_configs
from rxlapce.errors import ProviderError
from rxlapce.providers import SPECS
from rxlapce.providers.discovery import check_health
from rxlapce.providers.provider import Provider


@click.command()
@config_option
@click.option("--check", is_flag=True, help="Ask each whether it answers and takes the key. Nothing of it is billed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
def providers(config: Path | None, check: bool, as_json: bool) -> None:
    """Show which providers are configured, and from where.

    With --check the exit code is 1 if one of them does not answer, or refuses the key.
    """
    configured = load_provider_configs(os.environ, config, ask=ask_on_terminal())
    health = run(_health(configured)) if check else {}
    rows = [_row(name, configured.get(name)) for name in dict.fromkeys((*SPECS, *configured))]
    if check:
        rows = [row | {"health": health.get(str(row["provider"]))} for row in rows]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _show(rows, health)
    if any(said != OK for said in health.values()):
        raise click.exceptions.Exit(1)


def _row(name: str, provider: Provider | None) -> dict[str, object]:
    """What is known of a provider, built in or of the file; `set` is what would configure it."""
    spec = SPECS.get(name)
    return {
        "provider": name,
        "configured": provider is not None,
        "from": provider.origin if provider else None,
        "base_url": provider.base_url if provider else None,
        "key": bool(os.environ.get(spec.key_env)) if spec else bool(provider and provider.auth.secrets),
        "apis": [*provider.apis] if provider else [],
        "set": [*spec.needs] if spec else [],
        "about": spec.summary if spec else "an OpenAI-compatible vendor",
    }


#: What `_health` says of a provider that answers.
OK = "ok"


async def _health(configured: Mapping[str, Provider]) -> dict[str, str]:
    """What each provider says to the question whether it answers, asked all at once."""
    from rxlapce.providers.http import HttpClient, HttpTimeouts  # aiohttp takes a quarter of a second to load

    async def ask(provider: Provider) -> str:
        try:
            await check_health(client, provider)
        except ProviderError as error:
            return str(error)
        return OK

    async with HttpClient(HttpTimeouts(headers_s=15.0, answer_s=20.0), proxy_for) as client:
        answers = await asyncio.gather(*(ask(provider) for provider in configured.values()))
    return dict(zip(configured, answers, strict=True))


def _show(rows: list[dict[str, object]], health: Mapping[str, str]) -> None:
    """The table for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("PROVIDER", no_wrap=True)
    table.add_column("CONFIGURED", no_wrap=True)
    table.add_column("BY", overflow="fold")
    for row in rows:
        if row["configured"]:
            by = Text(f"{row['from']}, asked at {row['base_url']}")
            table.add_row(str(row["provider"]), Text("yes", "green"), by)
        else:
            wanted = " or ".join(SPECS[str(row["provider"])].needs)
            table.add_row(str(row["provider"]), Text("no", "dim"), Text(f"set {wanted}", "dim"))
    Console(soft_wrap=False).print(table)
    for name, said in health.items():
        click.secho(f"{name}: answers" if said == OK else printable(said), fg="green" if said == OK else "red")
    if not any(row["configured"] for row in rows):
        click.echo("\nNo provider is configured. Without any key: rxlapce demo, or rxlapce serve --simulator")
