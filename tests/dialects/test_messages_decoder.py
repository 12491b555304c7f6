"""Anthropic's events to tokens: a table of blocks and deltas, and the ends a stream can have."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects.messages_decoder import MessagesDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
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


def event(kind: str, **members: Any) -> Event:
    return Event(json.dumps({"type": kind, **members}), kind)


def start(block: dict[str, Any], index: int = 0) -> Event:
    return event("content_block_start", index=index, content_block=block)


def delta(kind: str, index: int = 0, **members: Any) -> Event:
    return event("content_block_delta", index=index, delta={"type": kind, **members})


def stop(index: int = 0) -> Event:
    return event("content_block_stop", index=index)


def message_start(**usage: int) -> Event:
    return event("message_start", message={"model": "claude-x", "content": [], "usage": usage})


def message_delta(reason: str | None, **usage: Any) -> Event:
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


END = event("message_stop")
TOOL: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
SERVER_TOOL: dict[str, Any] = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}

TABLE: dict[str, tuple[list[Event], list[StreamToken]]] = {
    "text": (
        [start({"type": "text", "text": ""}), delta("text_delta", text="Hi"), delta("text_delta", text=""), stop()],
        [Text("Hi")],
    ),
    "text in the block's start": ([start({"type": "text", "text": "Hi"})], [Text("Hi")]),
    "pings": ([event("ping"), event("ping")], []),
    "thinking with its signature": (
        [
            start({"type": "thinking", "thinking": "", "signature": ""}),
            delta("thinking_delta", thinking="hm"),
            delta("signature_delta", signature="sig"),
            stop(),
        ],
        [Reasoning("hm"), Reasoning("", "sig")],
    ),
    "redacted thinking": (
        [start({"type": "redacted_thinking", "data": "xyz"}), stop()],
        [Opaque("redacted_thinking", '{"type":"redacted_thinking","data":"xyz"}')],
    ),
    "a tool call, its first piece empty": (
        [
            start(TOOL, 1),
            delta("input_json_delta", 1, partial_json=""),
            delta("input_json_delta", 1, partial_json='{"a":'),
            delta("input_json_delta", 1, partial_json="1}"),
            stop(1),
        ],
        [ToolCall(0, "t1", "look"), ToolCall(0, arguments_delta='{"a":'), ToolCall(0, arguments_delta="1}")],
    ),
    "a tool call without pieces has no arguments": (
        [start(TOOL), delta("input_json_delta", partial_json=""), stop()],
        [ToolCall(0, "t1", "look"), ToolCall(0, arguments_delta="{}")],
    ),
    "a tool call whose start holds the arguments": (
        [start({**TOOL, "input": {"a": 1}}), stop()],
        [ToolCall(0, "t1", "look"), ToolCall(0, arguments_delta='{"a":1}')],
    ),
    "pieces win over the arguments of the start": (
        [start({**TOOL, "input": {"a": 1}}), delta("input_json_delta", partial_json="{}"), stop()],
        [ToolCall(0, "t1", "look"), ToolCall(0, arguments_delta="{}")],
    ),
    "tool calls are counted apart from blocks": (
        [start(TOOL, 1), stop(1), start({**TOOL, "id": "t2"}, 4), stop(4)],
        [
            ToolCall(0, "t1", "look"),
            ToolCall(0, arguments_delta="{}"),
            ToolCall(1, "t2", "look"),
            ToolCall(1, arguments_delta="{}"),
        ],
    ),
    "a tool that the provider runs is marked": (
        [start(SERVER_TOOL), delta("input_json_delta", partial_json="{}"), stop()],
        [
            Opaque("server_tool_use", '{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}'),
            ToolCall(0, "s1", "web_search"),
            ToolCall(0, arguments_delta="{}"),
        ],
    ),
    "the result of such a tool": (
        [start({"type": "web_search_tool_result", "content": []}), stop()],
        [Opaque("web_search_tool_result", '{"type":"web_search_tool_result","content":[]}')],
    ),
    "citations": (
        [delta("citations_delta", citation={"url": "u"})],
        [Opaque("citations_delta", '{"type":"citations_delta","citation":{"url":"u"}}')],
    ),
    "a delta of tomorrow": (
        [delta("scent_delta", scent=1)],
        [Opaque("scent_delta", '{"type":"scent_delta","scent":1}')],
    ),
    "an event of tomorrow": ([event("message_pause")], [Opaque("message_pause", '{"type": "message_pause"}')]),
    "pieces of a block that never began": (
        [Event('{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}')],
        [
            Opaque(
                "input_json_delta",
                '{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}',
            )
        ],
    ),
    "what a message delta says besides": (
        [
            event(
                "message_delta",
                delta={"stop_reason": "refusal", "stop_details": {"category": "x"}, "container": {"id": "c"}},
                context_management={"applied_edits": []},
            )
        ],
        [Opaque("stop_details", '{"category":"x"}'), Opaque("container", '{"id":"c"}')],
    ),
    "blanks behind the JSON": ([Event('{"type":"ping"}      '), Event("")], []),
}


def run(*events: Event) -> list[StreamToken]:
    decoder, out = MessagesDecoder(), list[StreamToken]()
    for said in events:
        decoder.feed(said, out)
    return out


@pytest.mark.parametrize("case", TABLE)
def test_events_become_tokens(case: str) -> None:
    events, expected = TABLE[case]
    decoder, out = MessagesDecoder(), list[StreamToken]()
    assert [decoder.feed(said, out) for said in events] == [False] * len(events)
    assert out == expected


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("end_turn", FinishKind.STOP),
        ("stop_sequence", FinishKind.STOP),
        ("max_tokens", FinishKind.LENGTH),
        ("model_context_window_exceeded", FinishKind.LENGTH),
        ("tool_use", FinishKind.TOOL_CALLS),
        ("pause_turn", FinishKind.PAUSE),
        ("refusal", FinishKind.REFUSAL),
        ("something_new", FinishKind.STOP),
    ],
)
def test_stop_reason_is_normalised_and_kept(word: str, kind: FinishKind) -> None:
    assert run(message_start(), message_delta(word), END)[-1] == Finish(kind, word, "claude-x")


def test_message_stop_ends_the_stream_and_no_other_event() -> None:
    decoder, out = MessagesDecoder(), list[StreamToken]()
    assert decoder.feed(message_delta("end_turn"), out) is False
    assert decoder.feed(END, out) is True


def test_message_stop_ends_an_open_tool_call() -> None:
    assert run(start(TOOL), END) == [
        ToolCall(0, "t1", "look"),
        ToolCall(0, arguments_delta="{}"),
        Finish(FinishKind.TOOL_CALLS),
    ]


def test_bytes_that_end_before_message_stop_are_truncated_even_after_the_stop_reason() -> None:
    decoder, out = MessagesDecoder(), list[StreamToken]()
    decoder.feed(message_start(input_tokens=3, output_tokens=1), out)
    decoder.feed(message_delta("end_turn", output_tokens=9), out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.TRUNCATED, Phase.FLOW)
    assert decoder.model == "claude-x"
    reported = Reported(input_tokens=3, output_tokens=9)
    assert out == [UsageReport(Usage(input=3, output=9, total=12, source=UsageSource.PARTIAL, reported=reported))]


def test_counts_are_replaced_field_by_field_and_never_added() -> None:
    out = run(
        message_start(input_tokens=10, cache_creation_input_tokens=5, cache_read_input_tokens=100, output_tokens=1),
        message_delta(None, output_tokens=20, input_tokens=None),
        message_delta("end_turn", output_tokens=30, output_tokens_details={"thinking_tokens": 12}),
        END,
    )
    assert out[0] == UsageReport(
        Usage(
            input=115,
            cached_input=100,
            cache_write=5,
            output=30,
            reasoning=12,
            total=145,
            reported=Reported(
                input_tokens=10, output_tokens=30, cached_input_tokens=100, cache_creation_input_tokens=5
            ),
        )
    )
    assert [type(token) for token in out] == [UsageReport, Finish]


def test_a_second_message_start_is_taken() -> None:
    second = event("message_start", message={"model": "claude-y", "usage": {"input_tokens": 4}})
    out = run(message_start(input_tokens=3, output_tokens=1), delta("text_delta", text="a"), second, END)
    report = out[1]
    assert isinstance(report, UsageReport)
    assert (report.usage.input, report.usage.output) == (4, 1)
    assert out[-1] == Finish(FinishKind.STOP, None, "claude-y")


@pytest.mark.parametrize(
    ("error_type", "message", "kind", "retry"),
    [
        ("overloaded_error", "Overloaded", ErrorKind.OVERLOADED, Retry.SAME),
        ("api_error", "Internal server error", ErrorKind.OVERLOADED, Retry.SAME),
        ("rate_limit_error", "slow", ErrorKind.RATE_LIMIT, Retry.SAME),
        ("timeout_error", "late", ErrorKind.TIMEOUT, Retry.SAME),
        ("invalid_request_error", "messages: wrong", ErrorKind.BAD_REQUEST, Retry.NEVER),
        ("invalid_request_error", "prompt is too long: 9 > 8", ErrorKind.CONTEXT_LENGTH, Retry.OTHER_PROVIDER),
        ("invalid_request_error", "Your credit balance is too low", ErrorKind.BILLING, Retry.OTHER_KEY),
        ("authentication_error", "no", ErrorKind.AUTH, Retry.OTHER_KEY),
        ("permission_error", "no", ErrorKind.AUTH, Retry.OTHER_KEY),
        ("billing_error", "pay", ErrorKind.BILLING, Retry.OTHER_KEY),
        ("not_found_error", "model: x", ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    ],
)
def test_an_error_event_ends_the_stream(error_type: str, message: str, kind: ErrorKind, retry: Retry) -> None:
    decoder, out = MessagesDecoder(), list[StreamToken]()
    decoder.feed(message_start(input_tokens=3), out)
    failure = event("error", error={"type": error_type, "message": message}, request_id="req_1")
    with pytest.raises(ProviderError) as caught:
        decoder.feed(failure, out)
    error = caught.value
    assert (error.kind, error.retry, error.message, error.request_id) == (kind, retry, message, "req_1")
    assert [type(token) for token in out] == [UsageReport]


@pytest.mark.parametrize("data", ["{", "7", "{}", '{"type":5}', '{"type":"content_block_delta","index":"x"}'])
def test_an_event_that_is_none_of_the_dialect_is_a_protocol_error(data: str) -> None:
    with pytest.raises(ProviderError) as caught:
        MessagesDecoder().feed(Event(data), [])
    assert (caught.value.kind, caught.value.phase, caught.value.raw) == (ErrorKind.PROTOCOL, Phase.FLOW, data)
