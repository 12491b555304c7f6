"""Ollama's chat lines to tokens, from bytes of JSON lines to the end."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.codec.ndjson import NDJSONDecoder
from rxlapce.dialects import Ollama
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Reported,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    UsageSource,
)


def line(content: str | None = "", *, done: bool = False, thinking: str | None = None, **members: Any) -> Event:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if thinking is not None:
        message["thinking"] = thinking
    if "tool_calls" in members:
        message["tool_calls"] = members.pop("tool_calls")
    return Event(json.dumps({"model": "qwen3", "created_at": "x", "message": message, "done": done, **members}))


def call(name: str, arguments: Any, **members: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **members}


def whole(*events: Event) -> list[StreamToken]:
    decoder, out = Ollama().decoder(), list[StreamToken]()
    assert [decoder.feed(event, out) for event in events] == [False] * (len(events) - 1) + [True]
    return out


def failing(*events: Event) -> tuple[list[StreamToken], ProviderError]:
    decoder, out = Ollama().decoder(), list[StreamToken]()
    for event in events[:-1]:
        assert decoder.feed(event, out) is False
    with pytest.raises(ProviderError) as caught:
        decoder.feed(events[-1], out)
    return out, caught.value


def test_a_stream_from_bytes_to_tokens() -> None:
    body = b"""\
{"model":"qwen3","created_at":"x","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}
{"model":"qwen3","created_at":"x","message":{"role":"assistant","content":"Sk"},"done":false}
{"model":"qwen3","created_at":"x","message":{"role":"assistant","content":"y","images":null},"done":false}
{"model":"qwen3","created_at":"x","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",\
"total_duration":4883583458,"load_duration":1334875,"prompt_eval_count":26,"prompt_eval_duration":342546000,\
"eval_count":282,"eval_duration":4535599000}
"""
    framing = NDJSONDecoder()
    reported = Reported(input_tokens=26, output_tokens=282)
    assert whole(*framing.feed(body), *framing.close()) == [
        Reasoning("hm"),
        Text("Sk"),
        Text("y"),
        UsageReport(Usage(input=26, output=282, total=308, reported=reported)),
        Finish(FinishKind.STOP, "stop", "qwen3"),
    ]


def test_tool_calls_are_whole_and_counted_through_all_lines() -> None:
    calls = [call("look", {"path": "a", "deep": {"n": [1, 2]}}, id="call_a"), call("stop", {})]
    out = whole(line(tool_calls=calls), line(tool_calls=[call("look", None)]), line(done=True, done_reason="stop"))
    assert out == [
        ToolCall(0, "call_a", "look", '{"path":"a","deep":{"n":[1,2]}}'),
        ToolCall(1, None, "stop", "{}"),
        ToolCall(2, None, "look", "{}"),
        Finish(FinishKind.TOOL_CALLS, "stop", "qwen3"),
    ]


def test_arguments_that_are_a_text_already_stay_as_they_are() -> None:
    out = whole(line(tool_calls=[call("look", '{"a": 1}'), {"id": ""}]), line(done=True))
    assert out[:2] == [ToolCall(0, None, "look", '{"a": 1}'), ToolCall(1, None, None, "{}")]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stop", FinishKind.STOP),
        ("length", FinishKind.LENGTH),
        ("load", FinishKind.STOP),
        ("unload", FinishKind.STOP),
        ("new", FinishKind.STOP),
        (None, FinishKind.STOP),
    ],
)
def test_the_line_that_is_done_ends_the_stream(reason: str | None, kind: FinishKind) -> None:
    assert whole(line("a"), line("b", done=True, done_reason=reason)) == [
        Text("a"),
        Text("b"),
        Finish(kind, reason, "qwen3"),
    ]


def test_an_answer_cut_at_its_length_is_no_tool_call() -> None:
    out = whole(line(tool_calls=[call("f", {})]), line(done=True, done_reason="length"))
    assert out[-1] == Finish(FinishKind.LENGTH, "length", "qwen3")


def test_the_last_line_of_old_servers_has_no_message() -> None:
    assert whole(line("a"), Event('{"done":true,"eval_count":1}'))[1:] == [
        UsageReport(Usage(output=1, reported=Reported(output_tokens=1))),
        Finish(FinishKind.STOP, None, "qwen3"),
    ]


def test_a_count_of_zero_is_not_a_missing_one() -> None:
    out = whole(line(done=True, prompt_eval_count=0, eval_count=0))
    reported = Reported(input_tokens=0, output_tokens=0)
    assert out[0] == UsageReport(Usage(input=0, output=0, total=0, reported=reported))


def test_counts_that_cannot_be_read_are_passed_on() -> None:
    out = whole(line(done=True, prompt_eval_count="many"))
    assert out[0] == Opaque("usage", '{"prompt_eval_count":"many"}')


def test_what_has_no_token_of_its_own_is_passed_on() -> None:
    out = whole(
        Event('{"type":"dance","step":1}'),
        Event('{"status":"loading"}'),
        Event("{}"),
        Event("  "),
        line("a", logprobs=[{"token": "a"}]),
        line(done=True),
    )
    assert out[:-1] == [
        Opaque("dance", '{"type":"dance","step":1}'),
        Opaque("event", '{"status":"loading"}'),
        Text("a"),
        Opaque("logprobs", '[{"token":"a"}]'),
    ]


@pytest.mark.parametrize("events", [[], [line("a")]])
def test_a_stream_that_is_not_done_is_truncated(events: list[Event]) -> None:
    decoder, out = Ollama().decoder(), list[StreamToken]()
    for event in events:
        decoder.feed(event, out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert caught.value.kind is ErrorKind.TRUNCATED


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (
            Event('{"error":"an error was encountered while running the model: CUDA error"}'),
            ErrorKind.OVERLOADED,
            "an error was encountered while running the model: CUDA error",
        ),
        (Event('{"error":{"code":429,"message":"later"}}'), ErrorKind.RATE_LIMIT, "later"),
        (Event('{"detail":"Not Found"}'), ErrorKind.OVERLOADED, "Not Found"),
        (Event('{"message":"upstream request timeout"}'), ErrorKind.OVERLOADED, "upstream request timeout"),
        (
            Event('{"message":{"content":5}}'),
            ErrorKind.PROTOCOL,
            "a line is no Ollama chat line: Expected `str | null`, got `int` - at `$.message.content`",
        ),
        (
            Event("nonsense"),
            ErrorKind.PROTOCOL,
            "a line is no Ollama chat line: JSON is malformed: invalid character (byte 4)",
        ),
        (Event("[]"), ErrorKind.PROTOCOL, "a line is no Ollama chat line: Expected `object`, got `array`"),
    ],
)
def test_errors_inside_of_a_stream(event: Event, kind: ErrorKind, message: str) -> None:
    out, error = failing(line("a"), event)
    assert (out, error.kind, error.message) == ([Text("a")], kind, message)


def test_an_error_keeps_the_usage_that_it_comes_with() -> None:
    out, _ = failing(Event('{"error":"x","prompt_eval_count":3}'))
    reported = Reported(input_tokens=3)
    assert out == [UsageReport(Usage(input=3, source=UsageSource.PARTIAL, reported=reported))]
