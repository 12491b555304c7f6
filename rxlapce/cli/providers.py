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
        rows = [row | {"health": _of(str(row["provider"]), health)} for row in rows]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _show(rows, configured, health)
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
        "key": bool(spec and os.environ.get(spec.key_env)) or bool(provider and provider.auth.secrets),
        "keys": [account.key for account in provider.accounts] if provider else [],
        "apis": [*provider.apis] if provider else [],
        "set": [*spec.needs] if spec else [],
        "about": spec.summary if spec else "an OpenAI-compatible vendor",
    }


#: What `_health` says of a provider that answers.
OK = "ok"


async def _health(configured: Mapping[str, Provider]) -> dict[str, str]:
    """What each provider says, by each of its keys, to the question whether it answers; asked all at once."""
    from rxlapce.providers.http import HttpClient, HttpTimeouts  # aiohttp takes a quarter of a second to load

    async def ask(provider: Provider) -> str:
        try:
            await check_health(client, provider)
        except ProviderError as error:
            return str(error)
        return OK

    async with HttpClient(HttpTimeouts(headers_s=15.0, answer_s=20.0), proxy_for) as client:
        asked = {_label(account): account for one in configured.values() for account in one.accounts or (one,)}
        answers = await asyncio.gather(*(ask(account) for account in asked.values()))
    return dict(zip(asked, answers, strict=True))


def _label(account: Provider) -> str:
    return f"{account.name} by key {account.key}" if account.key else account.name


def _of(name: str, health: Mapping[str, str]) -> str | None:
    """What a provider said, by each of its keys where they have names; None if it was not asked."""
    said = {label: words for label, words in health.items() if label.partition(" by key ")[0] == name}
    if not said or all(words == OK for words in said.values()):
        return OK if said else None
    return "; ".join(words if label == name else f"{label}: {words}" for label, words in said.items())


def _show(rows: list[dict[str, object]], configured: Mapping[str, Provider], health: Mapping[str, str]) -> None:
    """The table for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("PROVIDER", no_wrap=True)
    table.add_column("CONFIGURED", no_wrap=True)
    table.add_column("BY", overflow="fold")
    for row in rows:
        if row["configured"]:
            accounts = configured[str(row["provider"])].accounts
            keys = f", keys {', '.join(account.key for account in accounts)}" if accounts else ""
            by = Text(f"{row['from']}{keys}, asked at {row['base_url']}")
            table.add_row(str(row["provider"]), Text("yes", "green"), by)
        else:
            wanted = " or ".join(SPECS[str(row["provider"])].needs)
            table.add_row(str(row["provider"]), Text("no", "dim"), Text(f"set {wanted}", "dim"))
    Console(soft_wrap=False).print(table)
    for name, said in health.items():
        click.secho(f"{name}: answers" if said == OK else printable(said), fg="green" if said == OK else "red")
    if not any(row["configured"] for row in rows):
        click.echo("\nNo provider is configured. Without any key: rxlapce demo, or rxlapce serve --simulator")
