"""`rxlapce list`: all that a configuration can name."""

from itertools import groupby
from operator import attrgetter
from typing import Final

import click

from rxlapce.cli.screen import json_line, printable

GROUPS: Final = ("stages", "sinks", "providers", "dialects", "transports")


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="A list of group, name and summary, for machines.")
@click.argument("groups", nargs=-1, metavar="[GROUP]...", type=click.Choice(GROUPS))
def list_(*, as_json: bool, groups: tuple[str, ...]) -> None:
    """List stages and sinks of pipelines, providers, dialects and transports, or of these a GROUP.

    `rxlapce explain NAME` tells more of one.
    """
    from rxlapce.config.catalog import catalog  # takes a quarter of a second to load

    found = [entry for entry in catalog() if entry.group in (groups or GROUPS)]
    if as_json:
        click.echo(json_line([{"group": each.group, "name": each.name, "summary": each.summary} for each in found]))
        return
    formatter = click.HelpFormatter()
    for group, entries in groupby(found, attrgetter("group")):
        with formatter.section(group.capitalize()):
            formatter.write_dl([(printable(each.name), printable(each.summary)) for each in entries])
    click.echo(formatter.getvalue().rstrip("\n"))
