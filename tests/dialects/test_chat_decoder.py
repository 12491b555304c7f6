"""Chat completion chunks to tokens: a table of what servers send, and the ends a stream can have."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Reported,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    UsageSource,
)

DONE = Event("[DONE]")


def chunk(delta: Any = None, *, finish: str | None = None, index: int = 0, **members: Any) -> Event:
    """A chunk of one choice; `members` stand beside the choices."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return Event(json.dumps({"choices": [choice], **members}))


def bare(**members: Any) -> Event:
    return Event(json.dumps(members))


def call(index: int | None, arguments: Any, *, call_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    piece: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        piece["index"] = index
    if call_id is not None:
        piece["id"] = call_id
    if name is not None:
        piece["function"]["name"] = name
    return {"tool_calls": [piece]}


def tokens_of(*events: Event) -> list[StreamToken]:
    """What an open stream says to `events`."""
    decoder, out = ChatDecoder(), list[StreamToken]()
    for event in events:
        assert decoder.feed(event, out) is False
    return out


def whole(*events: Event) -> list[StreamToken]:
    """What a stream says whose last event ends it."""
    decoder, out = ChatDecoder(), list[StreamToken]()
    assert [decoder.feed(event, out) for event in events] == [False] * (len(events) - 1) + [True]
    return out


def failing(*events: Event) -> tuple[list[StreamToken], ProviderError]:
    """What a stream says whose last event is an error."""
    decoder, out = ChatDecoder(), list[StreamToken]()
    for event in events[:-1]:
        assert decoder.feed(event, out) is False
    with pytest.raises(ProviderError) as caught:
        decoder.feed(events[-1], out)
    return out, caught.value


CALL = ToolCall(0, "c1", "look", "")

TABLE: dict[str, tuple[list[Event], list[StreamToken]]] = {
    "plain text": ([chunk({"content": "Hel"}), chunk({"content": "lo"})], [Text("Hel"), Text("lo")]),
    "a role alone says nothing": ([chunk({"role": "assistant", "content": "", "refusal": None})], []),
    "a null role": ([chunk({"role": None, "content": "a"})], [Text("a")]),
    "a choice without delta": ([Event('{"choices":[{"index":0}]}')], []),
    "no choices in the middle": (
        [chunk({"content": "a"}), bare(choices=[], id=""), chunk({"content": "b"})],
        [Text("a"), Text("b")],
    ),
    "padding and timings": ([bare(choices=[], obfuscation="xxx", x_groq={"id": "r"}, created=0)], []),
    "content beside the finish word": ([chunk({"content": "end"}, finish="stop")], [Text("end")]),
    "choices interleaved": (
        [chunk({"content": "a"}, index=1), chunk({"content": "b"}), chunk({"content": "c"}, index=1)],
        [Text("a", 1), Text("b"), Text("c", 1)],
    ),
    "reasoning_content": ([chunk({"reasoning_content": "hm", "content": ""})], [Reasoning("hm")]),
    "reasoning before content in one chunk": (
        [chunk({"content": "so", "reasoning": "hm"})],
        [Reasoning("hm"), Text("so")],
    ),
    "reasoning in both forms is said once": (
        [chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]})],
        [Reasoning("hm")],
    ),
    "reasoning in the details alone": (
        [
            chunk({"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": None}]}),
            chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "in short"}]}),
        ],
        [Reasoning("hm"), Reasoning("in short")],
    ),
    "the signature of a detail": (
        [chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]})],
        [Reasoning("hm"), Reasoning("", "s")],
    ),
    "encrypted reasoning": (
        [chunk({"content": "", "reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz"}]})],
        [Opaque("reasoning_details", '{"type":"reasoning.encrypted","data":"xyz"}')],
    ),
    "content as typed parts": (
        [
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            chunk({"content": [{"type": "thinking", "thinking": []}]}),
            chunk({"content": [{"type": "text", "text": "so"}, {"type": "reference", "ids": [1]}]}),
        ],
        [Reasoning("hm"), Text("so"), Opaque("reference", '{"type":"reference","ids":[1]}')],
    ),
    "a refusal": ([chunk({"refusal": "I "}), chunk({"refusal": "won't"})], [Refusal("I "), Refusal("won't")]),
    "a tool call in pieces": (
        [chunk(call(0, "", call_id="c1", name="look")), chunk(call(0, '{"a":')), chunk(call(0, "1}"))],
        [CALL, ToolCall(0, None, None, '{"a":'), ToolCall(0, None, None, "1}")],
    ),
    "id and name repeated in every piece": (
        [chunk(call(0, "{", call_id="c1", name="look")), chunk(call(0, "}", call_id="c1", name="look"))],
        [ToolCall(0, "c1", "look", "{"), ToolCall(0, None, None, "}")],
    ),
    "empty id and name are none": (
        [chunk(call(0, "{", call_id="c1", name="look")), chunk(call(0, "}", call_id="", name=""))],
        [ToolCall(0, "c1", "look", "{"), ToolCall(0, None, None, "}")],
    ),
    "null and absent arguments": (
        [
            chunk(call(0, None, call_id="c1", name="look")),
            chunk({"tool_calls": [{"index": 0, "function": {}}]}),
            chunk({"tool_calls": [{"index": 0}]}),
        ],
        [CALL],
    ),
    "arguments as an object": (
        [chunk(call(0, {"a": 1}, call_id="c1", name="look"))],
        [ToolCall(0, "c1", "look", '{"a":1}')],
    ),
    "calls without index, whole": (
        [chunk(call(None, "{}", call_id="c1", name="look")), chunk(call(None, "[]", call_id="c2", name="look"))],
        [ToolCall(0, "c1", "look", "{}"), ToolCall(1, "c2", "look", "[]")],
    ),
    "calls without index, in pieces": (
        [
            chunk(call(None, "{", call_id="c1", name="look")),
            chunk(call(None, "}")),
            chunk(call(None, "!", call_id="c1")),
        ],
        [ToolCall(0, "c1", "look", "{"), ToolCall(0, None, None, "}"), ToolCall(0, None, None, "!")],
    ),
    "indices that do not start at 0": (
        [chunk(call(3, "{}", call_id="c1", name="look")), chunk(call(7, "{}", call_id="c2", name="see"))],
        [ToolCall(0, "c1", "look", "{}"), ToolCall(1, "c2", "see", "{}")],
    ),
    "parallel calls that all have index 0": (
        [chunk(call(0, "{}", call_id="c1", name="look")), chunk(call(0, "[]", call_id="c2", name="look"))],
        [ToolCall(0, "c1", "look", "{}"), ToolCall(1, "c2", "look", "[]")],
    ),
    "a fresh id in every piece of one call": (
        [chunk(call(0, "{", call_id="c1", name="look")), chunk(call(0, "}", call_id="c2"))],
        [ToolCall(0, "c1", "look", "{"), ToolCall(0, None, None, "}")],
    ),
    "calls of two choices": (
        [chunk(call(0, "{}", call_id="a", name="f")), chunk(call(0, "{}", call_id="b", name="g"), index=1)],
        [ToolCall(0, "a", "f", "{}"), ToolCall(0, "b", "g", "{}", 1)],
    ),
    "a custom tool's text": (
        [chunk({"tool_calls": [{"index": 0, "id": "c1", "custom": {"name": "sql", "input": "select"}}]})],
        [ToolCall(0, "c1", "sql", "select")],
    ),
    "the older function_call": (
        [chunk({"function_call": {"name": "look", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}})],
        [ToolCall(0, None, "look", ""), ToolCall(0, None, None, "{}")],
    ),
    "annotations beside text": (
        [chunk({"content": "a", "annotations": [{"type": "url_citation"}]})],
        [Text("a"), Opaque("annotations", '[{"type":"url_citation"}]')],
    ),
    "audio": ([chunk({"audio": {"data": "AA=="}})], [Opaque("audio", '{"data":"AA=="}')]),
    "a member of tomorrow": ([chunk({"content": "", "hologram": {"w": 1}})], [Opaque("hologram", '{"w":1}')]),
    "an object of tomorrow beside no choices": (
        [bare(choices=[], moderation={"a": 1})],
        [Opaque("moderation", '{"a":1}')],
    ),
    "an event of tomorrow": ([bare(type="news", text="x")], [Opaque("news", '{"type": "news", "text": "x"}')]),
    "citations that every chunk repeats": (
        [chunk({"content": "a"}, citations=["u"]), chunk({"content": "b"}, citations=["u"])],
        [Text("a"), Opaque("citations", '["u"]'), Text("b")],
    ),
    "an all-clear from Azure's filter": (
        [
            bare(
                choices=[], model="", prompt_filter_results=[{"content_filter_results": {"hate": {"filtered": False}}}]
            ),
            Event('{"choices":[{"index":0,"delta":{},"content_filter_results":{"hate":{"filtered":false}}}]}'),
        ],
        [],
    ),
    "a verdict of Azure's filter": (
        [Event('{"choices":[{"index":0,"content_filter_results":{"hate":{"filtered":true}}}]}')],
        [Opaque("content_filter_results", '{"hate":{"filtered":true}}')],
    ),
    "log probabilities": (
        [Event('{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"logprob":-1}]}}]}')],
        [Text("a"), Opaque("logprobs", '{"content":[{"logprob":-1}]}')],
    ),
    "empty log probabilities": (
        [Event('{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":null,"refusal":null}}]}')],
        [Text("a")],
    ),
    "usage alone waits for the end": ([bare(choices=[], usage={"prompt_tokens": 1})], []),
    "an empty event": ([Event("  ")], []),
}


@pytest.mark.parametrize("case", TABLE)
def test_events_become_tokens(case: str) -> None:
    events, expected = TABLE[case]
    assert tokens_of(*events) == expected


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("stop", FinishKind.STOP),
        ("length", FinishKind.LENGTH),
        ("tool_calls", FinishKind.TOOL_CALLS),
        ("function_call", FinishKind.TOOL_CALLS),
        ("content_filter", FinishKind.CONTENT_FILTER),
        ("something_new", FinishKind.STOP),
    ],
)
def test_finish_word_is_normalised_and_kept(word: str, kind: FinishKind) -> None:
    assert whole(chunk({"content": "a"}, finish=word, model="m"), DONE)[-1] == Finish(kind, word, "m")


def test_null_does_not_undo_a_finish_word() -> None:
    assert whole(chunk({}, finish="length"), chunk({"content": ""}, finish=None), DONE) == [
        Finish(FinishKind.LENGTH, "length")
    ]


def test_done_without_finish_word_is_a_stop_or_the_tool_calls_that_were_said() -> None:
    assert whole(chunk({"content": "a"}), DONE)[-1] == Finish(FinishKind.STOP)
    assert whole(chunk(call(0, "{}", call_id="c1", name="look")), DONE)[-1] == Finish(FinishKind.TOOL_CALLS)


def test_a_stop_after_tool_calls_is_their_end() -> None:
    end = whole(chunk(call(0, "{}", call_id="c1", name="look"), finish="stop"), DONE)[-1]
    assert end == Finish(FinishKind.TOOL_CALLS, "stop")


def test_further_choices_end_in_others() -> None:
    ends = whole(chunk({}, finish="stop", index=1), chunk({}, finish="length"), chunk({}, finish="stop", index=2), DONE)
    others = (ChoiceEnd(1, FinishKind.STOP, "stop"), ChoiceEnd(2, FinishKind.STOP, "stop"))
    assert ends == [Finish(FinishKind.LENGTH, "length", None, others)]


def test_model_is_the_first_that_is_named() -> None:
    decoder, out = ChatDecoder(), list[StreamToken]()
    decoder.feed(bare(choices=[], model=""), out)
    assert decoder.model is None
    decoder.feed(chunk({"content": "a"}, model="gpt-x"), out)
    assert decoder.model == "gpt-x"


def test_close_after_the_finish_word_is_a_whole_answer() -> None:
    decoder, out = ChatDecoder(), list[StreamToken]()
    decoder.feed(chunk({"content": "a"}, finish="stop"), out)
    decoder.close(out)
    assert out == [Text("a"), Finish(FinishKind.STOP, "stop")]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [chunk({"content": "a"})],
        [chunk({"content": "a"}, finish="stop"), chunk({"content": "b"}, index=1)],
    ],
    ids=["nothing came", "no finish word", "one choice of two ended"],
)
def test_close_without_an_end_is_truncated(events: list[Event]) -> None:
    decoder, out = ChatDecoder(), list[StreamToken]()
    for event in events:
        decoder.feed(event, out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.TRUNCATED, Phase.FLOW)
    assert not any(isinstance(token, Finish) for token in out)


def test_truncation_tells_the_usage_so_far() -> None:
    decoder, out = ChatDecoder(), list[StreamToken]()
    decoder.feed(chunk({"content": "a"}, usage={"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}), out)
    with pytest.raises(ProviderError):
        decoder.close(out)
    reported = Reported(input_tokens=7, output_tokens=1, total_tokens=8)
    expected = Usage(input=7, output=1, total=8, source=UsageSource.PARTIAL, reported=reported)
    assert out == [Text("a"), UsageReport(expected)]


# -- usage ----------------------------------------------------------------------------------------------------------


def usage_of(*events: Event) -> Usage:
    reports = [token for token in whole(*events, DONE) if isinstance(token, UsageReport)]
    assert len(reports) == 1
    return reports[0].usage


def test_usage_of_openai() -> None:
    usage = usage_of(
        bare(
            choices=[],
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
        )
    )
    assert usage == Usage(
        input=100,
        cached_input=80,
        cache_write=5,
        output=50,
        reasoning=30,
        total=150,
        reported=Reported(
            input_tokens=100, output_tokens=50, total_tokens=150, cached_input_tokens=80, reasoning_tokens=30
        ),
    )


def test_reasoning_outside_the_output_is_told_by_the_sum() -> None:
    told = {
        "prompt_tokens": 12,
        "completion_tokens": 2,
        "total_tokens": 354,
        "completion_tokens_details": {"reasoning_tokens": 340},
        "cost_in_usd_ticks": 1721250,
    }
    usage = usage_of(bare(choices=[], usage=told))
    assert (usage.output, usage.reasoning, usage.total) == (342, 340, 354)
    assert usage.cost_usd == pytest.approx(0.000172125)
    assert usage.reported.output_tokens == 2


def test_cached_tokens_outside_the_prompt_are_told_by_their_number() -> None:
    told = {
        "prompt_tokens": 7,
        "completion_tokens": 8,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 161},
    }
    usage = usage_of(bare(choices=[], usage=told))
    assert (usage.input, usage.cached_input, usage.total) == (168, 161, 176)
    assert usage.reported.total_tokens == 15


def test_zero_is_not_missing() -> None:
    told = {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}, "cost": 0}
    usage = usage_of(bare(choices=[], usage=told))
    assert (usage.input, usage.output, usage.total, usage.cached_input, usage.cost_usd) == (0, 0, 0, 0, 0.0)
    assert (usage.reasoning, usage.cache_write) == (None, None)


def test_last_usage_wins_and_null_does_not() -> None:
    usage = usage_of(
        chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
        chunk({"content": "b"}, usage={"prompt_tokens": 5, "completion_tokens": 2}),
        chunk({}, finish="stop", usage=None),
    )
    assert (usage.input, usage.output) == (5, 2)


def test_usage_inside_a_choice_counts() -> None:
    usage = usage_of(Event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":9}}]}'))
    assert usage.input == 9


def test_usage_that_cannot_be_read_is_passed_through() -> None:
    assert whole(bare(choices=[], usage={"prompt_tokens": "many"}), DONE) == [
        Opaque("usage", '{"prompt_tokens":"many"}'),
        Finish(FinishKind.STOP),
    ]


# -- errors inside the stream ---------------------------------------------------------------------------------------


def test_an_error_beside_choices_comes_after_their_text_and_usage() -> None:
    event = chunk(
        {"content": "a"},
        error={"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "X", "raw": "boom"}},
        usage={"prompt_tokens": 43, "completion_tokens": 10},
    )
    out, error = failing(event)
    assert [type(token) for token in out] == [Text, UsageReport]
    report = out[1]
    assert isinstance(report, UsageReport)
    assert report.usage.source is UsageSource.PARTIAL
    assert (error.kind, error.retry, error.phase) == (ErrorKind.OVERLOADED, Retry.SAME, Phase.FLOW)
    assert error.message == "Provider returned error (X: boom)"
    assert error.raw == event.data


def test_finish_reason_error_is_an_error() -> None:
    out, error = failing(chunk({"content": "a"}, finish="error"))
    assert out == [Text("a")]
    assert error.kind is ErrorKind.OVERLOADED


def test_a_named_error_event_is_an_error() -> None:
    members = {"type": "invalid_request_error", "code": "tool_use_failed", "status_code": 400}
    data = json.dumps({"error": {"message": "Tool call validation failed", **members}})
    _, error = failing(Event(data, "error"))
    assert (error.kind, error.retry, error.message) == (
        ErrorKind.BAD_REQUEST,
        Retry.NEVER,
        "Tool call validation failed",
    )


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (
            '{"error":{"message":"slow down","type":null,"param":null,"code":"rate_limit_exceeded"}}',
            ErrorKind.RATE_LIMIT,
        ),
        (
            '{"code":"Client specified an invalid argument","error":"maximum prompt length is 131072"}',
            ErrorKind.CONTEXT_LENGTH,
        ),
        ('{"error":"Internal failure"}', ErrorKind.OVERLOADED),
        ('{"object":"error","message":"too long","type":"BadRequestError","code":400}', ErrorKind.BAD_REQUEST),
        ('[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]', ErrorKind.RATE_LIMIT),
    ],
)
def test_errors_of_every_shape_end_the_stream(data: str, kind: ErrorKind) -> None:
    _, error = failing(chunk({"content": "a"}), Event(data))
    assert (error.kind, error.raw) == (kind, data)


@pytest.mark.parametrize(
    "data", ["{", "nonsense", "7", "null", '{"choices":7}', '{"choices":[{"delta":{"content":5}}]}']
)
def test_an_event_that_is_no_chunk_is_a_protocol_error(data: str) -> None:
    _, error = failing(Event(data))
    assert (error.kind, error.phase, error.raw) == (ErrorKind.PROTOCOL, Phase.FLOW, data)
