"""Anthropic's answers sent back: stream -> tokens -> turn -> body, with all that must stay unchanged in its place."""

import json
from typing import Any

import msgspec
import pytest

from rxlapce.answer import TurnBuilder
from rxlapce.codec.event import Event
from rxlapce.dialects import AnthropicMessages
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import StreamToken

Block = dict[str, Any]

THOUGHT: Block = {"type": "thinking", "thinking": "Let me see.", "signature": "EqQBCg=="}
OMITTED: Block = {"type": "thinking", "thinking": "", "signature": "EuYBCg=="}
REDACTED: Block = {"type": "redacted_thinking", "data": "EmwKAhgB"}
TEXT: Block = {"type": "text", "text": "I look."}
CALL: Block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"path": "a", "deep": [1, 2.5, None]}}
SEARCH: Block = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "q"},
    "caller": None,
}
FOUND: Block = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": "https://x.test", "title": "T", "encrypted_content": "Eqw"}],
}
MCP_CALL: Block = {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "echo", "server_name": "s", "input": {}}
MCP_RESULT: Block = {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": []}
COMPACTION: Block = {"type": "compaction", "content": "What was said.", "encrypted_content": "Eg=="}
FALLBACK: Block = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
UNHEARD_OF: Block = {"type": "block_of_tomorrow", "id": "b1", "value": {"x": [True]}}

ANSWERS: list[list[Block]] = [
    [THOUGHT, REDACTED, TEXT, CALL],
    [OMITTED, CALL, {**CALL, "id": "toolu_2", "input": {}}],
    [THOUGHT, SEARCH, FOUND, {**THOUGHT, "signature": "2"}, TEXT, CALL],
    [TEXT, MCP_CALL, MCP_RESULT, TEXT],
    [COMPACTION, TEXT, FALLBACK, TEXT, UNHEARD_OF],
    [{**SEARCH, "id": "srvtoolu_2"}, SEARCH, FOUND, CALL],
]


def streamed(blocks: list[Block]) -> list[StreamToken]:
    """The tokens of a stream that says the blocks as Anthropic does, in pieces."""
    events: list[Block] = [{"type": "message_start", "message": {"model": "claude-x"}}]
    for index, block in enumerate(blocks):
        start, deltas = cut(block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})
    events += ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"})
    decoder, out = AnthropicMessages().decoder(), list[StreamToken]()
    ends = [decoder.feed(Event(json.dumps(event)), out) for event in events]
    assert ends.index(True) == len(ends) - 1
    return out


def cut(block: Block) -> tuple[Block, list[Block]]:
    """The start of a block and the deltas that say the rest of it."""
    match block["type"]:
        case "thinking":
            said = [{"type": "thinking_delta", "thinking": part} for part in halves(block["thinking"])]
            end = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*said, end]
        case "text":
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": t} for t in halves(block["text"])]
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            pieces = ["", *halves(json.dumps(block["input"]))] if block["input"] else []
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case "compaction":
            return {"type": "compaction", "content": None}, [{**block, "type": "compaction_delta"}]
        case _:
            return block, []


def halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def unary(blocks: list[Block]) -> list[StreamToken]:
    answer = {
        "type": "message",
        "model": "claude-x",
        "content": blocks,
        "stop_reason": "end_turn",
        "container": {"id": "c"},
    }
    return AnthropicMessages().read_answer(json.dumps(answer).encode())


def turn_of(tokens: list[StreamToken]) -> Message:
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    return builder.message()


def sent_back(turn: Message) -> Any:
    request = ChatRequest(model="p/m", messages=(turn,))
    said = json.loads(AnthropicMessages().chat_body(request, "m", stream=False))
    return said["messages"][0]["content"]


@pytest.mark.parametrize("say", [streamed, unary])
@pytest.mark.parametrize("blocks", ANSWERS)
def test_an_answer_goes_back_unchanged_and_in_order(say: Any, blocks: list[Block]) -> None:
    assert sent_back(turn_of(say(blocks))) == blocks


@pytest.mark.parametrize("say", [streamed, unary])
def test_a_turn_that_was_stored_as_json_goes_back_the_same(say: Any) -> None:
    turn = turn_of(say(ANSWERS[2]))
    assert sent_back(msgspec.json.decode(msgspec.json.encode(turn), type=Message)) == ANSWERS[2]


def test_text_that_citations_cut_is_one_block_again() -> None:
    cited = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"url": "u"}}}
    said = [{"type": "text_delta", "text": text} for text in ("It ", "is so.")]
    events = [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in said]
    decoder, out = AnthropicMessages().decoder(), list[StreamToken]()
    for event in (events[0], cited, events[1]):
        decoder.feed(Event(json.dumps(event)), out)
    assert [type(token).__name__ for token in out] == ["Text", "Opaque", "Text"]
    assert sent_back(turn_of(out)) == "It is so."


def test_a_call_of_the_providers_without_its_arguments_goes_back_as_it_stands() -> None:
    turn = turn_of([token for token in unary([SEARCH, TEXT]) if type(token).__name__ != "ToolCall"])
    assert sent_back(turn) == [SEARCH, TEXT]
