"""Response events to tokens: a table of what servers send."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects.responses_decoder import ResponsesDecoder
from rxlapce.tokens import (
    Opaque,
    Reasoning,
    Refusal,
    StreamToken,
    Text,
    ToolCall,
)


def said(kind: str, **members: Any) -> Event:
    """An event; its name is left out, as OpenRouter and Bedrock do."""
    prefix = "" if kind in ("error", "keepalive") else "response."
    return Event(json.dumps({"type": prefix + kind, **members}))


def added(item: dict[str, Any], index: int | None = 0) -> Event:
    return said("output_item.added", output_index=index, item=item)


def done(item: dict[str, Any], index: int | None = 0) -> Event:
    return said("output_item.done", output_index=index, item=item)


def text(delta: str, index: int = 0) -> Event:
    return said("output_text.delta", output_index=index, delta=delta)


def arguments(delta: str, index: int = 0, item_id: str = "fc_1") -> Event:
    return said("function_call_arguments.delta", output_index=index, item_id=item_id, delta=delta)


def opaque(kind: str, value: Any) -> Opaque:
    return Opaque(kind, json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": list(parts)}


CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "look", "arguments": ""}
WHOLE_CALL = {**CALL, "arguments": '{"a":1}'}
CUSTOM = {"id": "ct_1", "type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": ""}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
NOTE = {"type": "url_citation", "url": "http://x"}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
SEALED = {**THOUGHT, "encrypted_content": "gAAA"}
ADDED_SEARCH = added(SEARCH, 1)

TABLE: dict[str, tuple[list[Event], list[StreamToken]]] = {
    "plain text": ([text("Hel"), text(""), text("lo")], [Text("Hel"), Text("lo")]),
    "start-up and keep-alives say nothing": (
        [said("created", response={"model": "m"}), said("queued"), said("in_progress"), said("keepalive")],
        [],
    ),
    "text is not said again by what is done": (
        [
            added(message()),
            said("content_part.added", output_index=0, part={"type": "output_text", "text": ""}),
            text("Hi"),
            said("output_text.done", output_index=0, text="Hi"),
            said("content_part.done", output_index=0, part={"type": "output_text", "text": "Hi"}),
            done(message({"type": "output_text", "text": "Hi", "annotations": []})),
        ],
        [Text("Hi")],
    ),
    "text that comes only when it is done": (
        [added(message()), done(message({"type": "output_text", "text": "Hi", "annotations": [NOTE]}))],
        [Text("Hi"), opaque("annotation", NOTE)],
    ),
    "each item is told apart": (
        [
            text("a"),
            done(message({"type": "output_text", "text": "a"})),
            done(message({"type": "output_text", "text": "b"}), 1),
        ],
        [Text("a"), Text("b")],
    ),
    "annotations are told once": (
        [
            text("Hi"),
            said("output_text.annotation.added", output_index=0, annotation=NOTE),
            done(message({"type": "output_text", "text": "Hi", "annotations": [NOTE, {"n": 2}]})),
        ],
        [Text("Hi"), opaque("annotation", NOTE), opaque("annotation", {"n": 2})],
    ),
    "log probabilities": (
        [said("output_text.delta", output_index=0, delta="a", logprobs=[{"token": "a"}])],
        [Text("a"), opaque("logprobs", [{"token": "a"}])],
    ),
    "a refusal, in pieces and whole": (
        [
            said("refusal.delta", output_index=0, delta="No"),
            said("refusal.done", output_index=0, refusal="No"),
            done(message({"type": "refusal", "refusal": "No"})),
            done(message({"type": "refusal", "refusal": "Never"}), 1),
        ],
        [Refusal("No"), Refusal("Never")],
    ),
    "reasoning as a summary": (
        [
            said("reasoning_summary_part.added", output_index=0, part={}),
            said("reasoning_summary_text.delta", output_index=0, delta="h"),
            said("reasoning_summary_text.delta", output_index=0, delta="m"),
            said("reasoning_summary_text.done", output_index=0, text="hm"),
            done(THOUGHT),
        ],
        [Reasoning("h"), Reasoning("m")],
    ),
    "reasoning as text": (
        [
            said("reasoning_text.delta", output_index=0, delta="hm"),
            said("reasoning_text.done", output_index=0, text="hm"),
        ],
        [Reasoning("hm")],
    ),
    "reasoning that comes only when it is done": (
        [added({"type": "reasoning"}), done({**THOUGHT, "content": [{"type": "reasoning_text", "text": "!"}]})],
        [Reasoning("hm"), Reasoning("!")],
    ),
    "sealed reasoning is passed on whole": (
        [added(SEALED), said("reasoning_summary_text.delta", output_index=0, delta="hm"), done(SEALED)],
        [Reasoning("hm"), opaque("reasoning", SEALED)],
    ),
    "a call in pieces": (
        [
            added(CALL),
            arguments('{"a"'),
            arguments(":1}"),
            said("function_call_arguments.done", output_index=0, item_id="fc_1", arguments='{"a":1}'),
            done(WHOLE_CALL),
        ],
        [ToolCall(0, "c1", "look"), ToolCall(0, arguments_delta='{"a"'), ToolCall(0, arguments_delta=":1}")],
    ),
    "arguments that come only when they are done": (
        [added(CALL), said("function_call_arguments.done", output_index=0, arguments='{"a":1}'), done(WHOLE_CALL)],
        [ToolCall(0, "c1", "look"), ToolCall(0, arguments_delta='{"a":1}')],
    ),
    "arguments that come only with the item": (
        [added(CALL), done(WHOLE_CALL)],
        [ToolCall(0, "c1", "look"), ToolCall(0, arguments_delta='{"a":1}')],
    ),
    "a call that comes whole": ([done(WHOLE_CALL)], [ToolCall(0, "c1", "look", '{"a":1}')]),
    "a call whose name comes late": (
        [added({"type": "function_call", "id": "fc_1"}), arguments("{}"), done({**CALL, "arguments": "{}"})],
        [ToolCall(0, "fc_1"), ToolCall(0, arguments_delta="{}"), ToolCall(0, None, "look")],
    ),
    "arguments as an object": ([done({**CALL, "arguments": {"a": 1}})], [ToolCall(0, "c1", "look", '{"a":1}')]),
    "pieces after the end are repetitions": (
        [added(CALL), arguments("{}"), done({**CALL, "arguments": "{}"}), arguments("{}")],
        [ToolCall(0, "c1", "look"), ToolCall(0, arguments_delta="{}")],
    ),
    "an item whose id changes": (
        [added(CALL), arguments("{}", item_id="other"), done({**CALL, "id": "third", "arguments": "{}"})],
        [ToolCall(0, "c1", "look"), ToolCall(0, arguments_delta="{}")],
    ),
    "items without an output index": (
        [
            added(CALL, None),
            said("function_call_arguments.delta", item_id="fc_1", delta="{}"),
            done({**CALL, "arguments": "{}"}, None),
        ],
        [ToolCall(0, "c1", "look"), ToolCall(0, arguments_delta="{}")],
    ),
    "calls are numbered from 0 whatever stands before": (
        [text("a"), done(WHOLE_CALL, 3), done({**WHOLE_CALL, "id": "fc_2", "call_id": "c9"}, 4)],
        [Text("a"), ToolCall(0, "c1", "look", '{"a":1}'), ToolCall(1, "c9", "look", '{"a":1}')],
    ),
    "interleaved calls": (
        [
            added(CALL, 0),
            added({**CALL, "id": "fc_2", "call_id": "c2"}, 1),
            arguments("x", 1, "fc_2"),
            arguments("y", 0),
        ],
        [
            ToolCall(0, "c1", "look"),
            ToolCall(1, "c2", "look"),
            ToolCall(1, arguments_delta="x"),
            ToolCall(0, arguments_delta="y"),
        ],
    ),
    "a call with more members is passed on whole too": (
        [done({**WHOLE_CALL, "caller": {"type": "program"}})],
        [ToolCall(0, "c1", "look", '{"a":1}'), opaque("function_call", {**WHOLE_CALL, "caller": {"type": "program"}})],
    ),
    "a custom tool's input": (
        [
            added(CUSTOM),
            said("custom_tool_call_input.delta", output_index=0, delta="SEL"),
            said("custom_tool_call_input.done", output_index=0, input="SEL"),
            done({**CUSTOM, "input": "SEL"}),
        ],
        [opaque("custom_tool_call", CUSTOM), ToolCall(0, "c2", "sql"), ToolCall(0, arguments_delta="SEL")],
    ),
    "arguments of a call that nobody announced": (
        [arguments("{}")],
        [Opaque("response.function_call_arguments.delta", arguments("{}").data)],
    ),
    "a tool that the provider runs": (
        [ADDED_SEARCH, said("web_search_call.searching", item_id="ws_1"), done(SEARCH, 1)],
        [
            Opaque("response.output_item.added", ADDED_SEARCH.data),
            Opaque("response.web_search_call.searching", said("web_search_call.searching", item_id="ws_1").data),
            opaque("web_search_call", SEARCH),
        ],
    ),
    "an event that nobody knows": ([said("dance", steps=3)], [Opaque("response.dance", said("dance", steps=3).data)]),
    "a delta that is no text": (
        [said("output_text.delta", delta={"a": 1})],
        [Opaque("response.output_text.delta", said("output_text.delta", delta={"a": 1}).data)],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_events_become_tokens(name: str) -> None:
    events, tokens = TABLE[name]
    decoder, out = ResponsesDecoder(), list[StreamToken]()
    for event in events:
        assert decoder.feed(event, out) is False
    assert out == tokens
