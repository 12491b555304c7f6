"""A vendor by convention: variables, paths, headers; and `local`, which is one, and more."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.responses import Responses
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers import openai
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.compatible import DIALECTS, PATHS, compatible
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.providers.spec import Settings
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard

REQUEST = Unsigned("POST", "http://127.0.0.1/", {}, b"")


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


async def test_variables_go_by_the_vendors_name_and_chat_completions_are_the_default() -> None:
    spec = compatible("deep-seek", "DeepSeek", "https://api.deepseek.com")
    assert (spec.key_env, spec.base_url_env) == ("DEEP_SEEK_API_KEY", "DEEP_SEEK_BASE_URL")
    assert spec.needs == ("DEEP_SEEK_API_KEY",)
    provider = spec.build(Settings(key=Secret("sk-0123456789"), origin="here"))
    assert (provider.name, provider.origin, list(provider.apis)) == ("deep-seek", "here", ["chat_completions"])
    assert provider.url(provider.apis["chat_completions"].path) == "https://api.deepseek.com/chat/completions"
    assert await provider.auth.headers(REQUEST) == {"Authorization": "Bearer sk-0123456789"}


def test_each_api_has_its_path_and_the_first_is_the_default() -> None:
    spec = compatible("a", "A", "http://h/v1", apis={"responses": Responses(), "chat_completions": ChatCompletions()})
    provider = spec.build(Settings())
    assert provider.api(ask(), "m").path == "/responses"
    assert provider.api(ask(api="chat_completions"), "m").path == "/chat/completions"
    with pytest.raises(ProviderError, match="a has no API 'completions'; it has responses, chat_completions") as caught:
        provider.api(ask(api="completions"), "m")
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    assert PATHS.keys() == DIALECTS.keys()


def test_a_header_of_the_user_wins_over_the_vendors() -> None:
    spec = compatible("a", "A", "http://h", headers={"X-Title": "t", "X-B": "b"}, header_env={"A_TITLE": "X-Title"})
    assert spec.extra_env == {"A_TITLE": "X-Title"}
    assert spec.build(Settings(extra={"X-Title": "mine"})).headers == {"X-Title": "mine", "X-B": "b"}


async def test_a_vendor_without_a_list_of_models_says_so(client: HttpClient) -> None:
    provider = compatible("a", "A", "http://127.0.0.1:9", models_path=None).build(Settings())
    for ask_it in (list_models, check_health):
        with pytest.raises(ProviderError) as caught:
            await ask_it(client, provider)
        assert caught.value.kind is ErrorKind.BAD_REQUEST


async def test_a_health_path_is_enough_without_a_list_of_models(client: HttpClient) -> None:
    async with Simulator() as simulator:
        spec = compatible("a", "A", f"{simulator.base_url}/v1", models_path=None, health_path="/models")
        await check_health(client, spec.build(Settings()))


def local(base_url: str) -> Provider:
    return load_provider_configs_from_env({"LOCAL_BASE_URL": base_url})["local"]


async def test_local_answers_without_a_key_in_each_of_its_apis(client: HttpClient) -> None:
    async with Simulator() as simulator:
        provider = local(f"{simulator.base_url}/v1")
        apis = [api for api in provider.apis if api != "ollama"]
        said = {api: heard(await chat(client, provider, ask(api=api), "sim", Exchange())).text for api in apis}
        paths = [request.path for request in simulator.requests]
        assert not any("authorization" in request.headers for request in simulator.requests)
    assert all(said.values())
    assert paths == ["/v1/chat/completions", "/v1/completions", "/v1/responses"]


def test_local_speaks_as_its_servers_do() -> None:
    provider = local("http://127.0.0.1:8080/v1")
    request = ask(max_tokens=5, top_k=40)
    body = msgspec.json.decode(provider.call(provider.api(request, "m"), request, "m", stream=True).body)
    assert (body["max_tokens"], body["top_k"]) == (5, 40)
    responses = ask(api="responses")
    body = msgspec.json.decode(provider.call(provider.api(responses, "m"), responses, "m", stream=True).body)
    assert "store" not in body


@pytest.mark.parametrize("ending", ["/v1", "/v1/", ""])
async def test_local_asks_ollamas_own_api_beside_the_compatible_one(ending: str, client: HttpClient) -> None:
    async with Simulator() as simulator:
        provider = local(simulator.base_url + ending)
        got = Collected(chat_stream(client, provider, ask(api="ollama"), "sim:tps=0", Exchange()))
        assert await got.end() is None
        whole = await chat(client, provider, ask(api="ollama"), "sim:tps=0", Exchange())
        assert [request.path for request in simulator.requests] == ["/api/chat"] * 2
        assert simulator.requests[0].headers["accept"] == "application/x-ndjson"
    assert len(heard(got.items).text) > 500
    assert len(heard(whole).text) > 500


@pytest.mark.parametrize(("base_url", "unpadded"), [(None, True), ("http://gateway/v1", False)])
def test_only_openai_itself_is_asked_to_leave_its_padding_out(base_url: str | None, unpadded: bool) -> None:
    provider = openai.build(Settings(key=Secret("sk-0123456789"), base_url=base_url))
    body = provider.call(provider.api(ask(), "m"), ask(), "m", stream=True).body
    assert ("include_obfuscation" in msgspec.json.decode(body)["stream_options"]) is unpadded
