"""Our generateContent beside that of Google's own client, on the Gemini API and on Vertex AI: requests and answers."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.simulator.google.request import FREE
from rxlapce.testing.agreement import Case, Rule, drops, rewrites
from rxlapce.testing.dummies import ENVIRONS
from rxlapce.testing.loopback import Loopback

pytestmark = pytest.mark.sdk

NAMES = ["gemini", "vertex"]
#: Bytes whose base64 is not the same in both alphabets.
PICTURE = b"\x89PNG\xff\xfe\xfb"
SIGNATURE = b"\xfb\xff\xfe signed"
PIXEL, SIGNED = base64.b64encode(PICTURE).decode(), base64.b64encode(SIGNATURE).decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA)
DECLARED = {"name": "get_weather", "description": "The weather of a city", "parameters_json_schema": SCHEMA}
THEIR_WEATHER = {"tools": [{"function_declarations": [DECLARED]}]}
HI = (Message(role="user", content="hi"),)
USER = {"role": "user", "parts": [{"text": "hi"}]}


def standard(text: Any) -> Any:
    return text.translate(str.maketrans("-_", "+/")) if isinstance(text, str) else text


def respelled(value: Any) -> Any:
    """`value` with the API's spelling of all names that are the API's."""
    if is_array(value):
        return [respelled(element) for element in value]
    if not is_object(value):
        return value
    names = {name: re.sub(r"_([a-z])", lambda found: found[1].upper(), name) for name in value}
    return {names[name]: inner if names[name] in FREE else respelled(inner) for name, inner in value.items()}


def respell(body: dict[str, Any]) -> None:
    spelled = respelled(body)
    body.clear()
    body.update(spelled)


SPELLING = Rule(
    name="spelling",
    reason="the client leaves names in its users' nested dicts as they are in Python: protobuf's JSON takes both",
    theirs=respell,
)
URL_BASE64 = Rule(
    name="base64 for URLs",
    reason="the client writes bytes in the alphabet for URLs, we in the other: protobuf's JSON takes both for bytes",
    theirs=rewrites("contents.*.parts.*.inlineData.data", standard),
)
URL_BASE64_OF_SIGNATURES = Rule(
    name="base64 of signatures",
    reason="the same of signatures; ours go back as they came",
    theirs=rewrites("contents.*.parts.*.thoughtSignature", standard),
)
SYSTEMS_ROLE = Rule(
    name="role of the system",
    reason="the client says user, since its types want a role; the API looks at the text alone",
    theirs=drops("systemInstruction.role", "user"),
)
NO_SETTINGS = Rule(
    name="no settings",
    reason="settings of which none is set are left out by us",
    theirs=drops("generationConfig", {}),
)
THOUGHTS_TOLD = Rule(
    name="thoughts told",
    reason="who asks for thinking is told the thoughts by us; the client leaves that to its user",
    ours=drops("generationConfig.thinkingConfig.includeThoughts", True),
)

CASES = [
    Case(name="plain", ours={"messages": HI}, theirs={"contents": "hi"}),
    Case(
        name="system and several turns",
        ours={
            "messages": (
                Message(role="system", content="Be brief."),
                *HI,
                Message(role="assistant", content="Hello."),
                Message(role="user", content="Go on, 🦀"),
            )
        },
        theirs={
            "contents": [
                USER,
                {"role": "model", "parts": [{"text": "Hello."}]},
                {"role": "user", "parts": [{"text": "Go on, 🦀"}]},
            ],
            "config": {"system_instruction": "Be brief."},
        },
        rules=(SYSTEMS_ROLE, NO_SETTINGS),
    ),
    Case(
        name="images by data and by URL",
        ours={
            "messages": (
                Message(
                    role="user",
                    parts=(
                        Part(text="What is this?"),
                        Part(image=Image(data=PIXEL, media_type="image/png")),
                        Part(image=Image(url="gs://bucket/a.png", media_type="image/png")),
                    ),
                ),
            )
        },
        theirs={
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "What is this?"},
                        {"inline_data": {"mime_type": "image/png", "data": PICTURE}},
                        {"file_data": {"mime_type": "image/png", "file_uri": "gs://bucket/a.png"}},
                    ],
                }
            ]
        },
        rules=(SPELLING, URL_BASE64),
    ),
    *(
        Case(
            name=f"tools, choice {choice}",
            ours={"messages": HI, "tools": (WEATHER,), "tool_choice": choice},
            theirs={
                "contents": [USER],
                "config": {**THEIR_WEATHER, "tool_config": {"function_calling_config": said}},
            },
            rules=(SPELLING, NO_SETTINGS),
        )
        for choice, said in (
            ("auto", {"mode": "AUTO"}),
            ("required", {"mode": "ANY"}),
            ("none", {"mode": "NONE"}),
            ("get_weather", {"mode": "ANY", "allowed_function_names": ["get_weather"]}),
        )
    ),
    Case(
        name="thoughts, calls and results in the history",
        ours={
            "messages": (
                *HI,
                Message(
                    role="assistant",
                    parts=(
                        Part(reasoning="Rome is a city."),
                        Part(text="Let me see."),
                        Part(tool_call=RequestedCall(id="a1", name="get_weather", arguments='{"city":"Rome"}')),
                        Part(
                            opaque=OpaquePart(
                                kind="thought_signature", raw=json.dumps({"thoughtSignature": SIGNED, "toolCall": 0})
                            )
                        ),
                        Part(tool_call=RequestedCall(id="b2", name="get_weather", arguments='{"city":"Oslo"}')),
                    ),
                ),
                Message(role="tool", content='{"degrees": 20}', tool_call_id="a1"),
                Message(role="tool", content="cold", tool_call_id="b2"),
            ),
            "tools": (WEATHER,),
        },
        theirs={
            "contents": [
                USER,
                {
                    "role": "model",
                    "parts": [
                        {"text": "Rome is a city.", "thought": True},
                        {"text": "Let me see."},
                        {
                            "function_call": {"id": "a1", "name": "get_weather", "args": {"city": "Rome"}},
                            "thought_signature": SIGNATURE,
                        },
                        {"function_call": {"id": "b2", "name": "get_weather", "args": {"city": "Oslo"}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"function_response": {"id": "a1", "name": "get_weather", "response": {"degrees": 20}}},
                        {"function_response": {"id": "b2", "name": "get_weather", "response": {"result": "cold"}}},
                    ],
                },
            ],
            "config": THEIR_WEATHER,
        },
        rules=(SPELLING, URL_BASE64_OF_SIGNATURES, NO_SETTINGS),
    ),
    Case(
        name="structured output",
        ours={"messages": HI, "response_format": ResponseFormat(json_schema=SCHEMA)},
        theirs={
            "contents": [USER],
            "config": {"response_mime_type": "application/json", "response_json_schema": SCHEMA},
        },
    ),
    Case(
        name="any JSON",
        ours={"messages": HI, "response_format": ResponseFormat()},
        theirs={"contents": [USER], "config": {"response_mime_type": "application/json"}},
    ),
    Case(
        name="sampling, stop, seed, length, number",
        ours={
            "messages": HI,
            "temperature": 0.3,
            "top_p": 0.9,
            "top_k": 5,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "stop": ("END", "FIN"),
            "seed": 7,
            "max_tokens": 50,
            "n": 2,
        },
        theirs={
            "contents": [USER],
            "config": {
                "temperature": 0.3,
                "top_p": 0.9,
                "top_k": 5,
                "presence_penalty": 0.5,
                "frequency_penalty": -0.5,
                "stop_sequences": ["END", "FIN"],
                "seed": 7,
                "max_output_tokens": 50,
                "candidate_count": 2,
            },
        },
    ),
    Case(
        name="reasoning effort",
        ours={"messages": HI, "reasoning_effort": "low"},
        theirs={"contents": [USER], "config": {"thinking_config": {"thinking_level": "LOW"}}},
        rules=(SPELLING, THOUGHTS_TOLD),
    ),
    Case(
        name="reasoning tokens",
        ours={"messages": HI, "reasoning_tokens": 512},
        theirs={
            "contents": [USER],
            "config": {"thinking_config": {"thinking_budget": 512, "include_thoughts": True}},
        },
        rules=(SPELLING,),
    ),
    Case(
        name="no thinking",
        ours={"messages": HI, "reasoning_tokens": 0},
        theirs={"contents": [USER], "config": {"thinking_config": {"thinking_budget": 0}}},
        rules=(SPELLING,),
    ),
]


SEVERAL_TURNS = Case(
    name="several turns",
    ours={"messages": (*HI, Message(role="assistant", content="Hello."), Message(role="user", content="Go on"))},
    theirs={
        "contents": [
            USER,
            {"role": "model", "parts": [{"text": "Hello."}]},
            {"role": "user", "parts": [{"text": "Go on"}]},
        ]
    },
)


def unwrap(body: dict[str, Any]) -> None:
    wrapped = body.pop("generateContentRequest")
    assert wrapped.pop("model") == "models/sim"
    body.update(wrapped)


WRAPPED = Rule(
    name="wrapped",
    reason="a request whole, in a member of its own, counts its system turn and tools too: the client cannot say these",
    ours=unwrap,
)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The provider."""
    return str(request.param)


@pytest.fixture(scope="module")
def theirs(name: str, loop: Loopback, google: Callable[..., Any]) -> Iterator[Any]:
    with google(name, loop.base_url, {"gemini": "v1beta", "vertex": "v1"}[name]) as client_here:
        yield client_here


def request_of(name: str, case: Case) -> ChatRequest:
    return ChatRequest(model=f"{name}/sim", **case.ours)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_means_what_googles_client_says(
    case: Case, stream: bool, name: str, loop: Loopback, theirs: Any
) -> None:
    provider = loop.provider(name, ENVIRONS[name])

    def ask() -> Any:
        if stream:
            return list(theirs.models.generate_content_stream(model="sim", **case.theirs))
        return theirs.models.generate_content(model="sim", **case.theirs)

    request = request_of(name, case)
    found = await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, case.rules)
    assert found == []


@pytest.mark.parametrize("asked", ["plain", "several turns", "images by data and by URL"])
async def test_tokens_are_counted_as_by_googles_client(asked: str, name: str, loop: Loopback, theirs: Any) -> None:
    """The client counts turns; on the Gemini API it knows no other way, and we wrap the whole request."""
    provider = loop.provider(name, ENVIRONS[name])
    case = next((case for case in CASES if case.name == asked), SEVERAL_TURNS)

    def ask() -> Any:
        return theirs.models.count_tokens(model="sim", contents=case.theirs["contents"])

    rules = (*case.rules, WRAPPED) if name == "gemini" else case.rules
    request = request_of(name, case)
    assert await loop.compare(lambda: loop.our_count(provider, request), ask, rules) == []
    _, said = await loop.theirs(ask)
    _, count = await loop.our_count(provider, request)
    assert count == said.total_tokens


async def test_models_are_listed_as_by_googles_client(name: str, loop: Loopback, google: Callable[..., Any]) -> None:
    """Vertex AI lists its models in the beta alone, which is the client's default there."""
    provider = loop.provider(name, ENVIRONS[name])
    with google(name, loop.base_url, {"gemini": "v1beta", "vertex": "v1beta1"}[name]) as theirs:

        def ask() -> Any:
            return list(theirs.models.list(config={"query_base": True}))

        assert await loop.compare(lambda: loop.our_models(provider), ask) == []
        _, models = await loop.theirs(ask)
    _, listed = await loop.our_models(provider)
    assert listed == [model.name.rpartition("/")[2] for model in models]


@pytest.mark.parametrize(
    ("name", "location"),
    [("gemini", "")] + [("vertex", location) for location in ("us-east5", "europe-west1", "global", "us", "eu")],
)
def test_the_host_is_that_of_googles_client(
    name: str, location: str, google: Callable[..., Any], vendor: Callable[[str], ModuleType]
) -> None:
    """Asked of the client's own transport, which sends nothing."""
    httpx2 = vendor("httpx2")
    hosts: list[str] = []

    def answer(request: Any) -> Any:
        hosts.append(f"{request.url.scheme}://{request.url.host}")
        return httpx2.Response(200, json={"totalTokens": 1})

    arguments = {"transport": httpx2.MockTransport(answer)}
    with google(name, None, "v1", location, arguments) as theirs:
        theirs.models.count_tokens(model="sim", contents="hi")
    environ = ENVIRONS[name] | ({"VERTEX_LOCATION": location} if location else {})
    assert hosts == [load_provider_configs_from_env(environ)[name].base_url]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_body_fits_the_types_of_googles_client(case: Case, vendor: Callable[[str], ModuleType]) -> None:
    """Its models refuse names that they do not know."""
    types = vendor("google.genai.types")
    request = request_of("gemini", case)
    provider = load_provider_configs_from_env(ENVIRONS["gemini"])["gemini"]
    said = msgspec.json.decode(provider.api(request, "sim").dialect.chat_body(request, "sim", stream=False))
    for content in said.pop("contents"):
        types.Content.model_validate(content)
    for tool in said.pop("tools", []):
        types.Tool.model_validate(tool)
    types.Content.model_validate(said.pop("systemInstruction", {}))
    types.GenerationConfig.model_validate(said.pop("generationConfig", {}))
    types.ToolConfig.model_validate(said.pop("toolConfig", {}))
    assert said == {}
