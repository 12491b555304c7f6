"""Converse's events to tokens: blocks, tool calls, usage, every way to end; and whatever else comes."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.dialects.converse_decoder import EVENTS, FINISH_KINDS, ConverseDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.testing.thoroughness import examples
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

Said = tuple[str, Any]

START: Said = ("messageStart", {"role": "assistant", "p": "abc"})
USAGE = {
    "inputTokens": 11,
    "outputTokens": 236,
    "totalTokens": 1277,
    "cacheReadInputTokens": 2,
    "cacheWriteInputTokens": 1028,
}
METADATA: Said = ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 3}, "p": "ab"})
REPORTED = Reported(
    input_tokens=11, output_tokens=236, total_tokens=1277, cached_input_tokens=2, cache_creation_input_tokens=1028
)
REPORT = UsageReport(Usage(input=1041, cached_input=2, cache_write=1028, output=236, total=1277, reported=REPORTED))


def delta(value: Any, block: int = 0) -> Said:
    return "contentBlockDelta", {"contentBlockIndex": block, "delta": value, "p": "abcd"}


def start(value: Any, block: int = 0) -> Said:
    return "contentBlockStart", {"contentBlockIndex": block, "start": value, "p": "a"}


def stop_block(block: int = 0) -> Said:
    return "contentBlockStop", {"contentBlockIndex": block, "p": "abcdefg"}


def stop(reason: str | None = "end_turn") -> Said:
    return "messageStop", {"stopReason": reason, "p": "ab"}


def tool(block: int, call: str, name: str, **members: Any) -> Said:
    return start({"toolUse": {"toolUseId": call, "name": name, **members}}, block)


def arguments(text: str, block: int = 0) -> Said:
    return delta({"toolUse": {"input": text}}, block)


def decode(*said: Said | Event) -> tuple[list[StreamToken], bool]:
    """The tokens, and whether the decoder said the end itself."""
    decoder, out = ConverseDecoder(), list[StreamToken]()
    for event in said:
        event = event if isinstance(event, Event) else Event(json.dumps(event[1]), event[0])
        if decoder.feed(event, out):
            return out, True
    decoder.close(out)
    return out, False


def failure(*said: Said | Event) -> tuple[list[StreamToken], ProviderError]:
    decoder, out = ConverseDecoder(), list[StreamToken]()
    try:
        for event in said:
            decoder.feed(event if isinstance(event, Event) else Event(json.dumps(event[1]), event[0]), out)
        decoder.close(out)
    except ProviderError as error:
        return out, error
    pytest.fail("the stream did not fail")


# -- what is said -----------------------------------------------------------------------------------------------------


def test_text_comes_piece_by_piece_and_the_end_with_the_metadata() -> None:
    said = (START, delta({"text": "Hel"}), delta({"text": ""}), delta({"text": "lo"}), stop_block(), stop(), METADATA)
    assert decode(*said) == ([Text("Hel"), Text("lo"), REPORT, Finish(FinishKind.STOP, "end_turn")], True)


def test_reasoning_comes_with_its_signature_and_what_is_redacted_passes_through() -> None:
    said = (
        delta({"reasoningContent": {"text": "Hm"}}),
        delta({"reasoningContent": {"text": ""}}),
        delta({"reasoningContent": {"signature": "c2ln"}}),
        delta({"reasoningContent": {"redactedContent": "AAAA"}}, 1),
        stop(),
    )
    tokens, _ = decode(*said)
    assert tokens[:-1] == [
        Reasoning("Hm"),
        Reasoning("", "c2ln"),
        Opaque("reasoningContent", '{"redactedContent":"AAAA"}'),
    ]


def test_tool_calls_are_counted_from_0_and_their_arguments_are_exact() -> None:
    said = (
        delta({"text": "Let me see."}),
        stop_block(),
        tool(1, "t1", "look"),
        arguments("", 1),
        arguments('{"a": ', 1),
        arguments("1 }", 1),
        stop_block(1),
        tool(2, "t2", "blink"),
        stop_block(2),
        tool(3, "t3", "nod"),
        stop("tool_use"),
    )
    tokens, _ = decode(*said)
    assert tokens[1:] == [
        ToolCall(0, "t1", "look"),
        ToolCall(0, arguments_delta='{"a": '),
        ToolCall(0, arguments_delta="1 }"),
        ToolCall(1, "t2", "blink"),
        ToolCall(1, arguments_delta="{}"),
        ToolCall(2, "t3", "nod"),
        ToolCall(2, arguments_delta="{}"),
        Finish(FinishKind.TOOL_CALLS, "tool_use"),
    ]


def test_a_call_that_the_provider_runs_is_announced_and_its_result_passes_through() -> None:
    said = (
        tool(0, "t1", "ground", type="server_tool_use"),
        arguments("{}"),
        stop_block(),
        start({"toolResult": {"status": "success", "toolUseId": "t1"}}, 1),
        delta({"toolResult": [{"text": "hidden"}]}, 1),
        delta({"citation": {"location": {"web": {"url": "u"}}}}, 2),
        stop(),
    )
    tokens, _ = decode(*said)
    assert tokens[:-1] == [
        Opaque("server_tool_use", '{"toolUseId":"t1","name":"ground","type":"server_tool_use"}'),
        ToolCall(0, "t1", "ground"),
        ToolCall(0, arguments_delta="{}"),
        Opaque("toolResult", '{"status":"success","toolUseId":"t1"}'),
        Opaque("toolResult", '[{"text":"hidden"}]'),
        Opaque("citation", '{"location":{"web":{"url":"u"}}}'),
    ]


def test_what_nobody_announced_passes_through_without_its_padding() -> None:
    said: tuple[Said, ...] = (
        ("newEvent", {"a": 1, "p": "abc"}),
        delta("text"),
        delta({"text": 7}),
        arguments("lost", 5),
        ("messageStop", {"stopReason": "end_turn", "additionalModelResponseFields": {"b": 2}}),
        ("metadata", {"usage": USAGE, "trace": {"guardrail": 1}}),
    )
    assert decode(*said)[0] == [
        Opaque("newEvent", '{"a":1}'),
        Opaque("contentBlockDelta", '"text"'),
        Opaque("text", "7"),
        Opaque("toolUse", '{"input":"lost"}'),
        Opaque("additionalModelResponseFields", '{"b":2}'),
        Opaque("trace", '{"guardrail":1}'),
        REPORT,
        Finish(FinishKind.STOP, "end_turn"),
    ]


# -- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reason", "kind"), [*FINISH_KINDS.items(), ("malformed_tool_use", FinishKind.STOP)])
def test_stop_reasons(reason: str, kind: FinishKind) -> None:
    assert decode(stop(reason), METADATA) == ([REPORT, Finish(kind, reason)], True)


def test_without_metadata_the_end_of_the_bytes_is_the_end() -> None:
    assert decode(delta({"text": "a"}), stop()) == ([Text("a"), Finish(FinishKind.STOP, "end_turn")], False)


def test_metadata_before_the_stop_is_no_end_but_counts() -> None:
    assert decode(METADATA, stop(None)) == ([REPORT, Finish(FinishKind.STOP, None)], False)


def test_a_stop_without_a_reason_after_a_tool_call_waits_for_the_tool() -> None:
    tokens, _ = decode(tool(0, "t1", "look"), stop(None))
    assert tokens[-1] == Finish(FinishKind.TOOL_CALLS, None)


def test_without_message_stop_the_stream_was_cut_and_keeps_what_was_counted() -> None:
    tokens, error = failure(START, delta({"text": "a"}), stop_block())
    assert tokens == [Text("a")]
    assert error.kind is ErrorKind.TRUNCATED
    tokens, error = failure(METADATA)
    assert error.kind is ErrorKind.TRUNCATED
    assert [token.usage.source for token in tokens if isinstance(token, UsageReport)] == [UsageSource.PARTIAL]


@pytest.mark.parametrize(
    ("name", "data", "kind", "retry"),
    [
        ("exception/throttlingException", '{"message":"slow"}', ErrorKind.RATE_LIMIT, Retry.SAME),
        ("exception/internalServerException", '{"message":"slow"}', ErrorKind.OVERLOADED, Retry.SAME),
        ("exception/modelStreamErrorException", '{"message":"slow"}', ErrorKind.OVERLOADED, Retry.SAME),
        (
            "exception/modelStreamErrorException",
            '{"message":"slow","originalStatusCode":400}',
            ErrorKind.BAD_REQUEST,
            Retry.NEVER,
        ),
        ("exception/validationException", '{"message":"slow"}', ErrorKind.BAD_REQUEST, Retry.NEVER),
        ("exception/serviceUnavailableException", '{"message":"slow"}', ErrorKind.OVERLOADED, Retry.SAME),
        ("exception/brandNewException", '{"message":"slow"}', ErrorKind.OVERLOADED, Retry.SAME),
        ("error/InternalError", '{"message":"slow"}', ErrorKind.OVERLOADED, Retry.SAME),
    ],
)
def test_exceptions_in_the_stream_end_it_by_their_name(name: str, data: str, kind: ErrorKind, retry: Retry) -> None:
    tokens, error = failure(delta({"text": "a"}), Event(data, name))
    assert tokens == [Text("a")]
    assert (error.kind, error.retry, error.phase, error.message, error.raw) == (kind, retry, Phase.FLOW, "slow", data)


def test_an_exception_without_a_payload_says_its_name() -> None:
    _, error = failure(Event("", "exception/throttlingException"))
    assert (error.message, error.raw) == (
        "the stream ended in throttlingException",
        "exception/throttlingException",
    )


@pytest.mark.parametrize("name", [*sorted(EVENTS), "other"])
@pytest.mark.parametrize("data", ["", "[]", "7", '{"a"', "\ufffd"])
def test_a_payload_that_is_no_object_is_a_protocol_error(name: str, data: str) -> None:
    _, error = failure(Event(data, name))
    assert (error.kind, error.raw) == (ErrorKind.PROTOCOL, data)


def test_usage_of_a_wrong_type_is_passed_through_and_not_fatal() -> None:
    tokens, _ = decode(stop(), ("metadata", {"usage": {"inputTokens": "many"}}))
    assert tokens == [Opaque("usage", '{"inputTokens":"many"}'), Finish(FinishKind.STOP, "end_turn")]


# -- whatever comes ---------------------------------------------------------------------------------------------------

WORDS = """
    contentBlockIndex delta start text toolUse toolUseId name input type reasoningContent signature redactedContent
    citation toolResult stopReason usage inputTokens outputTokens cacheReadInputTokens role p metrics trace message
    originalStatusCode additionalModelResponseFields
"""
MEMBERS: st.SearchStrategy[str] = st.sampled_from(WORDS.split())
LEAVES: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-1, 3) | st.floats(0, 1) | st.text(max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=12,
)
NAMES: st.SearchStrategy[str] = st.sampled_from([*sorted(EVENTS), "other", "exception/x", "error/y"])
SHAPED: st.SearchStrategy[Said] = st.one_of(
    st.tuples(NAMES, VALUES),
    st.builds(delta, VALUES, st.integers(0, 2)),
    st.builds(start, VALUES, st.integers(0, 2)),
    st.builds(arguments, st.text(max_size=3), st.integers(0, 2)),
    st.builds(tool, st.integers(0, 2), st.text(max_size=2), st.text(max_size=2)),
    st.builds(stop_block, st.integers(0, 2)),
    st.builds(stop, st.none() | st.text(max_size=3)),
)


@settings(max_examples=examples(80), deadline=None)
@given(said=st.lists(SHAPED, max_size=8))
def test_any_events_have_exactly_one_end(said: Sequence[Said]) -> None:
    decoder, out = ConverseDecoder(), list[StreamToken]()
    failed = False
    try:
        for name, value in said:
            if decoder.feed(Event(json.dumps(value), name), out):
                break
        else:
            decoder.close(out)
    except ProviderError:
        failed = True
    finishes = [position for position, token in enumerate(out) if isinstance(token, Finish)]
    assert finishes == ([] if failed else [len(out) - 1])
    assert sum(isinstance(token, UsageReport) for token in out) <= 1
    calls = [token.index for token in out if isinstance(token, ToolCall) and (token.id or token.name)]
    assert calls == sorted(set(calls))
