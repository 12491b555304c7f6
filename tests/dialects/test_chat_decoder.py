"""Chat completion chunks to tokens: a table of what servers send."""

import json
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.tokens import (
    Opaque,
    Reasoning,
    Refusal,
    StreamToken,
    Text,
    ToolCall,
)


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
        [
            Reasoning("hm"),
            Opaque("reasoning_details", '{"type":"reasoning.text","text":"","signature":null}'),
            Reasoning("in short"),
        ],
    ),
    "the signature of a detail": (
        [chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]})],
        [Reasoning("hm", "s")],
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


@pytest.mark.parametrize("second", ['{"index":0}', '{"index":0,"delta":null}', '{"delta":{"novel":1}}'])
def test_two_entries_of_one_choice_may_lack_a_delta(second: str) -> None:
    out: list[StreamToken] = []
    event = Event(f'{{"choices":[{{"index":0,"delta":{{"novel":{{"a":1}}}}}},{second}]}}')
    assert not ChatDecoder().feed(event, out)
    assert Opaque("novel", '{"a":1}') in out
