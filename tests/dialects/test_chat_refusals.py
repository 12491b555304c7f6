"""Chat completions: what cannot be said is refused before anything is sent, in words that say what to leave out."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import ChatCompletions
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, Tool

SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
CALL = RequestedCall(id="c1", name="look", arguments="{}")
OPENROUTER = ChatCompletions(
    reasoning="openrouter", reasoning_back="reasoning_details", top_k=True, cache_control=True, name="openrouter"
)
TEXT_BACK = ChatCompletions(reasoning_back="reasoning_content")


def refusal(request: ChatRequest, dialect: ChatCompletions | None = None) -> str:
    with pytest.raises(ProviderError) as caught:
        (dialect or ChatCompletions()).chat_body(request, "m", stream=True)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    return caught.value.message


def said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def opaque(kind: str, value: Any) -> Part:
    return Part(opaque=OpaquePart(kind=kind, raw=json.dumps(value)))


IMAGE = Part(image=Image(url="https://example.org/a.png"))


@pytest.mark.parametrize(
    ("request_", "dialect", "why"),
    [
        (replace(SHORT, top_k=3), None, "openai.chat.completions takes no top_k: leave it out"),
        (replace(SHORT, reasoning_tokens=3), None, "openai.chat.completions takes no reasoning_tokens: leave it out"),
        (
            replace(SHORT, reasoning_effort="low"),
            ChatCompletions(reasoning=None, name="small"),
            "small takes no reasoning_effort: leave it out",
        ),
        (
            replace(SHORT, reasoning_effort="low", reasoning_tokens=3),
            OPENROUTER,
            "openrouter takes reasoning_effort or reasoning_tokens: leave one out",
        ),
        (
            replace(SHORT, tools=(Tool(name="f", cache="1h"),)),
            None,
            (
                "openai.chat.completions cannot be asked to keep a cached prefix for an hour: "
                "mark it with 5m, or not at all"
            ),
        ),
        (
            replace(SHORT, extra={"x": {1: object()}}),
            None,
            "the request is not to be written as JSON: Encoding objects of type object is unsupported",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(request_: ChatRequest, dialect: ChatCompletions | None, why: str) -> None:
    assert refusal(request_, dialect) == why


@pytest.mark.parametrize(
    ("message", "dialect", "why"),
    [
        (
            Message(role="tool", parts=(IMAGE,), tool_call_id="c"),
            None,
            "openai.chat.completions takes images in user turns only: leave the image out of the tool turn",
        ),
        (Message(role="system", parts=(IMAGE,)), None, "a system turn cannot hold image: leave it out"),
        (Message(role="tool"), None, "a tool turn must name the call that it answers in tool_call_id"),
        (Message(role="user", tool_call_id="c"), None, "a user turn answers no tool call: leave its tool_call_id out"),
        (
            Message(role="user", parts=(opaque("logprobs", {}),)),
            None,
            "openai.chat.completions has no word for an opaque 'logprobs' piece: send Message.plain()",
        ),
        (
            said(opaque("redacted_thinking", {"type": "redacted_thinking"})),
            OPENROUTER,
            "openrouter has no word for an opaque 'redacted_thinking' piece: send Message.plain()",
        ),
        (
            said(opaque("images", {})),
            None,
            "openai.chat.completions has no word for an opaque 'images' piece: send Message.plain()",
        ),
        (
            said(opaque("audio", {"data": "QUJD"})),
            None,
            "openai.chat.completions takes spoken answers back by their id, and this one has none: leave it out",
        ),
        (said(Part(reasoning="hm")), None, "openai.chat.completions takes no reasoning back: send Message.plain()"),
        (
            said(opaque("reasoning_details", {"type": "reasoning.encrypted"})),
            None,
            "openai.chat.completions takes no reasoning back: send Message.plain()",
        ),
        (
            said(opaque("reasoning_details", {"type": "reasoning.encrypted"})),
            TEXT_BACK,
            "openai.chat.completions takes thoughts back as text only, unsigned: send Message.plain()",
        ),
        (
            said(Part(reasoning="hm", signature="s")),
            TEXT_BACK,
            "openai.chat.completions takes thoughts back as text only, unsigned: send Message.plain()",
        ),
        (
            said(opaque("reasoning_details", [])),
            OPENROUTER,
            "an opaque part of kind reasoning_details must be the JSON object that the stream said: leave it out",
        ),
        (
            Message(role="user", parts=(replace(IMAGE, cache="5m"),)),
            OPENROUTER,
            "openrouter takes cache marks on text and on tools: leave it out of the image",
        ),
        (
            said(Part(tool_call=CALL, cache="5m")),
            OPENROUTER,
            "openrouter takes cache marks on text and on tools: leave it out of the tool call",
        ),
        (
            said(Part(reasoning="hm", cache="5m")),
            OPENROUTER,
            "openrouter takes cache marks on text and on tools: leave it out of the thought",
        ),
        (
            said(replace(opaque("logprobs", {}), cache="5m")),
            OPENROUTER,
            "openrouter takes cache marks on text and on tools: leave it out of the opaque piece",
        ),
    ],
)
def test_a_turn_that_cannot_be_said_is_refused(message: Message, dialect: ChatCompletions | None, why: str) -> None:
    assert refusal(ChatRequest(model="p/m", messages=(message,)), dialect) == why


def test_the_plain_turn_is_taken_where_the_whole_one_is_refused() -> None:
    message = said(Part(reasoning="hm", signature="s"), Part(text="So."), opaque("redacted_thinking", {}))
    request = ChatRequest(model="p/m", messages=(message.plain(),))
    written = ChatCompletions().chat_body(request, "m", stream=False)
    assert json.loads(written)["messages"][0] == {"role": "assistant", "content": "So."}
