"""`rxlapce audit`: whether the audit log is as it was written, and what it adds up to."""

import csv
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from rxlapce.cli.figures import fitted
from rxlapce.cli.options import config_option
from rxlapce.cli.screen import json_line, printable
from rxlapce.errors import ConfigError
from rxlapce.telemetry.audit_chain import closed_files
from rxlapce.telemetry.audit_report import GROUPS, as_records, report
from rxlapce.telemetry.audit_verify import as_json, files_of, lines_of
from rxlapce.telemetry.audit_verify import verify as verified

_COLUMNS: Final = (
    ("requests", "REQUESTS"),
    ("completed", "DONE"),
    ("failed", "FAILED"),
    ("disposed", "GIVEN UP"),
    ("input_tokens", "INPUT"),
    ("cached_input_tokens", "CACHED"),
    ("output_tokens", "OUTPUT"),
    ("cost_usd", "USD"),
    ("duration_s", "SECONDS"),
)
_FILES: Final = click.argument("files", metavar="[FILE...]", nargs=-1, type=click.Path(path_type=Path))
_DAY: Final = click.DateTime(["%Y-%m-%d"])


@click.group()
def audit() -> None:
    """Check the audit log, or add it up."""


@audit.command()
@_FILES
@click.option("--expect", metavar="HASH", help="The hash of a row that has to be there, as it was told once.")
@click.option("--json", "told_as_json", is_flag=True, help="One JSON object.")
@config_option
def verify(files: tuple[Path, ...], expect: str | None, told_as_json: bool, config: Path | None) -> None:
    r"""Say whether the audit log is as it was written.

    Without FILE it is the one that the configuration names. A FILE that is being written to stands for its closed files
    too; a closed one stands for itself.

    Each row has a hash, and names that of the row before: a row that was changed, removed, moved or put in is found. A
    log that was cut at its end, or written anew as a whole, is found by --expect: note the hash that this command
    shows, or that the daemon's log tells (audit_head), where who writes the audit log cannot.

    \b
    The exit code is
      0  if it is as it was written
      1  if it is not: each line says where, and what
    """
    found, whole = _files(files, config)
    result = verified(found, whole=whole, expect=expect)
    if told_as_json:
        click.echo(json_line(as_json(result)))
    else:
        for one in result.torn:
            click.echo(f"{printable(str(one))}: no problem")
        for one in result.problems:
            click.secho(printable(str(one)), fg="red")
        if result.more_problems:
            click.secho(f"and {result.more_problems} more problems", fg="red")
        word = click.style("not as it was written", fg="red") if result.problems else click.style("sound", fg="green")
        count = "a file" if result.files == 1 else f"{result.files} files"
        click.echo(f"{word}: {result.rows} rows in {count}")
        click.echo(f"the last is row {result.head.seq}, its hash {result.head.hash}")
    if result.problems:
        raise click.exceptions.Exit(1)


@audit.command(name="report")
@_FILES
@click.option("--by", default="user", show_default=True, metavar="NAME,...",
              help=f"What to group by: {', '.join(GROUPS)}.")  # fmt: skip
@click.option("--since", type=_DAY, metavar="DAY", help="From this day on, as 2026-11-23; days are those of UTC.")
@click.option("--until", type=_DAY, metavar="DAY", help="Up to this day, with it.")
@click.option("--json", "told_as_json", is_flag=True, help="One JSON object a line, a group each.")
@click.option("--csv", "told_as_csv", is_flag=True, help="Comma-separated values, with a line of names.")
@config_option
def report_(
    files: tuple[Path, ...],
    by: str,
    since: datetime | None,
    until: datetime | None,
    told_as_json: bool,
    told_as_csv: bool,
    config: Path | None,
) -> None:
    """Add the audit log up: requests, outcomes, tokens, costs where providers tell them, and time.

    FILE is as for `rxlapce audit verify`. What an attempt used counts for the provider and model of the attempt.
    """
    names = _names(by)
    if told_as_json and told_as_csv:
        raise click.UsageError("--json or --csv, not both")
    found, whole = _files(files, config)
    problems = verified(found, whole=whole).problems
    rows = (line.row for line in lines_of(found) if line.row is not None)
    first, last = (None if day is None else day.replace(tzinfo=UTC).date() for day in (since, until))
    records = as_records(report(rows, names, since=first, until=last), names)
    if told_as_json:
        for record in records:
            click.echo(json_line(record))
    elif told_as_csv:
        _write_csv(records, names)
    else:
        for line in _table(records, names):
            click.echo(line)
    if problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        click.secho(f"the audit log has {count}: rxlapce audit verify", fg="yellow", err=True)


def _names(by: str) -> list[str]:
    names = [name.strip() for name in by.split(",")]
    for name in names:
        if name not in GROUPS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(GROUPS)}", param_hint="--by")
    if len(set(names)) < len(names):
        raise click.BadParameter("a name stands there twice", param_hint="--by")
    return names


def _files(files: Sequence[Path], config: Path | None) -> tuple[list[Path], bool]:
    """The files in order, and whether they are all that there is."""
    if not files:
        return files_of(_configured(config)), True
    closed = {path for file in files for _, path in closed_files(_log_of(file))}
    if len(files) == 1 and files[0] not in closed:
        return files_of(files[0]), True
    for file in files:
        if not file.exists():
            raise ConfigError(f"there is no audit log at {file}")
    return list(files), False


def _log_of(file: Path) -> Path:
    """Where the log is written that a closed file belongs to."""
    return file.with_name(file.stem.rsplit("-", 2)[0] + file.suffix)


def _configured(config: Path | None) -> Path:
    """The audit log that a configuration names. Raises `ConfigError`."""
    if config is None:
        raise click.UsageError("which audit log? Give a FILE, or --config with `telemetry: {audit: {file: PATH}}`")
    from rxlapce.config.sources import load_daemon_settings  # with YAML's reader

    file = load_daemon_settings(config)[0].audit.file
    if file is None:
        raise ConfigError(f"{config} names no audit log: telemetry: {{audit: {{file: PATH}}}}")
    return Path(file).expanduser()


def _table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    cells = [
        [str(record[name]) for name in names] + [_cell(record[name]) for name, _ in _COLUMNS] for record in records
    ]
    titles = [name.upper() for name in names] + [title for _, title in _COLUMNS]
    widths = [min(max(len(printable(row[place])) for row in [titles, *cells]), 40) for place in range(len(titles))]
    lines: list[str] = []
    for row in [titles, *cells]:
        told = [fitted(cell, width) for cell, width in zip(row[: len(names)], widths, strict=False)]
        told += [cell.rjust(width) for cell, width in zip(row[len(names) :], widths[len(names) :], strict=True)]
        lines.append("  ".join(told).rstrip())
    lines[0] = click.style(lines[0], bold=True)
    return lines


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _write_csv(records: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    members = [*names, *(name for name, _ in _COLUMNS), "attempts"]
    writer = csv.DictWriter(sys.stdout, members, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _harmless(value) for name, value in record.items()})


def _harmless(value: object) -> object:
    """A client's name is not to be a formula in somebody's spreadsheet."""
    return "'" + value if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
