"""Chat completions as Azure, xAI and OpenRouter send them, and legacy completions, compared with recordings."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.azure.chat import AzureChatCompletion
from rxlapce.simulator.azure.responses import AzureCompletion, AzureResponsesAnswer
from rxlapce.simulator.openai.chat_completions import ChatCompletion
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.completions import Completion, read_completions
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.openrouter.chat import OpenRouterChatCompletion
from rxlapce.simulator.options import parse
from rxlapce.simulator.reply import compose
from rxlapce.simulator.tokenizer import seeded
from rxlapce.simulator.wire import Wire
from rxlapce.simulator.xai.chat import XaiChatCompletion


def asked(**members: Any) -> Asked:
    turns = [{"role": "user", "content": "look at Paris"}]
    return read_chat(msgspec.json.encode({"model": "sim", "messages": turns, **members}))


def stream(wire: Wire, of: Asked, options: str = "") -> bytes:
    return b"".join(data for _, data in wire.events(compose(of, parse(options), seeded(2))))


def chat(kind: type[ChatCompletion], options: str = "", **members: Any) -> bytes:
    of = asked(**members)
    return stream(kind(of, seeded(1)), of, options)


def payloads(body: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]


def keys(chunk: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The members of a chunk, of its choice, and of its delta, in order."""
    choice: dict[str, Any] = chunk["choices"][0] if chunk["choices"] else {}
    return list(chunk), list(choice), sorted(choice.get("delta", {}))


# -- Azure ----------------------------------------------------------------------------------------------------------


def test_azure_begins_with_what_the_filter_found_in_the_prompt(recordings: Path) -> None:
    recorded = payloads((recordings / "azure" / "chat-emoji-gpt-4-1-mini.sse").read_bytes())
    mine = payloads(chat(AzureChatCompletion, "tokens=2"))
    assert mine[0] == recorded[0]
    assert [keys(chunk) for chunk in mine[1:3]] == [keys(chunk) for chunk in recorded[1:3]]
    assert keys(mine[-1]) == keys(recorded[-1])


def test_azures_padded_lines_are_a_multiple_of_sixteen(recordings: Path) -> None:
    recorded = (recordings / "azure" / "chat-text-gpt-5-2.sse").read_bytes()
    mine = chat(AzureChatCompletion, "tokens=60", stream_options={"include_usage": True})
    lengths = [len(line) % 16 for line in recorded.decode().split("\n\n") if '"content":" ' in line]
    assert max(set(lengths), key=lengths.count) == 0
    assert {len(line) % 16 for line in mine.decode().split("\n\n") if '"obfuscation"' in line} == {0}


def test_azure_says_that_it_blocked_an_answer_and_why() -> None:
    last = payloads(chat(AzureChatCompletion, "finish=content_filter"))[-1]["choices"][0]
    assert last["finish_reason"] == "content_filter"
    assert last["content_filter_results"]["violence"] == {"filtered": True, "severity": "medium"}
    of = asked()
    whole = msgspec.json.decode(AzureChatCompletion(of, seeded(1)).unary(compose(of, parse(""), seeded(1))))
    assert list(whole) == sorted(whole)
    assert not whole["choices"][0]["content_filter_results"]["violence"]["filtered"]


def test_azures_other_answers_tell_of_the_filter_too() -> None:
    of = read_completions(msgspec.json.encode({"model": "sim", "prompt": "hi"}))
    first = payloads(stream(AzureCompletion(of, seeded(1)), of))[0]
    assert (first["choices"], list(first["prompt_filter_results"][0])) == (
        [],
        ["prompt_index", "content_filter_results"],
    )
    of = read_responses(msgspec.json.encode({"model": "sim", "input": "hi"}))
    last = payloads(stream(AzureResponsesAnswer(of, seeded(1)), of, "finish=content_filter"))[-1]["response"]
    assert last["content_filters"][0]["blocked"]


# -- xAI ------------------------------------------------------------------------------------------------------------


def test_xais_chunks_have_the_members_of_recorded_ones(recordings: Path) -> None:
    recorded = payloads((recordings / "xai" / "chat-tool-reasoning-prompt-cache-grok-3-mini.sse").read_bytes())
    tools = [{"type": "function", "function": {"name": "look"}}]
    mine = payloads(chat(XaiChatCompletion, "reasoning=4", tools=tools))
    for at in (0, 1, -3, -2, -1):
        assert keys(mine[at]) == keys(recorded[at])
    call, recorded_call = (events[-3]["choices"][0]["delta"]["tool_calls"][0] for events in (mine, recorded))
    assert list(call) == list(recorded_call)
    assert list(mine[-1]["usage"]) == list(recorded[-1]["usage"])


def test_xais_output_leaves_out_the_reasoning_and_its_total_does_not() -> None:
    usage = payloads(chat(XaiChatCompletion, "reasoning=30,tokens=5"))[-1]["usage"]
    assert (usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]) == (5, 30)
    assert usage["total_tokens"] == usage["prompt_tokens"] + 35


# -- OpenRouter -----------------------------------------------------------------------------------------------------


def test_openrouters_chunks_have_the_members_of_recorded_ones(recordings: Path) -> None:
    recorded = payloads((recordings / "openrouter" / "chat-tool-claude-4-5-haiku-3.sse").read_bytes())
    body = chat(OpenRouterChatCompletion, "tokens=3")
    mine = payloads(body)
    assert body.startswith(b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: {")
    assert keys(mine[1])[:2] == keys(recorded[0])[:2]
    assert keys(mine[-2]) == keys(recorded[-2])
    assert mine[-1]["choices"] == mine[-2]["choices"]
    assert list(mine[-1]["usage"]["cost_details"]) == list(recorded[-1]["usage"]["cost_details"])
    assert mine[-1]["usage"].keys() == recorded[-1]["usage"].keys()
    assert (mine[0]["model"], mine[0]["provider"]) == ("simulator/sim", "Simulator")


def test_openrouters_reasoning_is_a_text_and_its_details() -> None:
    delta = payloads(chat(OpenRouterChatCompletion, "reasoning=2"))[1]["choices"][0]["delta"]
    assert delta["reasoning"] == delta["reasoning_details"][0]["text"] != ""
    hidden = chat(OpenRouterChatCompletion, "reasoning=2", reasoning={"exclude": True})
    assert b"reasoning_details" not in hidden


def test_openrouters_error_in_mid_stream_is_a_chunk_and_then_done(recordings: Path) -> None:
    name = "chat-mid-stream-error-reasoning-length-minimax-m2-free.sse"
    recorded = payloads((recordings / "openrouter" / name).read_bytes())[-1]
    error = OpenRouterChatCompletion(asked(), seeded(1)).error()
    assert error.endswith(b"\n\ndata: [DONE]\n\n")
    (chunk,) = payloads(error)
    assert chunk.keys() | {"usage"} == recorded.keys()
    assert chunk["choices"][0]["finish_reason"] == "error"
    assert chunk["error"]["metadata"]["provider_name"] == "Simulator"


# -- legacy completions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["completions-text-gpt-3-5-turbo-instruct-2", "completions-length-davinci-002"])
def test_completions_have_the_members_of_recorded_ones(recordings: Path, name: str) -> None:
    recorded = payloads((recordings / "openai" / f"{name}.sse").read_bytes())
    of = read_completions(msgspec.json.encode({"model": "sim", "prompt": "hi"}))
    mine = payloads(stream(Completion(of, seeded(1)), of, "tokens=3"))
    shapes = [{(tuple(event), tuple(event["choices"][0])) for event in events} for events in (mine, recorded)]
    assert shapes[0] <= shapes[1]
    assert mine[-1]["choices"][0] == {"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}


def test_completions_give_several_choices_in_turn() -> None:
    of = read_completions(msgspec.json.encode({"model": "sim", "prompt": "hi", "n": 2}))
    events = payloads(stream(Completion(of, seeded(1)), of, "tokens=2"))
    assert [event["choices"][0]["index"] for event in events] == [0, 1, 0, 1, 0, 1]
