"""Converse: request bodies (golden), refusals, counts, unary answers, and what its failures mean."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import Converse
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Reported, Text, ToolCall, Usage, UsageReport
from rxlapce.typing import TokenCounter

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
CALLS = (
    RequestedCall(id="c1", name="look", arguments='{"path": "a"}'),
    RequestedCall(id="c2", name="look", arguments=""),
)
PICTURE = Image(data="iVBO", media_type="image/png", detail="low")
STORED = Image(url="s3://bucket/a.jpg", media_type="image/jpeg")
FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", parts=(Part(text="Be brief.", cache="5m"),)),
        Message(role="user", content="Look."),
        Message(role="user", parts=(Part(text="Twice."), Part(image=PICTURE), Part(image=STORED, cache="1h"))),
        Message(role="assistant", tool_calls=CALLS),
        Message(role="tool", content="A", tool_call_id="c1"),
        Message(role="tool", parts=(Part(text="B"), Part(image=PICTURE, cache="5m")), tool_call_id="c2"),
        Message(role="developer", content="In French."),
        Message(role="user", content="And?"),
    ),
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    stop=("END",),
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA, cache="1h"), Tool(name="blink")),
    tool_choice="look",
    response_format=ResponseFormat(json_schema=SCHEMA, name="found"),
    reasoning_effort="low",
)
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))


def body(request: ChatRequest, *, stream: bool = True) -> Any:
    return json.loads(Converse().chat_body(request, "m", stream=stream))


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_short_request_says_no_more_than_it_must_whether_it_streams_or_not() -> None:
    expected = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert body(SHORT) == body(SHORT, stream=False) == expected


def test_a_full_request() -> None:
    picture: Any = {"image": {"format": "png", "source": {"bytes": "iVBO"}}}
    stored = {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}}
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    calls: list[Any] = [
        {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"path": "a"}}},
        {"toolUse": {"toolUseId": "c2", "name": "look", "input": {}}},
    ]
    results = [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "A"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "B"}, picture]}},
        {"cachePoint": {"type": "default"}},
    ]
    empty: dict[str, Any] = {"type": "object", "properties": {}}
    assert body(FULL) == {
        "messages": [
            {"role": "user", "content": [{"text": "Look."}, {"text": "Twice."}, picture, stored, hour]},
            {"role": "assistant", "content": calls},
            {"role": "user", "content": [*results, {"text": "And?"}]},
        ],
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}, {"text": "In French."}],
        "inferenceConfig": {"maxTokens": 99, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": SCHEMA}}},
                hour,
                {"toolSpec": {"name": "blink", "inputSchema": {"json": empty}}},
            ],
            "toolChoice": {"tool": {"name": "look"}},
        },
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {
                    "jsonSchema": {
                        "name": "found",
                        "schema": '{"type":"object","properties":{"path":{"type":"string"}}}',
                    }
                },
            },
            "effort": "low",
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
    ("model", "wish", "fields"),
    [
        ("eu.anthropic.claude-x", {"top_k": 5}, {"top_k": 5}),
        (
            "anthropic.claude-x",
            {"reasoning_tokens": 2048},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        ("anthropic.claude-x", {"reasoning_tokens": 0}, {"thinking": {"type": "disabled"}}),
        ("amazon.nova-lite-v1:0", {"top_k": 5}, {"inferenceConfig": {"topK": 5}}),
        ("cohere.command-r-v1:0", {"top_k": 5}, {"k": 5}),
    ],
)
def test_what_a_vendor_alone_has_a_word_for_goes_to_the_model(model: str, wish: Any, fields: Any) -> None:
    said = json.loads(Converse().chat_body(replace(SHORT, **wish), model, stream=True))
    assert said.pop("additionalModelRequestFields") == fields
    assert said == body(SHORT)
    extra = {"additionalModelRequestFields": {"a": 1}, "b": 2}
    both = json.loads(Converse().chat_body(replace(SHORT, **wish, extra=extra), model, stream=True))
    assert both["additionalModelRequestFields"] == {**fields, "a": 1, "b": 2}


def test_extra_wins_over_what_a_vendor_has_a_word_for() -> None:
    for extra in ({"top_k": 9}, {"additionalModelRequestFields": {"top_k": 9}}):
        said = Converse().chat_body(replace(SHORT, top_k=5, extra=extra), "anthropic.claude-x", stream=True)
        assert json.loads(said)["additionalModelRequestFields"] == {"top_k": 9}


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh", "max"])
def test_effort(effort: Any) -> None:
    assert body(replace(SHORT, reasoning_effort=effort))["outputConfig"] == {"effort": effort}


@pytest.mark.parametrize(
    ("media_type", "word"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpeg"),
        ("image/jpg", "jpeg"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
    ],
)
def test_image_formats(media_type: str, word: str) -> None:
    image = Part(image=Image(data="iVBO", media_type=media_type))
    said = body(replace(SHORT, messages=(Message(role="user", parts=(image,)),)))
    assert said["messages"][0]["content"] == [{"image": {"format": word, "source": {"bytes": "iVBO"}}}]


def test_blank_text_is_left_out() -> None:
    turns = (Message(role="system", content=" "), Message(role="user", parts=(Part(text="\n"), Part(text="Hi"))))
    assert body(replace(SHORT, messages=turns)) == body(SHORT)
    turns = (Message(role="user", content="Hi"), Message(role="assistant", tool_calls=CALLS[:1]))
    result = Message(role="tool", tool_call_id="c1")
    said = body(replace(SHORT, messages=(*turns, result)))
    assert said["messages"][2]["content"] == [{"toolResult": {"toolUseId": "c1", "content": []}}]


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_converse_has_no_word_for_is_refused() -> None:
    check(replace(SHORT, seed=1), "Converse takes no seed: leave it out")
    check(replace(SHORT, n=2), "gives one answer a request, not n=2: ask 2 times")
    check(replace(SHORT, presence_penalty=1), "takes no presence_penalty: leave it out")
    check(replace(SHORT, frequency_penalty=1), "takes no frequency_penalty: leave it out")
    check(replace(SHORT, parallel_tool_calls=False), "takes no parallel_tool_calls: leave it out")
    check(replace(SHORT, temperature=1.5), "temperature from 0 to 1, not 1.5")
    check(replace(SHORT, top_k=1), "no top_k, and none is known of m: leave it out, or put the model's own in extra")
    check(replace(SHORT, reasoning_tokens=1), "no reasoning_tokens, and none is known of m")
    check(replace(SHORT, reasoning_effort="none"), "no reasoning_effort 'none': it has low, medium, high, xhigh, max")
    check(replace(SHORT, response_format=ResponseFormat()), "needs a json_schema")
    check(replace(SHORT, response_format=ResponseFormat(json_schema={"a": "\ud800"})), "not to be written as JSON")
    check(replace(SHORT, stop=("",)), "no empty text to stop at")
    check(replace(SHORT, extra={"a": "\ud800"}), "JSON")


def test_tools_that_converse_refuses_are_refused() -> None:
    check(replace(FULL, tool_choice="none"), "cannot forbid tools")
    check(replace(SHORT, tool_choice="required"), "nothing to call for the tool_choice 'required': give tools")
    check(replace(SHORT, tools=(Tool(name="a b"),)), "not 'a b'")
    check(replace(SHORT, tools=FULL.tools, tool_choice=""), "names of tools of 1 to 64 letters")


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (Message(role="tool", content="A"), "tool_call_id"),
        (Message(role="tool", content="A", tool_call_id="a b"), "not 'a b'"),
        (Message(role="assistant", tool_calls=(replace(CALLS[0], arguments="[1]"),)), "'c1' are no JSON object"),
        (Message(role="assistant", tool_calls=(replace(CALLS[0], id=""),)), "not ''"),
        (Message(role="assistant", tool_calls=(replace(CALLS[0], name=""),)), "not ''"),
        (Message(role="user", content=" "), "nothing but blanks: leave them out"),
        (Message(role="user", parts=(Part(image=Image(url="https://a.example/b")),)), "send this one as data"),
        (Message(role="user", parts=(Part(image=Image(url="s3://bucket/b")),)), "media_type image/png"),
        (Message(role="user", parts=(Part(image=Image(data="A", media_type="image/bmp")),)), "not 'image/bmp'"),
        (Message(role="user", parts=(Part(text="", cache="5m"),)), "on a piece that is not sent"),
        (Message(role="tool", parts=(Part(text="A", cache="5m"), Part(text="B")), tool_call_id="c"), "on its last"),
        (Message(role="system", parts=(Part(image=PICTURE),)), "system turn cannot hold image"),
        (Message(role="system", content="A"), "a turn beside the system's"),
        (
            Message(role="assistant", parts=(Part(opaque=OpaquePart(kind="image", raw="{")),)),
            "'image' piece is no JSON",
        ),
    ],
)
def test_turns_that_bedrock_refuses_are_refused_before_they_are_sent(turn: Message, words: str) -> None:
    check(replace(SHORT, messages=(turn,)), words)


def check(request: ChatRequest, words: str) -> None:
    with pytest.raises(ProviderError) as caught:
        body(request)
    assert words in caught.value.message
    assert (caught.value.kind, caught.value.phase, caught.value.retry) == (
        ErrorKind.BAD_REQUEST,
        Phase.ADMIT,
        Retry.NEVER,
    )


# -- counting ---------------------------------------------------------------------------------------------------------


def test_what_is_counted_are_the_conversation_the_tools_and_the_models_own_fields() -> None:
    counter: TokenCounter = Converse()
    asked = json.loads(counter.count_body(replace(FULL, extra={"a": 1}), "m"))
    said = body(replace(FULL, extra={"a": 1}))
    names = ("messages", "system", "toolConfig", "additionalModelRequestFields")
    assert asked == {"input": {"converse": {name: said[name] for name in names}}}
    assert json.loads(counter.count_body(SHORT, "m")) == {"input": {"converse": body(SHORT)}}
    assert counter.read_count(b'{"inputTokens": 31}') == 31
    with pytest.raises(ProviderError, match="no count of tokens in inputTokens"):
        counter.read_count(b"{}")


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
