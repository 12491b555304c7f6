"""Our requests to Azure OpenAI beside those of OpenAI's client for it, for both kinds of URLs and both credentials."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from rxlapce.requests import ChatRequest, CompletionRequest, Message
from rxlapce.testing.agreement import Rule, drops
from rxlapce.testing.loopback import Loopback

pytestmark = pytest.mark.sdk

DATED = "2024-10-21"
KEY = {"AZURE_OPENAI_API_KEY": "az-dummy", "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com"}
TOKEN = {"AZURE_OPENAI_AD_TOKEN": "eyJ.dummy", "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com"}
HI = (Message(role="user", content="hi"),)
ASKED = {"model": "sim-deployment", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}

USAGE_IN_STREAMS = Rule(
    name="usage in streams",
    reason="we ask each stream for its usage; the client leaves that to its user",
    ours=drops("stream_options", {"include_usage": True}),
)
NOT_STORED = Rule(
    name="not stored",
    reason="every request of ours carries its conversation, so the vendor need not keep any, as it would",
    ours=drops("store", False),
)
DEPLOYMENT_TWICE = Rule(
    name="the deployment twice",
    reason="where the URL names the deployment the body's model is not looked at; we name it, and so may they",
    ours=drops("model", "sim-deployment"),
    theirs=drops("model", "sim-deployment"),
)


def requested(**settings: Any) -> ChatRequest:
    return ChatRequest(model="azure/sim-deployment", messages=HI, **settings)


def dated(openai: ModuleType, loop: Loopback, **credential: str) -> Any:
    return openai.AzureOpenAI(azure_endpoint=loop.base_url, api_version=DATED, max_retries=0, **credential)


def undated(openai: ModuleType, loop: Loopback, key: str) -> Any:
    return openai.OpenAI(api_key=key, base_url=f"{loop.base_url}/openai/v1/", max_retries=0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("environ", "credential"),
    [(KEY, {"api_key": "az-dummy"}), (TOKEN, {"azure_ad_token": "eyJ.dummy"})],
    ids=["key", "token"],
)
async def test_a_deployment_is_asked_as_by_openais_client(
    environ: dict[str, str],
    credential: dict[str, str],
    stream: bool,
    loop: Loopback,
    vendor: Callable[[str], ModuleType],
) -> None:
    provider = loop.provider("azure", {**environ, "AZURE_OPENAI_API_VERSION": DATED})
    request = requested(api="chat_completions", temperature=0.5)
    with dated(vendor("openai"), loop, **credential) as theirs:

        def ask() -> Any:
            if stream:
                return list(theirs.chat.completions.create(**ASKED, stream=True))
            return theirs.chat.completions.create(**ASKED)

        rules = (DEPLOYMENT_TWICE, USAGE_IN_STREAMS) if stream else (DEPLOYMENT_TWICE,)
        assert await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, rules) == []


async def test_responses_and_completions_with_a_date_are_asked_as_by_openais_client(
    loop: Loopback, vendor: Callable[[str], ModuleType]
) -> None:
    provider = loop.provider("azure", {**KEY, "AZURE_OPENAI_API_VERSION": DATED})
    prompt = CompletionRequest(model="azure/sim-deployment", prompt="Once", api="completions").as_chat()
    with dated(vendor("openai"), loop, api_key="az-dummy") as theirs:
        responses = await loop.compare(
            lambda: loop.ours(provider, requested(api="responses")),
            lambda: theirs.responses.create(model="sim-deployment", input=[{"role": "user", "content": "hi"}]),
            (NOT_STORED,),
        )
        completions = await loop.compare(
            lambda: loop.ours(provider, prompt),
            lambda: theirs.completions.create(model="sim-deployment", prompt="Once"),
            (DEPLOYMENT_TWICE,),
        )
        models = await loop.compare(lambda: loop.our_models(provider), lambda: list(theirs.models.list()))
    assert responses == completions == models == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_api_without_a_date_is_asked_as_by_openais_client(
    stream: bool, loop: Loopback, vendor: Callable[[str], ModuleType]
) -> None:
    """With a token: Microsoft's samples put it, or the key, where OpenAI's plain client puts its key."""
    provider = loop.provider("azure", TOKEN)
    with undated(vendor("openai"), loop, "eyJ.dummy") as theirs:

        def ask() -> Any:
            if stream:
                return list(theirs.chat.completions.create(**ASKED, stream=True))
            return theirs.chat.completions.create(**ASKED)

        rules = (USAGE_IN_STREAMS,) if stream else ()
        request = requested(temperature=0.5)
        chat = await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, rules)
        responses = await loop.compare(
            lambda: loop.ours(provider, requested(api="responses")),
            lambda: theirs.responses.create(model="sim-deployment", input=[{"role": "user", "content": "hi"}]),
            (NOT_STORED,),
        )
        models = await loop.compare(lambda: loop.our_models(provider), lambda: list(theirs.models.list()))
    assert chat == responses == models == []


async def test_the_key_goes_in_azures_own_header_without_a_date_too(
    loop: Loopback, vendor: Callable[[str], ModuleType]
) -> None:
    """As `AzureOpenAI` sends it; the plain client has one place for keys, and Azure reads that as well."""
    provider = loop.provider("azure", KEY)

    def in_azures_header(headers: dict[str, str]) -> dict[str, str]:
        scheme, _, key = headers.pop("authorization").partition(" ")
        assert scheme == "Bearer"
        return {**headers, "api-key": key}

    with undated(vendor("openai"), loop, "az-dummy") as theirs:
        found = await loop.compare(
            lambda: loop.ours(provider, requested(temperature=0.5)),
            lambda: theirs.chat.completions.create(**ASKED),
            says=in_azures_header,
        )
    assert found == []
