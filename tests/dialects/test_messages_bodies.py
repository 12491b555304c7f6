"""Anthropic's request bodies (golden), what they cannot say, the counting of tokens, and unary answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import AnthropicMessages
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Reported, Text, ToolCall, Usage, UsageReport

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
PNG = Image(data="iVBORw0K", media_type="image/png", detail="low")
CALL = RequestedCall(id="c1", name="look", arguments='{"path": "a"}')
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
SHORT_BODY = {"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]}
FULL = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(
            role="user",
            parts=(
                Part(text="Look."),
                Part(image=PNG),
                Part(image=Image(url="https://x.test/a.png"), cache="5m"),
            ),
        ),
        Message(
            role="assistant",
            parts=(
                Part(reasoning="Hm.", signature="s1"),
                Part(opaque=OpaquePart(kind="redacted_thinking", raw='{"type":"redacted_thinking","data":"x"}')),
                Part(text="Wait."),
                Part(tool_call=CALL),
            ),
            tool_calls=(RequestedCall(id="c2", name="look", arguments=""),),
        ),
        Message(role="tool", content="A", tool_call_id="c1"),
        Message(role="tool", parts=(Part(text="B"), Part(image=PNG, cache="1h")), tool_call_id="c2"),
        Message(role="developer", content="In French."),
        Message(role="user", content="And?"),
    ),
    max_tokens=3000,
    temperature=0.0,
    top_p=0.5,
    top_k=7,
    stop=("END",),
    tools=(
        Tool(name="look", description="Looks.", parameters=SCHEMA),
        Tool(name="stop", cache="1h"),
    ),
    tool_choice="look",
    parallel_tool_calls=False,
    response_format=ResponseFormat(json_schema=SCHEMA, name="n", strict=False),
    reasoning_effort="high",
    reasoning_tokens=2000,
    extra={"metadata": {"user_id": "u"}},
)
SOURCE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
PROMPT: dict[str, Any] = {
    "system": "Be brief.\n\nIn French.",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image", "source": SOURCE},
                {
                    "type": "image",
                    "source": {"type": "url", "url": "https://x.test/a.png"},
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s1"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "Wait."},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"path": "a"}},
                {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "A"},
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "content": [{"type": "text", "text": "B"}, {"type": "image", "source": SOURCE}],
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
            ],
        },
        {"role": "user", "content": "And?"},
    ],
    "tools": [
        {"name": "look", "description": "Looks.", "input_schema": SCHEMA},
        {
            "name": "stop",
            "input_schema": {"type": "object", "properties": {}},
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        },
    ],
    "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
}


def body(request: ChatRequest, *, stream: bool = False, dialect: AnthropicMessages | None = None) -> Any:
    return json.loads((dialect or AnthropicMessages()).chat_body(request, "m", stream=stream))


def count(request: ChatRequest, dialect: AnthropicMessages | None = None) -> Any:
    return json.loads((dialect or AnthropicMessages()).count_body(request, "m"))


def conversation(*messages: Message) -> ChatRequest:
    return ChatRequest(model="p/m", messages=messages)


def answer(*parts: Part) -> ChatRequest:
    return conversation(Message(role="assistant", parts=parts))


def opaque(kind: str, raw: Any, **members: Any) -> Part:
    return Part(opaque=OpaquePart(kind=kind, raw=json.dumps(raw)), **members)


def test_body_of_a_short_request() -> None:
    assert body(SHORT) == SHORT_BODY


def test_body_with_everything() -> None:
    assert body(FULL, stream=True) == {
        "model": "m",
        "max_tokens": 3000,
        **PROMPT,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 7,
        "stop_sequences": ["END"],
        "stream": True,
        "metadata": {"user_id": "u"},
    }


def test_extra_members_win() -> None:
    request = replace(SHORT, temperature=0.1, extra={"temperature": 1, "max_tokens": 5, "metadata": {"a": "b"}})
    assert body(request) == {**SHORT_BODY, "temperature": 1, "max_tokens": 5, "metadata": {"a": "b"}}


def test_a_server_with_the_model_in_its_url_is_told_the_version_instead() -> None:
    vertex = AnthropicMessages(model_in_body=False, version="vertex-2023-10-16")
    assert body(SHORT, stream=True, dialect=vertex) == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 4096,
        "messages": SHORT_BODY["messages"],
        "stream": True,
    }


# -- the prompt -----------------------------------------------------------------------------------------------------


def test_a_cache_mark_makes_blocks_of_the_system_prompt() -> None:
    request = conversation(
        Message(role="system", parts=(Part(text="A", cache="1h"), Part(text="B"))),
        Message(role="user", content="Hi"),
        Message(role="developer", content="C"),
    )
    assert body(request)["system"] == [
        {"type": "text", "text": "A", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "B"},
        {"type": "text", "text": "C"},
    ]


def test_a_cache_mark_makes_a_block_of_a_text() -> None:
    request = conversation(Message(role="user", parts=(Part(text="A", cache="5m"),)))
    block = {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}
    assert body(request)["messages"] == [{"role": "user", "content": [block]}]


def test_a_mark_inside_a_result_stays_on_its_piece_and_one_at_its_end_is_the_results() -> None:
    parts = (Part(text="A", cache="5m"), Part(text="B", cache="5m"))
    said = body(conversation(Message(role="tool", parts=parts, tool_call_id="c")))
    mark = {"type": "ephemeral"}
    assert said["messages"][0]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "c",
            "content": [{"type": "text", "text": "A", "cache_control": mark}, {"type": "text", "text": "B"}],
            "cache_control": mark,
        }
    ]


def test_a_tool_may_give_nothing() -> None:
    said = body(conversation(Message(role="tool", tool_call_id="c")))
    assert said["messages"][0]["content"] == [{"type": "tool_result", "tool_use_id": "c"}]


def test_blank_texts_beside_a_result_are_left_out() -> None:
    for texts, content in (((" ", "A", ""), "A"), (("\n", " "), None)):
        parts = (*(Part(text=text) for text in texts), Part(text=" ", cache="5m"))
        said = body(conversation(Message(role="tool", tool_call_id="c", parts=parts)))["messages"][0]["content"][0]
        assert (said.get("content"), said["cache_control"]) == (content, {"type": "ephemeral"})


def test_results_after_another_turn_start_a_turn_of_their_own() -> None:
    result, hi = Message(role="tool", content="A", tool_call_id="c"), Message(role="user", content="Hi")
    said = body(conversation(result, hi, result))["messages"]
    assert [turn["content"] == "Hi" for turn in said] == [False, True, False]


def test_texts_of_blanks_are_left_out_beside_others() -> None:
    said = body(answer(Part(text="\n\n"), Part(tool_call=CALL)))
    assert [block["type"] for block in said["messages"][0]["content"]] == ["tool_use"]


# -- choices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "parallel", "said"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", None, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("f", True, {"type": "tool", "name": "f", "disable_parallel_tool_use": False}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
    ],
)
def test_tool_choice(choice: str | None, parallel: bool | None, said: Any) -> None:
    assert body(replace(SHORT, tool_choice=choice, parallel_tool_calls=parallel))["tool_choice"] == said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"reasoning_tokens": 1024}, {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 5120}),
        ({"reasoning_tokens": 0}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "none", "reasoning_tokens": 0}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "max"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        (
            {"reasoning_effort": "low", "reasoning_tokens": 0},
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
        ),
    ],
)
def test_how_long_to_think(asked: dict[str, Any], said: dict[str, Any]) -> None:
    assert body(replace(SHORT, **asked)) == {**SHORT_BODY, **said}


def test_one_answer_may_be_asked_for_by_number() -> None:
    assert body(replace(SHORT, n=1)) == SHORT_BODY


# -- what cannot be said --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(SHORT, seed=1), "no seed: leave it out"),
        (replace(SHORT, presence_penalty=0.5), "no presence_penalty: leave it out"),
        (replace(SHORT, frequency_penalty=0.5), "no frequency_penalty: leave it out"),
        (replace(SHORT, n=2), "not n=2: ask 2 times"),
        (replace(SHORT, temperature=1.5), "temperature from 0 to 1, not 1.5"),
        (replace(SHORT, response_format=ResponseFormat()), "set response_format.json_schema, or leave it out"),
        (replace(SHORT, reasoning_effort="minimal"), "'minimal': say one of none, low, medium, high, xhigh, max"),
        (replace(SHORT, reasoning_tokens=1023), "1024 tokens at least, or with 0 not at all"),
        (replace(SHORT, reasoning_tokens=2048, max_tokens=2048), "larger than reasoning_tokens=2048, not 2048"),
        (replace(SHORT, reasoning_tokens=2048, reasoning_effort="none"), "contradict each other: leave one out"),
        (conversation(Message(role="tool", content="x")), "tool_call_id"),
        (conversation(Message(role="user", content="x", tool_call_id="c")), "leave its tool_call_id out"),
        (conversation(Message(role="user", content="x", tool_calls=(CALL,))), "user turn cannot hold tool call"),
        (conversation(Message(role="system", parts=(Part(image=PNG),))), "system turn cannot hold image"),
        (conversation(Message(role="system", content="x")), "a turn beside the system's"),
        (answer(Part(image=PNG)), "assistant turn cannot hold image"),
        (conversation(Message(role="user", parts=(Part(reasoning="x", signature="s"),))), "cannot hold reasoning"),
        (conversation(Message(role="user")), r"a turn that says nothing, and here is one \(user\): leave it out"),
        (conversation(Message(role="user", content=" \n")), "a turn that says nothing"),
        (answer(opaque("citations", [1])), "a turn that says nothing"),
        (answer(Part(reasoning="x"), Part(text="y")), r"Message.plain\(\)"),
        (answer(Part(tool_call=RequestedCall(id="c9", name="f", arguments="[1]"))), "tool call 'c9'"),
        (answer(Part(tool_call=RequestedCall(id="c9", name="f", arguments='"\ud800"'))), "tool call 'c9'"),
        (answer(Part(opaque=OpaquePart(kind="k", raw="{"))), "opaque 'k' piece is no JSON"),
        (answer(Part(reasoning="x", signature="s", cache="5m")), "mark a text, an image, a tool or its result"),
        (answer(opaque("redacted_thinking", {"type": "redacted_thinking"}, cache="5m")), "mark a text"),
        (answer(opaque("citations", [], cache="5m"), Part(text="y")), "mark a text"),
        (answer(Part(text=" ", cache="5m"), Part(text="y")), "mark a text"),
        (conversation(Message(role="user", parts=(Part(text="", cache="5m"), Part(text="y")))), "mark a text"),
        (
            conversation(Message(role="user", parts=(Part(image=Image(data="x", media_type="image/bmp")),))),
            "image/webp, not 'image/bmp'",
        ),
        (conversation(Message(role="user", parts=(Part(image=Image(url="gs://b/a")),))), "data and media_type instead"),
        (conversation(Message(role="user", content="\ud800")), "not to be written as JSON"),
        (replace(SHORT, extra={"tools": object()}), "not to be written as JSON"),
    ],
)
def test_what_anthropic_cannot_say_is_refused(request_: ChatRequest, why: str) -> None:
    for ask in (body, count):
        with pytest.raises(ProviderError, match=why) as caught:
            ask(request_)
        assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


# -- counting -------------------------------------------------------------------------------------------------------


def test_what_is_counted_is_the_prompt_without_the_wishes_for_the_answer() -> None:
    assert count(FULL) == {"model": "m", **PROMPT}


def test_extra_members_that_the_counting_knows_are_counted() -> None:
    request = replace(SHORT, extra={"mcp_servers": [{"name": "s"}], "service_tier": "auto"})
    assert count(request) == {"model": "m", "messages": SHORT_BODY["messages"], "mcp_servers": [{"name": "s"}]}


def test_counting_names_the_model_where_the_body_does_not() -> None:
    vertex = AnthropicMessages(model_in_body=False, version="vertex-2023-10-16")
    assert count(SHORT, vertex) == {
        "model": "m",
        "anthropic_version": "vertex-2023-10-16",
        "messages": SHORT_BODY["messages"],
    }


def test_a_count_is_read() -> None:
    assert AnthropicMessages().read_count(b'{"input_tokens": 0, "context_management": null}') == 0


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b'{"input_tokens": "7"}', b'{"input_tokens": null}', b"\xff"])
def test_an_answer_without_a_count_is_an_error(said: bytes) -> None:
    with pytest.raises(ProviderError, match="no count of tokens") as caught:
        AnthropicMessages().read_count(said)
    assert caught.value.kind is ErrorKind.PROTOCOL


# -- unary answers --------------------------------------------------------------------------------------------------


def test_unary_message() -> None:
    answer = {
        "type": "message",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "So", "citations": None},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "redacted_thinking", "data": "x"},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 2, "output_tokens": 3},
    }
    reported = Reported(input_tokens=2, output_tokens=3)
    assert AnthropicMessages().read_answer(json.dumps(answer).encode()) == [
        Reasoning("hm", "s"),
        Text("So"),
        ToolCall(0, "t1", "f"),
        ToolCall(0, arguments_delta='{"a":1}'),
        Opaque("redacted_thinking", '{"type":"redacted_thinking","data":"x"}'),
        UsageReport(Usage(input=2, output=3, total=5, reported=reported)),
        Finish(FinishKind.TOOL_CALLS, "tool_use", "claude-x"),
    ]
