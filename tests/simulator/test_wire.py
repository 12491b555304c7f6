"""The vendors' bytes: shapes compared with recordings, and what a decoder would make of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rxlapce.simulator import Close, Step, parse, recite
from rxlapce.simulator.anthropic.messages import MessagesAnswer
from rxlapce.simulator.anthropic.messages_request import read_messages
from rxlapce.simulator.openai.chat_completions import ChatCompletion
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.recital import Recited as Dialect
from rxlapce.simulator.reply import compose
from rxlapce.simulator.tokenizer import seeded

Shape = Any


CHAT_TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {}}}}}
]


def shape(value: Any) -> Shape:
    """The keys of a JSON value in their order, and the types of what is in them; numbers are one type."""
    if isinstance(value, dict):
        members = msgspec.convert(value, dict[str, Any])
        return {key: shape(member) for key, member in members.items()}
    if isinstance(value, list):
        items = msgspec.convert(value, list[Any])
        return [shape(items[0])] if items else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def ordered(value: Shape) -> str:
    return msgspec.json.encode(value).decode()


def payloads(stream: bytes) -> list[Any]:
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]


def body(prompt: str, **members: Any) -> bytes:
    return msgspec.json.encode(
        {"model": "sim", "max_tokens": 4096, "messages": [{"role": "user", "content": prompt}], **members}
    )


def chat_stream(request: bytes, options: str = "", seed: int = 1) -> bytes:
    asked, chance = read_chat(request), seeded(seed)
    wire = ChatCompletion(asked, chance)
    return b"".join(data for _, data in wire.events(compose(asked, parse(options), chance)))


def messages_stream(request: bytes, options: str = "", seed: int = 1) -> bytes:
    asked, chance = read_messages(request), seeded(seed)
    wire = MessagesAnswer(asked, chance)
    return b"".join(data for _, data in wire.events(compose(asked, parse(options), chance)))


def bytes_of(steps: Iterator[Step | Close]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Step))


# -- chat completions -----------------------------------------------------------------------------------------------


def test_a_chat_stream_has_the_keys_of_a_recorded_one_in_their_order(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "chat-length-long-gpt-4o.sse").read_bytes())
    mine = payloads(chat_stream(body("hi"), "tokens=4"))
    assert [ordered(shape(event)) for event in mine[:2]] == [ordered(shape(event)) for event in recorded[:2]]
    finish = next(event for event in recorded if event["choices"] and event["choices"][0]["finish_reason"])
    assert ordered(shape(mine[5])) == ordered(shape(finish))


def test_a_chat_stream_with_usage_has_null_in_every_other_chunk_as_recorded(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "chat-length-gpt-5-nano.sse").read_bytes())
    mine = payloads(chat_stream(body("hi", stream_options={"include_usage": True}), "tokens=4"))
    assert ordered(shape(mine[-1])) == ordered(shape(recorded[-1])).replace(
        '"system_fingerprint":"NoneType"', '"system_fingerprint":"str"'
    )
    assert [event["usage"] for event in mine[:-1]] == [None] * (len(mine) - 1)
    assert all("usage" not in event for event in payloads(chat_stream(body("hi"))))


def test_padded_chat_lines_have_the_length_modulo_16_of_the_recorded_ones(recordings: Path) -> None:
    recorded = (recordings / "openai" / "chat-long-gpt-4-1-mini.sse").read_bytes()
    for stream in (recorded, chat_stream(body("What is a stream? 🦀", stream_options={"include_usage": True}))):
        lines = [line for line in stream.split(b"\n\n") if b'"obfuscation"' in line]
        assert {len(line.decode()) % 16 for line in lines} == {7}


def test_obfuscation_is_left_out_on_request_and_the_text_stays() -> None:
    plain = chat_stream(body("hi", stream_options={"include_obfuscation": False}))
    assert b"obfuscation" not in plain
    padded = chat_stream(body("hi"))
    assert all("obfuscation" in event for event in payloads(padded))


def test_a_single_tool_call_starts_in_the_first_chunk_as_recorded(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "chat-tool-gpt-4o.sse").read_bytes())
    mine = payloads(chat_stream(body("look", tools=CHAT_TOOLS, stream_options={"include_usage": True})))
    assert [ordered(shape(event)) for event in mine[:2]] == [ordered(shape(event)) for event in recorded[:2]]
    assert mine[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_parallel_tool_calls_each_start_in_a_chunk_of_their_own_as_recorded(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "chat-parallel-tools-gpt-4o-2.sse").read_bytes())
    mine = payloads(chat_stream(body("look", tools=CHAT_TOOLS), "tools=2"))
    deltas = [[event["choices"][0]["delta"] for event in stream[:3]] for stream in (mine, recorded)]
    assert [ordered(shape(delta)) for delta in deltas[0]] == [ordered(shape(delta)) for delta in deltas[1]]
    calls = [call for event in mine for call in event["choices"][0]["delta"].get("tool_calls", [])]
    joined = {0: "", 1: ""}
    for call in calls:
        joined[call["index"]] += call["function"]["arguments"]
    assert [msgspec.json.decode(text) for text in joined.values()] == [{"at": {}}, {"at": {}}]


def test_a_refusal_has_deltas_of_its_own_as_recorded(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "chat-refusal-gpt-4o.sse").read_bytes())
    mine = payloads(chat_stream(body("hi"), "finish=refusal"))
    deltas = [[event["choices"][0]["delta"] for event in stream[:2]] for stream in (mine, recorded)]
    assert [ordered(shape(delta)) for delta in deltas[0]] == [ordered(shape(delta)) for delta in deltas[1]]
    refusal = "".join(event["choices"][0]["delta"].get("refusal", "") for event in mine)
    assert refusal == "I'm sorry, but I can't help with that request."


def test_several_choices_interleave_and_each_one_ends() -> None:
    events = payloads(chat_stream(body("hi", n=3), "tokens=2"))
    order = [event["choices"][0]["index"] for event in events]
    assert order == [0, 0, 1, 1, 2, 2, 0, 1, 2, 0, 1, 2]
    assert [event["choices"][0]["finish_reason"] for event in events[-3:]] == ["stop"] * 3


def test_reasoning_comes_before_the_text_and_is_counted_apart() -> None:
    events = payloads(chat_stream(body("hi", stream_options={"include_usage": True}), "reasoning=3,tokens=2"))
    kinds = [list(event["choices"][0]["delta"])[-1] for event in events[1:6]]
    assert kinds == ["reasoning_content"] * 3 + ["content"] * 2
    usage = events[-1]["usage"]
    assert (usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]) == (5, 3)


def test_a_unary_chat_answer_says_the_same_as_the_stream() -> None:
    request = body("What is backpressure?")
    asked, chance = read_chat(request), seeded(1)
    wire = ChatCompletion(asked, chance)
    whole = msgspec.json.decode(wire.unary(compose(asked, parse(""), chance)))
    streamed = payloads(chat_stream(request))
    assert whole["id"] == streamed[0]["id"]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in streamed)
    assert whole["choices"][0]["message"]["content"] == text
    assert whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"]


# -- messages -------------------------------------------------------------------------------------------------------


def names(stream: bytes) -> list[str]:
    return [line[7:].decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]


def test_a_messages_stream_has_the_events_and_keys_of_a_recorded_one(recordings: Path) -> None:
    recorded = (recordings / "anthropic" / "messages-text-claude-haiku-4-5.sse").read_bytes()
    mine = messages_stream(body("hi"), "tokens=1")
    assert names(mine) == names(recorded)
    assert [ordered(shape(event)) for event in payloads(mine)] == [
        ordered(shape(event)) for event in payloads(recorded)
    ]


def test_messages_lines_are_padded_with_blanks_before_the_last_brace() -> None:
    lines = [line for line in messages_stream(body("hi")).split(b"\n") if line.startswith(b"data: ")]
    paddings = {len(line) - len(line.rstrip(b"}").rstrip(b" ")) for line in lines}
    assert len(paddings) > 10
    assert b'event: ping\ndata: {"type": "ping"}\n\n' in messages_stream(body("hi"))


def test_a_thinking_block_comes_first_and_ends_with_its_signature_as_recorded(recordings: Path) -> None:
    recorded = payloads((recordings / "anthropic" / "messages-reasoning-claude-haiku-4-5.sse").read_bytes())
    mine = payloads(messages_stream(body("hi", thinking={"type": "enabled", "budget_tokens": 1024}), "tokens=2"))
    kinds = [event.get("delta", {}).get("type") for event in mine]
    assert kinds.index("signature_delta") < kinds.index("text_delta")
    for kind in ("thinking_delta", "signature_delta", "text_delta"):
        first = [
            next(event for event in stream if event.get("delta", {}).get("type") == kind) for stream in (mine, recorded)
        ]
        assert ordered(shape(first[0])) == ordered(shape(first[1]))
    assert ordered(shape(mine[-2])) == ordered(shape(recorded[-2]))


def test_a_tool_block_starts_empty_and_its_pieces_join_to_json() -> None:
    tools = [{"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}]
    events = payloads(messages_stream(body("look", tools=tools)))
    start = next(event for event in events if event["type"] == "content_block_start")
    assert list(start["content_block"]) == ["type", "id", "name", "input"]
    pieces = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert pieces[0] == ""
    assert msgspec.json.decode("".join(pieces)) == {"at": "at"}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_refused_message_has_no_block_as_recorded(recordings: Path) -> None:
    recorded = (recordings / "anthropic" / "messages-refusal-claude-fable-5.sse").read_bytes()
    mine = messages_stream(body("hi"), "finish=refusal")
    assert names(mine) == names(recorded)
    assert payloads(mine)[-2]["delta"]["stop_reason"] == "refusal"


def test_final_usage_counts_the_whole_message() -> None:
    events = payloads(messages_stream(body("hi"), "tokens=9"))
    assert events[0]["message"]["usage"]["output_tokens"] == 1
    assert events[-2]["usage"]["output_tokens"] == 9
    assert events[-2]["usage"]["input_tokens"] == events[0]["message"]["usage"]["input_tokens"]


def test_a_unary_message_says_the_same_as_the_stream() -> None:
    request = body("What is backpressure?")
    asked, chance = read_messages(request), seeded(1)
    wire = MessagesAnswer(asked, chance)
    whole = msgspec.json.decode(wire.unary(compose(asked, parse(""), chance)))
    streamed = payloads(messages_stream(request))
    text = "".join(event["delta"]["text"] for event in streamed if event["type"] == "content_block_delta")
    assert whole["content"] == [{"type": "text", "text": text}]
    assert whole["stop_reason"] == "end_turn"
    assert list(whole) == list(streamed[0]["message"])


# -- all -----------------------------------------------------------------------------------------------------------

DIALECTS: tuple[Dialect, ...] = ("chat_completions", "responses", "completions", "messages", "ollama")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_same_seed_same_bytes_and_another_seed_other_ids(dialect: Dialect) -> None:
    first = bytes_of(recite("hi", dialect=dialect, seed=4))
    assert first == bytes_of(recite("hi", dialect=dialect, seed=4))
    assert first != bytes_of(recite("hi", dialect=dialect, seed=5))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_non_ascii_text_is_utf_8_and_not_escaped(dialect: Dialect) -> None:
    assert "🐢".encode() in bytes_of(recite("What is backpressure?", dialect=dialect))
