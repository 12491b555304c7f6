"""How a stream of response events ends: status, usage, errors in every shape, truncation."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects.responses_decoder import ResponsesDecoder
from rxlapce.errors import ErrorKind, ProviderError, Retry
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


def said(kind: str, **members: Any) -> Event:
    """An event; its name is left out, as OpenRouter and Bedrock do."""
    prefix = "" if kind in ("error", "keepalive") else "response."
    return Event(json.dumps({"type": prefix + kind, **members}))


def added(item: dict[str, Any], index: int | None = 0) -> Event:
    return said("output_item.added", output_index=index, item=item)


def done(item: dict[str, Any], index: int | None = 0) -> Event:
    return said("output_item.done", output_index=index, item=item)


def ended(status: str = "completed", **members: Any) -> Event:
    return said(status, response={"status": status, "model": "gpt-x", **members})


def text(delta: str, index: int = 0) -> Event:
    return said("output_text.delta", output_index=index, delta=delta)


def opaque(kind: str, value: Any) -> Opaque:
    return Opaque(kind, json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": list(parts)}


CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "look", "arguments": ""}
WHOLE_CALL = {**CALL, "arguments": '{"a":1}'}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}


def whole(*events: Event) -> list[StreamToken]:
    decoder, out = ResponsesDecoder(), list[StreamToken]()
    assert [decoder.feed(event, out) for event in events] == [False] * (len(events) - 1) + [True]
    return out


def failing(*events: Event) -> tuple[list[StreamToken], ProviderError]:
    decoder, out = ResponsesDecoder(), list[StreamToken]()
    for event in events[:-1]:
        assert decoder.feed(event, out) is False
    with pytest.raises(ProviderError) as caught:
        decoder.feed(events[-1], out)
    return out, caught.value


@pytest.mark.parametrize(
    ("events", "finish"),
    [
        ([ended()], Finish(FinishKind.STOP, "completed", "gpt-x")),
        ([ended("cancelled")], Finish(FinishKind.CANCELLED, "cancelled", "gpt-x")),
        ([done(WHOLE_CALL), ended()], Finish(FinishKind.TOOL_CALLS, "completed", "gpt-x")),
        ([said("refusal.delta", delta="No"), ended()], Finish(FinishKind.REFUSAL, "completed", "gpt-x")),
        ([done(SEARCH), ended()], Finish(FinishKind.STOP, "completed", "gpt-x")),
        (
            [said("created", response={"model": "first"}), said("completed")],
            Finish(FinishKind.STOP, "completed", "first"),
        ),
    ],
)
def test_the_finish_is_the_status(events: list[Event], finish: Finish) -> None:
    assert whole(*events)[-1] == finish


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("max_output_tokens", FinishKind.LENGTH),
        ("content_filter", FinishKind.CONTENT_FILTER),
        ("max_tool_calls", FinishKind.LENGTH),
    ],
)
def test_an_incomplete_answer_keeps_its_reason(reason: str, kind: FinishKind) -> None:
    details = {"reason": reason}
    assert whole(text("a"), ended("incomplete", incomplete_details=details)) == [
        Text("a"),
        opaque("incomplete_details", details),
        Finish(kind, "incomplete", "gpt-x"),
    ]


def test_usage_has_its_parts_and_its_cost() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 17,
        "cost_in_usd_ticks": 44168500,
    }
    reported = Reported(input_tokens=10, output_tokens=7, total_tokens=17, cached_input_tokens=4, reasoning_tokens=5)
    report = whole(ended(usage=usage))[0]
    assert report == UsageReport(
        Usage(
            input=10,
            cached_input=4,
            cache_write=1,
            output=7,
            reasoning=5,
            total=17,
            cost_usd=0.00441685,
            reported=reported,
        )
    )


def test_reasoning_outside_of_the_output_is_added_and_openrouters_cost_taken() -> None:
    usage = {
        "input_tokens": 3,
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 10,
        "cost": 0.5,
    }
    report = whole(ended(usage=usage))[0]
    assert isinstance(report, UsageReport)
    assert (report.usage.output, report.usage.reasoning, report.usage.total, report.usage.cost_usd) == (7, 5, 10, 0.5)
    assert report.usage.reported.output_tokens == 2


def test_a_usage_that_cannot_be_read_is_passed_through() -> None:
    assert whole(ended(usage={"input_tokens": "many"}))[0] == opaque("usage", {"input_tokens": "many"})


def test_items_that_come_only_with_the_end_are_said() -> None:
    output = [THOUGHT, message({"type": "output_text", "text": "Hi"}), WHOLE_CALL]
    assert whole(said("created"), ended(output=output)) == [
        Reasoning("hm"),
        Text("Hi"),
        ToolCall(0, "c1", "look", '{"a":1}'),
        Finish(FinishKind.TOOL_CALLS, "completed", "gpt-x"),
    ]


def test_the_final_object_does_not_correct_the_deltas() -> None:
    output = [message({"type": "output_text", "text": "something else"})]
    assert whole(text("Hi"), ended(output=output)) == [Text("Hi"), Finish(FinishKind.STOP, "completed", "gpt-x")]


def test_arguments_of_a_start_without_an_end_are_said_at_the_finish() -> None:
    assert whole(added(WHOLE_CALL), ended()) == [
        ToolCall(0, "c1", "look"),
        ToolCall(0, arguments_delta='{"a":1}'),
        Finish(FinishKind.TOOL_CALLS, "completed", "gpt-x"),
    ]


FLAT = {"code": "rate_limit_exceeded", "message": "Slow", "param": None}


@pytest.mark.parametrize(
    ("event", "kind", "retry", "what"),
    [
        (said("error", **FLAT), ErrorKind.RATE_LIMIT, Retry.SAME, "Slow"),
        (said("error", error={"type": "x", **FLAT}), ErrorKind.RATE_LIMIT, Retry.SAME, "Slow"),
        (
            said("failed", response={"status": "failed", "error": {"code": "server_error", "message": "Oh"}}),
            ErrorKind.OVERLOADED,
            Retry.SAME,
            "Oh",
        ),
        (
            said("failed", response={"error": {"code": "insufficient_quota", "message": "Pay"}}),
            ErrorKind.QUOTA,
            Retry.OTHER_KEY,
            "Pay",
        ),
        (said("failed"), ErrorKind.OVERLOADED, Retry.SAME, "the provider reported an error without a message"),
        (
            said("completed", response={"status": "failed", "error": {"message": "Oh"}}),
            ErrorKind.OVERLOADED,
            Retry.SAME,
            "Oh",
        ),
        (Event('{"error":{"message":"Gone","code":503}}'), ErrorKind.OVERLOADED, Retry.SAME, "Gone"),
        (Event("broken", "error"), ErrorKind.OVERLOADED, Retry.SAME, "broken"),
    ],
)
def test_an_error_in_any_shape_ends_the_stream(event: Event, kind: ErrorKind, retry: Retry, what: str) -> None:
    out, error = failing(text("Hi"), event)
    assert out == [Text("Hi")]
    assert (error.kind, error.retry, error.message) == (kind, retry, what)


def test_the_usage_before_a_failure_is_partial() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    out, _ = failing(said("failed", response={"usage": usage, "error": {"message": "Oh"}}))
    assert [token.usage.source for token in out if isinstance(token, UsageReport)] == [UsageSource.PARTIAL]


@pytest.mark.parametrize("data", ["nonsense", "[]", "{}", '{"type":7}'])
def test_what_is_no_event_is_a_protocol_error(data: str) -> None:
    assert failing(Event(data))[1].kind is ErrorKind.PROTOCOL


def test_a_stream_without_its_terminal_event_is_truncated() -> None:
    decoder, out = ResponsesDecoder(), list[StreamToken]()
    decoder.feed(done(message({"type": "output_text", "text": "Hi"})), out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert caught.value.kind is ErrorKind.TRUNCATED
    assert failing(text("Hi"), Event("[DONE]"))[1].kind is ErrorKind.TRUNCATED
