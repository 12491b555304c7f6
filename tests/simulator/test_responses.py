"""The Responses wire compared with recordings, and its two shapes of an error."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rxlapce.simulator.openai.responses import ResponsesAnswer
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.openrouter.responses import OpenRouterResponsesAnswer
from rxlapce.simulator.options import parse
from rxlapce.simulator.reply import compose
from rxlapce.simulator.tokenizer import seeded
from rxlapce.simulator.xai.responses import XaiResponsesAnswer

TOOLS = [{"type": "function", "name": "look", "parameters": {"properties": {"at": {"type": "string"}}}}]


def wire(
    options: str = "", *, seed: int = 1, kind: type[ResponsesAnswer] = ResponsesAnswer, **members: Any
) -> tuple[ResponsesAnswer, bytes]:
    asked = read_responses(msgspec.json.encode({"model": "sim", "input": "look at Paris", **members}))
    chance = seeded(seed)
    answer = kind(asked, chance)
    return answer, b"".join(data for _, data in answer.events(compose(asked, parse(options), chance)))


def payloads(stream: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    """The types of the events in order, each run of deltas as one."""
    named = [event["type"] for event in events]
    return [name for at, name in enumerate(named) if not at or name != named[at - 1]]


def test_a_text_has_the_events_and_members_of_a_recorded_one(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "responses-text-gpt-5-5.sse").read_bytes())
    mine = payloads(wire("tokens=1", reasoning={"effort": "none"})[1])
    assert kinds(mine) == kinds(recorded)
    assert [list(event) for event in mine] == [list(event) for event in recorded]
    for mine_item, recorded_item in zip(mine[7:8], recorded[7:8], strict=True):
        assert mine_item["item"].keys() | {"phase"} == recorded_item["item"].keys()
    assert mine[-1]["response"].keys() <= recorded[-1]["response"].keys()
    assert mine[-1]["response"]["usage"].keys() == recorded[-1]["response"]["usage"].keys()


def test_reasoning_has_the_events_and_members_of_a_recorded_one(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "responses-reasoning-long-o4-mini.sse").read_bytes())
    wanted: dict[str, Any] = {"effort": "low", "summary": "auto"}
    mine = payloads(wire("", reasoning=wanted, include=["reasoning.encrypted_content"])[1])
    assert set(kinds(mine)) == set(kinds(recorded))  # the recorded summary has several parts
    firsts = [{event["type"]: list(event) for event in reversed(stream)} for stream in (mine, recorded)]
    assert firsts[0] == firsts[1]
    added = [next(event["item"] for event in stream if "item" in event) for stream in (mine, recorded)]
    assert list(added[0]) == list(added[1])


def test_calls_have_the_events_of_recorded_ones(recordings: Path) -> None:
    recorded = payloads((recordings / "openai" / "responses-parallel-tools-gpt-5-4.sse").read_bytes())
    mine = payloads(wire("tools=2", tools=TOOLS)[1])
    calls = [
        [kind for kind in kinds(stream) if "arguments" in kind or "output_item" in kind][-8:]
        for stream in (mine, recorded)
    ]
    assert calls[0] == calls[1]


def test_every_event_has_its_number_and_every_delta_is_padded_to_sixteen(recordings: Path) -> None:
    for stream in (wire("reasoning=9")[1], (recordings / "openai" / "responses-tool-gpt-4o-mini.sse").read_bytes()):
        events = payloads(stream)
        numbers = [event["sequence_number"] for event in events]
        assert numbers == sorted(set(numbers))
        padded = [event for event in events if "obfuscation" in event]
        assert {(len(event["delta"]) + len(event["obfuscation"])) % 16 for event in padded} <= {0}
    assert numbers
    assert b"obfuscation" not in wire(stream_options={"include_obfuscation": False})[1]


def test_the_deltas_join_to_what_the_end_says() -> None:
    events = payloads(wire("reasoning=20")[1])
    said = {"response.output_text.delta": "", "response.reasoning_summary_text.delta": ""}
    for event in events:
        if event["type"] in said:
            said[event["type"]] += event["delta"]
    reasoning, message = events[-1]["response"]["output"]
    assert said["response.output_text.delta"] == message["content"][0]["text"]
    assert said["response.reasoning_summary_text.delta"] == reasoning["summary"][0]["text"]


def test_reasoning_without_a_summary_comes_sealed_or_not_at_all() -> None:
    sealed = payloads(wire("", reasoning={"effort": "low"}, include=["reasoning.encrypted_content"])[1])
    assert "response.reasoning_summary_text.delta" not in kinds(sealed)
    assert sealed[-1]["response"]["output"][0]["encrypted_content"].startswith("gAAAAAB")
    assert sealed[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 48
    bare = payloads(wire("", reasoning={"effort": "low"})[1])
    assert bare[-1]["response"]["output"][0]["summary"] == []
    assert "encrypted_content" not in bare[-1]["response"]["output"][0]


def test_the_response_repeats_the_request() -> None:
    response = payloads(wire(instructions="Be brief.", max_output_tokens=99, tools=TOOLS, store=False)[1])[0][
        "response"
    ]
    repeated = {name: response[name] for name in ("instructions", "max_output_tokens", "tools", "store", "temperature")}
    assert repeated == {
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "tools": TOOLS,
        "store": False,
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        ("finish=length", "incomplete", "max_output_tokens"),
        ("finish=content_filter", "incomplete", "content_filter"),
        ("", "completed", None),
    ],
)
def test_the_last_event_tells_how_it_ended(options: str, status: str, reason: str | None) -> None:
    last = payloads(wire(options)[1])[-1]
    assert (last["type"], last["response"]["status"]) == (f"response.{status}", status)
    assert last["response"]["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert (last["response"]["completed_at"] is None) == (status == "incomplete")


def test_an_error_comes_in_either_shape_and_a_failed_response_follows(recordings: Path) -> None:
    nested = payloads((recordings / "openai" / "responses-mid-stream-error.sse").read_bytes())[2]
    shapes: set[bool] = set()
    for seed in range(12):
        error, failed = payloads(wire(seed=seed)[0].error())
        shapes.add("error" in error)
        assert (error["type"], failed["type"]) == ("error", "response.failed")
        said = error.get("error", error)
        assert said["code"] == failed["response"]["error"]["code"] == "server_error"
        if "error" in error:
            assert error.keys() == nested.keys()
            assert error["error"].keys() == nested["error"].keys()
        assert failed["sequence_number"] == error["sequence_number"] + 1
    assert shapes == {True, False}


def test_openrouter_names_no_events_and_says_done(recordings: Path) -> None:
    recorded = (recordings / "openrouter" / "responses-text-gpt-5-nano.sse").read_bytes()
    mine = wire("reasoning=0", kind=OpenRouterResponsesAnswer)[1]
    for stream in (recorded, mine):
        assert b"\nevent:" not in stream
        assert stream.endswith(b"data: [DONE]\n\n")
    usage, mine_usage = (payloads(stream)[-1]["response"]["usage"] for stream in (recorded, mine))
    assert usage.keys() == mine_usage.keys()
    assert mine_usage["cost"] > 0


def test_xai_says_what_it_cost_in_ticks(recordings: Path) -> None:
    recorded = payloads((recordings / "xai" / "responses-reasoning-prompt-cache-grok-4-3.sse").read_bytes())
    mine = payloads(wire("reasoning=5,tokens=5", kind=XaiResponsesAnswer)[1])
    usage, mine_usage = recorded[-1]["response"]["usage"], mine[-1]["response"]["usage"]
    assert list(usage) == list(mine_usage)
    assert mine_usage["cost_in_usd_ticks"] == mine_usage["input_tokens"] * 2000 + 10 * 5000
