"""`rxlapce check`: all that is wrong in configuration files, as compilers tell it."""

import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import Final

import click

from rxlapce.cli.screen import json_line, printable
from rxlapce.config.check import problems_of
from rxlapce.config.file import MAX_FILE_BYTES, read_text, text_of
from rxlapce.config.parse import LINE_ENDS
from rxlapce.errors import ConfigError, Problem

_STDIN: Final = "<stdin>"
#: Longer lines are shown around the place alone.
_SHOWN_CHARS: Final = 110
#: What may stand in the place of a key, though it must not; a reference may be shown.
_KEY: Final = re.compile(
    r"""(?P<name>\b\w*(?:key|keys|unlock|store|token|password|passphrase|secret)["']?\s*:\s+["']?)"""
    r"""(?!(?:env|file|exec|cred|keyring|vault):|null\b|prompt\b)(?P<value>[^\s,{}\[\]"']+)"""
)
_KEYS: Final = re.compile(r"""(?P<name>\bkeys["']?\s*:\s+\[)(?P<value>[^]{}]*)""")
_USER: Final = re.compile(r"""(?P<name>//|\bbase_url["']?\s*:\s+["']?)(?P<value>[^\s@]+)(?=@)""")
_QUERY: Final = re.compile(r"""(?P<name>://[^\s?]*\?)(?P<value>[^\s,"'}]+)""")
#: Members of which the value may be a key.
_OF_KEYS: Final = re.compile(r"(?:^|\.)(?:key|keys\[[0-9]+\]|unlock|store)$")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of file, line, column, path and message, for editors.")
@click.option("--show-source/--no-show-source", default=None, help="Show the lines; on a terminal they are.")
@click.option("--resolve", is_flag=True, help="Fetch the keys too, and see which providers there are.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="FILE...")
def check(*, as_json: bool, show_source: bool | None, resolve: bool, files: tuple[Path, ...]) -> None:
    """Say all that is wrong in each FILE, and where; - is standard input.

    References to keys are read and not followed, so no key has to be there. The exit code is 0 if all is right, else 1.
    """
    found: list[Problem] = []
    lines: dict[str, list[str]] = {}
    for file in files:
        try:
            name, text = _read(file)
        except ConfigError as error:
            found += error.problems
            continue
        lines[name] = LINE_ENDS.split(text)
        found += problems_of(text, name, os.environ if resolve else None)
    if as_json:
        click.echo(json_line([_record(problem) for problem in found]))
    else:
        shown = sys.stdout.isatty() if show_source is None else show_source
        _tell(found, [_name(file) for file in files], lines if shown else {})
    if found:
        raise click.exceptions.Exit(1)


def _name(file: Path) -> str:
    return _STDIN if str(file) == "-" else str(file)


def _read(file: Path) -> tuple[str, str]:
    """What the file is called, and its text. Raises `ConfigError` if it cannot be read."""
    if str(file) == "-":
        return _STDIN, text_of(sys.stdin.buffer.read(MAX_FILE_BYTES + 1), _STDIN)
    return str(file), read_text(file)


def _record(problem: Problem) -> dict[str, object]:
    """What `--json` tells; of a file that is wrong as a whole the first place, where an editor can show it."""
    return {
        "file": problem.file,
        "line": max(problem.line, 1),
        "column": max(problem.column, 1),
        "path": problem.path,
        "message": problem.message,
    }


# -- for people -------------------------------------------------------------------------------------------------------


def _tell(found: list[Problem], names: list[str], lines: dict[str, list[str]]) -> None:
    for problem in found:
        where, _, said = str(problem).partition(": ")
        click.echo(click.style(printable(where), bold=True) + ": " + printable(said))
        if problem.line and problem.file in lines:
            _show(problem, lines[problem.file][problem.line - 1])
    wrong = list(dict.fromkeys(problem.file for problem in found))
    for name in names:
        if name not in wrong:
            click.echo(printable(f"{name}: nothing is wrong"))
    if len(found) > 1:
        click.echo(
            printable(f"{len(found)} things are wrong in {wrong[0] if len(wrong) == 1 else f'{len(wrong)} files'}")
        )


def _show(problem: Problem, line: str) -> None:
    """The line, and under it a caret."""
    column = min(problem.column - 1, len(line))
    begin = max(0, column - _SHOWN_CHARS // 2) if len(line) > _SHOWN_CHARS else 0
    before = _blank(line[begin:column])
    shown = printable(_without_keys(line, problem)[begin : begin + _SHOWN_CHARS]).replace("\t", " ")
    number = str(problem.line)
    click.secho(f"  {number} | {shown}", dim=True)
    click.secho(f"  {' ' * len(number)} | ", dim=True, nl=False)
    click.secho(f"{before}^", fg="red", bold=True)


def _blank(text: str) -> str:
    """Blanks as wide as `text` is on a terminal."""
    wide = {"W": 2, "F": 2}
    return " " * sum(
        0 if unicodedata.combining(char) else wide.get(unicodedata.east_asian_width(char), 1) for char in text
    )


def _without_keys(line: str, problem: Problem) -> str:
    """The line with stars for what may be a key, though one has no place in the file. As long as it was."""
    for pattern in (_KEY, _KEYS, _USER, _QUERY):
        line = pattern.sub(lambda found: found["name"] + re.sub(r"[^\s,]", "*", found["value"]), line)
    if _OF_KEYS.search(problem.path):
        at = problem.column - 1
        line = line[:at] + re.sub(r"^[^\s,{}\[\]]+", lambda found: "*" * len(found[0]), line[at:])
    return line
