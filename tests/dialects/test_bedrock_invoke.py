"""InvokeModel: every vendor's words in Bedrock's chunks, how streams fail, bodies and unary answers."""

import base64
import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects import BedrockInvoke, Converse
from rxlapce.dialects.bedrock_invoke_decoder import InvokeDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reported,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    UsageSource,
)

METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 8, "outputTokenCount": 3, "invocationLatency": 9}}
COUNTED = UsageReport(Usage(input=8, output=3, total=11))
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),), max_tokens=5)


def chunk(payload: Any) -> Event:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Event(json.dumps({"bytes": base64.b64encode(text).decode(), "p": "abc"}), "chunk")


def decode(*payloads: Any) -> list[StreamToken]:
    decoder, out = InvokeDecoder(), list[StreamToken]()
    for payload in payloads:
        if decoder.feed(payload if isinstance(payload, Event) else chunk(payload), out):
            return out
    decoder.close(out)
    return out


def failure(*payloads: Any) -> tuple[list[StreamToken], ProviderError]:
    decoder, out = InvokeDecoder(), list[StreamToken]()
    try:
        for payload in payloads:
            decoder.feed(payload if isinstance(payload, Event) else chunk(payload), out)
        decoder.close(out)
    except ProviderError as error:
        return out, error
    pytest.fail("the stream did not fail")


def reported(asked: int | None, said: int | None) -> UsageReport:
    total = None if asked is None or said is None else asked + said
    return UsageReport(
        Usage(input=asked, output=said, total=total, reported=Reported(input_tokens=asked, output_tokens=said))
    )


# -- vendors ----------------------------------------------------------------------------------------------------------

TITAN = (
    {"outputText": "a", "index": 0.0, "inputTextTokenCount": 4.0},
    {"outputText": "b", "totalOutputTextTokenCount": 2.0, "completionReason": "FINISH", **METRICS},
)
LLAMA = (
    {"generation": "a", "prompt_token_count": 4, "generation_token_count": 1, "stop_reason": None},
    {"generation": "b", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None},
    {"generation": "", "generation_token_count": 3, "stop_reason": "length", **METRICS},
)
VENDORS: list[tuple[str, tuple[Any, ...], list[StreamToken]]] = [
    ("titan", TITAN, [Text("a"), Text("b"), reported(4, 2), Finish(FinishKind.STOP, "FINISH")]),
    ("llama", LLAMA, [Text("a"), Text("b"), reported(4, 3), Finish(FinishKind.LENGTH, "length")]),
    (
        "mistral",
        (
            {"outputs": [{"text": "a", "stop_reason": None}]},
            {"outputs": [{"text": "", "stop_reason": "stop"}], **METRICS},
        ),
        [Text("a"), COUNTED, Finish(FinishKind.STOP, "stop")],
    ),
    (
        "mistral-chat",
        (
            {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "stop_reason": None}]},
            {"choices": [{"index": 0, "message": {"content": "b"}, "stop_reason": "length"}], **METRICS},
        ),
        [Text("a"), Text("b"), COUNTED, Finish(FinishKind.LENGTH, "length")],
    ),
    (
        "cohere-command",
        (
            {"text": "a", "is_finished": False, "index": 0},
            {"is_finished": True, "finish_reason": "MAX_TOKENS", **METRICS},
        ),
        [Text("a"), COUNTED, Finish(FinishKind.LENGTH, "MAX_TOKENS")],
    ),
    (
        "cohere-command-r",
        (
            {"event_type": "text-generation", "is_finished": False, "text": "a"},
            {"event_type": "search-queries-generation", "search_queries": []},
            {"event_type": "tool-calls-generation", "tool_calls": [{"name": "look", "parameters": {"a": 1}}]},
            {
                "event_type": "stream-end",
                "is_finished": True,
                "finish_reason": "COMPLETE",
                "response": {"text": "a", "tool_calls": [{"name": "look", "parameters": {"a": 1}}]},
                **METRICS,
            },
        ),
        [
            Text("a"),
            Opaque("search-queries-generation", '{"event_type":"search-queries-generation","search_queries":[]}'),
            ToolCall(0, None, "look", '{"a":1}'),
            COUNTED,
            Finish(FinishKind.STOP, "COMPLETE"),
        ],
    ),
    (
        "claude-text",
        ({"completion": "a", "stop_reason": None}, {"completion": "", "stop_reason": "stop_sequence", **METRICS}),
        [Text("a"), COUNTED, Finish(FinishKind.STOP, "stop_sequence")],
    ),
    (
        "ai21-jurassic",
        ({"completions": [{"data": {"text": "a"}, "finishReason": {"reason": "endoftext"}}], **METRICS},),
        [Text("a"), COUNTED, Finish(FinishKind.STOP, "endoftext")],
    ),
    (
        "nova",
        (
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "a"}, "contentBlockIndex": 0}},
            {"messageStop": {"stopReason": "max_tokens"}},
            {"metadata": {"usage": {"inputTokens": 4, "outputTokens": 2, "cacheReadInputTokenCount": 0}}, **METRICS},
        ),
        [
            Text("a"),
            UsageReport(
                Usage(input=4, cached_input=0, output=2, total=6, reported=Reported(input_tokens=4, output_tokens=2))
            ),
            Finish(FinishKind.LENGTH, "max_tokens"),
        ],
    ),
    (
        "claude",
        (
            {"type": "message_start", "message": {"model": "claude-x", "usage": {"input_tokens": 4}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop", **METRICS},
        ),
        [Text("a"), reported(4, 2), Finish(FinishKind.STOP, "end_turn", "claude-x")],
    ),
    (
        "chat completions",
        (
            {"model": "jamba", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}], **METRICS},
        ),
        [Text("a"), COUNTED, Finish(FinishKind.STOP, "stop", "jamba")],
    ),
]


@pytest.mark.parametrize(("payloads", "tokens"), [case[1:] for case in VENDORS], ids=[case[0] for case in VENDORS])
def test_a_vendors_words_come_out_as_tokens(payloads: tuple[Any, ...], tokens: list[StreamToken]) -> None:
    assert decode(*payloads) == tokens


@pytest.mark.parametrize("payloads", [case[1] for case in VENDORS if len(case[1]) > 1])
def test_without_its_last_payload_a_stream_was_cut(payloads: tuple[Any, ...]) -> None:
    cut = payloads[:1]
    tokens, error = failure(*cut)
    assert error.kind is ErrorKind.TRUNCATED
    assert not any(isinstance(token, Finish) for token in tokens)


def test_a_cut_stream_keeps_what_was_counted() -> None:
    tokens, _ = failure(LLAMA[0])
    assert tokens[-1] == UsageReport(
        Usage(
            input=4,
            output=1,
            total=5,
            source=UsageSource.PARTIAL,
            reported=Reported(input_tokens=4, output_tokens=1),
        )
    )


def test_metrics_may_come_after_the_reason_and_are_not_waited_for_in_vain() -> None:
    stopped = {"outputs": [{"text": "a", "stop_reason": "stop"}]}
    assert decode(stopped) == [Text("a"), Finish(FinishKind.STOP, "stop")]
    assert decode(stopped, {"outputs": [], **METRICS}) == [Text("a"), COUNTED, Finish(FinishKind.STOP, "stop")]


def test_a_guardrails_intervention_is_told_once() -> None:
    acted = {"amazon-bedrock-guardrailAction": "INTERVENED"}
    tokens = decode(
        {"outputText": "a", **acted},
        {"outputText": "b", "completionReason": "CONTENT_FILTERED", "amazon-bedrock-trace": {"g": 1}, **acted},
    )
    assert tokens == [
        Opaque("amazon-bedrock-guardrailAction", '"INTERVENED"'),
        Text("a"),
        Opaque("amazon-bedrock-trace", '{"g":1}'),
        Text("b"),
        Finish(FinishKind.CONTENT_FILTER, "CONTENT_FILTERED"),
    ]


def test_what_nobody_announced_passes_through() -> None:
    tokens = decode(Event('{"a":1}', "other"), {"hello": 1}, {"completion": "a", "stop_reason": "stop"})
    assert tokens[:2] == [Opaque("other", '{"a":1}'), Opaque("chunk", '{"hello": 1}')]
    assert tokens[-1] == Finish(FinishKind.STOP, "stop")


# -- failures ---------------------------------------------------------------------------------------------------------


def test_an_exception_ends_the_stream_after_what_the_vendor_counted() -> None:
    start = {
        "type": "message_start",
        "message": {"model": "claude-x", "usage": {"input_tokens": 4, "output_tokens": 1}},
    }
    tokens, error = failure(start, Event('{"message":"slow"}', "exception/throttlingException"))
    assert (error.kind, error.message) == (ErrorKind.RATE_LIMIT, "slow")
    assert [token.usage.source for token in tokens if isinstance(token, UsageReport)] == [UsageSource.PARTIAL]


@pytest.mark.parametrize(
    "event", [Event("{}", "chunk"), Event('{"bytes":"*"}', "chunk"), Event("", "chunk"), chunk(b"[]"), chunk(b"\xff")]
)
def test_a_chunk_that_holds_no_object_is_a_protocol_error(event: Event) -> None:
    assert failure(event)[1].kind is ErrorKind.PROTOCOL
    assert failure(LLAMA[0], event)[1].kind is ErrorKind.PROTOCOL
    assert failure({"messageStart": {}}, event)[1].kind is ErrorKind.PROTOCOL


def test_a_stream_of_nothing_was_cut() -> None:
    assert failure()[1].kind is ErrorKind.TRUNCATED


def test_a_model_that_ends_in_an_error_failed() -> None:
    tokens, error = failure({"is_finished": True, "text": "a", "finish_reason": "ERROR"})
    assert (tokens, error.kind, error.retry) == ([Text("a")], ErrorKind.OVERLOADED, Retry.SAME)


def test_http_errors_are_bedrocks() -> None:
    error = BedrockInvoke().read_error(429, {"x-amzn-errortype": "ThrottlingException"}, b'{"message":"slow"}')
    assert (error.kind, error.phase, error.message) == (ErrorKind.RATE_LIMIT, Phase.HEADERS, "slow")


# -- bodies and unary answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 5,
                "messages": [{"role": "user", "content": "Hi"}],
            },
        ),
        (
            "amazon.nova-lite-v1:0",
            {
                "schemaVersion": "messages-v1",
                "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
                "inferenceConfig": {"maxTokens": 5},
            },
        ),
        ("openai.gpt-oss-120b-1:0", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}),
    ],
)
def test_a_body_is_in_the_words_of_the_models_vendor(model: str, said: dict[str, Any]) -> None:
    request = ChatRequest(model="p/m", messages=SHORT.messages, max_tokens=5, extra={"top_k": 1})
    body = json.loads(BedrockInvoke().chat_body(request, model, stream=True))
    assert body == {**said, "top_k": 1}


def test_a_vendor_that_nobody_knows_is_refused_with_the_way_out() -> None:
    with pytest.raises(ProviderError, match=r"vendor\.model-x.*Converse") as caught:
        BedrockInvoke().chat_body(SHORT, "vendor.model-x", stream=True)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    assert Converse().chat_body(SHORT, "vendor.model-x", stream=True)


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (
            {"inputTextTokenCount": 4, "results": [{"tokenCount": 2, "outputText": "a", "completionReason": "LENGTH"}]},
            [Text("a"), reported(4, 2), Finish(FinishKind.LENGTH, "LENGTH")],
        ),
        (
            {"generation": "a", "prompt_token_count": 4, "generation_token_count": 2, "stop_reason": "stop"},
            [Text("a"), reported(4, 2), Finish(FinishKind.STOP, "stop")],
        ),
        (
            {"generations": [{"text": "a", "finish_reason": "COMPLETE"}], "prompt": "p"},
            [Text("a"), Finish(FinishKind.STOP, "COMPLETE")],
        ),
        (
            {"response_id": "r", "text": "", "finish_reason": None, "tool_calls": [{"name": "look"}]},
            [ToolCall(0, None, "look", "{}"), Finish(FinishKind.TOOL_CALLS)],
        ),
        (
            {
                "type": "message",
                "model": "claude-x",
                "content": [{"type": "text", "text": "a"}],
                "stop_reason": "end_turn",
            },
            [Text("a"), Finish(FinishKind.STOP, "end_turn", "claude-x")],
        ),
        (
            {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn"},
            [Text("a"), Finish(FinishKind.STOP, "end_turn")],
        ),
        (
            {"model": "j", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]},
            [Text("a"), Finish(FinishKind.STOP, "stop", "j")],
        ),
        (
            {"choices": [{"index": 0, "message": {"content": "a"}, "stop_reason": "stop"}]},
            [Text("a"), Finish(FinishKind.STOP, "stop")],
        ),
    ],
)
def test_a_unary_answer_is_read_by_its_shape(answer: dict[str, Any], tokens: list[StreamToken]) -> None:
    assert BedrockInvoke().read_answer(json.dumps(answer).encode()) == tokens


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"message":"No."}', ErrorKind.OVERLOADED), (b"{}", ErrorKind.PROTOCOL), (b"no", ErrorKind.PROTOCOL)],
)
def test_a_body_that_is_no_answer_is_an_error(body: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        BedrockInvoke().read_answer(body)
    assert caught.value.kind is kind
