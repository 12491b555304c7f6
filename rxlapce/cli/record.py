"""`rxlapce record`: what a provider sends, byte by byte with its timing, in a file that `rxlapce replay` plays."""

import contextlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from reactivex.subject import Subject

from rxlapce.cli.chat import piped
from rxlapce.cli.live import AnswerView, PlainView, answer_view
from rxlapce.cli.loop import run
from rxlapce.cli.options import config_option
from rxlapce.cli.passphrase import ask_on_terminal
from rxlapce.cli.screen import json_line, printable
from rxlapce.config.env import load_provider_configs_from_env, proxy_for
from rxlapce.config.simulated import simulated_environ
from rxlapce.config.sources import load_config
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.flow import Exchange, iterate
from rxlapce.operators.record import SecretScrubber
from rxlapce.operators.record import record as recorded
from rxlapce.operators.recording import Recording, read_recording
from rxlapce.providers.apis import api_name
from rxlapce.providers.call import HttpCall, HttpSource
from rxlapce.providers.provider import Api, Provider, by_content
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.router import Router
from rxlapce.tokens import StreamToken

#: Who is asked where nobody says it: it needs no key, and its pace is one that can be watched.
SIMULATED: Final = "simulator/sim:tps=60,ttft=0.3,jitter=0.5"
_SIMULATOR: Final = "simulator"

EXAMPLES: Final = """\b
Examples:
  rxlapce record -o answer.rec -m openai/gpt-4.1 "What is backpressure?"
  rxlapce record -o refused.rec --simulator -m anthropic/sim:status=529 hello
  rxlapce record --listen 127.0.0.1:8089 --to https://api.openai.com -o recordings

\b
Exit codes: 0 the answer came whole; 1 it failed, and the recording has how; 2 a misuse;
130 Ctrl-C, and the recording has what had come.
"""


@click.command(epilog=EXAMPLES)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The recording; it must not be there yet. With --listen the folder of many.")  # fmt: skip
@click.option("-m", "--model", metavar="PROVIDER/MODEL", help="Who answers, for example openai/gpt-4.1.  [default: the "
              "simulator]")  # fmt: skip
@click.option("-s", "--system", metavar="TEXT", help="A system prompt.")
@click.option("--api", metavar="API", help="Which of the provider's APIs to ask by, for example responses.")
@click.option("--max-tokens", type=click.IntRange(1), help="At most this many tokens of answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 is the most likely words.")
@click.option("--simulator", is_flag=True, help="Let a simulator play PROVIDER, in its own dialect and framing.")
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Be a proxy: record each request that comes here; port 0 takes a "
              "free one.")  # fmt: skip
@click.option("--to", metavar="URL", help="With --listen: where requests go on to, for example https://api.openai.com.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each recording, and no answer.")
@click.argument("prompt", nargs=-1)
def record(
    output: Path,
    model: str | None,
    system: str | None,
    api: str | None,
    max_tokens: int | None,
    temperature: float | None,
    simulator: bool,
    config: Path | None,
    listen: str | None,
    to: str | None,
    as_json: bool,
    prompt: tuple[str, ...],
) -> None:
    """Ask a provider, without any daemon, and record what it sends: bytes and their timing, secrets removed.

    What is piped in is asked too, after PROMPT. The answer is shown as it comes; an HTTP error is recorded with its
    body. With --listen and --to any program's requests are recorded on their way to a provider.
    """
    if listen is not None or to is not None:
        from rxlapce.cli.record_proxy import record_others  # with a web server

        alone = {"-m": model, "-s": system, "--api": api, "--max-tokens": max_tokens, "--temperature": temperature,
                 "--simulator": simulator, "PROMPT": prompt}  # fmt: skip
        record_others(output, listen, to, alone, as_json=as_json)
        return
    question = "\n\n".join(part for part in (" ".join(prompt), piped()) if part)
    if not question:
        raise click.UsageError("nothing to ask: give a PROMPT, or pipe one in; or record others' by --listen and --to")
    check_new(output)
    turns = [Message(role="system", content=system)] if system else []
    request = ChatRequest(
        model=model or SIMULATED,
        messages=(*turns, Message(role="user", content=question)),
        api=api,
        max_tokens=max_tokens,
        temperature=temperature,
    )
    error = run(_record(request, output, config, simulator=simulator or model is None, as_json=as_json))
    if error is not None:
        raise click.exceptions.Exit(1) if as_json else error


def check_new(path: Path) -> None:
    """Raise `ConfigError` for a recording that could not be written there."""
    for there in (path, path.with_name(f"{path.name}.part")):
        if there.exists() or there.is_symlink():
            raise ConfigError(f"{there} is there already: a recording overwrites nothing; remove it, or name another")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} for the recording")


@dataclass(slots=True)
class _Seen:
    """What came of the answer's tokens."""

    view: AnswerView
    tokens: int = 0
    error: Exception | None = None
    ended: bool = False

    def show(self, token: StreamToken) -> None:
        self.tokens += 1
        self.view.show(token)

    def fail(self, error: Exception) -> None:
        self.error = error

    def end(self) -> None:
        self.ended = True


class _Unseen(PlainView):
    """Shows nothing: there is only the JSON of the recording."""

    def note(self, text: str) -> None:
        """Nothing."""

    def question(self, text: str) -> None:
        """Nothing."""

    def show(self, token: StreamToken) -> None:
        """Nothing."""


async def _record(
    request: ChatRequest, output: Path, config: Path | None, *, simulator: bool, as_json: bool
) -> Exception | None:
    """Ask and record; the error that the answer ended with."""
    from rxlapce.providers.http import HttpClient  # aiohttp takes a quarter of a second to load

    async with contextlib.AsyncExitStack() as stack:
        provider, model, why = await _who(stack, request.model, config, simulator=simulator)
        spoken = provider.api(request, model)
        call = provider.call(spoken, request, model, stream=True)
        client = await stack.enter_async_context(HttpClient(proxy_for=proxy_for))
        view: AnswerView = _Unseen() if as_json else answer_view()
        view.note(why)
        view.question(request.messages[-1].text)
        seen, troubles = _Seen(view), list[Exception]()
        exchange = Exchange(request_id="record", client="rxlapce record", provider=provider.name, model=model)
        try:
            await _take(client, call, spoken, exchange, output, seen, troubles)
        finally:  # of a Ctrl-C too
            _tell(output, seen, troubles, as_json=as_json)
    if troubles:
        return ConfigError(f"the recording is not whole: {_said(troubles[0])}")
    return seen.error


async def _take(
    client: HttpSource,
    call: HttpCall,
    spoken: Api,
    exchange: Exchange,
    output: Path,
    seen: _Seen,
    troubles: list[Exception],
) -> None:
    """Record all bytes, whatever they mean, and show what they mean to the dialect."""
    source = client.stream(call, exchange).pipe(
        recorded(
            output,
            exchange=exchange,
            api=api_name(spoken.dialect.name, spoken.framing.name),
            framing=spoken.framing.name,
            scrubber=partial(SecretScrubber, call.auth.secrets),
            on_trouble=troubles.append,
        )
    )
    decoding: Subject[bytes] = Subject()
    with seen.view:
        decoding.pipe(by_content(spoken, exchange)).subscribe(seen.show, seen.fail, seen.end)
        try:
            # The bytes go on to their end though the dialect has seen its own, or an error.
            async with contextlib.aclosing(iterate(source, flow=exchange.flow)) as reads:
                async for data in reads:
                    decoding.on_next(data)
            decoding.on_completed()
        except ProviderError as error:
            seen.fail(error)


async def _who(
    stack: contextlib.AsyncExitStack, name: str, config: Path | None, *, simulator: bool
) -> tuple[Provider, str, str]:
    """Who is asked for `name`, by which of its models, and a line about it."""
    if simulator:
        from rxlapce.simulator import Simulator  # with a web server

        played = await stack.enter_async_context(Simulator())
        providers = load_provider_configs_from_env(simulated_environ(played.base_url))
        providers[_SIMULATOR] = replace(providers["local"], name=_SIMULATOR)
        route = Router(providers).route(name if "/" in name else f"{_SIMULATOR}/{name}")
        return route.provider, route.model, f"A simulator on this machine: {route.name}"
    configured = load_config(os.environ, config, ask=ask_on_terminal())
    route = Router(configured.providers, aliases=configured.aliases).route(name)
    return route.provider, route.model, f"Configured by the {route.provider.origin}: {route.name}"


def _tell(output: Path, seen: _Seen, troubles: list[Exception], *, as_json: bool) -> None:
    """What is in the recording."""
    if troubles or not output.exists():
        return
    recording = read_recording(output)
    if as_json:
        click.echo(json_line(fields_of(output, recording) | {"tokens": seen.tokens}))
    else:
        seen.view.summary([*rows_of(recording, seen.tokens), *how_to_play(output)])


def fields_of(path: Path, recording: Recording) -> dict[str, Any]:
    """A recording in the members of a JSON object."""
    header, end = recording.header, recording.end
    return {
        "file": str(path),
        "provider": header.provider,
        "api": header.api,
        "model": header.model,
        "status": header.status,
        "bytes": len(recording.body),
        "reads": len(recording.reads),
        "seconds": end.t if end is not None else None,
        "end": end.end if end is not None else None,
        "error": None if end is None or end.error is None else end.error.revived().to_dict(),
    }


def rows_of(recording: Recording, tokens: int) -> list[tuple[str, str]]:
    """A recording in a few lines for a person."""
    header, end = recording.header, recording.end
    status = "no response" if header.status is None else f"HTTP {header.status}"
    outcome = "torn" if end is None or end.end is None else _OUTCOMES[end.end]
    error = "" if end is None or end.error is None else f": {printable(end.error.message)}"
    return [
        ("recorded", f"{len(recording.body):,} bytes in {_reads(recording)}, {end.t if end else 0:.2f} s"),
        ("tokens", f"{tokens}"),
        ("said in", f"{header.api or 'an API without a name'} ({status} {header.content_type})".replace(" )", ")")),
        ("outcome", f"{outcome}{error}"),
    ]


def _reads(recording: Recording) -> str:
    count = len(recording.reads)
    return "1 read" if count == 1 else f"{count:,} reads"


#: How a recording's end is told.
_OUTCOMES: Final[Mapping[str, str]] = {"completed": "whole", "failed": "failed", "disposed": "left before its end"}


def how_to_play(path: Path) -> list[tuple[str, str]]:
    """The file, and what can be done with it."""
    file = shlex.quote(str(path))
    return [
        ("file", str(path)),
        ("see it again", f"rxlapce replay {file} --print"),
        ("as a provider", f"rxlapce replay {file}"),
    ]


def _said(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
