"""Request bodies (golden) and unary answers of both dialects."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects import DIALECTS, AnthropicMessages, ChatCompletions
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall, Tool
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Reported,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)
from rxlapce.typing import Dialect

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
HISTORY = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Look."),
    Message(
        role="assistant",
        tool_calls=(
            RequestedCall(id="c1", name="look", arguments='{"path": "a"}'),
            RequestedCall(id="c2", name="look", arguments=""),
        ),
    ),
    Message(role="tool", content="A", tool_call_id="c1"),
    Message(role="tool", content="B", tool_call_id="c2"),
    Message(role="developer", content="In French."),
    Message(role="user", content="And?"),
)
FULL = ChatRequest(
    model="p/m",
    messages=HISTORY,
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    stop=("END",),
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA),),
    tool_choice="look",
)
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))


def body(dialect: Dialect[Event], request: ChatRequest, *, stream: bool = False) -> Any:
    return json.loads(dialect.chat_body(request, "m", stream=stream))


def test_table_names_each_dialect_by_its_api() -> None:
    assert {name: make().name for name, make in DIALECTS.items()} == {name: name for name in DIALECTS}


def test_chat_body_of_a_short_request() -> None:
    assert body(ChatCompletions(), SHORT) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def test_chat_body_with_everything() -> None:
    request = replace(FULL, seed=7, n=2)
    assert body(ChatCompletions(), request, stream=True) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
                ],
            },
            {"role": "tool", "content": "A", "tool_call_id": "c1"},
            {"role": "tool", "content": "B", "tool_call_id": "c2"},
            {"role": "developer", "content": "In French."},
            {"role": "user", "content": "And?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 99,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["END"],
        "seed": 7,
        "n": 2,
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
    }


def test_chat_body_of_a_local_server_says_max_tokens() -> None:
    request = ChatRequest(model="p/m", messages=SHORT.messages, max_tokens=9)
    assert body(ChatCompletions(max_tokens_field="max_tokens"), request)["max_tokens"] == 9


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_chat_tool_choice_words_go_as_they_are(choice: str) -> None:
    request = ChatRequest(model="p/m", messages=SHORT.messages, tool_choice=choice)
    assert body(ChatCompletions(), request)["tool_choice"] == choice


@pytest.mark.parametrize("dialect", [ChatCompletions(), AnthropicMessages()])
def test_extra_members_win(dialect: Dialect[Event]) -> None:
    request = ChatRequest(
        model="p/m", messages=SHORT.messages, temperature=0.1, extra={"temperature": 1, "metadata": {"a": "b"}}
    )
    said = body(dialect, request)
    assert (said["temperature"], said["metadata"]) == (1, {"a": "b"})


def test_messages_body_of_a_short_request() -> None:
    assert body(AnthropicMessages(), SHORT) == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_messages_body_with_everything() -> None:
    assert body(AnthropicMessages(), FULL, stream=True) == {
        "model": "m",
        "max_tokens": 99,
        "system": "Be brief.\n\nIn French.",
        "temperature": 0.0,
        "top_p": 0.5,
        "stop_sequences": ["END"],
        "stream": True,
        "messages": [
            {"role": "user", "content": "Look."},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "c1", "name": "look", "input": {"path": "a"}},
                    {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "A"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "B"},
                ],
            },
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "look"},
    }


def test_messages_body_keeps_the_text_beside_tool_calls() -> None:
    turn = Message(role="assistant", content="Wait.", tool_calls=(RequestedCall(id="c", name="f", arguments="{}"),))
    said = body(AnthropicMessages(), ChatRequest(model="p/m", messages=(turn,)))
    assert said["messages"][0]["content"][0] == {"type": "text", "text": "Wait."}


@pytest.mark.parametrize(("choice", "kind"), [("auto", "auto"), ("none", "none"), ("required", "any")])
def test_messages_tool_choice(choice: str, kind: str) -> None:
    request = ChatRequest(model="p/m", messages=SHORT.messages, tool_choice=choice)
    assert body(AnthropicMessages(), request)["tool_choice"] == {"type": kind}


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (ChatRequest(model="p/m", messages=SHORT.messages, seed=1), "no seed"),
        (ChatRequest(model="p/m", messages=SHORT.messages, n=2), "n=2"),
        (ChatRequest(model="p/m", messages=(Message(role="tool", content="x"),)), "tool_call_id"),
        (
            ChatRequest(
                model="p/m",
                messages=(Message(role="assistant", tool_calls=(RequestedCall(id="c9", name="f", arguments="[1]"),)),),
            ),
            "'c9'",
        ),
    ],
)
def test_what_anthropic_cannot_say_is_refused(request_: ChatRequest, why: str) -> None:
    with pytest.raises(ProviderError, match=why) as caught:
        AnthropicMessages().chat_body(request_, "m", stream=True)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


def test_one_answer_may_be_asked_for_by_number() -> None:
    assert "n" not in body(AnthropicMessages(), ChatRequest(model="p/m", messages=SHORT.messages, n=1))


# -- unary answers --------------------------------------------------------------------------------------------------


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


def test_unary_message() -> None:
    answer = {
        "type": "message",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "So", "citations": None},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "redacted_thinking", "data": "x"},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 2, "output_tokens": 3},
    }
    reported = Reported(input_tokens=2, output_tokens=3)
    assert AnthropicMessages().read_answer(json.dumps(answer).encode()) == [
        Reasoning("hm", "s"),
        Text("So"),
        ToolCall(0, "t1", "f"),
        ToolCall(0, arguments_delta='{"a":1}'),
        Opaque("redacted_thinking", '{"type":"redacted_thinking","data":"x"}'),
        UsageReport(Usage(input=2, output=3, total=5, reported=reported)),
        Finish(FinishKind.TOOL_CALLS, "tool_use", "claude-x"),
    ]


@pytest.mark.parametrize("dialect", [ChatCompletions(), AnthropicMessages()])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"error":{"code":429,"message":"later"}}', ErrorKind.RATE_LIMIT),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', ErrorKind.OVERLOADED),
        (b"{}", ErrorKind.PROTOCOL),
        (b"[]", ErrorKind.PROTOCOL),
        (b"<html>", ErrorKind.PROTOCOL),
        (b"\xff", ErrorKind.PROTOCOL),
        (b"", ErrorKind.PROTOCOL),
    ],
)
def test_a_200_without_an_answer_is_an_error(dialect: Dialect[Event], answer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        dialect.read_answer(answer)
    assert caught.value.kind is kind


@pytest.mark.parametrize("make", [ChatCompletions, AnthropicMessages])
def test_an_http_error_is_read_against_the_dialects_clock(
    make: type[ChatCompletions] | type[AnthropicMessages],
) -> None:
    headers = {"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}
    error = make(now=lambda: 1_800_000_000.0).read_error(429, headers, b"")
    assert (error.kind, error.retry_after_s) == (ErrorKind.RATE_LIMIT, 30.0)
