from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.routing.needs import ANSWER_TOKENS, IMAGE_TOKENS, needs_of


def ask(*messages: Message, tools: tuple[Tool, ...] = (), max_tokens: int | None = None) -> ChatRequest:
    return ChatRequest(model="a/1", messages=messages, tools=tools, max_tokens=max_tokens)


def said(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("abc", 1), ("abcd", 1), ("abcde", 2), ("你好你好", 3), ("éé", 1), ("🦀🦀", 2), ("\ud800", 1)],
)
def test_four_bytes_are_a_token_and_a_begun_one_counts(text: str, tokens: int) -> None:
    assert needs_of(ask(said(text))).prompt_tokens == tokens


def test_all_that_is_sent_counts() -> None:
    parts = (
        Part(text="1234"),
        Part(reasoning="12345678", signature="s"),
        Part(opaque=OpaquePart(kind="k", raw="1234")),
        Part(tool_call=RequestedCall(id="c", name="name", arguments="{}12")),
    )
    assert needs_of(ask(Message(role="assistant", parts=parts))).prompt_tokens == 6
    tool = Tool(name="name", description="tell", parameters={"a": 1})
    assert needs_of(ask(said(""), tools=(tool,))).prompt_tokens == -(-(8 + len('{"a":1}')) // 4)


def test_pictures_and_tools_are_seen() -> None:
    plain = needs_of(ask(said("hi")))
    assert (plain.images, plain.tools, plain.tokens) == (False, False, 1 + ANSWER_TOKENS)
    picture = Part(image=Image(url="https://example.org/a.png"))
    needs = needs_of(ask(Message(role="user", parts=(picture, picture)), tools=(Tool(name="f"),)))
    assert (needs.images, needs.tools) == (True, True)
    assert needs.prompt_tokens >= 2 * IMAGE_TOKENS


def test_a_bound_on_the_answer_takes_the_place_of_the_guess() -> None:
    bounded, guessed = needs_of(ask(said("hi"), max_tokens=7)), needs_of(ask(said("hi")))
    assert (bounded.answer_tokens, bounded.answer_is_bounded) == (7, True)
    assert (guessed.answer_tokens, guessed.answer_is_bounded) == (ANSWER_TOKENS, False)


CALL = RequestedCall(id="c", name="f", arguments="{}")


@pytest.mark.parametrize(
    "turn",
    [
        Message(role="assistant", tool_calls=(CALL,)),
        Message(role="assistant", parts=(Part(tool_call=CALL),)),
        Message(role="tool", content="done", tool_call_id="c"),
    ],
    ids=["calls", "part", "result"],
)
def test_a_conversation_that_tells_of_calls_needs_who_knows_tools(turn: Message) -> None:
    assert needs_of(ask(said("hi"), turn, said("and?"))).tools
    assert not needs_of(ask(said("hi"), said("and?"))).tools


def test_a_call_counts_once_wherever_it_stands() -> None:
    call = RequestedCall(id="c", name="name", arguments="{}12")
    for turn in (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="assistant", parts=(Part(tool_call=call),)),
    ):
        assert needs_of(ask(turn)).prompt_tokens == 2


def test_the_schema_of_the_answer_counts() -> None:
    schema = {"type": "object", "title": "x" * 400}
    request = ChatRequest(model="a/1", messages=(said(""),), response_format=ResponseFormat(json_schema=schema))
    assert needs_of(request).prompt_tokens > 100
    any_object = ChatRequest(model="a/1", messages=(said(""),), response_format=ResponseFormat())
    assert needs_of(any_object).prompt_tokens == 0


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "parameters",
    [{"x": object()}, {"x": {object(): 1}}, {"x": "\ud800"}, {"x": 10**5000}, nested(5000)],
    ids=["object", "key", "surrogate", "number", "depth"],
)
def test_what_is_no_json_is_left_to_the_asking(parameters: dict[str, Any]) -> None:
    tools = (Tool(name="abcd", parameters=parameters),)
    schema = ResponseFormat(json_schema=parameters)
    needs = needs_of(ChatRequest(model="a/1", messages=(said(""),), tools=tools, response_format=schema))
    assert (needs.tools, needs.prompt_tokens) == (True, 1)


@given(st.lists(st.text(st.characters()), min_size=1, max_size=5))
def test_no_text_is_too_odd_to_be_counted(texts: list[str]) -> None:
    tokens = needs_of(ask(*map(said, texts))).prompt_tokens
    chars = sum(map(len, texts))
    assert chars <= 4 * tokens <= 4 * chars + 3
