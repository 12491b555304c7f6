from typing import Any

import msgspec
import pytest

from rxlapce.simulator import Options, parse
from rxlapce.simulator.answers import TOPICS
from rxlapce.simulator.anthropic.messages_request import read_messages
from rxlapce.simulator.asked import Asked, BadBody
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.reply import End, Reply, compose, prompt_tokens
from rxlapce.simulator.tokenizer import seeded, tokenize

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
        "days": {"type": "integer", "minimum": 2, "maximum": 2},
        "alerts": {"type": ["boolean", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def chat(prompt: str, **members: Any) -> Asked:
    return read_chat(
        msgspec.json.encode({"model": "sim", "messages": [{"role": "user", "content": prompt}], **members})
    )


def reply_to(asked: Asked, options: str = "") -> Reply:
    return compose(asked, parse(options), seeded(3))[0]


@pytest.mark.parametrize(
    "prompt",
    ["Hello!", "What is backpressure?", "How do I retry errors?", "shared memory?", "Explain SSE", "Tell me a joke"],
)
def test_an_answer_takes_up_the_prompt_and_is_good_markdown_of_readable_length(prompt: str) -> None:
    reply = reply_to(chat(prompt))
    text = "".join(reply.text_pieces())
    assert prompt in text.splitlines()[0]
    assert 200 <= reply.text_tokens <= 500
    assert text.count("```") == 2
    assert any(line.startswith(("- ", "1. ")) for line in text.splitlines())
    assert not text.isascii()
    assert reply.end is End.STOP


def test_the_prompt_chooses_among_different_answers() -> None:
    prompts = ("What is backpressure?", "errors?", "shared memory", "hello", "what is a stream made of", "tell a joke")
    endings = {"".join(reply_to(chat(prompt)).text_pieces())[-200:] for prompt in prompts}
    assert len(endings) == len(TOPICS) + 1


def test_a_long_prompt_is_quoted_in_short() -> None:
    first_line = "".join(reply_to(chat("why " * 200)).text_pieces()).splitlines()[0]
    assert "…" in first_line
    assert len(first_line) < 200


@pytest.mark.parametrize("count", [0, 1, 7, 5_000])
def test_tokens_is_the_exact_number_of_pieces(count: int) -> None:
    reply = reply_to(chat("hi"), f"tokens={count},reasoning=3")
    assert len(list(reply.text_pieces())) == count
    assert len(list(reply.reasoning_pieces())) == 3
    assert reply.output_tokens == count + 3


def test_max_tokens_cuts_the_reasoning_first_and_then_the_text() -> None:
    reply = reply_to(chat("hi", max_tokens=10), "reasoning=4")
    assert (reply.reasoning_tokens, reply.text_tokens, reply.end) == (4, 6, End.LENGTH)
    assert reply_to(chat("hi", max_tokens=2), "reasoning=4").text_tokens == 0


def test_a_stop_sequence_ends_the_text_before_it() -> None:
    reply = reply_to(chat("What is backpressure?", stop=["nowhere", "kitchen"]))
    assert (reply.end, reply.stop_sequence) == (End.STOP_SEQUENCE, "kitchen")
    assert "".join(reply.text_pieces()).endswith("Think of a ")


@pytest.mark.parametrize(
    ("finish", "end"), [("length", End.LENGTH), ("content_filter", End.CONTENT_FILTER), ("refusal", End.REFUSAL)]
)
def test_the_ending_can_be_chosen(finish: str, end: End) -> None:
    assert reply_to(chat("hi"), f"finish={finish}").end is end


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in names]


def test_a_tool_that_the_prompt_names_is_called_with_arguments_that_fit_its_schema() -> None:
    reply = reply_to(chat("How is the weather in Kuala Lumpur?", tools=tools("get_weather", "send_mail")))
    assert [call.name for call in reply.calls] == ["get_weather"]
    assert reply.end is End.TOOL_CALLS
    assert msgspec.json.decode(reply.calls[0].arguments) == {
        "city": "Kuala Lumpur",
        "unit": "celsius",
        "days": 2,
        "alerts": True,
        "tags": ["tags"],
    }
    assert reply.output_tokens == len(tokenize(reply.calls[0].arguments))


def test_tools_are_called_only_when_asked_for() -> None:
    offered = tools("get_weather", "send_mail")
    assert reply_to(chat("hello", tools=offered)).calls == ()
    assert reply_to(chat("the weather", tools=offered, tool_choice="none")).calls == ()
    assert len(reply_to(chat("hello", tools=offered, tool_choice="required")).calls) == 1
    named = {"type": "function", "function": {"name": "send_mail"}}
    assert reply_to(chat("hello", tools=offered, tool_choice=named)).calls[0].name == "send_mail"
    assert len(reply_to(chat("hello", tools=offered), "tools=3").calls) == 3
    assert reply_to(chat("hello"), "tools=3").calls == ()


def test_tool_results_are_taken_up_by_the_answer() -> None:
    body: dict[str, Any] = {
        "model": "sim",
        "messages": [
            {"role": "user", "content": "the weather?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
            {"role": "tool", "tool_call_id": "1", "content": "22 degrees"},
        ],
        "tools": tools("get_weather"),
    }
    reply = reply_to(read_chat(msgspec.json.encode(body)))
    assert reply.calls == ()
    assert "- `22 degrees`" in "".join(reply.text_pieces())


def test_messages_body_is_read_into_the_same_shape() -> None:
    body: dict[str, Any] = {
        "model": "claude:tps=3",
        "max_tokens": 1050,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "the weather?"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "get_weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "cold"}]},
        ],
        "tools": [{"name": "get_weather", "input_schema": WEATHER}],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stream": True,
    }
    asked = read_messages(msgspec.json.encode(body))
    assert (asked.model, asked.options, asked.prompt, asked.max_tokens) == ("claude", "tps=3", "the weather?", 1050)
    assert asked.tool_results == ("cold",)
    assert asked.must_call
    assert asked.thinking
    assert asked.stream
    assert "Be brief." in asked.heard
    assert prompt_tokens(asked) > 8
    assert compose(asked, Options(), seeded(1))[0].reasoning_tokens > 0


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{", None, "We could not parse the JSON body"),
        (b'{"model":"m"}', "messages", "Missing required parameter: 'messages'."),
        (b'{"model":"m","messages":[]}', "messages", "Invalid 'messages': empty array"),
        (b'{"model":"m","messages":[{"role":"user","content":3}]}', None, r"\$.messages\[0\].content"),
        (b'{"model":"m","messages":[{"role":"user"}],"n":0}', "n", "Invalid 'n'"),
        (b'{"model":"m","messages":[{"role":"user"}],"max_tokens":0}', "max_tokens", "Invalid 'max_tokens'"),
    ],
)
def test_a_bad_body_names_the_member_at_fault(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(BadBody, match=message) as caught:
        read_chat(body)
    assert caught.value.param == param
