"""The responses API's request bodies (golden) and unary answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import Responses
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Effort, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Reported, Text, ToolCall, Usage, UsageReport

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
PNG = Image(data="iVBORw0K", media_type="image/png")
THOUGHT: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA=="}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
CALL = RequestedCall(id="c1", name="look", arguments='{"path": "a"}')
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
SHORT_BODY = {"model": "m", "input": [{"role": "user", "content": "Hi"}], "store": False}


def opaque(kind: str, raw: Any) -> Part:
    return Part(opaque=OpaquePart(kind=kind, raw=json.dumps(raw)))


FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="developer", content="And kind."),
        Message(
            role="user",
            parts=(
                Part(text="Look."),
                Part(image=PNG),
                Part(image=Image(url="https://x.test/a.png", detail="low"), cache="5m"),
            ),
        ),
        Message(
            role="assistant",
            parts=(
                Part(reasoning="Hm."),
                opaque("reasoning", THOUGHT),
                opaque("web_search_call", SEARCH),
                Part(text="W"),
            ),
            tool_calls=(CALL, RequestedCall(id="c2", name="look", arguments="")),
        ),
        Message(role="tool", content="A", tool_call_id="c1"),
        Message(role="tool", parts=(Part(text="B"), Part(image=PNG)), tool_call_id="c2"),
        Message(role="developer", content="In French."),
        Message(role="assistant", content=""),
        Message(role="user", content="And?"),
    ),
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    n=1,
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA, cache="5m"), Tool(name="stop")),
    tool_choice="look",
    parallel_tool_calls=False,
    response_format=ResponseFormat(json_schema=SCHEMA, name="path"),
    reasoning_effort="low",
    extra={"metadata": {"a": "b"}},
)


def body(request: ChatRequest, *, stream: bool = False, dialect: Responses | None = None) -> Any:
    return json.loads((dialect or Responses()).chat_body(request, "m", stream=stream))


def count(request: ChatRequest) -> Any:
    return json.loads(Responses().count_body(request, "m"))


def conversation(*messages: Message) -> ChatRequest:
    return ChatRequest(model="p/m", messages=messages)


def answer(*parts: Part) -> ChatRequest:
    return conversation(Message(role="assistant", parts=parts))


def spoken(text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [content]}


PROMPT: dict[str, Any] = {
    "instructions": "Be brief.\n\nAnd kind.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0K", "detail": "auto"},
                {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
            ],
        },
        THOUGHT,
        SEARCH,
        spoken("W"),
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"path": "a"}'},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "A"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "B"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0K", "detail": "auto"},
            ],
        },
        {"role": "developer", "content": "In French."},
        spoken(""),
        {"role": "user", "content": "And?"},
    ],
    "tools": [
        {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": False},
        {"type": "function", "name": "stop", "parameters": {"type": "object", "properties": {}}, "strict": False},
    ],
    "tool_choice": {"type": "function", "name": "look"},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "path", "schema": SCHEMA, "strict": True}},
}


def test_body_of_a_short_request() -> None:
    assert body(SHORT) == SHORT_BODY


def test_body_with_everything() -> None:
    assert body(FULL, stream=True) == {
        "model": "m",
        **PROMPT,
        "max_output_tokens": 99,
        "temperature": 0.0,
        "top_p": 0.5,
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"},
    }


def test_extra_members_win() -> None:
    extra: dict[str, Any] = {"store": True, "reasoning": {"effort": "high", "summary": "auto"}, "include": []}
    assert body(replace(SHORT, reasoning_effort="low", extra=extra)) == {**SHORT_BODY, **extra}


def test_a_conversation_of_system_turns_alone_is_input() -> None:
    said = body(conversation(Message(role="system", content="Tell a joke.")))
    assert said == {"model": "m", "input": [{"role": "system", "content": "Tell a joke."}], "store": False}


def test_a_turn_may_have_several_texts() -> None:
    said = body(conversation(Message(role="user", parts=(Part(text="A"), Part(text="B")))))
    texts = [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}]
    assert said["input"] == [{"role": "user", "content": texts}]


def test_a_user_turn_may_hold_an_item_that_answers_one_of_the_models() -> None:
    approval = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    parts = (Part(text="A"), opaque("mcp_approval_response", approval), Part(text="B"))
    a, b = ({"role": "user", "content": text} for text in "AB")
    assert body(conversation(Message(role="user", parts=parts)))["input"] == [a, approval, b]


@pytest.mark.parametrize("store", [True, None])
def test_storing_may_be_asked_for_or_left_to_the_server(store: bool | None) -> None:
    assert body(replace(SHORT, reasoning_effort="low"), dialect=Responses(store=store)) == {
        "model": "m",
        "input": SHORT_BODY["input"],
        **({} if store is None else {"store": store}),
        "reasoning": {"effort": "low"},
    }


@pytest.mark.parametrize(
    ("dialect", "request_", "asks"),
    [
        (Responses(), SHORT, False),
        (Responses(), replace(SHORT, reasoning_effort="none"), False),
        (Responses(), replace(SHORT, reasoning_effort="minimal"), True),
        (Responses(), answer(opaque("reasoning", THOUGHT)), True),
        (Responses(include_encrypted=True), SHORT, True),
        (Responses(include_encrypted=True, store=None), SHORT, True),
        (Responses(include_encrypted=False), replace(SHORT, reasoning_effort="high"), False),
    ],
)
def test_thoughts_are_asked_for_where_the_model_reasons(dialect: Responses, request_: ChatRequest, asks: bool) -> None:
    assert body(request_, dialect=dialect).get("include") == (["reasoning.encrypted_content"] if asks else None)


@pytest.mark.parametrize(
    ("effort", "said"), [("high", {"effort": "high", "summary": "auto"}), ("none", {"effort": "none"})]
)
def test_thoughts_are_told_in_words_where_that_is_allowed(effort: Effort, said: dict[str, str]) -> None:
    assert body(replace(SHORT, reasoning_effort=effort), dialect=Responses(summary="auto"))["reasoning"] == said


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tool_choice_words_go_as_they_are(choice: str) -> None:
    assert body(replace(SHORT, tool_choice=choice))["tool_choice"] == choice


def test_any_json_object_may_be_asked_for() -> None:
    assert body(replace(SHORT, response_format=ResponseFormat()))["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(SHORT, seed=1), "no seed: leave it out"),
        (replace(SHORT, stop=("x",)), "no stop: leave it out"),
        (replace(SHORT, top_k=1), "no top_k: leave it out"),
        (replace(SHORT, presence_penalty=1), "no presence_penalty: leave it out"),
        (replace(SHORT, frequency_penalty=1), "no frequency_penalty: leave it out"),
        (replace(SHORT, reasoning_tokens=0), "no reasoning_tokens: leave it out"),
        (replace(SHORT, n=2), "n=2: ask 2 times"),
        (replace(SHORT, tools=(Tool(name="f", cache="1h"),)), "mark it with 5m, or not at all"),
        (conversation(Message(role="tool", content="x")), "tool_call_id"),
        (conversation(Message(role="user", content="x", tool_call_id="c")), "leave its tool_call_id out"),
        (conversation(Message(role="user", content="x", tool_calls=(CALL,))), "user turn cannot hold tool call"),
        (answer(Part(image=PNG)), "assistant turn cannot hold image"),
        (answer(Part(reasoning="x"), Part(text="y")), r"send the turn's Message.plain\(\)"),
        (answer(Part(opaque=OpaquePart(kind="k", raw="{"))), "opaque 'k' piece is no JSON"),
        (conversation(Message(role="user", parts=(Part(image=Image(url="gs://b/a")),))), "data and media_type instead"),
        (conversation(Message(role="user", content="\ud800")), "not to be written as JSON"),
        (replace(SHORT, extra={"text": object()}), "not to be written as JSON"),
    ],
)
def test_what_the_api_cannot_say_is_refused(request_: ChatRequest, why: str) -> None:
    for ask in (body, count):
        with pytest.raises(ProviderError, match=why) as caught:
            ask(request_)
        assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


# -- counting -------------------------------------------------------------------------------------------------------


def test_what_is_counted_is_the_prompt_without_the_wishes_for_the_answer() -> None:
    assert count(FULL) == {"model": "m", **PROMPT}


def test_extra_members_that_the_counting_knows_are_counted() -> None:
    request = replace(SHORT, extra={"truncation": "auto", "metadata": {"a": "b"}})
    assert count(request) == {"model": "m", "input": SHORT_BODY["input"], "truncation": "auto"}


def test_a_count_is_read() -> None:
    assert Responses().read_count(b'{"object": "response.input_tokens", "input_tokens": 11}') == 11


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b'{"input_tokens": "7"}', b'{"input_tokens": true}', b"\xff"])
def test_an_answer_without_a_count_is_an_error(said: bytes) -> None:
    with pytest.raises(ProviderError, match="no count of tokens") as caught:
        Responses().read_count(said)
    assert caught.value.kind is ErrorKind.PROTOCOL


# -- unary answers --------------------------------------------------------------------------------------------------


def test_unary_answer() -> None:
    note = {"type": "url_citation"}
    answer = {
        "object": "response",
        "status": "completed",
        "error": None,
        "model": "gpt-x",
        "output": [
            {"id": "rs", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {
                "id": "msg",
                "type": "message",
                "content": [{"type": "output_text", "text": "So", "annotations": [note], "logprobs": []}],
            },
            {"id": "fc", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"id": "ws", "type": "web_search_call"},
        ],
        "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5},
    }
    reported = Reported(input_tokens=2, output_tokens=3, total_tokens=5)
    assert Responses().read_answer(json.dumps(answer).encode()) == [
        Reasoning("hm"),
        Text("So"),
        Opaque("annotation", '{"type":"url_citation"}'),
        ToolCall(0, "c1", "f", "{}"),
        Opaque("web_search_call", '{"id":"ws","type":"web_search_call"}'),
        UsageReport(Usage(input=2, output=3, total=5, reported=reported)),
        Finish(FinishKind.TOOL_CALLS, "completed", "gpt-x"),
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"x"}}', ErrorKind.RATE_LIMIT),
        (b'{"status":"failed","output":[],"error":null}', ErrorKind.OVERLOADED),
        (b'{"status":"in_progress","output":[]}', ErrorKind.PROTOCOL),
        (b'{"error":{"code":429,"message":"later"}}', ErrorKind.RATE_LIMIT),
        (b"{}", ErrorKind.PROTOCOL),
        (b"[]", ErrorKind.PROTOCOL),
        (b"<html>", ErrorKind.PROTOCOL),
    ],
)
def test_a_200_without_an_answer_is_an_error(answer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        Responses().read_answer(answer)
    assert caught.value.kind is kind
