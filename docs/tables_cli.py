"""The tables of cli.md: commands, their options, and the environment."""

from collections.abc import Callable, Mapping
from functools import partial

import click
from tables_markdown import table

from rxlapce.cli.main import COMMANDS, cli
from rxlapce.providers import SPECS


def commands() -> str:
    """All commands."""
    return table(
        ("command", ""), ((f"[`rxlapce {name}`](#rxlapce-{name})", text) for name, (_, text) in COMMANDS.items())
    )


def command(name: str) -> str:
    """A command's usage and options."""
    context = click.Context(cli, info_name="rxlapce", terminal_width=100)  # not the terminal's, whatever it is
    found = cli.get_command(context, name)
    if found is None:
        raise KeyError(name)
    inner = click.Context(found, info_name=name, parent=context)
    rows: list[tuple[str, str]] = []
    for parameter in found.get_params(inner):
        record = parameter.get_help_record(inner)
        if record is not None and parameter.name != "help" and isinstance(parameter, click.Option):
            spelling, text = record
            rows.append((f"`{spelling}`", " ".join(text.split())))
    options = f"\n\n{table(('option', ''), rows)}" if rows else ""
    return f"```text\n{found.get_usage(inner)}\n```{options}"


def variables() -> str:
    """The environment variables of every provider."""
    rows: list[tuple[str, str, str]] = []
    for spec in SPECS.values():
        meanings = {spec.key_env: "its key", spec.base_url_env: "its base URL"}
        meanings |= {name: f"its {meaning}" for name, meaning in (spec.secret_env | spec.extra_env).items()}
        meanings |= {name: "found by its own library" for name in spec.needs if name not in meanings}
        for name, meaning in meanings.items():
            if not name:
                continue
            rows.append((f"`{name}`", f"`{spec.name}`", meaning + (", enough to use it" if name in spec.needs else "")))
    return table(("variable", "provider", "meaning"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "variables": variables,
    **{f"command-{name}": partial(command, name) for name in COMMANDS},
}
