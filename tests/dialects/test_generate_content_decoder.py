"""generateContent chunks to tokens, their ends and their errors."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects.generate_content import GenerateContent
from rxlapce.dialects.generate_content_decoder import GenerateContentDecoder
from rxlapce.errors import ErrorKind, ProviderError, Retry
from rxlapce.tokens import (
    ChoiceEnd,
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


def candidate(*parts: Any, index: int | None = 0, finish: Any = None, **members: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, **members}
    if index is not None:
        said["index"] = index
    if finish is not None:
        said["finishReason"] = finish
    return said


def chunk(*parts: Any, finish: Any = None, index: int | None = 0, **members: Any) -> Event:
    """A chunk of one candidate; `members` stand beside the candidates."""
    return Event(json.dumps({"candidates": [candidate(*parts, index=index, finish=finish)], **members}))


def bare(**members: Any) -> Event:
    return Event(json.dumps(members))


def opaque(kind: str, value: Any, choice: int = 0) -> Opaque:
    return Opaque(kind, json.dumps(value, separators=(",", ":"), ensure_ascii=False), choice)


def call(name: str | None = None, **members: Any) -> dict[str, Any]:
    return {"functionCall": {**({"name": name} if name else {}), **members}}


def piece(path: str, goes_on: bool | None = None, **value: Any) -> dict[str, Any]:
    said = {"jsonPath": path, **value}
    return said if goes_on is None else {**said, "willContinue": goes_on}


def streamed(*pieces: dict[str, Any]) -> list[StreamToken]:
    """What a call says whose arguments are these pieces, one a chunk."""
    chunks = [chunk(call(partialArgs=[one], willContinue=True)) for one in pieces]
    return tokens_of(chunk(call("f", willContinue=True)), *chunks, chunk(call()))


def tokens_of(*events: Event) -> list[StreamToken]:
    """What an open stream says to `events`."""
    decoder, out = GenerateContentDecoder(), list[StreamToken]()
    for event in events:
        assert decoder.feed(event, out) is False
    return out


def whole(*events: Event) -> list[StreamToken]:
    """What a stream says whose bytes then end."""
    decoder, out = GenerateContentDecoder(), list[StreamToken]()
    for event in events:
        assert decoder.feed(event, out) is False
    decoder.close(out)
    return out


def failing(*events: Event) -> tuple[list[StreamToken], ProviderError]:
    decoder, out = GenerateContentDecoder(), list[StreamToken]()
    for event in events[:-1]:
        assert decoder.feed(event, out) is False
    with pytest.raises(ProviderError) as caught:
        decoder.feed(events[-1], out)
    return out, caught.value


PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
CODE = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"}
FAR = piece("$.a[5]", stringValue="x")

TABLE: dict[str, tuple[list[Event], list[StreamToken]]] = {
    "plain text": (
        [chunk({"text": "Hel"}, modelVersion="m"), chunk({"text": "lo"}, modelVersion="m")],
        [Text("Hel"), Text("lo")],
    ),
    "several parts": ([chunk({"text": "a"}, {"text": "b"})], [Text("a"), Text("b")]),
    "no index is the first": ([chunk({"text": "a"}, index=None)], [Text("a")]),
    "a candidate without content": ([bare(candidates=[{"index": 0}])], []),
    "content without parts": ([bare(candidates=[{"content": {"role": "model"}}])], []),
    "empty text": ([chunk({"text": ""})], []),
    "thoughts": ([chunk({"text": "hm", "thought": True})], [Reasoning("hm")]),
    "a thought's signature": (
        [chunk({"text": "hm", "thought": True, "thoughtSignature": "S"})],
        [Reasoning("hm", "S")],
    ),
    "a signature on text": (
        [chunk({"text": "a", "thoughtSignature": "S"})],
        [Text("a"), opaque("thought_signature", {"thoughtSignature": "S", "textLength": 1})],
    ),
    "a signature on empty text": (
        [chunk({"text": "", "thoughtSignature": "S"})],
        [opaque("thought_signature", {"thoughtSignature": "S", "textLength": 0})],
    ),
    "a signature on the second of two calls": (
        [chunk(call("f"), {**call("g", args={"a": 1}), "thoughtSignature": "S"})],
        [
            ToolCall(0, None, "f", "{}"),
            ToolCall(1, None, "g", '{"a":1}'),
            opaque("thought_signature", {"thoughtSignature": "S", "toolCall": 1}),
        ],
    ),
    "a call with an id": ([chunk(call("f", id="c1", args={"a": "ü"}))], [ToolCall(0, "c1", "f", '{"a":"ü"}')]),
    "a picture, code": ([chunk(PICTURE, CODE)], [opaque("inlineData", PICTURE), opaque("executableCode", CODE)]),
    "grounding and what comes next": (
        [bare(candidates=[candidate({"text": "a"}, groundingMetadata={"g": 1}, novelty=2)], newer=[3])],
        [Text("a"), opaque("groundingMetadata", {"g": 1}), opaque("novelty", 2), opaque("newer", [3])],
    ),
    "citations beside plain text": (
        [
            chunk({"text": "a"}, modelVersion="m"),
            bare(candidates=[candidate({"text": "b"}, citationMetadata={"c": 1})]),
        ],
        [Text("a"), Text("b"), opaque("citationMetadata", {"c": 1})],
    ),
    "safety ratings that found nothing": (
        [bare(candidates=[candidate({"text": "a"}, safetyRatings=[{"probability": "LOW"}])])],
        [Text("a")],
    ),
    "safety ratings that blocked": (
        [bare(candidates=[candidate({"text": "a"}, finish="SAFETY", safetyRatings=[{"blocked": True}])])],
        [Text("a"), opaque("safetyRatings", [{"blocked": True}])],
    ),
    "candidates interleaved": (
        [bare(candidates=[candidate({"text": "a"}, index=1), candidate({"text": "b"})]), chunk({"text": "c"}, index=1)],
        [Text("a", 1), Text("b"), Text("c", 1)],
    ),
    "calls of each candidate count from 0": (
        [chunk(call("f")), chunk(call("f"), index=1)],
        [ToolCall(0, None, "f", "{}"), ToolCall(0, None, "f", "{}", 1)],
    ),
    "only feedback": ([bare(promptFeedback={"safetyRatings": [{"probability": "LOW"}]})], []),
}


@pytest.mark.parametrize("name", TABLE)
def test_chunks_become_tokens(name: str) -> None:
    events, tokens = TABLE[name]
    assert tokens_of(*events) == tokens


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([], "{}"),
        ([piece("$.a", stringValue="x")], '{"a":"x"}'),
        ([piece("$.a", True, stringValue="x"), piece("$.a", stringValue="y")], '{"a":"xy"}'),
        ([piece("$.a", True, stringValue="x"), piece("$.a", stringValue="")], '{"a":"x"}'),
        ([piece("$.a", stringValue="x"), piece("$.a", stringValue="y")], '{"a":"y"}'),
        (
            [piece("$.a", numberValue=3), piece("$.b", boolValue=False), piece("$.c", nullValue="NULL_VALUE")],
            '{"a":3,"b":false,"c":null}',
        ),
        (
            [piece("$.a.b[0].c", stringValue="x"), piece("$.a.b[1].c", numberValue=1.5)],
            '{"a":{"b":[{"c":"x"},{"c":1.5}]}}',
        ),
        (
            [piece("$['a b'].c-d", stringValue="x"), piece('$["q\\"r"]', stringValue="y")],
            '{"a b":{"c-d":"x"},"q\\"r":"y"}',
        ),
        (
            [piece("$.m[0][0]", numberValue=1), piece("$.m[0][1]", numberValue=2), piece("$.m[1][0]", numberValue=3)],
            '{"m":[[1,2],[3]]}',
        ),
    ],
)
def test_streamed_arguments_are_put_together(pieces: list[dict[str, Any]], arguments: str) -> None:
    assert streamed(*pieces) == [ToolCall(0, None, "f"), ToolCall(0, arguments_delta=arguments)]


@pytest.mark.parametrize(
    "strange",
    [
        FAR,
        piece("$", stringValue="x"),
        piece("$.a b", stringValue="x"),
        piece("$.s.deeper", stringValue="x"),
        piece("$[0]", stringValue="x"),
        piece("$" + ".a" * 65, stringValue="x"),
        {"stringValue": "no path"},
    ],
)
def test_a_piece_that_leads_nowhere_is_passed_on_and_changes_nothing(strange: dict[str, Any]) -> None:
    assert streamed(piece("$.s", stringValue="kept"), strange) == [
        ToolCall(0, None, "f"),
        opaque("partialArgs", strange),
        ToolCall(0, arguments_delta='{"s":"kept"}'),
    ]


def test_a_streamed_call_ends_with_the_next_one_and_with_the_finish() -> None:
    parts = [call(name, willContinue=True, partialArgs=[piece("$.a", True, stringValue=name)]) for name in ("f", "g")]
    assert whole(*map(chunk, parts), chunk(finish="STOP")) == [
        ToolCall(0, None, "f"),
        ToolCall(0, arguments_delta='{"a":"f"}'),
        ToolCall(1, None, "g"),
        ToolCall(1, arguments_delta='{"a":"g"}'),
        Finish(FinishKind.TOOL_CALLS, "STOP"),
    ]


# -- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "kind", "raw"),
    [
        ("STOP", FinishKind.STOP, "STOP"),
        ("MAX_TOKENS", FinishKind.LENGTH, "MAX_TOKENS"),
        ("SAFETY", FinishKind.CONTENT_FILTER, "SAFETY"),
        ("IMAGE_SAFETY", FinishKind.CONTENT_FILTER, "IMAGE_SAFETY"),
        ("MALFORMED_FUNCTION_CALL", FinishKind.STOP, "MALFORMED_FUNCTION_CALL"),
        ("BRAND_NEW", FinishKind.STOP, "BRAND_NEW"),
        (1, FinishKind.STOP, "STOP"),
        (2, FinishKind.LENGTH, "MAX_TOKENS"),
        (99, FinishKind.STOP, "99"),
    ],
)
def test_the_finish_reason_is_normalised_and_kept(reason: str | int, kind: FinishKind, raw: str) -> None:
    assert whole(chunk({"text": "a"}, finish=reason, modelVersion="m"))[-1] == Finish(kind, raw, "m")


def test_a_stop_after_calls_is_their_end_and_a_filter_is_not() -> None:
    assert whole(chunk(call("f"), finish="STOP"))[-1] == Finish(FinishKind.TOOL_CALLS, "STOP")
    assert whole(chunk(call("f"), finish="SAFETY"))[-1] == Finish(FinishKind.CONTENT_FILTER, "SAFETY")


def test_more_may_come_after_the_finish_reason() -> None:
    assert whole(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}), Event("[DONE]")) == [
        Text("a"),
        Text("b"),
        Finish(FinishKind.STOP, "STOP"),
    ]


def test_further_candidates_end_in_others() -> None:
    both = [candidate({"text": "a"}, finish="STOP"), candidate({"text": "b"}, index=1, finish="MAX_TOKENS")]
    assert whole(bare(candidates=both))[-1] == Finish(
        FinishKind.STOP, "STOP", None, (ChoiceEnd(1, FinishKind.LENGTH, "MAX_TOKENS"),)
    )


def test_a_blocked_prompt_is_a_finish_whose_reason_stands_beside_it() -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "No"}
    assert whole(bare(promptFeedback=feedback, modelVersion="m")) == [
        opaque("promptFeedback", feedback),
        Finish(FinishKind.CONTENT_FILTER, None, "m"),
    ]


@pytest.mark.parametrize(
    "events", [[], [chunk({"text": "a"})], [bare(candidates=[candidate(finish="STOP"), {"index": 1}])]]
)
def test_a_candidate_without_finish_reason_is_truncated(events: list[Event]) -> None:
    decoder, out = GenerateContentDecoder(), list[StreamToken]()
    for event in events:
        decoder.feed(event, out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert caught.value.kind is ErrorKind.TRUNCATED


USAGE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 5,
    "toolUsePromptTokenCount": 2,
    "cachedContentTokenCount": 4,
    "totalTokenCount": 20,
}


def test_usage_adds_thoughts_and_what_tools_put_into_the_prompt() -> None:
    reported = Reported(input_tokens=10, output_tokens=3, total_tokens=20, cached_input_tokens=4, reasoning_tokens=5)
    assert whole(chunk(finish="STOP", usageMetadata=USAGE))[0] == UsageReport(
        Usage(input=12, cached_input=4, output=8, reasoning=5, total=20, reported=reported)
    )


@pytest.mark.parametrize("nothing", [{"trafficType": "ON_DEMAND"}, None, {}, "?"])
@pytest.mark.parametrize("details", [[], [{"modality": "TEXT", "tokenCount": 1}]])
def test_the_last_usage_wins_unless_it_counts_nothing(nothing: Any, details: Any) -> None:
    first = {"promptTokenCount": 1, "totalTokenCount": 1}
    last = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2, "promptTokensDetails": details}
    events = [
        chunk({"text": "a"}, modelVersion="m", usageMetadata=first),
        chunk({"text": "b"}, usageMetadata=last),
        chunk({"text": "c"}, usageMetadata=nothing),
        chunk(finish="STOP", usageMetadata={"trafficType": "ON_DEMAND"}),
    ]
    (report,) = [token for token in whole(*events) if isinstance(token, UsageReport)]
    assert (report.usage.input, report.usage.output, report.usage.total) == (1, 1, 2)


def test_an_output_of_nothing_is_known_by_the_total() -> None:
    (report, _) = whole(chunk(finish="STOP", usageMetadata={"promptTokenCount": 5, "totalTokenCount": 5}))
    assert isinstance(report, UsageReport)
    assert (report.usage.output, report.usage.total, report.usage.reported.output_tokens) == (0, 5, None)


def test_a_usage_that_cannot_be_read_is_passed_through() -> None:
    usage = {"promptTokenCount": 1, "totalTokenCount": "many"}
    assert whole(chunk(finish="STOP", usageMetadata=usage))[0] == opaque("usageMetadata", usage)


# -- errors ---------------------------------------------------------------------------------------------------------


def problem(code: int, status: str, message: str = "Oh", *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


DELAY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46.5s"}
MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}]}
DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}]}
ZERO = {"violations": [{"quotaId": "GenerateContentInputTokensPerModelPerMinute", "quotaValue": "0"}]}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("value", "kind", "retry", "after_s"),
    [
        (problem(429, "RESOURCE_EXHAUSTED", "Oh", DELAY), ErrorKind.RATE_LIMIT, Retry.SAME, 46.5),
        (problem(429, "RESOURCE_EXHAUSTED", "Oh", MINUTE, DELAY), ErrorKind.RATE_LIMIT, Retry.SAME, 46.5),
        (problem(429, "RESOURCE_EXHAUSTED", "Oh", DAY, DELAY), ErrorKind.QUOTA, Retry.OTHER_KEY, None),
        (problem(429, "RESOURCE_EXHAUSTED", "Oh", ZERO, DELAY), ErrorKind.QUOTA, Retry.OTHER_KEY, None),
        (
            problem(429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0, model: x", DELAY),
            ErrorKind.QUOTA,
            Retry.OTHER_KEY,
            None,
        ),
        (problem(429, "RESOURCE_EXHAUSTED", "limit: 05 a minute"), ErrorKind.RATE_LIMIT, Retry.SAME, None),
        (problem(429, "RESOURCE_EXHAUSTED", "Oh", {"retryDelay": "soon"}), ErrorKind.RATE_LIMIT, Retry.SAME, None),
        (problem(503, "UNAVAILABLE", "Oh", DELAY), ErrorKind.OVERLOADED, Retry.SAME, 46.5),
        (problem(400, "INVALID_ARGUMENT", "API key not valid.", BAD_KEY), ErrorKind.AUTH, Retry.OTHER_KEY, None),
        (problem(400, "INVALID_ARGUMENT", "Oh", {"reason": []}, 7), ErrorKind.BAD_REQUEST, Retry.NEVER, None),
        (problem(404, "NOT_FOUND"), ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER, None),
        ([problem(429, "RESOURCE_EXHAUSTED", "Oh", DELAY)], ErrorKind.RATE_LIMIT, Retry.SAME, 46.5),
    ],
)
def test_errors_say_the_same_before_and_inside_of_a_stream(
    value: Any, kind: ErrorKind, retry: Retry, after_s: float | None
) -> None:
    body = json.dumps(value, indent=2)
    status: int = json.loads(body.strip().strip("[]"))["error"]["code"]
    before = GenerateContent().read_error(status, {}, body.encode())
    out, inside = failing(chunk({"text": "a"}), Event(body, "error"))
    assert out == [Text("a")]
    for error in (before, inside):
        assert (error.kind, error.retry, error.retry_after_s) == (kind, retry, after_s)


def test_a_header_wins_over_the_details_for_the_time_to_wait() -> None:
    body = json.dumps(problem(429, "RESOURCE_EXHAUSTED", "Oh", DELAY)).encode()
    assert GenerateContent().read_error(429, {"retry-after": "7"}, body).retry_after_s == 7.0


def test_an_error_ends_a_stream_that_had_its_finish_reason_and_tells_the_usage_so_far() -> None:
    out, error = failing(chunk({"text": "a"}, finish="STOP", usageMetadata=USAGE), bare(**problem(500, "INTERNAL")))
    assert error.kind is ErrorKind.OVERLOADED
    assert [token.usage.source for token in out if isinstance(token, UsageReport)] == [UsageSource.PARTIAL]
    assert not any(isinstance(token, Finish) for token in out)


@pytest.mark.parametrize(("data", "name"), [("nonsense", "message"), ("[]", "message"), ("7", "message")])
def test_what_is_no_chunk_is_a_protocol_error(data: str, name: str) -> None:
    assert failing(Event(data, name))[1].kind is ErrorKind.PROTOCOL


def test_an_error_event_of_plain_words_is_the_providers() -> None:
    error = failing(Event("upstream reset", "error"))[1]
    assert (error.kind, error.message) == (ErrorKind.OVERLOADED, "upstream reset")
