"""Our messages beside those of Anthropic's own client: the requests, and what each reads in the answers."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.testing.agreement import Case, both, only_text, rewrites
from rxlapce.testing.asking import Said
from rxlapce.testing.loopback import Loopback, parsed
from rxlapce.testing.typed_dicts import misfits

pytestmark = pytest.mark.sdk

ENVIRON = {"ANTHROPIC_API_KEY": "sk-ant-dummy"}
#: Ours; and the client's, which knows no temperature, top_p and top_k any more, and refuses (400) who sends them.
VERSION, THEIR_VERSION = "2023-06-01", "2026-10-21"
PIXEL = "iVBORw0KGgo+/w=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA)
THEIR_WEATHER = {"name": "get_weather", "description": "The weather of a city", "input_schema": SCHEMA}
HI = (Message(role="user", content="hi"),)
USER = {"role": "user", "content": "hi"}
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}

ONE_TEXT = both(
    "one text",
    "a string is short for a list of one text block, as the reference says",
    rewrites("messages.*.content", only_text()),
)
ONE_TEXT_RESULT = both(
    "one text as a result",
    "a string is short for a list of one text block in a tool's result too",
    rewrites("messages.*.content.*.content", only_text()),
)
SYSTEM_AS_TEXT = both(
    "the system's text", "a string is short for a list of one text block here too", rewrites("system", only_text())
)

CASES = [
    Case(name="plain", ours={"messages": HI, "max_tokens": 99}, theirs={"messages": [USER], "max_tokens": 99}),
    Case(
        name="text as a list",
        ours={"messages": HI, "max_tokens": 99},
        theirs={"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "max_tokens": 99},
        rules=(ONE_TEXT,),
    ),
    Case(
        name="system and several turns",
        ours={
            "messages": (
                Message(role="system", content="Be brief."),
                *HI,
                Message(role="assistant", content="Hello."),
                Message(role="user", content="Go on, 🦀"),
            ),
            "max_tokens": 99,
        },
        theirs={
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [USER, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Go on, 🦀"}],
            "max_tokens": 99,
        },
        rules=(SYSTEM_AS_TEXT,),
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
                        Part(image=Image(url="https://images.test/a.png")),
                    ),
                ),
            ),
            "max_tokens": 99,
        },
        theirs={
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                        {"type": "image", "source": {"type": "url", "url": "https://images.test/a.png"}},
                    ],
                }
            ],
            "max_tokens": 99,
        },
    ),
    *(
        Case(
            name=f"tools, choice {choice}, parallel {parallel}",
            ours={
                "messages": HI,
                "max_tokens": 99,
                "tools": (WEATHER,),
                "tool_choice": choice,
                "parallel_tool_calls": parallel,
            },
            theirs={"messages": [USER], "max_tokens": 99, "tools": [THEIR_WEATHER], "tool_choice": said},
        )
        for choice, parallel, said in (
            ("auto", None, {"type": "auto"}),
            ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
            ("get_weather", True, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": False}),
            ("none", None, {"type": "none"}),
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
                        Part(reasoning="Rome is a city.", signature="c2lnbmVk"),
                        Part(
                            opaque=OpaquePart(
                                kind="redacted_thinking", raw='{"type": "redacted_thinking", "data": "c2VhbGVk"}'
                            )
                        ),
                        Part(text="Let me see."),
                        Part(tool_call=RequestedCall(id="toolu_a", name="get_weather", arguments='{"city":"Rome"}')),
                        Part(tool_call=RequestedCall(id="toolu_b", name="get_weather", arguments='{"city":"Oslo"}')),
                    ),
                ),
                Message(role="tool", content="20 degrees", tool_call_id="toolu_a"),
                Message(
                    role="tool",
                    parts=(Part(text="See:"), Part(image=Image(data=PIXEL, media_type="image/png"))),
                    tool_call_id="toolu_b",
                ),
            ),
            "tools": (WEATHER,),
            "reasoning_tokens": 2048,
            "max_tokens": 4096,
        },
        theirs={
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Rome is a city.", "signature": "c2lnbmVk"},
                        {"type": "redacted_thinking", "data": "c2VhbGVk"},
                        {"type": "text", "text": "Let me see."},
                        {"type": "tool_use", "id": "toolu_a", "name": "get_weather", "input": {"city": "Rome"}},
                        {"type": "tool_use", "id": "toolu_b", "name": "get_weather", "input": {"city": "Oslo"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_a",
                            "content": [{"type": "text", "text": "20 degrees"}],
                        },
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_b",
                            "content": [
                                {"type": "text", "text": "See:"},
                                {
                                    "type": "image",
                                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                                },
                            ],
                        },
                    ],
                },
            ],
            "tools": [THEIR_WEATHER],
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "max_tokens": 4096,
        },
        rules=(ONE_TEXT_RESULT,),
    ),
    Case(
        name="structured output and effort",
        ours={
            "messages": HI,
            "max_tokens": 99,
            "response_format": ResponseFormat(json_schema=SCHEMA),
            "reasoning_effort": "low",
        },
        theirs={
            "messages": [USER],
            "max_tokens": 99,
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        },
    ),
    Case(
        name="no thinking",
        ours={"messages": HI, "max_tokens": 99, "reasoning_tokens": 0},
        theirs={"messages": [USER], "max_tokens": 99, "thinking": {"type": "disabled"}},
    ),
    Case(
        name="sampling and stop",
        ours={
            "messages": HI,
            "max_tokens": 99,
            "temperature": 0.3,
            "top_p": 0.9,
            "top_k": 5,
            "stop": ("END", "FIN"),
        },
        theirs={
            "messages": [USER],
            "max_tokens": 99,
            "stop_sequences": ["END", "FIN"],
            # No arguments of the client's any more, but of the version that we ask for.
            "extra_body": {"temperature": 0.3, "top_p": 0.9, "top_k": 5},
        },
    ),
    Case(
        name="prompt cache",
        ours={
            "messages": (
                Message(role="system", parts=(Part(text="Be brief.", cache="1h"),)),
                Message(role="user", parts=(Part(text="A long text.", cache="5m"), Part(text="And?"))),
            ),
            "max_tokens": 99,
            "tools": (Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA, cache="1h"),),
        },
        theirs={
            "system": [{"type": "text", "text": "Be brief.", "cache_control": HOUR}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "A long text.", "cache_control": EPHEMERAL},
                        {"type": "text", "text": "And?"},
                    ],
                }
            ],
            "max_tokens": 99,
            "tools": [{**THEIR_WEATHER, "cache_control": HOUR}],
        },
    ),
    Case(
        name="members of one's own",
        ours={"messages": HI, "max_tokens": 99, "extra": {"metadata": {"user_id": "u"}, "service_tier": "auto"}},
        theirs={"messages": [USER], "max_tokens": 99, "metadata": {"user_id": "u"}, "service_tier": "auto"},
    ),
]


@pytest.fixture(scope="module")
def theirs(loop: Loopback, vendor: Callable[[str], ModuleType]) -> Iterator[Any]:
    with vendor("anthropic").Anthropic(api_key="sk-ant-dummy", base_url=loop.base_url, max_retries=0) as client:
        yield client


def in_our_words(headers: dict[str, str]) -> dict[str, str]:
    """The key in the header of its own, which the API reads first; and the version that still has a temperature."""
    scheme, _, key = headers.pop("authorization").partition(" ")
    assert scheme == "Bearer"
    assert headers["anthropic-version"] == THEIR_VERSION
    return {**headers, "x-api-key": key, "anthropic-version": VERSION}


def request_of(case: Case) -> ChatRequest:
    return ChatRequest(model="anthropic/sim", **case.ours)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_means_what_anthropics_client_says(
    case: Case, stream: bool, loop: Loopback, theirs: Any
) -> None:
    provider = loop.provider("anthropic", ENVIRON)

    def ask() -> Any:
        if stream:
            return list(theirs.messages.create(model="sim", stream=True, **case.theirs))
        return theirs.messages.create(model="sim", **case.theirs)

    found = await loop.compare(
        lambda: loop.ours(provider, request_of(case), stream=stream), ask, case.rules, says=in_our_words
    )
    assert found == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_body_fits_the_types_of_anthropics_client(
    case: Case, stream: bool, vendor: Callable[[str], ModuleType]
) -> None:
    types = vendor("anthropic.types.message_create_params")
    request = request_of(case)
    provider = load_provider_configs_from_env(ENVIRON)["anthropic"]
    body = provider.api(request, "sim").dialect.chat_body(request, "sim", stream=stream)
    hint = types.MessageCreateParamsStreaming if stream else types.MessageCreateParamsNonStreaming
    # What the client's version of the API has given up, and ours has.
    gone = [
        f"$.{name}: no member of {hint.__name__}" for name in ("temperature", "top_p", "top_k") if name in case.ours
    ]
    assert misfits(msgspec.json.decode(body), hint) == gone


@pytest.mark.parametrize(
    "name", ["plain", "system and several turns", "thoughts, calls and results in the history", "prompt cache"]
)
async def test_tokens_are_counted_as_by_anthropics_client(name: str, loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("anthropic", ENVIRON)
    case = next(case for case in CASES if case.name == name)
    counted = {member: value for member, value in case.theirs.items() if member != "max_tokens"}

    def ask() -> Any:
        return theirs.messages.count_tokens(model="sim", **counted)

    found = await loop.compare(lambda: loop.our_count(provider, request_of(case)), ask, case.rules, says=in_our_words)
    assert found == []
    _, said = await loop.theirs(ask)
    _, count = await loop.our_count(provider, request_of(case))
    assert count == said.input_tokens


async def test_models_are_listed_as_by_anthropics_client(loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("anthropic", ENVIRON)
    found = await loop.compare(lambda: loop.our_models(provider), lambda: list(theirs.models.list()), says=in_our_words)
    assert found == []
    _, models = await loop.theirs(lambda: list(theirs.models.list()))
    _, listed = await loop.our_models(provider)
    assert listed == [model.id for model in models]


def test_the_host_is_that_of_anthropics_client(vendor: Callable[[str], ModuleType]) -> None:
    with vendor("anthropic").Anthropic(api_key="sk-ant-dummy") as theirs:
        assert str(theirs.base_url).rstrip("/") == load_provider_configs_from_env(ENVIRON)["anthropic"].base_url


# -- answers --------------------------------------------------------------------------------------------------------

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", ":tokens=90", {}),
    ("tools", ":tools=2", {"tools": [THEIR_WEATHER]}),
    ("thinking", ":reasoning=20", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ("cut short", ":finish=length,tokens=9", {}),
    ("refused", ":finish=refusal", {}),
]


def said_by(message: Any) -> Said:
    """What the client made of an answer. Input is all of the prompt: the client's count leaves out what was cached."""
    blocks, usage = message.content, message.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return Said(
        text="".join(block.text for block in blocks if block.type == "text"),
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        calls=tuple((block.id, block.name, block.input) for block in blocks if block.type == "tool_use"),
        finish_raw=message.stop_reason,
        model=message.model,
        usage=(usage.input_tokens + cached, usage.output_tokens),
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("options", "more"), [case[1:] for case in ASKED], ids=[case[0] for case in ASKED])
async def test_an_answer_is_read_as_by_anthropics_client(
    options: str, more: dict[str, Any], stream: bool, loop: Loopback, theirs: Any
) -> None:

    def ask() -> Any:
        asked = {"model": f"sim{options}", "messages": [USER], "max_tokens": 4096, **more}
        if not stream:
            return theirs.messages.create(**asked)
        with theirs.messages.stream(**asked) as events:
            return events.get_final_message()

    _, message = await loop.theirs(ask)
    provider = loop.provider("anthropic", ENVIRON)
    read = await loop.reads(provider, ChatRequest(model="anthropic/sim", messages=HI), stream=stream)
    assert parsed(read) == said_by(message)
    assert len(read.calls) == (2 if "tools" in more else 0)
    assert bool(read.reasoning) is ("thinking" in more)
