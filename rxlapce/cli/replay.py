"""`rxlapce replay`: recordings as a provider that programs can ask, or as they were, on the screen."""

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import click
import msgspec

from rxlapce.cli.listening import address, listening, until_stopped
from rxlapce.cli.live import PlainView, answer_view
from rxlapce.cli.loop import run
from rxlapce.cli.record import rows_of
from rxlapce.cli.screen import json_line, printable
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.flow import Exchange, iterate
from rxlapce.operators.recording import read_recording
from rxlapce.operators.replay import replay as replayed
from rxlapce.providers.provider import Api, by_content
from rxlapce.providers.recorded import format_of

if TYPE_CHECKING:
    from rxlapce.simulator.journal import Served
    from rxlapce.simulator.recorded import Recorded, RecordedProvider

EXAMPLES: Final = """\b
Examples:
  rxlapce replay answer.rec --print --speed 4
  rxlapce replay recordings/*.rec --listen 127.0.0.1:8089
  rxlapce replay refused.rec answer.rec --speed 0

\b
Exit codes: 0 done; 1 a file is no recording, or --print met one that failed;
2 a misuse; 130 Ctrl-C in --print.
"""


@click.command(epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0), help="Times as fast as it was; 0: "
              "without waiting.")  # fmt: skip
@click.option("--listen", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Where to be asked; port "
              "0 takes a free one.")  # fmt: skip
@click.option("--loop", is_flag=True, help="After the last recording that fits give the first again, not the last.")
@click.option("--print", "on_screen", is_flag=True, help="No server: show each answer here, as it came.")
@click.option("--json", "as_json", is_flag=True, help="The address as one line of JSON, or with --print each token.")
def replay(files: tuple[Path, ...], speed: float, listen: str, loop: bool, on_screen: bool, as_json: bool) -> None:
    """Serve what `rxlapce record` recorded as a provider: status, bytes and timing as they were.

    One FILE answers every POST. Of several those fit whose API's path it is, and of these the ones for the model that
    is asked for, if there are any; they are given in turn, and the last of them again and again.
    """
    if on_screen:
        run(_print(files, speed, as_json=as_json))
    else:
        run(_serve(files, speed, listen, address(listen), loop=loop, as_json=as_json))


async def _serve(
    files: Sequence[Path], speed: float, listen: str, place: tuple[str, int], *, loop: bool, as_json: bool
) -> None:
    from rxlapce.simulator.recorded import RecordedProvider  # a web server, which takes a quarter of a second to load

    try:
        provider = RecordedProvider(files, speed=speed, host=place[0], port=place[1], loop=loop, on_served=_report)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from None
    async with listening(provider, listen):
        _announce(provider, speed, as_json=as_json)
        await until_stopped()


def _announce(provider: "RecordedProvider", speed: float, *, as_json: bool) -> None:
    from rxlapce.cli.record_proxy import base_urls

    url = provider.base_url
    names = list(dict.fromkeys(one.header.provider for one in provider.recordings))
    environ = {name: value for known in names for name, value in base_urls(url, known).items()}
    if as_json:
        models = list(dict.fromkeys(one.header.model for one in provider.recordings))
        click.echo(json_line({"url": url, "environ": environ, "models": models}))
    else:
        count = len(provider.recordings)
        what = provider.recordings[0].path.name if count == 1 else f"{count} recordings"
        click.echo(f"Playing {what} at speed {speed:g} on {url}. To ask them:")
        for name, value in environ.items():
            click.echo(f"  export {name}={value}")
        first = provider.recordings[0]
        if first.api == "openai.chat.completions":
            model = shlex.quote(first.header.model or "any")
            click.echo(f"or at once:\n  rxlapce demo --base-url {url}/v1 -m {model}")
        click.echo("Any key will do. Ctrl-C ends it.")
    sys.stdout.flush()


def _report(served: "Served", chosen: "Recorded | None") -> None:
    """One line for each request: what was asked, and what it got."""
    request = served.request
    name = "no recording fits" if chosen is None else chosen.path.name
    line = f"{request.method} {request.path} {served.status or '-'} {served.outcome} {served.bytes:,} bytes <- {name}"
    click.echo(printable(line.replace("\n", " ")), err=True)


async def _print(files: Sequence[Path], speed: float, *, as_json: bool) -> None:
    failures = [error for file in files if (error := await _print_one(file, speed, as_json=as_json)) is not None]
    if failures:
        raise failures[-1]


async def _print_one(file: Path, speed: float, *, as_json: bool) -> ProviderError | None:
    """Show one recording; the error that it ends with."""
    try:
        recording = read_recording(file)
        spoken = format_of(recording.header)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from None
    exchange, view, tokens = Exchange(), PlainView() if as_json else answer_view(), 0
    decoded = by_content(Api(dialect=spoken.dialect(), path="", framing=spoken.framing), exchange)
    source = decoded(replayed(file, speed=speed, exchange=exchange))
    started_s = perf_counter()
    failure: ProviderError | None = None
    with contextlib.nullcontext() if as_json else view:
        try:
            async with contextlib.aclosing(iterate(source, flow=exchange.flow)) as answer:
                async for token in answer:
                    tokens += 1
                    if as_json:
                        at_s = round(perf_counter() - started_s, 6)
                        click.echo(json_line({"t": at_s, "token": msgspec.to_builtins(token)}))
                    else:
                        view.show(token)
        except ProviderError as error:
            failure = error
    if not as_json:
        view.summary([("file", str(file)), *rows_of(recording, tokens)])
    elif failure is not None:
        click.echo(json_line({"t": round(perf_counter() - started_s, 6), "error": failure.to_dict()}))
    return failure
