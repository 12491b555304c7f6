"""Gemini's requests as they come to a server, and its answers in both framings."""

import doctest
from collections.abc import AsyncIterator

import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers import gemini
from rxlapce.providers.discovery import check_health, count_tokens, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.recorder import Asked, Recorder, Reply
from rxlapce.tokens import Finish

KEY = "AIza-test-0123456789abcdef"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(api_key=Secret(KEY)) as running:
        yield running


def provider(base_url: str, key: str = KEY) -> Provider:
    return load_provider_configs_from_env({"GEMINI_API_KEY": key, "GEMINI_BASE_URL": base_url})["gemini"]


@pytest.mark.parametrize(
    ("api", "target"),
    [
        ("generate_content", "/v1beta/models/sim:streamGenerateContent?alt=sse"),
        ("generate_content_array", "/v1beta/models/sim:streamGenerateContent"),
    ],
)
async def test_a_stream_is_asked_for_in_the_framing_of_its_api(
    client: HttpClient, simulator: Simulator, api: str, target: str
) -> None:
    got = Collected(chat_stream(client, provider(simulator.base_url), ask(api=api), "sim", Exchange()))
    assert await got.end() is None
    assert heard(got.items).text
    assert isinstance(got.items[-1], Finish)
    (request,) = simulator.requests
    assert (request.method, request.target) == ("POST", target)
    assert request.headers["x-goog-api-key"] == KEY
    assert request.json() == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


@pytest.mark.parametrize("api", ["generate_content", "generate_content_array"])
async def test_a_whole_answer_is_asked_for_at_the_same_path_by_both(
    client: HttpClient, simulator: Simulator, api: str
) -> None:
    whole = await chat(client, provider(simulator.base_url), ask(api=api), "sim", Exchange())
    assert heard(whole).text
    assert isinstance(whole[-1], Finish)
    assert simulator.requests[-1].target == "/v1beta/models/sim:generateContent"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("models/a/b", "models/models%2Fa%2Fb"),
        ("tunedModels/../x", "models/tunedModels%2F..%2Fx"),
        ("a?key=b#c", "models/a%3Fkey%3Db%23c"),
        ("models/", "models/models%2F"),
    ],
)
def test_a_model_is_a_resource_and_never_more_than_one(model: str, path: str) -> None:
    asked = provider("http://h").call(provider("http://h").apis["generate_content"], ask(), model, stream=False)
    assert asked.url == f"http://h/v1beta/{path}:generateContent"


async def test_a_prompt_is_counted_at_the_models_own_path(client: HttpClient, simulator: Simulator) -> None:
    async with Recorder(lambda asked: Reply(json={"totalTokens": 7})) as server:
        for model in ("m-1", "models/m-1", "tunedModels/t-1"):
            assert await count_tokens(client, provider(server.url), ask(), model) == 7
    resources = ["models/m-1", "models/m-1", "tunedModels/t-1"]
    assert [asked.target for asked in server.asked] == [f"/v1beta/{resource}:countTokens" for resource in resources]
    assert [asked.json()["generateContentRequest"]["model"] for asked in server.asked] == resources
    assert await count_tokens(client, provider(simulator.base_url), ask(), "sim") > 0


async def test_models_are_listed_page_by_page_without_their_prefix(client: HttpClient, simulator: Simulator) -> None:
    def reply(asked: Asked) -> Reply:
        first = "pageToken" not in asked.target
        page = {"models": [{"name": f"models/m-{1 if first else 2}"}]}
        return Reply(json=page | {"nextPageToken": "n&1"} if first else page)

    async with Recorder(reply) as server:
        assert await list_models(client, provider(server.url)) == ["m-1", "m-2"]
    assert [asked.target for asked in server.asked] == [
        "/v1beta/models",
        "/v1beta/models?pageSize=1000&pageToken=n%261",
    ]
    assert all(asked.headers["x-goog-api-key"] == KEY for asked in server.asked)
    assert "sim" in await list_models(client, provider(simulator.base_url))


async def test_health_is_asked_of_the_list_and_a_wrong_key_is_told_without_it(
    client: HttpClient, simulator: Simulator
) -> None:
    async with Recorder(lambda asked: Reply(json={"models": []})) as server:
        await check_health(client, provider(server.url))
    assert [(asked.method, asked.target) for asked in server.asked] == [("GET", "/v1beta/models")]
    wrong = provider(simulator.base_url, "AIza-wrong-key-000000")
    with pytest.raises(ProviderError) as caught:
        await check_health(client, wrong)
    assert caught.value.kind is ErrorKind.AUTH
    assert "AIza-wrong-key" not in f"{caught.value} {caught.value.raw} {wrong!r}"


def test_the_default_address_is_googles() -> None:
    built = load_provider_configs_from_env({"GEMINI_API_KEY": KEY})["gemini"]
    assert built.base_url == "https://generativelanguage.googleapis.com"
    assert next(iter(built.apis)) == "generate_content"


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(gemini).failed == 0
