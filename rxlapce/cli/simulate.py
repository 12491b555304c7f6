"""`rxlapce simulate`: a provider on a local port, without a key, for a person or for another program."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace

import click
import msgspec

from rxlapce.cli.screen import json_line, printable
from rxlapce.config.simulated import simulated_environ
from rxlapce.secret import Secret
from rxlapce.simulator import SHOWCASE, Options, Served, Simulator, describe

_PARAGRAPH = "\n\n"
#: click's mark of a paragraph that is not to be wrapped.
_AS_IT_IS = "\b\n"
_EPILOG = f"""\b
Choose behaviour by the model's name (sim:tps=20,fault=cut,after=40), or by the
header X-Simulate (tps=20; fault=cut; after=40), which wins over the name.

\b
{describe().replace(_PARAGRAPH, _PARAGRAPH + _AS_IT_IS)}
"""


@click.command(epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--seed", default=1, show_default=True, help="The same seed and request give the same bytes.")
@click.option("--tps", default=50.0, show_default=True, type=click.FloatRange(0), help="Tokens a second; 0: no limit.")
@click.option("--ttft", default=0.3, show_default=True, type=click.FloatRange(0), help="Seconds to the first token.")
@click.option("--jitter", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Variation of the gaps.")
@click.option("--api-key-env", metavar="NAME", help="Demand the key that this environment variable holds.")
@click.option("--json", "as_json", is_flag=True, help="Print the address and the models as one line of JSON.")
@click.option("--quiet", is_flag=True, help="Do not report each request on standard error.")
def simulate(
    host: str,
    port: int,
    seed: int,
    tps: float,
    ttft: float,
    jitter: float,
    api_key_env: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Serve a simulated provider until Ctrl-C: every provider's dialect, each on the paths of its own API."""
    simulator = Simulator(
        seed=seed,
        host=host,
        port=port,
        api_key=_key(api_key_env),
        defaults=replace(Options(), tps=tps, ttft=ttft, jitter=jitter),
        on_served=None if quiet else _report,
        keep=1,
    )
    _runner()(_serve(simulator, as_json=as_json))


def _key(name: str | None) -> Secret | None:
    if name is None:
        return None
    value = os.environ.get(name)
    if not value:
        raise click.ClickException(f"--api-key-env {name}: the environment variable {name} is not set or empty")
    return Secret(value)


def _runner() -> Callable[[Coroutine[object, object, None]], None]:
    """Run on uvloop where it is installed: it wakes up at half the price."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _serve(simulator: Simulator, *, as_json: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await simulator.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen: {error.strerror or error}") from None
    try:
        _announce(simulator.base_url, as_json=as_json)
        await stopped.wait()
    finally:
        await simulator.stop()


def _announce(url: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line({"url": url, "models": SHOWCASE, "environ": simulated_environ(url)}))
    else:
        click.echo(f"Simulated provider on {url} (every dialect, by its vendor's paths). To ask it as one of them:")
        for name, value in simulated_environ(url).items():
            click.echo(f"  export {name}={value}")
        click.echo("Models worth trying:")
        for name, meaning in SHOWCASE.items():
            click.echo(f"  {name:<38} {meaning}")
    sys.stdout.flush()


def _report(served: Served) -> None:
    """One line for each request: what was asked, what came of it, how much and how long."""
    request = served.request
    try:
        model = msgspec.json.decode(request.body)["model"]
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError):
        model = "-"
    took_s = (served.ended_at_s or request.at_s) - request.at_s
    line = (
        f"{request.method} {request.path} {model!s:.60} {served.status or '-'} {served.outcome} "
        f"{served.tokens} tokens {served.bytes} bytes {took_s:.2f} s"
    )
    click.echo(printable(line.replace("\n", " ")), err=True)
