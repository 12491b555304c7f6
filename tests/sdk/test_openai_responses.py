"""Our responses beside those of OpenAI's own client: the requests, and what each reads in the answers."""

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.testing.agreement import Case, Rule, drops, rewrites
from rxlapce.testing.asking import Said
from rxlapce.testing.loopback import Loopback
from rxlapce.testing.typed_dicts import misfits

pytestmark = pytest.mark.sdk

ENVIRON = {"OPENAI_API_KEY": "sk-dummy"}
PIXEL = "iVBORw0KGgo+/w=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA)
THEIR_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": SCHEMA,
    "strict": False,
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Rome is a city."}],
    "encrypted_content": "gAAAAABsealed==",
}
HI = (Message(role="user", content="hi"),)

NOT_STORED = Rule(
    name="not stored",
    reason="every request of ours carries its conversation, so the vendor need not keep any, as it would",
    ours=drops("store", False),
)
INPUT_AS_TEXT = Rule(
    name="input as a text",
    reason="a text is short for a list of one message of the user's with that text",
    theirs=rewrites("input", lambda said: [{"role": "user", "content": said}] if isinstance(said, str) else said),
)
AUTO_DETAIL = Rule(
    name="detail of images",
    reason="the client's types demand `detail`, the API takes auto for granted",
    ours=drops("input.*.content.*.detail", "auto"),
    theirs=drops("input.*.content.*.detail", "auto"),
)

CASES = [
    Case(name="plain", ours={"messages": HI}, theirs={"input": "hi"}, rules=(INPUT_AS_TEXT,)),
    Case(
        name="system and several turns",
        ours={
            "messages": (
                Message(role="system", content="Be brief."),
                Message(role="user", content="hi"),
                Message(role="assistant", content="Hello."),
                Message(role="developer", content="And kind."),
                Message(role="user", content="Go on"),
            )
        },
        theirs={
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": "hi"},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
                },
                {"role": "developer", "content": "And kind."},
                {"role": "user", "content": "Go on"},
            ],
        },
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
                        Part(image=Image(url="https://images.test/a.png", detail="low")),
                    ),
                ),
            )
        },
        theirs={
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is this?"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
                        {"type": "input_image", "image_url": "https://images.test/a.png", "detail": "low"},
                    ],
                }
            ]
        },
        rules=(AUTO_DETAIL,),
    ),
    *(
        Case(
            name=f"tools, choice {choice}",
            ours={"messages": HI, "tools": (WEATHER,), "tool_choice": choice, "parallel_tool_calls": parallel},
            theirs={
                "input": [{"role": "user", "content": "hi"}],
                "tools": [THEIR_WEATHER],
                "tool_choice": said,
                "parallel_tool_calls": parallel,
            },
        )
        for choice, said, parallel in (
            ("auto", "auto", True),
            ("required", "required", False),
            ("none", "none", True),
            ("get_weather", {"type": "function", "name": "get_weather"}, False),
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
                        Part(opaque=OpaquePart(kind="reasoning", raw=json.dumps(THOUGHT))),
                        Part(text="Let me see."),
                        Part(tool_call=RequestedCall(id="call_a", name="get_weather", arguments='{"city":"Rome"}')),
                    ),
                ),
                Message(role="tool", content="20 degrees", tool_call_id="call_a"),
            ),
            "tools": (WEATHER,),
            "reasoning_effort": "low",
        },
        theirs={
            "input": [
                {"role": "user", "content": "hi"},
                THOUGHT,
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
                },
                {"type": "function_call", "call_id": "call_a", "name": "get_weather", "arguments": '{"city":"Rome"}'},
                {"type": "function_call_output", "call_id": "call_a", "output": "20 degrees"},
            ],
            "tools": [THEIR_WEATHER],
            "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"],
        },
    ),
    Case(
        name="structured output",
        ours={"messages": HI, "response_format": ResponseFormat(json_schema=SCHEMA, name="city")},
        theirs={
            "input": "hi",
            "text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}},
        },
        rules=(INPUT_AS_TEXT,),
    ),
    Case(
        name="any JSON",
        ours={"messages": HI, "response_format": ResponseFormat()},
        theirs={"input": "hi", "text": {"format": {"type": "json_object"}}},
        rules=(INPUT_AS_TEXT,),
    ),
    Case(
        name="sampling and length",
        ours={"messages": HI, "temperature": 0.3, "top_p": 0.9, "max_tokens": 50},
        theirs={"input": "hi", "temperature": 0.3, "top_p": 0.9, "max_output_tokens": 50},
        rules=(INPUT_AS_TEXT,),
    ),
    Case(
        name="reasoning effort",
        ours={"messages": HI, "reasoning_effort": "high"},
        theirs={
            "input": "hi",
            "reasoning": {"effort": "high"},
            "include": ["reasoning.encrypted_content"],
        },
        rules=(INPUT_AS_TEXT,),
    ),
]


@pytest.fixture(scope="module")
def theirs(loop: Loopback, vendor: Callable[[str], ModuleType]) -> Iterator[Any]:
    with vendor("openai").OpenAI(api_key="sk-dummy", base_url=f"{loop.base_url}/v1", max_retries=0) as client:
        yield client


def request_of(case: Case) -> ChatRequest:
    return ChatRequest(model="openai/sim", api="responses", **case.ours)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_means_what_openais_client_says(case: Case, stream: bool, loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("openai", ENVIRON)

    def ask() -> Any:
        if stream:
            return list(theirs.responses.create(model="sim", stream=True, **case.theirs))
        return theirs.responses.create(model="sim", **case.theirs)

    rules = (*case.rules, NOT_STORED)
    found = await loop.compare(lambda: loop.ours(provider, request_of(case), stream=stream), ask, rules)
    assert found == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_body_fits_the_types_of_openais_client(
    case: Case, stream: bool, vendor: Callable[[str], ModuleType]
) -> None:
    types = vendor("openai.types.responses.response_create_params")
    request = request_of(case)
    provider = load_provider_configs_from_env(ENVIRON)["openai"]
    body = provider.api(request, "sim").dialect.chat_body(request, "sim", stream=stream)
    hint = types.ResponseCreateParamsStreaming if stream else types.ResponseCreateParamsNonStreaming
    said = msgspec.json.decode(body)
    for item in said["input"]:
        if item.get("role") == "assistant":
            # The types want what the API does without, and we do not know: the turn may be another vendor's.
            item.update(id="msg_1", status="completed")
    assert misfits(said, hint) == []


@pytest.mark.parametrize("name", ["plain", "images by data and by URL", "thoughts, calls and results in the history"])
async def test_tokens_are_counted_as_by_openais_client(name: str, loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("openai", ENVIRON)
    case = next(case for case in CASES if case.name == name)
    counted = {member: value for member, value in case.theirs.items() if member != "include"}

    def ask() -> Any:
        return theirs.responses.input_tokens.count(model="sim", **counted)

    found = await loop.compare(lambda: loop.our_count(provider, request_of(case)), ask, case.rules)
    assert found == []
    _, said = await loop.theirs(ask)
    _, count = await loop.our_count(provider, request_of(case))
    assert count == said.input_tokens


ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", ":tokens=90", {}),
    ("tools", ":tools=2", {"tools": [THEIR_WEATHER]}),
    ("thinking", ":reasoning=20", {"reasoning": {"effort": "low", "summary": "auto"}}),
    ("cut short", ":finish=length,tokens=9", {}),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("options", "more"), [case[1:] for case in ASKED], ids=[case[0] for case in ASKED])
async def test_an_answer_is_read_as_by_openais_client(
    options: str, more: dict[str, Any], stream: bool, loop: Loopback, theirs: Any
) -> None:

    def ask() -> Any:
        asked = {"model": f"sim{options}", "input": "hi", **more}
        if not stream:
            return theirs.responses.create(**asked)
        with theirs.responses.stream(**asked) as events:
            # Not `get_final_response`, which knows no answer that was cut short.
            *_, last = events
            return last.response

    _, said = await loop.theirs(ask)
    provider = loop.provider("openai", ENVIRON)
    request = ChatRequest(model="openai/sim", api="responses", messages=HI)
    read = await loop.reads(provider, request, stream=stream)
    thoughts = [item for item in said.output if item.type == "reasoning"]
    assert read == Said(
        text=said.output_text,
        reasoning="".join(part.text for item in thoughts for part in item.summary),
        calls=tuple((item.call_id, item.name, item.arguments) for item in said.output if item.type == "function_call"),
        finish_raw=said.status,
        model=said.model,
        usage=(said.usage.input_tokens, said.usage.output_tokens),
    )
    assert len(read.calls) == (2 if "tools" in more else 0)
    assert bool(read.reasoning) is ("reasoning" in more)
