"""Editor, daemon process, HTTP, real model server: what is only true when all of them are."""

import asyncio
import os
from collections.abc import AsyncIterator

import aiohttp
import pytest

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.bridge import Client, connect
from rxlapce.cli.child import running_daemon
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.messages import TransportName
from rxlapce.requests import ChatRequest, Message
from rxlapce.secret import Secret
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text

pytestmark = pytest.mark.local_server

#: More tokens than the server makes in the time a test may take.
ENDLESS = 30_000


def chat(text: str = "hi", *, max_tokens: int = 64) -> ChatRequest:
    # Greedy and without the prompt's cache, so that the same question has the same answer; a random model would
    # otherwise stop when it happens to say the end token.
    extra = {"ignore_eos": True, "cache_prompt": False}
    message = Message(role="user", content=text)
    return ChatRequest(model="local/tiny", messages=(message,), max_tokens=max_tokens, temperature=0, extra=extra)


@pytest.fixture(params=["shm", "socket"])
async def client(request: pytest.FixtureRequest, model_server: str) -> AsyncIterator[Client]:
    transport: TransportName = request.param
    environ = {**os.environ, "LOCAL_BASE_URL": model_server}
    async with running_daemon(environ=environ) as path, await connect(path, transport=transport) as connected:
        assert connected.transport == transport
        yield connected


async def busy_slots(base_url: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(base_url.removesuffix("/v1") + "/slots") as response,
    ):
        return sum(slot["is_processing"] for slot in await response.json())


async def until_busy_slots_are(count: int, base_url: str) -> None:
    """Ask until it is so: the server has no event to wait for."""
    async with asyncio.timeout(10):
        while await busy_slots(base_url) != count:
            pass


async def whole(client: Client, request: ChatRequest) -> tuple[Answer, list[StreamToken]]:
    tokens = [token async for token in client.chat_stream(request)]
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return builder.answer(), tokens


async def test_answer_arrives_token_by_token_and_whole(client: Client) -> None:
    answer, tokens = await whole(client, chat(max_tokens=200))
    assert sum(isinstance(token, Text) for token in tokens) > 50
    assert [type(token) for token in tokens].count(Finish) == 1
    finish = tokens[-1]
    assert isinstance(finish, Finish)
    assert finish.kind is FinishKind.LENGTH
    unary = await client.chat(chat(max_tokens=200))
    assert answer.text == unary.text
    assert client.sequence_gaps == 0


async def test_usage_is_what_the_server_counted(client: Client) -> None:
    answer, _ = await whole(client, chat(max_tokens=40))
    assert answer.usage is not None
    assert answer.usage.output == 40
    assert answer.usage.input is not None
    assert answer.usage.input > 0
    assert answer.usage.total == answer.usage.input + 40


async def test_leaving_the_stream_frees_the_slot_of_the_server(client: Client, model_server: str) -> None:
    await until_busy_slots_are(0, model_server)
    started = asyncio.Event()
    subscription = client.chat_stream(chat(max_tokens=ENDLESS)).subscribe(lambda _: started.set())
    await started.wait()
    assert await busy_slots(model_server) == 1
    subscription.dispose()
    await until_busy_slots_are(0, model_server)


async def test_client_that_disconnects_frees_the_slot_of_the_server(client: Client, model_server: str) -> None:
    await until_busy_slots_are(0, model_server)
    stream = aiter(client.chat_stream(chat(max_tokens=ENDLESS)))
    await anext(stream)
    assert await busy_slots(model_server) == 1
    await client.aclose()
    await until_busy_slots_are(0, model_server)


async def test_reader_that_waits_holds_up_no_other_stream_and_loses_nothing(client: Client, model_server: str) -> None:
    stream = aiter(client.chat_stream(chat(max_tokens=300), window=4))
    first = await anext(stream)
    other, _ = await whole(client, chat(max_tokens=100))
    assert other.usage is not None
    assert other.usage.output == 100
    builder = AnswerBuilder()
    builder.add(first)
    async for token in stream:
        builder.add(token)
    rest = builder.answer()
    assert rest.choices[0].finish_kind is FinishKind.LENGTH
    assert rest.usage is not None
    assert rest.usage.output == 300


async def test_overlong_prompt_is_told_as_one(client: Client) -> None:
    with pytest.raises(ProviderError) as caught:
        await whole(client, chat("a" * 40_000))
    assert caught.value.kind is ErrorKind.CONTEXT_LENGTH
    assert caught.value.status == 400
    assert caught.value.provider == "local"


async def test_wrong_key_is_an_auth_error_that_does_not_show_it(guarded_server: str) -> None:
    wrong = Secret("sk-wrong-fedcba9876543210")
    environ = {**os.environ, "LOCAL_BASE_URL": guarded_server, "LOCAL_API_KEY": wrong.reveal()}
    async with running_daemon(environ=environ) as path, await connect(path) as client:
        with pytest.raises(ProviderError) as caught:
            await whole(client, chat())
    assert caught.value.kind is ErrorKind.AUTH
    assert caught.value.status == 401
    assert wrong.reveal() not in str(caught.value.to_dict())


async def test_right_key_is_let_in(guarded_server: str, server_key: Secret) -> None:
    environ = {**os.environ, "LOCAL_BASE_URL": guarded_server, "LOCAL_API_KEY": server_key.reveal()}
    async with running_daemon(environ=environ) as path, await connect(path) as client:
        answer, _ = await whole(client, chat(max_tokens=8))
    assert answer.choices[0].finish_kind is FinishKind.LENGTH
