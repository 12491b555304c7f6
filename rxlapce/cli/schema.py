"""`rxlapce schema`."""

import json
from typing import Final

import click

#: \b keeps click from filling the lines.
EPILOG: Final = """\b
rxlapce schema > rxlapce.schema.json
and as the first line of the configuration:
# yaml-language-server: $schema=rxlapce.schema.json
"""


@click.command(epilog=EPILOG)
def schema() -> None:
    """Print the JSON Schema of the configuration, by which editors complete it.

    What depends on other values is found by `rxlapce check` alone.
    """
    from rxlapce.config.schema import schema as schema_of_file  # takes a quarter of a second to load

    click.echo(json.dumps(schema_of_file(), indent=2, ensure_ascii=False))
