"""How a stream of chat completion chunks ends: finish words, usage, truncation, errors inside."""

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
    Reported,
    StreamToken,
    Text,
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


def test_a_stop_after_a_refusal_is_one_and_other_words_stay() -> None:
    for word, kind in (("stop", FinishKind.REFUSAL), ("length", FinishKind.LENGTH)):
        assert whole(chunk({"refusal": "I'm"}), chunk({"refusal": " sorry"}, finish=word), DONE)[-1] == Finish(
            kind, word
        )
    both = chunk({"refusal": "No", "tool_calls": [{"index": 0, "function": {"name": "f"}}]}, finish="stop")
    assert whole(both, DONE)[-1] == Finish(FinishKind.TOOL_CALLS, "stop")


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
