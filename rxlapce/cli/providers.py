"""`rxlapce providers`: what is configured, from where; never a key."""

import json
import os

import click
from rich.console import Console
from rich.table import Table

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.providers import SPECS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
def providers(as_json: bool) -> None:
    """Show which providers are configured, and from where."""
    configured = load_provider_configs_from_env(os.environ)
    rows = [
        {
            "provider": name,
            "configured": name in configured,
            "from": configured[name].origin if name in configured else None,
            "base_url": configured[name].base_url if name in configured else None,
            "key": bool(os.environ.get(spec.key_env)),
            "set": [*spec.needs],
            "api": spec.summary,
        }
        for name, spec in SPECS.items()
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PROVIDER", "CONFIGURED", "FROM", "BASE URL", "WHAT"):
        table.add_column(heading, overflow="fold")
    for row, spec in zip(rows, SPECS.values(), strict=True):
        where = str(row["from"]) if row["configured"] else f"[dim]set {' or '.join(spec.needs)}[/dim]"
        yes = "[green]yes[/green]" if row["configured"] else "[dim]no[/dim]"
        table.add_row(spec.name, yes, where, str(row["base_url"] or ""), spec.summary)
    Console(soft_wrap=False).print(table)
    if not configured:
        click.echo("\nNo provider is configured. Without any key: rxlapce demo, or rxlapce serve --simulator")
