import pytest

from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, Tool
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
