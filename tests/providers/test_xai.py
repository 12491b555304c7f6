"""xAI: its three APIs over a socket, and what its chat completions take and refuse."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.requests import ChatRequest, Message, Part
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.scripted import Peer, ScriptedServer

KEY = "xai-0123456789abcdef"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def loaded(**environ: str) -> Provider:
    return load_provider_configs_from_env({"XAI_API_KEY": KEY, **environ})["xai"]


def test_a_key_is_enough() -> None:
    provider = loaded()
    assert provider.base_url == "https://api.x.ai/v1"
    assert {name: provider.url(api.path) for name, api in provider.apis.items()} == {
        "chat_completions": "https://api.x.ai/v1/chat/completions",
        "responses": "https://api.x.ai/v1/responses",
        "completions": "https://api.x.ai/v1/completions",
    }


@pytest.mark.parametrize(("api", "path"), [("chat_completions", "chat/completions"), ("responses", "responses")])
async def test_each_api_answers_as_a_stream_and_in_one_piece(api: str, path: str, client: HttpClient) -> None:
    async with Simulator() as simulator:
        provider = loaded(XAI_BASE_URL=f"{simulator.base_url}/xai/v1")
        got = Collected(chat_stream(client, provider, ask(api=api), "sim", Exchange()))
        assert await got.end() is None
        whole = await chat(client, provider, ask(api=api), "sim", Exchange())
        assert "sim" in await list_models(client, provider)
        await check_health(client, provider)
        requests = simulator.requests
    assert [request.path for request in requests] == [f"/xai/v1/{path}"] * 2
    assert {request.headers["authorization"] for request in requests} == {f"Bearer {KEY}"}
    streamed, one_piece = heard(got.items).text, heard(whole).text
    # The greeting differs with the body; the rest is long and the same.
    assert streamed.partition("\n")[2] == one_piece.partition("\n")[2]
    assert len(streamed) > 500


async def test_a_text_is_gone_on_from_at_the_legacy_path(client: HttpClient) -> None:
    asked: list[tuple[bytes, dict[str, object]]] = []

    async def script(peer: Peer) -> None:
        head, body = await peer.request()
        asked.append((head.split(b"\r\n")[0], msgspec.json.decode(body)))
        answer = b'{"model":"m","choices":[{"index":0,"text":" world","finish_reason":"stop"}]}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        await peer.send(head + answer)

    async with ScriptedServer(script) as server:
        provider = loaded(XAI_BASE_URL=server.url + "/v1")
        tokens = await chat(client, provider, ask(api="completions", prompt="hello"), "m", Exchange())
    assert heard(tokens).text == " world"
    assert asked == [(b"POST /v1/completions HTTP/1.1", {"model": "m", "prompt": "hello"})]


def body_of(request: ChatRequest) -> dict[str, object]:
    provider = loaded()
    decoded: dict[str, object] = msgspec.json.decode(
        provider.call(provider.api(request, "m"), request, "m", stream=True).body
    )
    return decoded


def test_an_earlier_thought_goes_back_as_reasoning_content() -> None:
    thought = Message(role="assistant", parts=(Part(reasoning="hm"), Part(text="yes")))
    turns = (Message(role="user", content="?"), thought, Message(role="user", content="why?"))
    said = body_of(ChatRequest(model="xai/m", messages=turns))["messages"]
    assert isinstance(said, list)
    assert said[1]["reasoning_content"] == "hm"


def test_top_k_is_refused_since_it_would_be_ignored() -> None:
    with pytest.raises(ProviderError, match="top_k") as caught:
        body_of(ask(top_k=3))
    assert caught.value.kind is ErrorKind.BAD_REQUEST


def test_the_answers_limit_goes_by_the_newer_name() -> None:
    assert body_of(ask(max_tokens=5))["max_completion_tokens"] == 5


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xai-0123456789abcdef."}',
        b'{"error":"Incorrect API key provided: xai-0123456789abcdef."}',
        b'{"error":{"message":"Incorrect API key provided: xai-0123456789abcdef.","code":"invalid_api_key"}}',
    ],
)
async def test_each_shape_of_error_is_read_and_the_key_in_it_masked(body: bytes, client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with ScriptedServer(script) as server:
        with pytest.raises(ProviderError) as caught:
            await chat(client, loaded(XAI_BASE_URL=server.url), ask(), "m", Exchange())
    assert (caught.value.kind, caught.value.provider) == (ErrorKind.AUTH, "xai")
    assert "Incorrect API key" in caught.value.message
    assert KEY not in f"{caught.value} {caught.value.raw}"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (403, "Your newly created team doesn't have any credits or licenses yet.", ErrorKind.BILLING),
        (429, "Your team t has either used all available credits or reached its spending limit.", ErrorKind.BILLING),
        (429, "Too many requests for team t and model m: at most 2 requests per second.", ErrorKind.RATE_LIMIT),
        (403, "Your API key has no access to the model.", ErrorKind.AUTH),
    ],
)
async def test_money_that_is_gone_is_told_from_a_limit_that_comes_back(
    status: int, said: str, kind: ErrorKind, client: HttpClient
) -> None:
    body = msgspec.json.encode({"code": "Some resource has been exhausted", "error": said})

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    async with ScriptedServer(script) as server:
        with pytest.raises(ProviderError) as caught:
            await chat(client, loaded(XAI_BASE_URL=server.url), ask(), "m", Exchange())
    assert (caught.value.kind, caught.value.message) == (kind, said)
