"""The responses API's request bodies (golden) and unary answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import Responses
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall, Tool
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Reported, Text, ToolCall, Usage, UsageReport

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="developer", content="And kind."),
        Message(role="user", content="Look."),
        Message(
            role="assistant",
            content="Wait.",
            tool_calls=(
                RequestedCall(id="c1", name="look", arguments='{"path": "a"}'),
                RequestedCall(id="c2", name="look", arguments=""),
            ),
        ),
        Message(role="tool", content="A", tool_call_id="c1"),
        Message(role="tool", content="B", tool_call_id="c2"),
        Message(role="developer", content="In French."),
        Message(role="assistant", content=""),
        Message(role="user", content="And?"),
    ),
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    n=1,
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA),),
    tool_choice="look",
    extra={"text": {"format": {"type": "json_object"}}},
)


def body(request: ChatRequest, *, stream: bool = False, dialect: Responses | None = None) -> Any:
    return json.loads((dialect or Responses()).chat_body(request, "m", stream=stream))


def spoken(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content}


def test_body_of_a_short_request() -> None:
    assert body(SHORT) == {"model": "m", "input": [{"role": "user", "content": "Hi"}], "store": False}


def test_body_with_everything() -> None:
    assert body(FULL, stream=True) == {
        "model": "m",
        "instructions": "Be brief.\n\nAnd kind.",
        "input": [
            {"role": "user", "content": "Look."},
            spoken("Wait."),
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"path": "a"}'},
            {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "A"},
            {"type": "function_call_output", "call_id": "c2", "output": "B"},
            {"role": "developer", "content": "In French."},
            spoken(""),
            {"role": "user", "content": "And?"},
        ],
        "max_output_tokens": 99,
        "temperature": 0.0,
        "top_p": 0.5,
        "store": False,
        "stream": True,
        "tools": [{"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": False}],
        "tool_choice": {"type": "function", "name": "look"},
        "text": {"format": {"type": "json_object"}},
    }


def test_a_conversation_of_system_turns_alone_is_input() -> None:
    said = body(ChatRequest(model="p/m", messages=(Message(role="system", content="Tell a joke."),)))
    assert said == {"model": "m", "input": [{"role": "system", "content": "Tell a joke."}], "store": False}


@pytest.mark.parametrize("store", [True, None])
def test_storing_may_be_asked_for_or_left_to_the_server(store: bool | None) -> None:
    assert body(SHORT, dialect=Responses(store=store)).get("store") is store
    assert body(replace(SHORT, extra={"store": True}))["store"] is True


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tool_choice_words_go_as_they_are(choice: str) -> None:
    assert body(replace(SHORT, tool_choice=choice))["tool_choice"] == choice


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(SHORT, seed=1), "no seed: leave it out"),
        (replace(SHORT, stop=("x",)), "no stop: leave it out"),
        (replace(SHORT, n=2), "n=2"),
        (ChatRequest(model="p/m", messages=(Message(role="tool", content="x"),)), "tool_call_id"),
    ],
)
def test_what_the_api_cannot_say_is_refused(request_: ChatRequest, why: str) -> None:
    with pytest.raises(ProviderError, match=why) as caught:
        body(request_)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


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
