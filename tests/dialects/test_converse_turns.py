"""Converse: answers that go back as history, each block as it came, streamed or not."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from rxlapce.answer import TurnBuilder
from rxlapce.codec.event import Event
from rxlapce.dialects import Converse
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import StreamToken


def turn_of(tokens: Iterable[StreamToken]) -> Message:
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    return builder.message()


def answered(blocks: list[Any], **more: Any) -> Message:
    """The turn that a unary answer of these blocks makes."""
    answer = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": "end_turn", **more}
    return turn_of(Converse().read_answer(json.dumps(answer).encode()))


def streamed(*events: tuple[str, Any]) -> Message:
    """The turn that a stream of these events makes."""
    decoder, tokens = Converse().decoder(), list[StreamToken]()
    for name, payload in (*events, ("messageStop", {"stopReason": "end_turn"})):
        decoder.feed(Event(json.dumps(payload), name), tokens)
    decoder.close(tokens)
    return turn_of(tokens)


def start(index: int, **block: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"start": block, "contentBlockIndex": index}


def delta(index: int, **block: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"delta": block, "contentBlockIndex": index}


def stop(index: int) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": index}


def sent_back(turn: Message) -> Any:
    (said,) = json.loads(Converse().chat_body(ChatRequest(model="p/m", messages=(turn,)), "m", stream=True))["messages"]
    assert said["role"] == "assistant"
    return said["content"]


THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}}
REDACTED = {"reasoningContent": {"redactedContent": "AAAA"}}
CALL = {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"a": [1]}}}
SEARCH = {"toolUse": {"toolUseId": "s1", "name": "web_search", "input": {"q": "x"}, "type": "server_tool_use"}}
FOUND: dict[str, Any] = {
    "toolUseId": "s1",
    "content": [{"text": "ab"}, {"json": {"b": 1}}, {"json": {}}],
    "type": "found",
}
PICTURE = {"image": {"format": "png", "source": {"bytes": "iVBO"}}}


@pytest.mark.parametrize(
    "blocks",
    [
        [{"text": "Hi"}],
        [THOUGHT, {"text": "Hi"}],
        [THOUGHT, REDACTED, THOUGHT, {"text": "Hi"}, CALL],
        [{"reasoningContent": {"reasoningText": {"text": "Hm."}}}, CALL],
        [{"text": "So:"}, SEARCH, {"toolResult": FOUND}, {"text": "Hi"}, CALL],
        [PICTURE, {"text": "Hi"}, PICTURE, PICTURE],
    ],
)
def test_a_unary_answer_goes_back_as_it_came(blocks: list[Any]) -> None:
    assert sent_back(answered(blocks)) == blocks


def test_a_streamed_answer_goes_back_as_it_came() -> None:
    turn = streamed(
        delta(0, reasoningContent={"text": "H"}),
        delta(0, reasoningContent={"text": "m."}),
        delta(0, reasoningContent={"signature": "sig"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "AAAA"}),
        stop(1),
        delta(2, text="So"),
        delta(2, text=":"),
        stop(2),
        start(3, toolUse={"toolUseId": "s1", "name": "web_search", "type": "server_tool_use"}),
        delta(3, toolUse={"input": '{"q":"x"}'}),
        stop(3),
        start(4, toolResult={"toolUseId": "s1", "type": "found"}),
        delta(4, toolResult=[{"text": "a"}]),
        delta(4, toolResult=[{"text": "b"}, {"json": {"b": 1}}, {"json": {}}]),
        stop(4),
        start(5, image={"format": "png"}),
        delta(5, image={"source": {"bytes": "iVBO"}}),
        stop(5),
        start(6, toolUse={"toolUseId": "c1", "name": "look"}),
        delta(6, toolUse={"input": '{"a":'}),
        delta(6, toolUse={"input": "[1]}"}),
        stop(6),
    )
    assert sent_back(turn) == [THOUGHT, REDACTED, {"text": "So:"}, SEARCH, {"toolResult": FOUND}, PICTURE, CALL]


def test_what_was_told_of_an_answer_does_not_go_back() -> None:
    cited = {"citationsContent": {"content": [{"text": "Hi"}], "citations": [{"title": "T"}]}}
    turn = answered([cited], trace={"guardrail": {}}, additionalModelResponseFields={"a": 1})
    assert len(turn.parts) == 4
    assert sent_back(turn) == [{"text": "Hi"}]
    turn = streamed(delta(0, text="H"), delta(0, citation={"title": "T"}), delta(0, text="i"), ("tomorrow", {"a": 1}))
    assert len(turn.parts) == 4
    assert sent_back(turn) == [{"text": "H"}, {"text": "i"}]
