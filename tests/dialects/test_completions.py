"""Legacy completions: bodies, chunks, ends."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects import Completions
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, CompletionRequest, Image, Message, OpaquePart, Part, RequestedCall, Role, Tool
from rxlapce.tokens import ChoiceEnd, Finish, FinishKind, Opaque, StreamToken, Text, UsageReport

DONE = Event("[DONE]")
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Once"),))


def chunk(text: str | None, *, finish: str | None = None, index: int = 0, **members: Any) -> Event:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
    return Event(json.dumps({"choices": [{**choice, **members}], "model": "davinci"}))


def whole(*events: Event) -> list[StreamToken]:
    decoder, out = Completions().decoder(), list[StreamToken]()
    assert [decoder.feed(event, out) for event in events] == [False] * (len(events) - 1) + [True]
    return out


def failing(*events: Event) -> tuple[list[StreamToken], ProviderError]:
    decoder, out = Completions().decoder(), list[StreamToken]()
    for event in events[:-1]:
        assert decoder.feed(event, out) is False
    with pytest.raises(ProviderError) as caught:
        decoder.feed(events[-1], out)
    return out, caught.value


def test_the_one_user_turn_is_the_prompt() -> None:
    request = CompletionRequest(
        model="p/m",
        prompt="Once",
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        stop=("END",),
        seed=7,
        extra={"echo": True},
    )
    wishes = replace(request.as_chat(), n=2, presence_penalty=1.0, frequency_penalty=-0.5)
    assert json.loads(Completions().chat_body(wishes, "m", stream=True)) == {
        "model": "m",
        "prompt": "Once",
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "presence_penalty": 1.0,
        "frequency_penalty": -0.5,
        "stop": ["END"],
        "seed": 7,
        "n": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
        "echo": True,
    }
    assert json.loads(Completions().chat_body(SHORT, "m", stream=False)) == {"model": "m", "prompt": "Once"}


def test_the_pieces_of_the_turn_are_one_prompt() -> None:
    turn = Message(role="user", parts=(Part(text="Once ", cache="5m"), Part(text="upon")))
    body = json.loads(Completions().chat_body(replace(SHORT, messages=(turn,)), "m", stream=False))
    assert body == {"model": "m", "prompt": "Once upon"}


def turn(role: Role, **members: Any) -> tuple[Message]:
    return (Message(role=role, **members),)


ONE = "openai.completions takes one user turn, whose text is the prompt: leave the other turns out"
IMAGE = Part(image=Image(url="https://example.org/a.png"))
CALL = RequestedCall(id="c", name="f", arguments="{}")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(SHORT, messages=(*SHORT.messages, Message(role="user", content="b"))), ONE),
        (replace(SHORT, messages=turn("system", content="a")), ONE),
        (
            replace(SHORT, messages=turn("user", parts=(Part(text="a"), IMAGE))),
            "openai.completions takes plain text, and a user turn holds image: leave it out",
        ),
        (
            replace(SHORT, messages=turn("user", parts=(Part(opaque=OpaquePart(kind="x", raw="{}")),))),
            "openai.completions takes plain text, and a user turn holds opaque: send Message.plain()",
        ),
        (
            replace(SHORT, messages=turn("user", tool_calls=(CALL,))),
            "a user turn cannot hold tool call: leave it out",
        ),
        (replace(SHORT, tools=(Tool(name="f"),)), "openai.completions takes no tools: leave it out"),
        (replace(SHORT, tool_choice="none"), "openai.completions takes no tool_choice: leave it out"),
        (replace(SHORT, top_k=1), "openai.completions takes no top_k: leave it out"),
        (replace(SHORT, reasoning_effort="low"), "openai.completions takes no reasoning_effort: leave it out"),
        (
            replace(SHORT, messages=turn("user", parts=(Part(text="a", cache="1h"),))),
            ("openai.completions cannot be asked to keep a cached prefix for an hour: mark it with 5m, or not at all"),
        ),
    ],
)
def test_any_other_conversation_is_refused(request_: ChatRequest, why: str) -> None:
    with pytest.raises(ProviderError) as caught:
        Completions().chat_body(request_, "m", stream=True)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    assert caught.value.message == why


def test_text_and_finish() -> None:
    assert whole(chunk("a"), chunk(""), chunk(None), chunk("b", finish="length"), chunk("", finish=None), DONE) == [
        Text("a"),
        Text("b"),
        Finish(FinishKind.LENGTH, "length", "davinci"),
    ]


def test_choices_end_each_with_their_word() -> None:
    events = [chunk("a"), chunk("b", index=1), chunk("", finish="stop"), chunk("", finish="content_filter", index=1)]
    others = (ChoiceEnd(1, FinishKind.CONTENT_FILTER, "content_filter"),)
    assert whole(*events, DONE) == [
        Text("a"),
        Text("b", 1),
        Finish(FinishKind.STOP, "stop", "davinci", others),
    ]


def test_log_probabilities_and_verdicts_are_passed_on() -> None:
    logprobs, verdicts = {"tokens": ["a"]}, {"hate": {"filtered": True}}
    assert whole(chunk("a", logprobs=logprobs, content_filter_results=verdicts), DONE)[:-1] == [
        Text("a"),
        Opaque("logprobs", '{"tokens":["a"]}'),
        Opaque("content_filter_results", '{"hate":{"filtered":true}}'),
    ]


@pytest.mark.parametrize("members", [{"choices": []}, {}])
def test_usage_comes_in_a_chunk_of_its_own(members: dict[str, Any]) -> None:
    usage = Event(json.dumps({**members, "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}))
    out = whole(chunk("a", finish="stop"), usage, DONE)
    assert [(r.usage.input, r.usage.output) for r in out if isinstance(r, UsageReport)] == [(1, 2)]


def test_without_done_the_finish_words_are_the_end() -> None:
    decoder, out = Completions().decoder(), list[StreamToken]()
    decoder.feed(chunk("a", finish="stop"), out)
    decoder.close(out)
    assert out == [Text("a"), Finish(FinishKind.STOP, "stop", "davinci")]


@pytest.mark.parametrize("events", [[], [chunk("a")], [chunk("a", finish="stop"), chunk("b", index=1)]])
def test_a_choice_without_finish_word_is_truncated(events: list[Event]) -> None:
    decoder, out = Completions().decoder(), list[StreamToken]()
    for event in events:
        decoder.feed(event, out)
    with pytest.raises(ProviderError) as caught:
        decoder.close(out)
    assert caught.value.kind is ErrorKind.TRUNCATED


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event('{"error":{"message":"Slow","code":429}}'), ErrorKind.RATE_LIMIT),
        (Event('{"choices":[],"error":{"message":"Slow","code":429}}'), ErrorKind.RATE_LIMIT),
        (Event('{"message":"Down"}', "error"), ErrorKind.OVERLOADED),
        (chunk("", finish="error"), ErrorKind.OVERLOADED),
        (Event("reset", "error"), ErrorKind.OVERLOADED),
        (Event("nonsense"), ErrorKind.PROTOCOL),
        (Event("[]"), ErrorKind.PROTOCOL),
    ],
)
def test_errors_inside_of_a_stream(event: Event, kind: ErrorKind) -> None:
    out, error = failing(chunk("a"), event)
    assert (out, error.kind) == ([Text("a")], kind)


def test_an_event_that_nobody_knows_is_passed_on() -> None:
    assert whole(Event('{"type":"dance"}'), DONE)[0] == Opaque("dance", '{"type":"dance"}')


def test_unary_answer_and_errors_in_its_place() -> None:
    answer = b'{"model":"m","choices":[{"text":"a","index":0,"finish_reason":"stop"}]}'
    assert Completions().read_answer(answer) == [Text("a"), Finish(FinishKind.STOP, "stop", "m")]
    for body, kind in (
        (b'{"error":{"code":429}}', ErrorKind.RATE_LIMIT),
        (b"{}", ErrorKind.PROTOCOL),
        (b"", ErrorKind.PROTOCOL),
    ):
        with pytest.raises(ProviderError) as caught:
            Completions().read_answer(body)
        assert caught.value.kind is kind
