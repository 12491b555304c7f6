"""Our chat completions beside those of OpenAI's own client: the requests, and what each reads in the answers."""

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.requests import ChatRequest, Image, Message, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.testing.agreement import Case, Rule, drops
from rxlapce.testing.asking import Said
from rxlapce.testing.loopback import Loopback
from rxlapce.testing.typed_dicts import misfits

pytestmark = pytest.mark.sdk

ENVIRON = {"OPENAI_API_KEY": "sk-dummy", "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"}
PIXEL = "iVBORw0KGgo+/w=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA)
THEIR_WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather of a city", "parameters": SCHEMA},
}
USER = {"role": "user", "content": "hi"}

USAGE_IN_STREAMS = Rule(
    name="usage in streams",
    reason="we ask each stream for its usage, and for no padding; the client leaves that to its user",
    ours=drops("stream_options", {"include_usage": True, "include_obfuscation": False}),
)


def user(*parts: Part, content: str = "") -> Message:
    return Message(role="user", content=content, parts=parts)


HI = (user(content="hi"),)

CASES = [
    Case(name="plain", ours={"messages": HI}, theirs={"messages": [USER]}),
    Case(
        name="system and several turns",
        ours={
            "messages": (
                Message(role="system", content="Be brief."),
                Message(role="developer", content="And kind."),
                *HI,
                Message(role="assistant", content="Hello."),
                user(content="Go on, 🦀"),
            )
        },
        theirs={
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "And kind."},
                USER,
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Go on, 🦀"},
            ]
        },
    ),
    Case(
        name="images by data and by URL",
        ours={
            "messages": (
                user(
                    Part(text="What is this?"),
                    Part(image=Image(data=PIXEL, media_type="image/png")),
                    Part(image=Image(url="https://images.test/a.png", detail="low")),
                ),
            )
        },
        theirs={
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                        {"type": "image_url", "image_url": {"url": "https://images.test/a.png", "detail": "low"}},
                    ],
                }
            ]
        },
    ),
    *(
        Case(
            name=f"tools, choice {choice}",
            ours={"messages": HI, "tools": (WEATHER, Tool(name="noop")), "tool_choice": choice},
            theirs={
                "messages": [USER],
                "tools": [
                    THEIR_WEATHER,
                    {
                        "type": "function",
                        "function": {"name": "noop", "parameters": {"type": "object", "properties": {}}},
                    },
                ],
                "tool_choice": said,
            },
        )
        for choice, said in (
            ("auto", "auto"),
            ("required", "required"),
            ("none", "none"),
            ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
        )
    ),
    Case(
        name="one call at a time",
        ours={"messages": HI, "tools": (WEATHER,), "parallel_tool_calls": False},
        theirs={"messages": [USER], "tools": [THEIR_WEATHER], "parallel_tool_calls": False},
    ),
    Case(
        name="calls and results in the history",
        ours={
            "messages": (
                *HI,
                Message(
                    role="assistant",
                    tool_calls=(
                        RequestedCall(id="call_a", name="get_weather", arguments='{"city": "Rome"}'),
                        RequestedCall(id="call_b", name="get_weather", arguments='{"city": "Oslo"}'),
                    ),
                ),
                Message(role="tool", content="20 degrees", tool_call_id="call_a"),
                Message(role="tool", content="", tool_call_id="call_b"),
            ),
            "tools": (WEATHER,),
        },
        theirs={
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "call_a",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
                        },
                        {
                            "id": "call_b",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "call_a", "content": "20 degrees"},
                {"role": "tool", "tool_call_id": "call_b", "content": ""},
            ],
            "tools": [THEIR_WEATHER],
        },
        rules=(
            Rule(
                name="null content",
                reason="an answer of nothing but calls has `content: null`, which the reference lets one leave out",
                ours=drops("messages.*.content", None),
            ),
        ),
    ),
    Case(
        name="structured output",
        ours={"messages": HI, "response_format": ResponseFormat(json_schema=SCHEMA, name="city")},
        theirs={
            "messages": [USER],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "city", "schema": SCHEMA, "strict": True},
            },
        },
    ),
    Case(
        name="any JSON",
        ours={"messages": HI, "response_format": ResponseFormat()},
        theirs={"messages": [USER], "response_format": {"type": "json_object"}},
    ),
    Case(
        name="sampling, stop, seed, length, number",
        ours={
            "messages": HI,
            "temperature": 0.3,
            "top_p": 0.9,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "stop": ("END", "\n\n"),
            "seed": 7,
            "max_tokens": 50,
            "n": 2,
        },
        theirs={
            "messages": [USER],
            "temperature": 0.3,
            "top_p": 0.9,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "stop": ["END", "\n\n"],
            "seed": 7,
            "max_completion_tokens": 50,
            "n": 2,
        },
    ),
    Case(
        name="reasoning effort",
        ours={"messages": HI, "reasoning_effort": "low"},
        theirs={"messages": [USER], "reasoning_effort": "low"},
    ),
    Case(
        name="members of one's own",
        ours={"messages": HI, "extra": {"store": False, "metadata": {"a": "b"}, "service_tier": "flex"}},
        theirs={"messages": [USER], "store": False, "metadata": {"a": "b"}, "service_tier": "flex"},
    ),
]


@pytest.fixture(scope="module")
def theirs(loop: Loopback, vendor: Callable[[str], ModuleType]) -> Iterator[Any]:
    with vendor("openai").OpenAI(
        api_key="sk-dummy", organization="org-1", project="proj_1", base_url=f"{loop.base_url}/v1", max_retries=0
    ) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_means_what_openais_client_says(case: Case, stream: bool, loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("openai", ENVIRON)
    request = ChatRequest(model="openai/sim", **case.ours)

    def ask() -> Any:
        if stream:
            return list(theirs.chat.completions.create(model="sim", stream=True, **case.theirs))
        return theirs.chat.completions.create(model="sim", **case.theirs)

    rules = (*case.rules, USAGE_IN_STREAMS) if stream else case.rules
    assert await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, rules) == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_body_fits_the_types_of_openais_client(
    case: Case, stream: bool, vendor: Callable[[str], ModuleType]
) -> None:
    types = vendor("openai.types.chat.completion_create_params")
    request = ChatRequest(model="openai/sim", **case.ours)
    provider = load_provider_configs_from_env(ENVIRON)["openai"]
    body = provider.api(request, "sim").dialect.chat_body(request, "sim", stream=stream)
    hint = types.CompletionCreateParamsStreaming if stream else types.CompletionCreateParamsNonStreaming
    assert misfits(msgspec.json.decode(body), hint) == []


async def test_models_are_listed_as_by_openais_client(loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("openai", ENVIRON)
    assert await loop.compare(lambda: loop.our_models(provider), lambda: list(theirs.models.list())) == []
    _, listed = await loop.our_models(provider)
    _, models = await loop.theirs(lambda: list(theirs.models.list()))
    assert listed == [model.id for model in models]


def test_the_host_is_that_of_openais_client(vendor: Callable[[str], ModuleType]) -> None:
    with vendor("openai").OpenAI(api_key="sk-dummy") as theirs:
        assert str(theirs.base_url) == load_provider_configs_from_env(ENVIRON)["openai"].base_url + "/"


# -- answers --------------------------------------------------------------------------------------------------------

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", ":tokens=90", {}),
    ("tools", ":tools=2", {"tools": [THEIR_WEATHER]}),
    ("cut short", ":finish=length,tokens=9", {}),
    ("filtered", ":finish=content_filter", {}),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("options", "more"), [case[1:] for case in ASKED], ids=[case[0] for case in ASKED])
async def test_an_answer_is_read_as_by_openais_client(
    options: str, more: dict[str, Any], stream: bool, loop: Loopback, theirs: Any
) -> None:

    def ask() -> Any:
        asked = {"model": f"sim{options}", "messages": [USER], **more}
        if not stream:
            return theirs.chat.completions.create(**asked)
        with theirs.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
            for _ in events:
                pass
            return events.current_completion_snapshot

    _, said = await loop.theirs(ask)
    choice = said.choices[0]
    provider = loop.provider("openai", ENVIRON)
    read = await loop.reads(provider, ChatRequest(model="openai/sim", messages=HI), stream=stream)
    assert read == Said(
        text=choice.message.content or "",
        reasoning="",
        calls=tuple((call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()),
        finish_raw=choice.finish_reason,
        model=said.model,
        usage=(said.usage.prompt_tokens, said.usage.completion_tokens),
    )
    assert len(read.calls) == (2 if more else 0)
    assert all(json.loads(arguments) for _, _, arguments in read.calls)
