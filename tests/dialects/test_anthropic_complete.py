"""Anthropic's legacy text completions: bodies, events, ends."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects import AnthropicComplete
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Image, Message, Part, RequestedCall, Tool
from rxlapce.tokens import Finish, FinishKind, Opaque, StreamToken, Text

SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))


def said(completion: str | None, stop_reason: str | None = None, **members: Any) -> Event:
    value = {"type": "completion", "completion": completion, "stop_reason": stop_reason, "model": "claude-2"}
    return Event(json.dumps({**value, **members}) + "   ", "completion")


def body(request: ChatRequest, *, stream: bool = False) -> Any:
    return json.loads(AnthropicComplete().chat_body(request, "m", stream=stream))


def test_a_conversation_becomes_one_prompt() -> None:
    messages = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Yes?"),
        Message(role="user", content="Why?"),
    )
    request = replace(SHORT, messages=messages, max_tokens=9, temperature=0.0, top_p=0.5, top_k=3, stop=("END",), n=1)
    assert body(replace(request, extra={"metadata": {"user_id": "u"}}), stream=True) == {
        "model": "m",
        "prompt": "Be brief.\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant:",
        "max_tokens_to_sample": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop_sequences": ["END"],
        "stream": True,
        "top_k": 3,
        "metadata": {"user_id": "u"},
    }


def test_a_last_assistant_turn_is_gone_on_from() -> None:
    request = replace(SHORT, messages=(*SHORT.messages, Message(role="assistant", content="Well")))
    assert body(request) == {
        "model": "m",
        "prompt": "\n\nHuman: Hi\n\nAssistant: Well",
        "max_tokens_to_sample": 4096,
    }


def test_the_pieces_of_a_turn_are_joined_and_system_turns_come_first() -> None:
    messages = (
        Message(role="user", parts=(Part(text="H"), Part(text="i"))),
        Message(role="developer", content="In French."),
        Message(role="system"),
    )
    said = body(replace(SHORT, messages=messages))
    assert said["prompt"] == "In French.\n\nHuman: Hi\n\nAssistant:"


def last(*parts: Part) -> ChatRequest:
    return replace(SHORT, messages=(*SHORT.messages, Message(role="assistant", parts=parts)))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(SHORT, tools=(Tool(name="f"),)), "anthropic.complete takes no tools: leave it out"),
        (replace(SHORT, seed=0), "anthropic.complete takes no seed: leave it out"),
        (replace(SHORT, n=2), "anthropic.complete gives one answer a request, not n=2: ask 2 times"),
        (
            replace(SHORT, messages=(Message(role="tool", content="x", tool_call_id="c"),)),
            "anthropic.complete knows no tools: leave the tool turns out",
        ),
        (
            last(Part(tool_call=RequestedCall(id="c", name="f", arguments="{}"))),
            "anthropic.complete takes plain text, and a assistant turn holds tool call: leave it out",
        ),
        (
            last(Part(reasoning="hm")),
            "anthropic.complete takes plain text, and a assistant turn holds reasoning: send Message.plain()",
        ),
        (
            replace(SHORT, messages=(Message(role="user", parts=(Part(image=Image(url="https://a")),)),)),
            "anthropic.complete takes plain text, and a user turn holds image: leave it out",
        ),
        (last(Part(text="a", cache="5m")), "anthropic.complete caches no prefixes: leave the cache marks out"),
    ],
)
def test_what_it_cannot_say_is_refused(request_: ChatRequest, why: str) -> None:
    with pytest.raises(ProviderError) as caught:
        body(request_)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    assert caught.value.message == why


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stop_sequence", FinishKind.STOP),
        ("max_tokens", FinishKind.LENGTH),
        ("refusal", FinishKind.REFUSAL),
        ("new", FinishKind.STOP),
    ],
)
def test_the_stop_reason_ends_a_stream(reason: str, kind: FinishKind) -> None:
    decoder, out = AnthropicComplete().decoder(), list[StreamToken]()
    events = [said(" Hi"), Event('{"type": "ping"}', "ping"), said(""), Event(""), said("!", reason, stop="END")]
    assert [decoder.feed(event, out) for event in events] == [False] * 4 + [True]
    assert out == [Text(" Hi"), Text("!"), Opaque("stop", '"END"'), Finish(kind, reason, "claude-2")]


def test_an_event_that_nobody_knows_is_passed_on() -> None:
    decoder, out = AnthropicComplete().decoder(), list[StreamToken]()
    assert decoder.feed(Event('{"type":"dance"}', "dance"), out) is False
    assert out == [Opaque("dance", '{"type":"dance"}')]


def test_a_stream_without_stop_reason_is_truncated() -> None:
    decoder, out = AnthropicComplete().decoder(), list[StreamToken]()
    decoder.feed(said("Hi"), out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert caught.value.kind is ErrorKind.TRUNCATED


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event('{"type":"error","error":{"type":"overloaded_error","message":"x"}}', "error"), ErrorKind.OVERLOADED),
        (Event('{"error":{"type":"rate_limit_error","message":"x"}}'), ErrorKind.RATE_LIMIT),
        (Event("reset", "error"), ErrorKind.OVERLOADED),
        (Event("nonsense"), ErrorKind.PROTOCOL),
    ],
)
def test_errors_inside_of_a_stream(event: Event, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        AnthropicComplete().decoder().feed(event, [])
    assert caught.value.kind is kind


def test_unary_answer_and_errors_in_its_place() -> None:
    answer = said("Hi", "max_tokens").data.encode()
    assert AnthropicComplete().read_answer(answer) == [Text("Hi"), Finish(FinishKind.LENGTH, "max_tokens", "claude-2")]
    assert AnthropicComplete().read_answer(said("Hi").data.encode())[-1] == Finish(FinishKind.STOP, None, "claude-2")
    for body_, kind in (
        (b'{"error":{"code":429}}', ErrorKind.RATE_LIMIT),
        (b"{}", ErrorKind.PROTOCOL),
        (b"[", ErrorKind.PROTOCOL),
    ):
        with pytest.raises(ProviderError) as caught:
            AnthropicComplete().read_answer(body_)
        assert caught.value.kind is kind
