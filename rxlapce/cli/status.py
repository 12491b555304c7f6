"""`rxlapce status`: how the running daemon is."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from rxlapce.bridge import connect
from rxlapce.bridge.client import Client
from rxlapce.cli.loop import run
from rxlapce.cli.options import first_key, key_option
from rxlapce.cli.screen import json_line, printable
from rxlapce.cli.status_view import screen, summary, unwell
from rxlapce.errors import ConfigError, ConnectionLost, DaemonNotRunning, RxlapceError
from rxlapce.status import StatusReport
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.unix import default_socket_path

#: What a daemon has to answer.
ANSWER_S: Final = 5.0
#: Exit code of a daemon that runs and is not well.
UNWELL: Final = 3
#: Cursor to the top; the rest of a line; the rest of the screen.
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Show the clients and the users too.")
@click.option("--json", "as_json", is_flag=True, help="The report as the daemon gives it: one JSON object a line.")
@click.option("--watch", metavar="[SECONDS]", is_flag=False, flag_value="2", type=click.FloatRange(0.1, 3600),
              help="Ask again and again, until Ctrl-C.  [2 seconds, if none are given]")  # fmt: skip
@click.option("--path", type=click.Path(path_type=Path), help="The daemon's socket.  [default: the user's own]")
@key_option
def status(verbose: bool, as_json: bool, watch: float | None, path: Path | None, key_file: Path | None) -> None:
    r"""Show how the daemon is: load, models, providers, memory.

    \b
    The exit code is
      0  if it runs and is well
      1  if it does not run
      3  if it runs, but is not well: it does not answer or is stopping, a
         provider cannot be asked, a model's circuit is open, or a limit is
         reached; the lines `unwell` say what
    """
    where, key = path or default_socket_path(), first_key(key_file)
    if watch is not None:
        run(_watch(where, key, watch, verbose=verbose, as_json=as_json))
        return
    try:
        _, report = run(greeting(where, key))
    except (DaemonNotRunning, ConfigError):
        raise
    except RxlapceError as error:
        click.echo(f"rxlapce is running, but cannot be asked: {printable(str(error))}", err=True)
        raise click.exceptions.Exit(UNWELL) from None
    for line in _told(report, where, verbose=verbose, as_json=as_json):
        click.echo(line)
    if unwell(report):
        raise click.exceptions.Exit(UNWELL)


def _told(report: StatusReport, path: Path, *, verbose: bool, as_json: bool) -> list[str]:
    if as_json:
        return [json_line({"type": report.tag, **msgspec.to_builtins(report)})]
    return screen(report, path, verbose=verbose)


async def greeting(path: Path, key: SigningKey | None) -> tuple[str, StatusReport]:
    """What the daemon at `path` calls itself in the handshake, and how it is. Raises `RxlapceError`."""
    async with await _connected(path, key) as client:
        return client.ack.server, await _answer(client)


async def _connected(path: Path, key: SigningKey | None) -> Client:
    return await connect(path, transport="socket", client="rxlapce status", timeout_s=ANSWER_S, key=key)


async def _answer(client: Client) -> StatusReport:
    """Raises `ConnectionLost` also for a daemon that does not answer in time, and `ProviderError`."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await client.status()
    except TimeoutError:
        raise ConnectionLost(f"no answer within {ANSWER_S:g} s") from None


async def _watch(path: Path, key: SigningKey | None, every_s: float, *, verbose: bool, as_json: bool) -> None:
    """Tell of the daemon every `every_s`, over one connection; of one that is gone too, until it is back."""
    redraws = sys.stdout.isatty() and not as_json
    client: Client | None = None
    try:
        while True:
            try:
                if client is None:
                    client = await _connected(path, key)
                report = await _answer(client)
                lines = _told(report, path, verbose=verbose, as_json=as_json) if as_json or redraws else [_line(report)]
            except RxlapceError as error:
                if client is not None:
                    await client.aclose()
                    client = None
                lines = [_no_report(error, as_json=as_json)]
            if redraws:
                lines = [_HOME + lines[0], *lines[1:]]
                click.echo(f"{_END_OF_LINE}\n".join([*lines, _now()]) + _END_OF_LINE + _BELOW, nl=False)
                sys.stdout.flush()
            else:
                click.echo("\n".join(lines))
            await asyncio.sleep(every_s)
    finally:
        if client is not None:
            await client.aclose()


def _no_report(error: RxlapceError, *, as_json: bool) -> str:
    if as_json:
        return json_line({"type": "no_report", "message": str(error)})
    word = "not running" if isinstance(error, DaemonNotRunning) else "cannot be asked"
    return f"{_now()} {word}: {printable(str(error))}"


def _line(report: StatusReport) -> str:
    return f"{_now()} {summary(report)}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
