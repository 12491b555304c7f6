"""Ollama's API over a real socket: asked by a provider of ours, answered by the simulator."""

from collections.abc import AsyncIterator

import pytest

from rxlapce.answer import TurnBuilder
from rxlapce.dialects import Ollama
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.apis import NDJSON
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Api, Provider, chat, chat_stream
from rxlapce.requests import ChatRequest, Message, Tool
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, heard
from rxlapce.tokens import Finish, FinishKind, StreamToken

LOOK = Tool(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})
ASKED = ChatRequest(model="ollama/sim", messages=(Message(role="user", content="Look at it."),))


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=7) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as open_client:
        yield open_client


@pytest.fixture
def ollama(simulator: Simulator) -> Provider:
    api = Api(dialect=Ollama(), path="/api/chat", framing=NDJSON)
    return Provider(name="ollama", base_url=simulator.base_url, apis={"ollama": api})


async def streamed(client: HttpClient, provider: Provider, request: ChatRequest, model: str) -> list[StreamToken]:
    collected = Collected(chat_stream(client, provider, request, model, Exchange()))
    error = await collected.end()
    if error is not None:
        raise error
    return collected.items


async def test_streamed_and_whole_answers_say_the_same(client: HttpClient, ollama: Provider) -> None:
    tokens = await streamed(client, ollama, ASKED, "sim:tokens=9")
    whole = await chat(client, ollama, ASKED, "sim:tokens=9", Exchange())
    assert heard(tokens) == heard(whole)
    assert (heard(tokens).finish_raw, len(tokens)) == ("stop", 9 + 2)


async def test_a_tool_call_goes_back_with_its_result(client: HttpClient, ollama: Provider) -> None:
    request = ChatRequest(model=ASKED.model, messages=ASKED.messages, tools=(LOOK,))
    tokens, builder = await streamed(client, ollama, request, "sim"), TurnBuilder()
    for token in tokens:
        builder.add(token)
    last = tokens[-1]
    assert isinstance(last, Finish)
    assert (last.kind, last.raw) == (FinishKind.TOOL_CALLS, "stop")
    (call,) = builder.message().calls()
    result = Message(role="tool", content="A very green thing.", tool_call_id=call.id)
    answered = ChatRequest(
        model=request.model, messages=(*request.messages, builder.message(), result), tools=request.tools
    )
    tokens = await streamed(client, ollama, answered, "sim")
    assert "A very green thing." in heard(tokens).text


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("end", ErrorKind.TRUNCATED),
        ("error", ErrorKind.OVERLOADED),
        ("malformed", ErrorKind.PROTOCOL),
        ("overloaded", ErrorKind.OVERLOADED),
    ],
)
async def test_each_failure_is_read_as_what_it_is(
    client: HttpClient, ollama: Provider, fault: str, kind: ErrorKind
) -> None:
    with pytest.raises(ProviderError) as caught:
        await streamed(client, ollama, ASKED, f"sim:fault={fault},after=4,tokens=9")
    assert (caught.value.kind, caught.value.provider) == (kind, "ollama")
