"""`rxlapce config`: every setting, its value, and where that comes from."""

import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, cast

import click

from rxlapce.cli.options import serve_config_option
from rxlapce.cli.screen import json_line, printable
from rxlapce.cli.settings import given, setting_options
from rxlapce.config.check import ELSEWHERE, config_of
from rxlapce.config.file import FileText, default_config_file, read_sections
from rxlapce.config.layers import Row, Source, rows, with_given
from rxlapce.errors import ConfigError

_COLOURS = {Source.FLAG: "cyan", Source.ENVIRONMENT: "magenta", Source.FILE: "green", Source.DEFAULT: None}


@click.command()
@serve_config_option
@setting_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: name, value, source, where.")
@click.option("--changed", is_flag=True, help="Only what is not a default.")
@click.option("--where", is_flag=True, help="Print the path of the file alone, which need not be there.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.pass_context
def config(
    context: click.Context,
    /,
    *,
    config: Path | None,
    as_json: bool,
    changed: bool,
    where: bool,
    names: tuple[str, ...],
    **_: Any,
) -> None:
    """Show each setting as `rxlapce serve` would have it, and where its value comes from.

    That is a flag, else a variable of the environment, else the file, else its default: the first one that says
    something. Give the options that you would give to `rxlapce serve`. With NAME only the settings that begin so, such
    as limits or serve.path. Keys are not fetched: what is shown is where they are.
    """
    if where:
        click.echo(str(config or default_config_file(os.environ)))
        return
    said = given(context)
    file = None if config is None else FileText.read(config)
    loaded = with_given(config_of(file, os.environ), said, ELSEWHERE)
    sections = {} if file is None else read_sections(file)
    found = [
        row
        for row in rows(loaded, sections, said)
        if _is_asked(row.name, names) and not (changed and row.source is Source.DEFAULT)
    ]
    if names and not found and not changed:
        raise ConfigError(f"there is no setting {' or '.join(map(repr, names))}: rxlapce config shows all")
    if as_json:
        for row in found:
            click.echo(json_line({"name": row.name, "value": _plain(row.value), "source": row.source,
                                  "where": row.where}))  # fmt: skip
        return
    for line in _table(found):
        click.echo(line)


def _is_asked(name: str, names: tuple[str, ...]) -> bool:
    return not names or any(name == asked or name.startswith((f"{asked}.", f"{asked}[")) for asked in names)


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value  # of whatever it holds


def _shown(value: Any) -> str:
    """The value as YAML has it."""
    plain = _plain(value)
    if plain is None:
        return "null"
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, list):
        return "[" + ", ".join(map(_shown, cast("list[object]", plain))) + "]"  # as above
    if isinstance(plain, dict):
        members = cast("dict[str, object]", plain).items()  # names, as files have them
        return "{" + ", ".join(f"{name}: {_shown(member)}" for name, member in members) + "}"
    if isinstance(plain, float) and plain.is_integer():
        return str(int(plain))
    return str(plain)


def _table(found: Iterable[Row]) -> Iterable[str]:
    told = [(row, printable(row.name), printable(_shown(row.value))) for row in found]
    wide = max((len(name) for _, name, _ in told), default=0)
    wider = min(40, max((len(value) for *_, value in told), default=0))
    for row, name, value in told:
        source = row.source.value if row.source in (Source.DEFAULT, Source.FILE) else f"{row.source.value} "
        origin = row.where if row.source is Source.FILE else source + row.where
        yield f"{name:{wide}}  {value:{wider}}  " + click.style(printable(origin), fg=_COLOURS[row.source])
