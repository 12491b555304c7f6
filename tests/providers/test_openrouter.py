"""OpenRouter: headers, routing by `extra`, reasoning and cache marks in its own words, and a key that is checked."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ConfigError, ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.requests import ChatRequest, Message, OpaquePart, Part
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.scripted import Peer, ScriptedServer

KEY = "sk-or-v1-0123456789abcdef"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def loaded(**environ: str) -> Provider:
    return load_provider_configs_from_env({"OPENROUTER_API_KEY": KEY, **environ})["openrouter"]


def body_of(request: ChatRequest) -> dict[str, Any]:
    provider = loaded()
    decoded: dict[str, Any] = msgspec.json.decode(
        provider.call(provider.api(request, "m"), request, "m", stream=True).body
    )
    return decoded


def test_a_key_is_enough_and_the_title_says_who_asks() -> None:
    provider = loaded()
    assert provider.url(provider.apis["chat_completions"].path) == "https://openrouter.ai/api/v1/chat/completions"
    assert provider.url(provider.apis["responses"].path) == "https://openrouter.ai/api/v1/responses"
    assert provider.headers == {"X-Title": "rxlapce"}


def test_referer_and_title_are_the_users() -> None:
    provider = loaded(OPENROUTER_REFERER="https://example.org", OPENROUTER_TITLE="Mine")
    assert provider.headers == {"HTTP-Referer": "https://example.org", "X-Title": "Mine"}
    with pytest.raises(ConfigError, match="OPENROUTER_TITLE"):
        loaded(OPENROUTER_TITLE="a\r\nX-Other: b")


@pytest.mark.parametrize(("api", "path"), [("chat_completions", "chat/completions"), ("responses", "responses")])
async def test_each_api_answers_with_the_headers_sent(api: str, path: str, client: HttpClient) -> None:
    async with Simulator() as simulator:
        provider = loaded(
            OPENROUTER_BASE_URL=f"{simulator.base_url}/openrouter/api/v1", OPENROUTER_REFERER="https://example.org"
        )
        got = Collected(chat_stream(client, provider, ask(api=api), "sim", Exchange()))
        assert await got.end() is None
        whole = await chat(client, provider, ask(api=api), "sim", Exchange())
        assert "sim" in await list_models(client, provider)
        await check_health(client, provider)
        requests = simulator.requests
    assert [request.path for request in requests] == [f"/openrouter/api/v1/{path}"] * 2
    for request in requests:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["http-referer"] == "https://example.org"
        assert request.headers["x-title"] == "rxlapce"
    streamed, one_piece = heard(got.items).text, heard(whole).text
    # The greeting differs with the body; the rest is long and the same.
    assert streamed.partition("\n")[2] == one_piece.partition("\n")[2]
    assert len(streamed) > 500


async def test_health_asks_for_the_key_since_the_models_are_open_to_everybody(client: HttpClient) -> None:
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            asked.append(head.split(b"\r\n")[0])
            if asked[-1].startswith(b"GET /api/v1/models "):
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"data":[]}')
            else:
                body = b'{"error":{"message":"User not found.","code":401}}'
                await peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with ScriptedServer(script) as server:
        provider = loaded(OPENROUTER_BASE_URL=server.url + "/api/v1")
        assert await list_models(client, provider) == []
        with pytest.raises(ProviderError, match="User not found") as caught:
            await check_health(client, provider)
    assert caught.value.kind is ErrorKind.AUTH
    assert asked == [b"GET /api/v1/models HTTP/1.1", b"GET /api/v1/key HTTP/1.1"]


def test_routing_goes_by_extra() -> None:
    routing = {"models": ["a/b", "c/d"], "provider": {"order": ["x"], "zdr": True}}
    body = body_of(ask(extra=routing))
    assert (body["models"], body["provider"]) == (routing["models"], routing["provider"])


def test_how_long_to_think_goes_in_its_own_words() -> None:
    assert body_of(ask(reasoning_effort="high"))["reasoning"] == {"effort": "high"}
    assert body_of(ask(reasoning_tokens=1024))["reasoning"] == {"max_tokens": 1024}
    assert "reasoning_effort" not in body_of(ask(reasoning_effort="high"))


def test_top_k_and_cache_marks_are_said() -> None:
    turn = Message(role="user", parts=(Part(text="long", cache="5m"), Part(text="short")))
    body = body_of(ChatRequest(model="openrouter/m", messages=(turn,), top_k=7))
    assert body["top_k"] == 7
    first, second = body["messages"][0]["content"]
    assert first["cache_control"]["type"] == "ephemeral"
    assert "cache_control" not in second


def test_thoughts_go_back_unchanged() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x==", "index": 0}]
    thought = Part(opaque=OpaquePart(kind="reasoning_details", raw=msgspec.json.encode(details[0]).decode()))
    turns = (
        Message(role="user", content="?"),
        Message(role="assistant", parts=(thought, Part(text="yes"))),
        Message(role="user", content="why?"),
    )
    said = body_of(ChatRequest(model="openrouter/m", messages=turns))["messages"][1]
    assert said["reasoning_details"] == details
