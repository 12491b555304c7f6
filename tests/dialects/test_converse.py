"""Converse: request bodies (golden), unary answers, and what its failures mean."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import Converse
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.requests import ChatRequest, Message, RequestedCall, Tool
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Reported, Text, ToolCall, Usage, UsageReport

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
CALLS = (
    RequestedCall(id="c1", name="look", arguments='{"path": "a"}'),
    RequestedCall(id="c2", name="look", arguments=""),
)
FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="user", content="Look."),
        Message(role="user", content="Twice."),
        Message(role="assistant", tool_calls=CALLS),
        Message(role="tool", content="A", tool_call_id="c1"),
        Message(role="tool", content="B", tool_call_id="c2"),
        Message(role="developer", content="In French."),
        Message(role="user", content="And?"),
    ),
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    stop=("END",),
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA), Tool(name="blink")),
    tool_choice="look",
)
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))


def body(request: ChatRequest, *, stream: bool = True) -> Any:
    return json.loads(Converse().chat_body(request, "m", stream=stream))


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_short_request_says_no_more_than_it_must_whether_it_streams_or_not() -> None:
    expected = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert body(SHORT) == body(SHORT, stream=False) == expected


def test_a_full_request() -> None:
    calls: list[Any] = [
        {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"path": "a"}}},
        {"toolUse": {"toolUseId": "c2", "name": "look", "input": {}}},
    ]
    results = [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "A"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "B"}]}},
    ]
    empty: dict[str, Any] = {"type": "object", "properties": {}}
    assert body(FULL) == {
        "messages": [
            {"role": "user", "content": [{"text": "Look."}, {"text": "Twice."}]},
            {"role": "assistant", "content": calls},
            {"role": "user", "content": [*results, {"text": "And?"}]},
        ],
        "system": [{"text": "Be brief."}, {"text": "In French."}],
        "inferenceConfig": {"maxTokens": 99, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": SCHEMA}}},
                {"toolSpec": {"name": "blink", "inputSchema": {"json": empty}}},
            ],
            "toolChoice": {"tool": {"name": "look"}},
        },
    }


@pytest.mark.parametrize(("choice", "said"), [("auto", {"auto": {}}), ("required", {"any": {}}), (None, None)])
def test_tool_choice(choice: str | None, said: Any) -> None:
    assert body(replace(FULL, tool_choice=choice))["toolConfig"].get("toolChoice") == said


def test_forbidding_tools_leaves_them_out_while_none_was_called() -> None:
    assert "toolConfig" not in body(replace(SHORT, tools=FULL.tools, tool_choice="none"))


def test_extra_goes_to_converse_where_it_is_its_own_and_to_the_model_otherwise() -> None:
    extra = {"guardrailConfig": {"guardrailIdentifier": "g"}, "top_k": 40, "inferenceConfig": {"maxTokens": 1}}
    said = body(replace(FULL, extra=extra))
    assert said["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert said["inferenceConfig"] == {"maxTokens": 1}
    assert said["additionalModelRequestFields"] == {"top_k": 40}
    both = {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}, "top_k": 1}
    assert body(replace(SHORT, extra=both))["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled"},
        "top_k": 1,
    }


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (replace(SHORT, seed=1), "no seed"),
        (replace(SHORT, n=2), "n=2"),
        (replace(FULL, tool_choice="none"), "cannot forbid tools"),
        (replace(SHORT, messages=(Message(role="tool", content="A"),)), "tool_call_id"),
        (
            replace(
                SHORT,
                messages=(
                    Message(role="assistant", tool_calls=(RequestedCall(id="c9", name="look", arguments="[1]"),)),
                ),
            ),
            "'c9' are no JSON object",
        ),
    ],
)
def test_what_converse_cannot_say_is_refused_before_it_is_sent(request_: ChatRequest, words: str) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        body(request_)
    assert (caught.value.kind, caught.value.phase, caught.value.retry) == (
        ErrorKind.BAD_REQUEST,
        Phase.ADMIT,
        Retry.NEVER,
    )


# -- unary answers ----------------------------------------------------------------------------------------------------


def test_a_unary_answer_is_read_block_by_block() -> None:
    content: list[Any] = [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "AAAA"}},
        {"text": "Hi"},
        {"text": ""},
        {"citationsContent": {"content": [{"text": " there"}], "citations": [{"title": "T"}]}},
        {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "c2", "name": "blink", "input": {}}},
    ]
    answer: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 9, "cacheReadInputTokens": 2},
        "metrics": {"latencyMs": 9},
        "trace": {"guardrail": {}},
    }
    assert Converse().read_answer(json.dumps(answer).encode()) == [
        Reasoning("Hm.", "sig"),
        Opaque("reasoningContent", '{"redactedContent":"AAAA"}'),
        Text("Hi"),
        Text(" there"),
        Opaque("citationsContent", '{"content":[{"text":" there"}],"citations":[{"title":"T"}]}'),
        ToolCall(0, "c1", "look"),
        ToolCall(0, arguments_delta='{"a":1}'),
        ToolCall(1, "c2", "blink"),
        ToolCall(1, arguments_delta="{}"),
        Opaque("trace", '{"guardrail":{}}'),
        UsageReport(
            Usage(
                input=5,
                cached_input=2,
                output=4,
                total=9,
                reported=Reported(input_tokens=3, output_tokens=4, total_tokens=9, cached_input_tokens=2),
            )
        ),
        Finish(FinishKind.TOOL_CALLS, "tool_use"),
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"message": "The security token is expired"}', ErrorKind.OVERLOADED),
        (b'{"output": {"message": {"content": 7}}}', ErrorKind.PROTOCOL),
        (b"[]", ErrorKind.PROTOCOL),
        (b"<html>", ErrorKind.PROTOCOL),
    ],
)
def test_a_body_that_is_no_answer_is_an_error(answer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        Converse().read_answer(answer)
    assert caught.value.kind is kind
    assert caught.value.raw == answer.decode()


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name", "kind", "retry"),
    [
        (429, "ThrottlingException", ErrorKind.RATE_LIMIT, Retry.SAME),
        (429, "ModelNotReadyException", ErrorKind.OVERLOADED, Retry.SAME),
        (503, "ServiceUnavailableException", ErrorKind.OVERLOADED, Retry.SAME),
        (500, "InternalServerException", ErrorKind.OVERLOADED, Retry.SAME),
        (408, "ModelTimeoutException", ErrorKind.TIMEOUT, Retry.SAME),
        (424, "ModelErrorException", ErrorKind.OVERLOADED, Retry.SAME),
        (400, "ValidationException", ErrorKind.BAD_REQUEST, Retry.NEVER),
        (403, "AccessDeniedException", ErrorKind.AUTH, Retry.OTHER_KEY),
        (403, "UnrecognizedClientException", ErrorKind.AUTH, Retry.OTHER_KEY),
        (404, "ResourceNotFoundException", ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
        (400, "ServiceQuotaExceededException", ErrorKind.QUOTA, Retry.OTHER_KEY),
        (418, "SomethingNewException", ErrorKind.BAD_REQUEST, Retry.NEVER),
    ],
)
def test_http_errors_go_by_the_exceptions_name(status: int, name: str, kind: ErrorKind, retry: Retry) -> None:
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/", "x-amzn-requestid": "r-1"}
    error = Converse().read_error(status, headers, b'{"message": "No."}')
    assert (error.kind, error.retry, error.phase, error.status) == (kind, retry, Phase.HEADERS, status)
    assert (error.message, error.request_id) == ("No.", "r-1")
    by_body = Converse().read_error(
        status, {}, json.dumps({"__type": f"com.amazon.coral#{name}", "Message": "No."}).encode()
    )
    assert (by_body.kind, by_body.retry, by_body.message) == (kind, retry, "No.")


def test_a_prompt_that_is_too_long_is_told_from_other_bad_requests() -> None:
    error = Converse().read_error(
        400, {"x-amzn-errortype": "ValidationException"}, b'{"message": "Input is too long for requested model."}'
    )
    assert (error.kind, error.retry) == (ErrorKind.CONTEXT_LENGTH, Retry.OTHER_PROVIDER)


def test_a_models_own_refusal_is_not_asked_again() -> None:
    said = {"message": "The model returned errors", "originalStatusCode": 400, "originalMessage": "bad tool"}
    error = Converse().read_error(424, {"x-amzn-errortype": "ModelErrorException"}, json.dumps(said).encode())
    assert (error.kind, error.retry) == (ErrorKind.BAD_REQUEST, Retry.NEVER)
    assert error.message == "The model returned errors (bad tool)"


def test_an_error_of_something_in_between_is_read_as_anybodys() -> None:
    error = Converse().read_error(502, {"retry-after": "3", "x-amzn-requestid": "r-2"}, b"<html><title>Bad</title>")
    assert (error.kind, error.retry_after_s, error.request_id) == (ErrorKind.OVERLOADED, 3.0, "r-2")
    quiet = Converse().read_error(429, {"x-amzn-errortype": "ThrottlingException"}, b"")
    assert quiet.message == "Too Many Requests, with an empty body"
