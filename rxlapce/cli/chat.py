"""`rxlapce chat`: ask by way of the running daemon, as an editor would; without a prompt in a panel."""

import base64
import contextlib
import mimetypes
import os
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast, get_args

import click
import msgspec

from rxlapce.bridge import connect
from rxlapce.chat.conversation import Wishes
from rxlapce.chat.history import History, default_folder
from rxlapce.chat.link import Where
from rxlapce.chat.session import Session
from rxlapce.cli.child import running_daemon
from rxlapce.cli.loop import run
from rxlapce.cli.plain import PlainAnswer
from rxlapce.cli.screen import json_line, printable
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.file import default_config_file
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.messages import TransportName
from rxlapce.providers import SPECS
from rxlapce.requests import ChatRequest, Effort, Image, Message, Part, ResponseFormat
from rxlapce.tokens import Reasoning, Refusal, Seam, StreamToken, Text

#: A frame to the daemon has at most 10 MiB, and base64 makes four bytes of three.
MAX_PICTURE_BYTES: Final = 7 * 1024 * 1024
#: What the panel asks when it talks to a simulator: a pace that one can read by, and some thoughts before it.
SIMULATED: Final = "simulator/sim:tps=60,ttft=0.5,jitter=0.5,reasoning=40"


#: \b keeps click from filling the lines.
EXAMPLES: Final = """\b
Examples:
  rxlapce chat
  rxlapce chat -m openai/gpt-4.1 "what does this do?" < main.rs
  rxlapce chat -m gemini/gemini-2.5-flash -a screen.png "what is wrong?"
  rxlapce chat -m anthropic/claude-opus-4-5 --schema person.json "Ada Lovelace"
"""


@click.command(epilog=EXAMPLES)
@click.option("-m", "--model", metavar="PROVIDER/MODEL", help="Who answers, for example openai/gpt-4.1; the panel asks "
              "if it is not said.")  # fmt: skip
@click.option("-s", "--system", metavar="TEXT", help="A system prompt.")
@click.option("-a", "--attach", metavar="IMAGE", multiple=True, help="A picture's file or URL; repeatable.")
@click.option("--schema", type=click.File("rb"), metavar="FILE", help="Answer in JSON that fits this JSON Schema.")
@click.option("--effort", type=click.Choice(get_args(Effort)), help="How long to think.")
@click.option("--api", metavar="API", help="Which of the provider's APIs to ask by, for example responses.")
@click.option("--max-tokens", type=click.IntRange(1), help="At most this many tokens of answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 is the most likely words.")
@click.option("--transport", type=click.Choice(["shm", "socket"]), default="shm", show_default=True,
              help="The way tokens come.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One token a line, as JSON.")
@click.option("--autostart/--no-autostart", default=None, help="Start a daemon where none runs; it stays.  [default: "
              "the panel does]")  # fmt: skip
@click.option("--simulator", is_flag=True, help="In the panel: talk to a simulator, which needs no key; its "
              "daemon ends with the panel.")  # fmt: skip
@click.option("--no-history", is_flag=True, help="In the panel: keep no conversation.")
@click.option("--path", type=click.Path(path_type=Path), help="The daemon's socket.  [default: the user's own]")
@click.argument("prompt", nargs=-1)
def chat(
    model: str | None,
    system: str | None,
    attach: tuple[str, ...],
    schema: IO[bytes] | None,
    effort: Effort | None,
    api: str | None,
    max_tokens: int | None,
    temperature: float | None,
    transport: str,
    as_json: bool,
    autostart: bool | None,
    simulator: bool,
    no_history: bool,
    path: Path | None,
    prompt: tuple[str, ...],
) -> None:
    """Ask a model by way of the running daemon; the answer goes to standard output as it arrives.

    What is piped in is asked too, after PROMPT. Without a PROMPT, on a terminal, this is a panel: conversations, with
    the answer drawn as it comes.
    """
    way = cast("TransportName", transport)  # click.Choice has checked it
    if not prompt and _on_terminal():
        _only_with_prompt({"--attach": attach, "--schema": schema, "--json": as_json})
        wishes = Wishes(system=system, api=api, effort=effort, max_tokens=max_tokens, temperature=temperature)
        where = Where(path=path, transport=way, autostart=autostart is not False)
        _panel(where, model, wishes, simulator=simulator, keep=not no_history)
        return
    if simulator or no_history:
        raise click.UsageError("--simulator and --no-history are the panel's: leave PROMPT out; or try rxlapce demo")
    question = "\n\n".join(part for part in (" ".join(prompt), piped()) if part)
    if not question:
        raise click.UsageError("nothing to ask: give a PROMPT, or pipe one in")
    if model is None:
        raise click.UsageError("Missing option '-m' / '--model': PROVIDER/MODEL says who answers")
    turns = [Message(role="system", content=system)] if system else []
    pictures = [Part(image=picture(place)) for place in attach]
    turns.append(Message(role="user", parts=(*pictures, Part(text=question))))
    request = ChatRequest(
        model=model,
        messages=tuple(turns),
        api=api,
        max_tokens=max_tokens,
        temperature=temperature,
        response_format=None if schema is None else ResponseFormat(json_schema=_json_schema(schema)),
        reasoning_effort=effort,
    )
    run(_chat(request, way, path, as_json=as_json, autostart=bool(autostart)))


def _on_terminal() -> bool:
    """Whether one can be talked with: on both sides a terminal that can move its cursor."""
    inwards = sys.stdin is not None and sys.stdin.isatty()  # None where it was closed (`<&-`)
    return inwards and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _only_with_prompt(given: dict[str, object]) -> None:
    """Raise `click.UsageError` for an option that says nothing to the panel."""
    for name, value in given.items():
        if value:
            raise click.UsageError(f"{name} goes with a PROMPT")


def _panel(where: Where, model: str | None, wishes: Wishes, *, simulator: bool, keep: bool) -> None:
    from rxlapce.chat.panel import run_panel  # Textual takes a third of a second to load

    session = Session(
        where=where,
        model=model,
        wishes=wishes,
        history=History(default_folder() if keep else None),
        start_simulator=partial(running_daemon, "--simulator", "--config", "none"),
        simulated_model=SIMULATED,
        simulator=simulator,
        no_key=_no_key(),
    )
    code = run(run_panel(session))
    if code:
        raise click.exceptions.Exit(code)


def _no_key() -> tuple[str, ...]:
    """The variables that the usual providers take their keys from, if nothing at all is configured here."""
    try:
        if load_provider_configs_from_env(os.environ) or default_config_file(os.environ).exists():
            return ()
    except ConfigError:
        return ()
    return () if os.environ.get("RXLAPCE_CONFIG") else tuple(spec.key_env for spec in SPECS.values() if spec.key_env)


def picture(place: str) -> Image:
    """The image at a URL, which the provider fetches, or of a file. Raises `click.UsageError`."""
    if "://" in place:
        return Image(url=place)
    kind, _ = mimetypes.guess_type(place)
    if kind is None or not kind.startswith("image/"):
        raise click.UsageError(f"--attach {place}: expected a picture, such as a .png, .jpg, .gif or .webp")
    try:
        data = Path(place).read_bytes()
    except OSError as error:
        raise click.UsageError(f"--attach {place}: {error.strerror or error}") from None
    if len(data) > MAX_PICTURE_BYTES:
        raise click.UsageError(f"--attach {place}: {len(data):,} bytes; a request has room for {MAX_PICTURE_BYTES:,}")
    return Image(data=base64.b64encode(data).decode(), media_type=kind)


def _json_schema(file: IO[bytes]) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--schema {file.name}: expected a JSON object: {error}") from None


def piped() -> str:
    """What is piped in; "" on a terminal."""
    if sys.stdin is None or sys.stdin.isatty():  # None where it was closed (`<&-`)
        return ""
    try:
        return sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is no UTF-8 text: {error.reason} at byte {error.start}") from None


async def _chat(
    request: ChatRequest, transport: TransportName, path: Path | None, *, as_json: bool, autostart: bool
) -> None:
    async with await connect(path, transport=transport, client="rxlapce chat", autostart=autostart) as client:
        try:
            with contextlib.nullcontext(_as_json) if as_json else _Prose() as show:
                async for token in client.chat_stream(request):
                    show(token)
        except ProviderError as error:
            if error.delivered_chars:
                many = "" if error.delivered_chars == 1 else "s"
                click.echo(f"({error.delivered_chars:,} character{many} of the answer had arrived)", err=True)
            raise


def _as_json(token: StreamToken) -> None:
    click.echo(json_line(token))


class _Prose:
    """Writes the answer to standard output, and thinking, dimmed, to standard error if that is a terminal.

    At a seam what is printed stays, and standard error says what it is worth (`PlainAnswer`). A context manager that
    ends the answer's last line, so that neither a shell's prompt nor an error stands in it.
    """

    def __init__(self) -> None:
        self._thinking = False
        self._answer = PlainAnswer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, BrokenPipeError):
            self._answer.end_line()

    def __call__(self, token: StreamToken) -> None:
        if isinstance(token, Reasoning):
            if sys.stderr.isatty():
                self._thinking = True
                click.secho(printable(token.text), dim=True, nl=False, err=True)
            return
        if self._thinking and isinstance(token, Text | Refusal | Seam):
            self._thinking = False
            click.echo("\n", err=True)
        self._answer.show(token)
