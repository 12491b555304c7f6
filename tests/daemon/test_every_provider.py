"""Every provider the whole way: simulator over HTTP, a daemon process, shared memory, the bridge.

Each by every API that it has, streamed and in one piece, plain and with tools; what arrives is what the simulator
composed, which knows nothing of a dialect.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rxlapce.answer import AnswerBuilder, TurnBuilder
from rxlapce.bridge import Client, connect
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.messages import ChatResponse
from rxlapce.requests import ChatRequest, CompletionRequest, Message, Tool
from rxlapce.simulator import Simulator
from rxlapce.simulator.reply import Reply
from rxlapce.testing.daemons import daemon_process
from rxlapce.tokens import FinishKind, StreamToken, UsageSource

#: The texts that APIs for mere completion take are no conversation, and have no tools.
COMPLETING = {"completions"}
#: OpenAI's chat completions tell no thoughts, so that they take none back.
THOUGHTLESS = {("openai", "chat_completions"), ("azure", "chat_completions")}
WEATHER = Tool(
    name="get_weather",
    description="The weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
)
PROMPT = "What is backpressure, and why? 🦀"


def every_api() -> Iterator[tuple[str, str]]:
    """Provider and API, of all that there are."""
    for name, provider in load_provider_configs_from_env(simulated_environ("http://127.0.0.1:1")).items():
        yield from ((name, api) for api in provider.apis)


# Both loops are held to all of the bridge by its own tests; here are 23 ways to ask.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

ALL = list(every_api())
CHATTING = [(provider, api) for provider, api in ALL if api not in COMPLETING]


@contextlib.asynccontextmanager
async def asked(tmp_path: Path, simulator: Simulator) -> AsyncGenerator[Client]:
    """An editor at a daemon process for which every provider is the simulator."""
    environ = {**simulated_environ(simulator.base_url), "PATH": "/usr/bin:/bin", "NO_PROXY": "*"}
    path = tmp_path / "d.sock"
    async with daemon_process(path, environ=environ), await connect(path, transport="shm") as client:
        assert client.transport == "shm"
        yield client
        assert client.sequence_gaps == 0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=9) as running:
        yield running


def composed(simulator: Simulator) -> Reply:
    """What the simulator answered to its last request."""
    (reply,) = simulator.served[-1].replies
    return reply


def model_of(provider: str, api: str, options: str) -> str:
    """The simulator by a name that tells the vendor, where the provider goes by it."""
    name = {("bedrock", "invoke"): "anthropic.claude-sim", ("vertex", "messages"): "claude-sim"}.get(
        (provider, api), "sim"
    )
    return f"{provider}/{name}:{options}" if options else f"{provider}/{name}"


def chat(provider: str, api: str, options: str = "", **settings: Any) -> ChatRequest:
    settings.setdefault("messages", (Message(role="user", content=PROMPT),))
    return ChatRequest(model=model_of(provider, api, options), api=api, **settings)


async def streamed(client: Client, request: ChatRequest | CompletionRequest) -> list[StreamToken]:
    if isinstance(request, CompletionRequest):
        return [token async for token in client.complete_stream(request)]
    return [token async for token in client.chat_stream(request)]


def folded(tokens: list[StreamToken]) -> AnswerBuilder:
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return builder


async def test_every_provider_answers_a_chat_streamed_and_whole(tmp_path: Path, simulator: Simulator) -> None:
    async with asked(tmp_path, simulator) as client:
        for provider, api in ALL:
            where = f"{provider} {api}"
            answer = folded(await streamed(client, chat(provider, api, "tokens=90,split=0"))).answer()
            assert answer.text == "".join(composed(simulator).text_pieces()), where
            assert answer.choices[0].finish_kind is FinishKind.STOP, where
            assert answer.usage is not None, where
            assert answer.usage.source is UsageSource.PROVIDER, where
            assert answer.usage.output == 90, where
            whole = await client.chat(chat(provider, api, "tokens=70"))
            assert whole.text == "".join(composed(simulator).text_pieces()), where
            assert (whole.finish, whole.usage and whole.usage.output) == (FinishKind.STOP, 70), where


@pytest.mark.heavy
async def test_every_provider_completes_a_text_streamed_and_whole(tmp_path: Path, simulator: Simulator) -> None:
    async with asked(tmp_path, simulator) as client:
        for provider, api in ALL:
            request = CompletionRequest(model=model_of(provider, api, "tokens=40"), prompt=PROMPT, api=api)
            answer = folded(await streamed(client, request)).answer()
            assert answer.text == "".join(composed(simulator).text_pieces()), f"{provider} {api}"
            whole = await client.complete(request)
            assert whole.text == "".join(composed(simulator).text_pieces()), f"{provider} {api}"
            assert whole.finish is FinishKind.STOP


def calls_composed(simulator: Simulator) -> list[tuple[str | None, Any]]:
    calls = [(call.name, msgspec.json.decode(call.arguments)) for call in composed(simulator).calls]
    assert len(calls) == 2
    return list(calls)


def calls_of(answer: AnswerBuilder) -> list[tuple[str | None, Any]]:
    return [(call.name, msgspec.json.decode(call.arguments)) for call in answer.answer().choices[0].tool_calls]


def calls_in(response: ChatResponse) -> list[tuple[str | None, Any]]:
    return [(call.name, msgspec.json.decode(call.arguments)) for call in response.tool_calls]


@pytest.mark.heavy
async def test_every_provider_calls_tools_and_takes_their_results(tmp_path: Path, simulator: Simulator) -> None:
    ask = Message(role="user", content="The weather in Rome and Oslo, please")
    async with asked(tmp_path, simulator) as client:
        for provider, api in CHATTING:
            where = f"{provider} {api}"
            thinks = "" if (provider, api) in THOUGHTLESS else ",reasoning=12"
            # Responses give a thought's item, which must go back, to who asks for thinking.
            effort = "low" if api == "responses" else None
            request = chat(
                provider, api, f"tools=2{thinks}", messages=(ask,), tools=(WEATHER,), reasoning_effort=effort
            )
            tokens = await streamed(client, request)
            assert calls_of(folded(tokens)) == calls_composed(simulator), where
            assert folded(tokens).answer().choices[0].finish_kind is FinishKind.TOOL_CALLS, where
            whole = await client.chat(request)
            assert calls_in(whole) == calls_composed(simulator), where
            assert whole.finish is FinishKind.TOOL_CALLS, where

            turn = TurnBuilder()
            for token in tokens:
                turn.add(token)
            assert whole.turn is not None
            for said in (turn.message(), whole.turn):
                results = [
                    Message(role="tool", content=f"{20 + number} degrees", tool_call_id=call.id)
                    for number, call in enumerate(said.calls())
                ]
                again = chat(provider, api, messages=(ask, said, *results), tools=(WEATHER,))
                answer = folded(await streamed(client, again)).answer()
                assert "20 degrees" in answer.text, where
                assert "21 degrees" in answer.text, where


@pytest.mark.heavy
async def test_every_provider_tells_a_cut_stream_and_a_refused_key_apart(tmp_path: Path, simulator: Simulator) -> None:
    kinds = {
        "fault=cut,after=5": ErrorKind.TRUNCATED,
        "fault=end,after=5": ErrorKind.TRUNCATED,
        "fault=auth": ErrorKind.AUTH,
        "fault=rate_limit,retry_after=3": ErrorKind.RATE_LIMIT,
        "fault=overloaded": ErrorKind.OVERLOADED,
        "fault=context_length": ErrorKind.CONTEXT_LENGTH,
        "fault=quota": ErrorKind.QUOTA,
    }
    async with asked(tmp_path, simulator) as client:
        for provider, api in ALL:
            for options, kind in kinds.items():
                with pytest.raises(ProviderError) as caught:
                    await streamed(client, chat(provider, api, options))
                told = caught.value
                assert told.kind in ({kind, ErrorKind.BILLING} if kind is ErrorKind.QUOTA else {kind}), (
                    f"{provider} {api} {options}: {told!r}"
                )
                assert told.provider == provider
                if kind is ErrorKind.RATE_LIMIT and api != "ollama":  # which names no time to wait
                    assert told.retry_after_s == 3, f"{provider} {api}"
