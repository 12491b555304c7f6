"""What a provider makes of an answer by its content type, and of failures: bytes from a scripted server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import KEY, Collected, ask, heard, simulated
from rxlapce.testing.scripted import CHUNKED, Peer, ScriptedServer, chunk
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, UsageReport

WHOLE = (
    b'{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}'
)


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def provider(url: str) -> Provider:
    return simulated(url)[0]


def json_of(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json; charset=utf-8\r\n"
    head += b"x-request-id: req_7\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


class Answering(ScriptedServer):
    """Answers each request with these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.requests: list[tuple[bytes, bytes]] = []

        async def script(peer: Peer) -> None:
            while True:
                self.requests.append(await peer.request())
                await peer.send(*pieces)

        super().__init__(script)


async def streamed(client: HttpClient, url: str) -> tuple[list[StreamToken], Exception | None]:
    got = Collected(chat_stream(client, provider(url), ask(), "m", Exchange()))
    error = await got.end()
    assert got.ends == 1
    return got.items, error


async def test_a_json_answer_to_a_request_for_a_stream_is_read_as_a_whole_answer(client: HttpClient) -> None:
    async with Answering(json_of(WHOLE)) as server:
        tokens, error = await streamed(client, server.url)
        unary = await chat(client, provider(server.url), ask(), "m", Exchange())
    assert error is None
    assert heard(tokens).text == "Hi"
    assert tokens[-1] == Finish(FinishKind.STOP, "stop", "m-1")
    assert unary == tokens
    assert [type(token) for token in tokens] == [Text, UsageReport, Finish]


async def test_an_error_with_status_200_is_the_providers_error(client: HttpClient) -> None:
    body = b'{"error":{"message":"no credit left for %s","type":"insufficient_quota","code":"insufficient_quota"}}'
    async with Answering(json_of(body % KEY.reveal().encode())) as server:
        tokens, error = await streamed(client, server.url)
        with pytest.raises(ProviderError) as caught:
            await chat(client, provider(server.url), ask(), "m", Exchange())
    assert tokens == []
    assert isinstance(error, ProviderError)
    for failure in (error, caught.value):
        assert failure.kind in (ErrorKind.QUOTA, ErrorKind.BILLING)
        assert (failure.provider, failure.status, failure.request_id) == ("openai", 200, "req_7")
        assert "no credit left" in failure.message
        assert KEY.reveal() not in f"{failure!s} {failure.raw} {failure.args}"


def headed(body: bytes, content_type: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (content_type, len(body), body)


@pytest.mark.parametrize("content_type", [b"", b"Content-Type: text/plain\r\n", b"Content-Type: text/event-stream\r\n"])
@pytest.mark.parametrize(
    ("name", "api", "body"),
    [
        ("openai", None, b'\n {"error":{"message":"come back later","type":"x","code":"rate_limit_exceeded"}}'),
        ("openai", "responses", b'{"error":{"message":"come back later","type":"x","code":"rate_limit_exceeded"}}'),
        ("anthropic", None, b'{"type":"error","error":{"type":"rate_limit_error","message":"come back later"}}'),
        ("gemini", None, b'{"error":{"code":429,"message":"come back later","status":"RESOURCE_EXHAUSTED"}}'),
        (
            "gemini",
            "generate_content_array",
            b'{"error":{"code":429,"message":"come back later","status":"RESOURCE_EXHAUSTED"}}',
        ),
        ("bedrock", None, b'{"__type":"ThrottlingException","message":"come back later"}'),
        ("local", "ollama", b'{"error":"come back later"}\n'),
    ],
)
async def test_an_error_with_status_200_needs_no_content_type(
    client: HttpClient, name: str, api: str | None, body: bytes, content_type: bytes
) -> None:
    async with Answering(headed(body, content_type)) as server:
        asked = load_provider_configs_from_env(simulated_environ(server.url))[name]
        error = await Collected(chat_stream(client, asked, ask(api=api), "m", Exchange())).end()
    assert isinstance(error, ProviderError)
    assert error.kind in (ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED)
    assert error.message == "come back later"


@pytest.mark.parametrize("content_type", [b"", b"Content-Type: text/html; charset=utf-8\r\n"])
@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "bedrock"])
async def test_a_web_page_is_no_stream_that_broke_off(client: HttpClient, name: str, content_type: bytes) -> None:
    async with Answering(headed(b"\r\n<!DOCTYPE html><title>Log in</title>", content_type)) as server:
        asked = load_provider_configs_from_env(simulated_environ(server.url))[name]
        error = await Collected(chat_stream(client, asked, ask(), "m", Exchange())).end()
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.PROTOCOL


async def test_a_web_page_is_no_health(client: HttpClient) -> None:
    async with Answering(headed(b"<!DOCTYPE html><title>Log in</title>", b"Content-Type: text/html\r\n")) as server:
        for name, asked in load_provider_configs_from_env(simulated_environ(server.url)).items():
            with pytest.raises(ProviderError) as caught:
                await check_health(client, asked)
            assert (caught.value.kind, caught.value.provider) == (ErrorKind.PROTOCOL, name)


@pytest.mark.parametrize("name", ["gemini", "vertex", "bedrock"])
def test_a_model_that_utf_8_cannot_hold_is_a_bad_request(name: str) -> None:
    """A shell's argument that is no UTF-8 comes with lone surrogates."""
    asked = load_provider_configs_from_env(simulated_environ("http://127.0.0.1:9"))[name]
    with pytest.raises(ProviderError) as caught:
        asked.call(next(iter(asked.apis.values())), ask(), "m\udcff", stream=True)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    caught.value.message.encode()


@pytest.mark.parametrize("body", [b"{}", b"[]", b"not json", b'{"choices":[]}'])
async def test_json_that_is_no_answer_is_one_protocol_error(client: HttpClient, body: bytes) -> None:
    async with Answering(json_of(body)) as server:
        tokens, error = await streamed(client, server.url)
        with pytest.raises(ProviderError):
            await chat(client, provider(server.url), ask(), "m", Exchange())
    assert tokens == []
    assert isinstance(error, ProviderError)
    assert error.kind in (ErrorKind.PROTOCOL, ErrorKind.TRUNCATED)


async def test_an_empty_event_stream_is_truncated(client: HttpClient) -> None:
    async with Answering(CHUNKED, chunk(b"")) as server:
        tokens, error = await streamed(client, server.url)
    assert tokens == []
    assert isinstance(error, ProviderError)
    assert (error.kind, error.provider, error.status) == (ErrorKind.TRUNCATED, "openai", 200)


async def test_a_whole_answer_without_an_end_is_bounded(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = chunk(b" " * (1 << 20))
        while True:
            await peer.send(piece)

    async with ScriptedServer(script) as server:
        tokens, error = await streamed(client, server.url)
    assert tokens == []
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.PROTOCOL
    assert str(32 << 20) in error.message.replace(",", "")


async def test_what_the_dialect_cannot_say_is_told_before_anything_is_sent(client: HttpClient) -> None:
    async with Answering(json_of(WHOLE)) as server:
        anthropic = simulated(server.url)[1]
        ended = await Collected(chat_stream(client, anthropic, ask(seed=3), "m", Exchange())).end()
        with pytest.raises(ProviderError) as caught:
            await chat(client, anthropic, ask(seed=3), "m", Exchange())
        assert server.requests == []
    assert isinstance(ended, ProviderError)
    for failure in (ended, caught.value):
        assert (failure.kind, failure.phase, failure.provider) == (ErrorKind.BAD_REQUEST, Phase.ADMIT, "anthropic")


async def test_dispose_before_the_answer_closes_the_connection(client: HttpClient) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.until_gone()
        gone.set()

    async with ScriptedServer(script) as server:
        got = Collected(chat_stream(client, provider(server.url), ask(), "m", Exchange()))
        await asked.wait()
        got.dispose()
        await gone.wait()
    assert (got.items, got.ends, client.open_streams) == ([], 0, 0)


async def test_the_finish_does_not_wait_for_a_connection_that_stays_open(client: HttpClient) -> None:
    done = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(done))
        await peer.until_gone()

    async with ScriptedServer(script) as server:
        seen: list[StreamToken] = []
        ended = asyncio.Event()
        chat_stream(client, provider(server.url), ask(), "m", Exchange()).subscribe(
            seen.append, on_completed=ended.set, scheduler=AsyncIOScheduler(asyncio.get_running_loop())
        )
        await ended.wait()
    assert [type(token) for token in seen] == [Text, Finish]


@pytest.mark.parametrize("number", [0, 1])
async def test_models_are_listed_by_the_providers_own_names(client: HttpClient, number: int) -> None:
    async with Simulator(api_key=KEY) as simulator:
        models = await list_models(client, simulated(simulator.base_url)[number])
    assert "sim" in models
    assert len(models) > 3


@pytest.mark.parametrize("body", [b"{}", b"nothing", b'{"data":[{"name":"x"}]}'])
async def test_a_list_of_models_that_is_none_is_a_protocol_error(client: HttpClient, body: bytes) -> None:
    async with Answering(json_of(body)) as server:
        with pytest.raises(ProviderError, match="the list of models is none") as caught:
            await list_models(client, provider(server.url))
    assert (caught.value.kind, caught.value.provider) == (ErrorKind.PROTOCOL, "openai")
