"""OpenRouter's reasoning details: what the stream said goes back unchanged, signatures with their texts."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.answer import TurnBuilder
from rxlapce.codec.event import Event
from rxlapce.dialects import ChatCompletions
from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Opaque, Reasoning, StreamToken, Text, ToolCall, UsageReport

OPENROUTER = ChatCompletions(reasoning="openrouter", reasoning_back="reasoning_details")
CLAUDE = {"format": "anthropic-claude-v1", "index": 0}
OPENAI = {"format": "openai-responses-v1", "index": 0}


def delta(finish: str | None = None, **members: Any) -> Event:
    return Event(json.dumps({"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}))


def thinking(*details: dict[str, Any], text: str | None = None) -> Event:
    return delta(reasoning=text, reasoning_details=list(details), content="")


def streamed(*events: Event) -> list[StreamToken]:
    decoder, out = OPENROUTER.decoder(), list[StreamToken]()
    for event in events:
        assert decoder.feed(event, out) is False
    assert decoder.feed(Event("[DONE]"), out) is True
    return out


def sent_back(tokens: list[StreamToken]) -> dict[str, Any]:
    """The turn that the tokens make, as it stands in the next request's body; through JSON, as an editor has it."""
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    turn = msgspec.json.decode(msgspec.json.encode(builder.message()), type=Message)
    request = ChatRequest(model="p/m", messages=(turn,))
    said: dict[str, Any] = json.loads(OPENROUTER.chat_body(request, "m", stream=True))["messages"][0]
    return said


def test_the_thoughts_of_a_claude_with_a_tool_call() -> None:
    tokens = streamed(
        thinking({"type": "reasoning.text", "text": "I must ", **CLAUDE}, text="I must "),
        thinking({"type": "reasoning.text", "text": "look.", **CLAUDE}, text="look."),
        thinking({"type": "reasoning.text", "signature": "c2ln", **CLAUDE}),
        delta(content="Let me "),
        delta(content="look."),
        delta(tool_calls=[{"index": 0, "id": "toolu_1", "function": {"name": "look", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"path": '}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '"a"}'}}], finish="tool_calls"),
    )
    assert [token.text for token in tokens if isinstance(token, Reasoning)] == ["I must ", "look.", ""]
    assert sent_back(tokens) == {
        "role": "assistant",
        "content": "Let me look.",
        "reasoning": "I must look.",
        "reasoning_details": [{"type": "reasoning.text", "text": "I must look.", "signature": "c2ln", **CLAUDE}],
        "tool_calls": [
            {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}}
        ],
    }


def test_the_summary_and_the_encrypted_thoughts_of_an_openai_model() -> None:
    sealed = {"type": "reasoning.encrypted", "data": "gAAAA", "id": "rs_1", **OPENAI}
    tokens = streamed(
        thinking({"type": "reasoning.summary", "summary": "**Look", **OPENAI}, text="**Look"),
        thinking({"type": "reasoning.summary", "summary": "ing**", **OPENAI}, text="ing**"),
        thinking(sealed),
        delta(content="So.", finish="stop"),
    )
    assert sent_back(tokens) == {
        "role": "assistant",
        "content": "So.",
        "reasoning": "**Looking**",
        "reasoning_details": [{"type": "reasoning.summary", "summary": "**Looking**", **OPENAI}, sealed],
    }


def test_details_end_where_type_index_or_id_change() -> None:
    details = [
        {"type": "reasoning.text", "text": "a", "index": 0},
        {"type": "reasoning.text", "text": "b", "index": 1},
        {"type": "reasoning.summary", "summary": "c", "index": 1},
        {"type": "reasoning.summary", "summary": "d", "index": 1, "id": "r1"},
        {"type": "reasoning.summary", "summary": "e", "index": 1, "id": "r2"},
    ]
    back = sent_back(streamed(*(thinking(detail) for detail in details)))["reasoning_details"]
    merged = {"type": "reasoning.summary", "summary": "cd", "index": 1, "id": "r1"}
    assert back == [*details[:2], merged, details[4]]


def test_members_that_come_late_are_kept_and_null_undoes_none() -> None:
    tokens = streamed(
        thinking({"type": "reasoning.text", "text": "a", "signature": None, "format": "f", "index": 0}),
        thinking({"type": "reasoning.text", "text": None, "format": None, "index": 0, "id": "r1", "new": [1]}),
    )
    detail = {"type": "reasoning.text", "text": "a", "signature": None, "format": "f", "index": 0, "id": "r1"}
    assert sent_back(tokens)["reasoning_details"] == [detail | {"new": [1]}]


def test_a_signature_without_text_goes_back_without_text() -> None:
    detail = {"type": "reasoning.text", "signature": "c2ln", **CLAUDE}
    back = sent_back(streamed(thinking(detail), delta(content="So.")))
    assert back == {"role": "assistant", "content": "So.", "reasoning_details": [detail]}


def test_thoughts_between_pieces_of_the_answer_are_one_detail() -> None:
    piece = {"type": "reasoning.text", "index": 0}
    tokens = streamed(
        thinking(piece | {"text": "a"}), delta(content="So"), thinking(piece | {"text": "b"}), delta(content=".")
    )
    assert [type(token) for token in tokens[:4]] == [Reasoning, Text, Reasoning, Text]
    assert sent_back(tokens)["reasoning_details"] == [piece | {"text": "ab"}]


def test_where_the_two_ways_differ_the_reader_sees_the_plain_one() -> None:
    tokens = streamed(
        thinking({"type": "reasoning.text", "text": "ab", "index": 0}, text="b"),
        thinking({"type": "reasoning.encrypted", "data": "x"}, text="c"),
    )
    assert [token.text for token in tokens if isinstance(token, Reasoning)] == ["b", "c"]


def test_plain_thoughts_have_no_details() -> None:
    assert sent_back(streamed(delta(reasoning="hm"), delta(content="So."))) == {
        "role": "assistant",
        "content": "So.",
        "reasoning": "hm",
    }


def test_the_details_of_a_whole_answer_go_back_as_they_are() -> None:
    details = [
        {"type": "reasoning.summary", "summary": "a", "id": "rs_1", **OPENAI},
        {"type": "reasoning.summary", "summary": "b", "id": "rs_1", **(OPENAI | {"index": 1})},
        {"type": "reasoning.encrypted", "data": "gAAAA", "id": "rs_1", **(OPENAI | {"index": 2})},
    ]
    message = {"role": "assistant", "content": "So.", "reasoning": "ab", "reasoning_details": details}
    answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    assert sent_back(OPENROUTER.read_answer(json.dumps(answer).encode())) == message


def test_labels_come_before_the_usage_and_belong_to_their_choice() -> None:
    chunk = {"index": 1, "delta": {"reasoning_details": [{"type": "reasoning.text", "text": "a"}]}}
    tokens = streamed(Event(json.dumps({"choices": [chunk], "usage": {"prompt_tokens": 1}})))
    assert tokens[1] == Opaque("reasoning_details", '{"type":"reasoning.text","text":""}', 1)
    assert isinstance(tokens[2], UsageReport)


TEXTS = st.text(max_size=4)
SUMMARY: dict[str, st.SearchStrategy[Any]] = {"type": st.just("reasoning.summary"), "summary": TEXTS}
DETAILS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("reasoning.text"), "text": TEXTS, "signature": st.none() | TEXTS}),
        st.fixed_dictionaries(SUMMARY, optional={"id": TEXTS}),
        st.fixed_dictionaries({"type": st.just("reasoning.encrypted"), "data": TEXTS, "format": st.none() | TEXTS}),
    ),
    max_size=5,
)


@settings(max_examples=examples(150))
@given(DETAILS, st.integers(1, 3), st.booleans())
def test_whatever_details_a_stream_says_in_pieces_go_back(
    details: list[dict[str, Any]], size: int, plain: bool
) -> None:
    numbered = [detail | {"index": index} for index, detail in enumerate(details)]
    events = [event for detail in numbered for event in in_pieces(detail, size, plain=plain)]
    back = sent_back(streamed(*events, delta(content="So.")))
    assert back.get("reasoning_details", []) == numbered
    assert back["content"] == "So."


def in_pieces(detail: dict[str, Any], size: int, *, plain: bool) -> list[Event]:
    """The detail as a stream says it: its text a few characters at a time, its signature in a piece of its own."""
    member = {"reasoning.text": "text", "reasoning.summary": "summary"}.get(detail["type"])
    if member is None:
        return [thinking(detail)]
    text = detail[member]
    cuts = [text[at : at + size] for at in range(0, len(text), size)] or [""]
    bare = {name: value for name, value in detail.items() if name not in (member, "signature")}
    pieces = [thinking(bare | {member: cut}, text=cut if plain else None) for cut in cuts]
    return [*pieces, *([thinking(bare | {"signature": detail["signature"]})] if "signature" in detail else [])]


@pytest.mark.parametrize("details", ["text", 7, {"type": 3}, [None, [], {"type": ["reasoning.text"]}]])
def test_details_of_no_known_shape_are_passed_on(details: Any) -> None:
    opaque = [token for token in streamed(delta(reasoning_details=details)) if isinstance(token, Opaque)]
    assert [json.loads(token.raw) for token in opaque] == (details if isinstance(details, list) else [details])


def test_calls_are_whole_in_the_turn_that_goes_back() -> None:
    calls = [ToolCall(0, "a", "f", "{"), ToolCall(1, None, "g", "[1,"), ToolCall(0, None, None, "}")]
    assert sent_back([*calls, ToolCall(1, None, None, " 2]")]) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "[1, 2]"}},
        ],
    }
