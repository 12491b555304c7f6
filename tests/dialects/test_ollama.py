"""Ollama's chat API: request bodies (golden), what is refused, unary answers, and turns that go back."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.answer import TurnBuilder
from rxlapce.dialects import Ollama
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import (
    ChatRequest,
    Effort,
    Image,
    Message,
    OpaquePart,
    Part,
    RequestedCall,
    ResponseFormat,
    Tool,
)
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Reported, Text, ToolCall, Usage, UsageReport

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
PICTURE = Part(image=Image(data="QUJD", media_type="image/png", detail="auto"))
FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="developer", content="In French."),
        Message(role="user", parts=(Part(text="Look", cache="5m"), PICTURE, Part(text="."), PICTURE)),
        Message(
            role="assistant",
            parts=(
                Part(reasoning="h"),
                Part(reasoning="m"),
                Part(text="Wait."),
                Part(tool_call=RequestedCall(id="c1", name="look", arguments='{"path": "a"}')),
                Part(opaque=OpaquePart(kind="images", raw='["QUJD"]')),
                Part(opaque=OpaquePart(kind="logprobs", raw="[]")),
            ),
            tool_calls=(RequestedCall(id="c2", name="stop", arguments=""),),
        ),
        Message(role="tool", content="A", tool_call_id="c2"),
        Message(role="tool", content="B", tool_call_id="elsewhere"),
        Message(role="user"),
    ),
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    top_k=3,
    presence_penalty=-1.0,
    frequency_penalty=0.0,
    stop=("END",),
    seed=0,
    n=1,
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA),),
    tool_choice="auto",
    response_format=ResponseFormat(json_schema=SCHEMA),
    reasoning_effort="high",
    extra={"keep_alive": "1h", "options": {"num_ctx": 8192, "seed": 7}},
)


def body(request: ChatRequest, *, stream: bool = False) -> Any:
    return json.loads(Ollama().chat_body(request, "m", stream=stream))


def test_a_short_request_says_that_it_wants_no_stream() -> None:
    assert body(SHORT) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}


def test_a_request_with_everything() -> None:
    assert body(FULL, stream=True) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "In French."},
            {"role": "user", "content": "Look.", "images": ["QUJD", "QUJD"]},
            {
                "role": "assistant",
                "content": "Wait.",
                "thinking": "hm",
                "images": ["QUJD"],
                "tool_calls": [
                    {"id": "c1", "function": {"name": "look", "arguments": {"path": "a"}}},
                    {"id": "c2", "function": {"name": "stop", "arguments": {}}},
                ],
            },
            {"role": "tool", "content": "A", "tool_call_id": "c2", "tool_name": "stop"},
            {"role": "tool", "content": "B", "tool_call_id": "elsewhere"},
            {"role": "user", "content": ""},
        ],
        "stream": True,
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}},
        ],
        "format": SCHEMA,
        "think": "high",
        "options": {
            "num_predict": 99,
            "temperature": 0.0,
            "top_p": 0.5,
            "top_k": 3,
            "presence_penalty": -1.0,
            "frequency_penalty": 0.0,
            "stop": ["END"],
            "seed": 7,
            "num_ctx": 8192,
        },
        "keep_alive": "1h",
    }


def test_extra_options_stand_alone_where_there_are_no_others() -> None:
    assert body(replace(SHORT, extra={"options": {"num_ctx": 1}}))["options"] == {"num_ctx": 1}
    assert body(replace(SHORT, seed=1, extra={"options": None}))["options"] is None


@pytest.mark.parametrize(("effort", "think"), [("none", False), ("low", "low"), ("medium", "medium"), ("high", "high")])
def test_effort_is_a_switch_or_a_word(effort: Effort, think: bool | str) -> None:
    assert body(replace(SHORT, reasoning_effort=effort))["think"] == think


def test_an_answer_of_any_json_object() -> None:
    assert body(replace(SHORT, response_format=ResponseFormat()))["format"] == "json"


def test_an_id_that_comes_twice_names_the_tool_that_was_called_last() -> None:
    turns: list[Message] = []
    for name in ("look", "stop"):
        call = RequestedCall(id="call_0", name=name, arguments="{}")
        turns += [Message(role="assistant", tool_calls=(call,)), Message(role="tool", tool_call_id="call_0")]
    said = body(replace(SHORT, messages=tuple(turns)))["messages"]
    assert [turn["tool_name"] for turn in said if turn["role"] == "tool"] == ["look", "stop"]


def one(role: Any, *parts: Part, **members: Any) -> ChatRequest:
    return ChatRequest(model="p/m", messages=(Message(role=role, parts=parts, **members),))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(SHORT, n=2), "ollama.chat gives one answer a request, not n=2: ask 2 times"),
        (replace(SHORT, parallel_tool_calls=True), "ollama.chat takes no parallel_tool_calls: leave it out"),
        (replace(SHORT, reasoning_tokens=1), "ollama.chat takes no reasoning_tokens: leave it out"),
        (
            replace(SHORT, tool_choice="required"),
            "ollama.chat lets the model choose its tools: leave tool_choice 'required' out",
        ),
        (
            replace(SHORT, reasoning_effort="max"),
            "ollama.chat thinks low, medium, high or none: leave reasoning_effort 'max' out",
        ),
        (
            one("user", Part(image=Image(url="https://example.org/a.png"))),
            "ollama.chat fetches no images: send the image's data, not its url",
        ),
        (
            one("user", Part(image=Image(data="QUJD", media_type="image/png", detail="low"))),
            "ollama.chat takes no detail for an image: leave it out",
        ),
        (
            one("tool", PICTURE, tool_call_id="c"),
            "ollama.chat takes images in user turns only: leave the image out of the tool turn",
        ),
        (one("tool"), "a tool turn must name the call that it answers in tool_call_id"),
        (
            one("assistant", Part(tool_call=RequestedCall(id="c9", name="f", arguments="[1]"))),
            "the arguments of tool call 'c9' are no JSON object: Expected `object`, got `array`",
        ),
        (
            one("assistant", Part(reasoning="hm", signature="s")),
            "ollama.chat takes no signed reasoning back: send Message.plain()",
        ),
        (
            one("assistant", Part(opaque=OpaquePart(kind="redacted_thinking", raw="{}"))),
            "ollama.chat has no word for an opaque 'redacted_thinking' piece: send Message.plain()",
        ),
        (
            one("assistant", Part(opaque=OpaquePart(kind="images", raw="{}"))),
            "ollama.chat has no word for an opaque 'images' piece: send Message.plain()",
        ),
        (
            one("user", Part(opaque=OpaquePart(kind="logprobs", raw="[]"))),
            "ollama.chat has no word for an opaque 'logprobs' piece: send Message.plain()",
        ),
        (
            one("user", Part(text="a", cache="1h")),
            "ollama.chat cannot be asked to keep a cached prefix for an hour: mark it with 5m, or not at all",
        ),
    ],
)
def test_what_it_cannot_say_is_refused(request_: ChatRequest, why: str) -> None:
    with pytest.raises(ProviderError) as caught:
        body(request_)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    assert caught.value.message == why


# -- unary answers ----------------------------------------------------------------------------------------------------

ANSWER: dict[str, Any] = {
    "model": "llama3.2",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {
        "role": "assistant",
        "content": "So.",
        "thinking": "hm",
        "images": ["QUJD"],
        "tool_calls": [
            {"id": "call_x", "function": {"index": 0, "name": "look", "arguments": {"path": "a", "n": 1}}},
            {"function": {"name": "stop", "arguments": {}}},
        ],
    },
    "done_reason": "stop",
    "done": True,
    "logprobs": [{"token": "So"}],
    "total_duration": 885095291,
    "prompt_eval_count": 122,
    "eval_count": 33,
}


def test_a_whole_answer_and_its_turn_that_goes_back() -> None:
    tokens = Ollama().read_answer(json.dumps(ANSWER).encode())
    reported = Reported(input_tokens=122, output_tokens=33)
    assert tokens == [
        Reasoning("hm"),
        Text("So."),
        ToolCall(0, "call_x", "look", '{"path":"a","n":1}'),
        ToolCall(1, None, "stop", "{}"),
        Opaque("images", '["QUJD"]'),
        Opaque("logprobs", '[{"token":"So"}]'),
        UsageReport(Usage(input=122, output=33, total=155, reported=reported)),
        Finish(FinishKind.TOOL_CALLS, "stop", "llama3.2"),
    ]
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    assert body(ChatRequest(model="p/m", messages=(builder.message(),)))["messages"] == [
        {
            "role": "assistant",
            "content": "So.",
            "thinking": "hm",
            "images": ["QUJD"],
            "tool_calls": [
                {"id": "call_x", "function": {"name": "look", "arguments": {"path": "a", "n": 1}}},
                {"id": "call_1", "function": {"name": "stop", "arguments": {}}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"error":"model \'x\' not found"}', ErrorKind.OVERLOADED),
        (b'{"error":{"code":429,"message":"later"}}', ErrorKind.RATE_LIMIT),
        (json.dumps(ANSWER | {"done": False}).encode(), ErrorKind.PROTOCOL),
        (b"{}", ErrorKind.PROTOCOL),
        (b"[]", ErrorKind.PROTOCOL),
        (b"\xff", ErrorKind.PROTOCOL),
        (b"", ErrorKind.PROTOCOL),
    ],
)
def test_a_200_without_an_answer_is_an_error(answer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        Ollama().read_answer(answer)
    assert caught.value.kind is kind


def test_an_http_error_is_read_against_the_dialects_clock() -> None:
    missing = Ollama().read_error(404, {}, b'{"error":"model \'x\' not found"}')
    assert (missing.kind, missing.message) == (ErrorKind.BAD_REQUEST, "model 'x' not found")
    headers = {"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}
    busy = Ollama(now=lambda: 1_800_000_000.0).read_error(503, headers, b'{"error":"server busy"}')
    assert (busy.kind, busy.retry_after_s) == (ErrorKind.OVERLOADED, 30.0)
