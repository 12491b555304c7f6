"""Chat completions: each request body whole (golden), and unary answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import ChatCompletions
from rxlapce.dialects.chat_turns import REPORTS
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Reasoning,
    Refusal,
    Reported,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
CALLS = (
    RequestedCall(id="c1", name="look", arguments='{"path": "a"}'),
    RequestedCall(id="c2", name="look", arguments=""),
)
USER = Message(role="user", content="Hi")
SHORT = ChatRequest(model="p/m", messages=(USER,))
FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(
            role="user",
            parts=(
                Part(text="Look.", cache="5m"),
                Part(image=Image(url="https://example.org/a.png", detail="low")),
                Part(image=Image(data="QUJD", media_type="image/png")),
                Part(text="Well?"),
            ),
        ),
        Message(role="assistant", tool_calls=CALLS),
        Message(role="tool", content="A", tool_call_id="c1"),
        Message(role="tool", parts=(Part(text="B"), Part(text="C")), tool_call_id="c2"),
        Message(role="assistant", content="Wait.", tool_calls=(replace(CALLS[0], id="c3"),)),
        Message(role="tool", tool_call_id="c3"),
        Message(role="developer", content="In French."),
        Message(role="user"),
    ),
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    presence_penalty=-1.0,
    frequency_penalty=0.0,
    stop=("END", "\n"),
    seed=0,
    n=2,
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA, cache="5m"), Tool(name="stop")),
    tool_choice="look",
    parallel_tool_calls=False,
    response_format=ResponseFormat(json_schema=SCHEMA, name="where", strict=False),
    reasoning_effort="high",
    extra={"metadata": {"a": "b"}},
)

OPENROUTER = ChatCompletions(
    max_tokens_field="max_tokens",
    reasoning="openrouter",
    reasoning_back="reasoning_details",
    top_k=True,
    cache_control=True,
    name="openrouter",
)
TEXT_BACK = ChatCompletions(reasoning_back="reasoning_content")


def body(request: ChatRequest, dialect: ChatCompletions | None = None, *, stream: bool = False) -> Any:
    return json.loads((dialect or ChatCompletions()).chat_body(request, "m", stream=stream))


def turn(message: Message, dialect: ChatCompletions | None = None) -> Any:
    return body(ChatRequest(model="p/m", messages=(message,)), dialect)["messages"][0]


def said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def opaque(kind: str, value: Any) -> Part:
    return Part(opaque=OpaquePart(kind=kind, raw=json.dumps(value)))


# -- what is said -----------------------------------------------------------------------------------------------------


def test_a_short_request() -> None:
    assert body(SHORT) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def test_a_request_with_everything() -> None:
    assert body(FULL, stream=True) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                    {"type": "text", "text": "Well?"},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
                ],
            },
            {"role": "tool", "content": "A", "tool_call_id": "c1"},
            {"role": "tool", "content": "BC", "tool_call_id": "c2"},
            {
                "role": "assistant",
                "content": "Wait.",
                "tool_calls": [
                    {"id": "c3", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}},
                ],
            },
            {"role": "tool", "content": "", "tool_call_id": "c3"},
            {"role": "developer", "content": "In French."},
            {"role": "user", "content": ""},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 99,
        "temperature": 0.0,
        "top_p": 0.5,
        "presence_penalty": -1.0,
        "frequency_penalty": 0.0,
        "stop": ["END", "\n"],
        "seed": 0,
        "n": 2,
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}},
            {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "where", "strict": False, "schema": SCHEMA},
        },
        "reasoning_effort": "high",
        "metadata": {"a": "b"},
    }


def test_a_request_with_everything_that_only_openrouter_takes() -> None:
    request = ChatRequest(
        model="p/m",
        messages=(
            Message(role="system", parts=(Part(text="Be brief.", cache="1h"),)),
            Message(role="user", parts=(Part(text="Look."), Part(text="Well?", cache="5m"))),
            said(Part(text="So.", cache="5m"), Part(tool_call=CALLS[0])),
            Message(role="tool", parts=(Part(text="A", cache="1h"),), tool_call_id="c1"),
        ),
        max_tokens=99,
        top_k=5,
        tools=(Tool(name="look", parameters=SCHEMA, cache="1h"),),
        reasoning_tokens=2000,
    )
    hour = {"type": "ephemeral", "ttl": "1h"}
    assert body(request, OPENROUTER) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": hour}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "text", "text": "Well?", "cache_control": {"type": "ephemeral"}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "So.", "cache_control": {"type": "ephemeral"}}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}},
                ],
            },
            {
                "role": "tool",
                "content": [{"type": "text", "text": "A", "cache_control": hour}],
                "tool_call_id": "c1",
            },
        ],
        "max_tokens": 99,
        "top_k": 5,
        "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}, "cache_control": hour}],
        "reasoning": {"max_tokens": 2000},
    }


@pytest.mark.parametrize(
    ("wishes", "reasoning"),
    [
        ({"reasoning_effort": "minimal"}, {"effort": "minimal"}),
        ({"reasoning_tokens": 1}, {"max_tokens": 1}),
        ({"reasoning_tokens": 0}, {"effort": "none"}),
    ],
)
def test_openrouter_is_told_how_long_to_think_in_an_object(wishes: dict[str, Any], reasoning: Any) -> None:
    assert body(replace(SHORT, **wishes), OPENROUTER)["reasoning"] == reasoning


def test_a_stream_without_padding_is_asked_for_where_that_is_known() -> None:
    options = body(SHORT, ChatCompletions(unpadded=True), stream=True)["stream_options"]
    assert options == {"include_usage": True, "include_obfuscation": False}
    assert "stream_options" not in body(SHORT, ChatCompletions(unpadded=True))


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tool_choice_words_go_as_they_are(choice: str) -> None:
    assert body(replace(SHORT, tool_choice=choice))["tool_choice"] == choice


def test_an_answer_of_any_json_object() -> None:
    assert body(replace(SHORT, response_format=ResponseFormat()))["response_format"] == {"type": "json_object"}


def test_thoughts_go_back_as_text_where_that_is_the_way() -> None:
    message = said(Part(reasoning="h"), Part(reasoning="m"), Part(text="So."), Part(tool_call=CALLS[1]))
    assert turn(message, TEXT_BACK) == {
        "role": "assistant",
        "content": "So.",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}}],
    }


def test_a_thought_alone_has_content_null() -> None:
    assert turn(said(Part(reasoning="")), TEXT_BACK) == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "",
    }


def test_a_signed_thought_without_detail_becomes_one_of_openrouters() -> None:
    message = said(Part(reasoning="a", signature="s"), Part(reasoning="b", signature="t"), Part(reasoning="c"))
    assert turn(message, OPENROUTER) == {
        "role": "assistant",
        "content": None,
        "reasoning": "abc",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "a", "signature": "s"},
            {"type": "reasoning.text", "text": "b", "signature": "t"},
        ],
    }


def test_pictures_and_sound_of_an_answer_go_back() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}, "index": 0}
    sound = [{"id": "audio_1"}, {"data": "QUJD"}, {"id": "", "transcript": "Hi"}]
    message = said(opaque("images", [picture]), opaque("images", [picture]), *(opaque("audio", x) for x in sound))
    assert turn(message) == {
        "role": "assistant",
        "content": None,
        "images": [picture, picture],
        "audio": {"id": "audio_1"},
    }


@pytest.mark.parametrize(
    "kind",
    sorted(REPORTS),
)
def test_what_only_told_of_the_answer_is_left_out(kind: str) -> None:
    message = said(Part(text="a"), opaque(kind, [{"a": 1}]), Part(text="b"))
    assert turn(message) == {"role": "assistant", "content": "ab"}


def test_an_empty_answer_is_an_empty_text() -> None:
    assert turn(Message(role="assistant")) == {"role": "assistant", "content": ""}


# -- unary answers ----------------------------------------------------------------------------------------------------


def test_unary_chat_completion() -> None:
    answer = {
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "So",
                    "refusal": "No",
                    "reasoning_content": "hm",
                    "annotations": [],
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "[]"}},
                    ],
                },
            },
            {"index": 1, "finish_reason": "stop", "message": {"content": [{"type": "text", "text": "B"}]}},
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }
    reported = Reported(input_tokens=2, output_tokens=3, total_tokens=5)
    assert ChatCompletions().read_answer(json.dumps(answer).encode()) == [
        Reasoning("hm"),
        Text("So"),
        Refusal("No"),
        ToolCall(0, "c1", "f", "{}"),
        ToolCall(1, "c2", "f", "[]"),
        Text("B", 1),
        UsageReport(Usage(input=2, output=3, total=5, reported=reported)),
        Finish(FinishKind.TOOL_CALLS, "tool_calls", "gpt-x", (ChoiceEnd(1, FinishKind.STOP, "stop"),)),
    ]
