"""Answers of the responses API sent back: stream -> tokens -> turn -> body, with each item unchanged in its place."""

import json
from typing import Any

import msgspec
import pytest

from rxlapce.answer import TurnBuilder
from rxlapce.codec.event import Event
from rxlapce.dialects import Responses
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest, Message, OpaquePart, Part
from rxlapce.tokens import StreamToken

Item = dict[str, Any]

SUMMARY: list[Item] = [{"type": "summary_text", "text": "I look."}]
THOUGHT: Item = {"id": "rs_1", "type": "reasoning", "summary": SUMMARY, "encrypted_content": "gAAAAABo"}
SILENT: Item = {"id": "rs_2", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAABp"}
CALL: Item = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"path": "a"}'}
PROGRAMMED: Item = {
    "id": "fc_2",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_2",
    "name": "look",
    "arguments": '{"path": "b"}',
    "caller": {"type": "program", "caller_id": "p_1"},
}
CUSTOM: Item = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "call_id": "call_3",
    "name": "patch",
    "input": '*** "Begin"\n',
}
SEARCH: Item = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}
MCP: Item = {"id": "mcp_1", "type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}", "output": None}
UNHEARD_OF: Item = {"id": "x_1", "type": "item_of_tomorrow", "value": {"x": [True]}}


def spoken(text: str, **members: str) -> dict[str, Any]:
    content: Item = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [content], **members}


ANSWERS: list[list[Item]] = [
    [THOUGHT, spoken("So."), CALL],
    [SILENT, CALL, {**SILENT, "id": "rs_3"}, PROGRAMMED, CUSTOM],
    [THOUGHT, SEARCH, SILENT, MCP, spoken("So."), UNHEARD_OF],
    [CUSTOM, PROGRAMMED, SILENT],
    [THOUGHT, spoken("I look.", phase="commentary"), CALL],
    [spoken("I look.", phase="commentary"), spoken("So.", phase="final_answer")],
]


def streamed(items: list[Item]) -> list[StreamToken]:
    """The tokens of a stream that says the items as OpenAI does, in pieces."""
    events: list[Item] = [{"type": "response.created", "response": {"model": "gpt-x"}}]
    for index, item in enumerate(items):
        start, deltas = cut(item)
        events.append({"type": "response.output_item.added", "output_index": index, "item": start})
        events += ({**delta, "output_index": index} for delta in deltas)
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": {"model": "gpt-x", "status": "completed"}})
    decoder, out = Responses().decoder(), list[StreamToken]()
    ends = [decoder.feed(Event(json.dumps(event)), out) for event in events]
    assert ends.index(True) == len(ends) - 1
    return out


def cut(item: Item) -> tuple[Item, list[Item]]:
    """The start of an item and the deltas that say the rest of it."""
    started = {**item, "status": "in_progress"}
    match item["type"]:
        case "message":
            text, note = item["content"][0]["text"], {"type": "url_citation", "url": "u"}
            deltas = [{"type": "response.output_text.delta", "delta": half} for half in halves(text)]
            noted = {"type": "response.output_text.annotation.added", "annotation": note}
            return {**started, "content": []}, [deltas[0], noted, *deltas[1:]]
        case "reasoning":
            texts = [part["text"] for part in item["summary"]]
            kind = "response.reasoning_summary_text.delta"
            return {**started, "summary": []}, [{"type": kind, "delta": half} for t in texts for half in halves(t)]
        case "function_call":
            kind = "response.function_call_arguments.delta"
            return {**started, "arguments": ""}, [{"type": kind, "delta": half} for half in halves(item["arguments"])]
        case "custom_tool_call":
            kind = "response.custom_tool_call_input.delta"
            return {**started, "input": ""}, [{"type": kind, "delta": half} for half in halves(item["input"])]
        case _:
            return started, []


def halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def unary(items: list[Item]) -> list[StreamToken]:
    answer = {"object": "response", "model": "gpt-x", "status": "completed", "output": items}
    return Responses().read_answer(json.dumps(answer).encode())


def turn_of(tokens: list[StreamToken]) -> Message:
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    return builder.message()


def sent_back(*turns: Message) -> Any:
    request = ChatRequest(model="p/m", messages=turns)
    return json.loads(Responses().chat_body(request, "m", stream=False))["input"]


@pytest.mark.parametrize("items", ANSWERS)
def test_a_streamed_answer_goes_back_unchanged_and_in_order(items: list[Item]) -> None:
    assert sent_back(turn_of(streamed(items))) == items


@pytest.mark.parametrize("items", [ANSWERS[0], ANSWERS[2], ANSWERS[5]])
def test_a_unary_answer_goes_back_unchanged_and_in_order(items: list[Item]) -> None:
    assert sent_back(turn_of(unary(items))) == items


def test_a_turn_that_was_stored_as_json_goes_back_the_same() -> None:
    turn = turn_of(streamed(ANSWERS[1]))
    assert sent_back(msgspec.json.decode(msgspec.json.encode(turn), type=Message)) == ANSWERS[1]


def test_a_thought_in_words_is_not_said_beside_its_item() -> None:
    turn = turn_of(streamed(ANSWERS[0]))
    assert turn.parts[0].reasoning == "I look."
    assert json.dumps(sent_back(turn)).count("I look.") == 1


def test_a_thought_in_words_needs_its_item_and_not_its_name() -> None:
    parts = (Part(reasoning="I look."), Part(opaque=OpaquePart(kind="reasoning", raw='"rs_1"')))
    with pytest.raises(ProviderError, match="reasoning item"):
        sent_back(Message(role="assistant", parts=parts))


def test_what_a_custom_tool_gave_is_answered_as_such() -> None:
    turn = turn_of(streamed([CUSTOM, CALL]))
    results = (Message(role="tool", content=call.name, tool_call_id=call.id) for call in turn.calls())
    assert sent_back(turn, *results)[2:] == [
        {"type": "custom_tool_call_output", "call_id": "call_3", "output": "patch"},
        {"type": "function_call_output", "call_id": "call_1", "output": "look"},
    ]


def test_a_phase_that_is_no_word_is_not_sent() -> None:
    phase = OpaquePart(kind="phase", raw='["final_answer"]')
    assert sent_back(Message(role="assistant", parts=(Part(text="So."), Part(opaque=phase)))) == [spoken("So.")]


def test_members_that_may_not_be_null_are_left_out_of_an_item() -> None:
    item = {**SILENT, "status": None, "content": None}
    assert sent_back(turn_of(unary([item]))) == [SILENT]


def test_an_item_without_its_call_goes_back_as_it_stands() -> None:
    turn = turn_of([token for token in unary([PROGRAMMED]) if type(token).__name__ != "ToolCall"])
    assert sent_back(turn) == [PROGRAMMED]


def test_events_and_reports_are_no_items() -> None:
    decoder, out = Responses().decoder(), list[StreamToken]()
    for event in (
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Hi", "logprobs": [{"token": "Hi"}]},
        {"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": "x"}}},
    ):
        decoder.feed(Event(json.dumps(event)), out)
    assert len(turn_of(out).parts) == 4
    assert sent_back(turn_of(out)) == [spoken("Hi")]
