"""`rxlapce providers`: what is configured, from where, and whether it answers; never a key."""

import asyncio
import json
import os
from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table

from rxlapce.cli.loop import run
from rxlapce.config.env import load_provider_configs_from_env, proxy_for
from rxlapce.errors import ProviderError
from rxlapce.providers import SPECS
from rxlapce.providers.discovery import check_health
from rxlapce.providers.provider import Provider


@click.command()
@click.option("--check", is_flag=True, help="Ask each whether it answers and takes the key. Nothing of it is billed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
def providers(check: bool, as_json: bool) -> None:
    """Show which providers are configured, and from where.

    With --check the exit code is 1 if one of them does not answer, or refuses the key.
    """
    configured = load_provider_configs_from_env(os.environ)
    health = run(_health(configured)) if check else {}
    rows: list[dict[str, object]] = [
        {
            "provider": name,
            "configured": name in configured,
            "from": configured[name].origin if name in configured else None,
            "base_url": configured[name].base_url if name in configured else None,
            "key": bool(os.environ.get(spec.key_env)),
            "set": [*spec.needs],
            "api": spec.summary,
            **({"health": health.get(name)} if check else {}),
        }
        for name, spec in SPECS.items()
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _show(rows, configured, health)
    if any(said != OK for said in health.values()):
        raise click.exceptions.Exit(1)


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


def _show(rows: list[dict[str, object]], configured: Mapping[str, Provider], health: Mapping[str, str]) -> None:
    """The table for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("PROVIDER", no_wrap=True)
    table.add_column("CONFIGURED", no_wrap=True)
    table.add_column("BY", overflow="fold")
    for row, spec in zip(rows, SPECS.values(), strict=True):
        if row["configured"]:
            table.add_row(spec.name, "[green]yes[/green]", f"{row['from']}, asked at {row['base_url']}")
        else:
            table.add_row(spec.name, "[dim]no[/dim]", f"[dim]set {' or '.join(spec.needs)}[/dim]")
    Console(soft_wrap=False).print(table)
    for name, said in health.items():
        click.secho(f"{name}: answers" if said == OK else said, fg="green" if said == OK else "red")
    if not configured:
        click.echo("\nNo provider is configured. Without any key: rxlapce demo, or rxlapce serve --simulator")
