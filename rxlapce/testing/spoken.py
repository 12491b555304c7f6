"""One answer as two providers say it on the wire, event by event; and the question, as they read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.operators.continuation import GO_ON

#: No character but the space comes twice, so that nothing in it repeats by chance.
TRUTH: Final = "".join(chr(0x4E00 + n) + (" " if n % 5 == 4 else "") for n in range(60)).rstrip()
#: The tool that a model calls if it was given any: id, name and arguments; and after how many characters it does.
CALL: Final = ("c1", "look", '{"at":1}')
CALL_AT: Final = 45


@dataclass(frozen=True, slots=True)
class Question:
    """What a provider is asked, read from the body.

    `text` is the first turn's; `begun` is the beginning of an answer that is to be gone on with, None where it is to be
    said from its beginning; `prefill` says that the conversation ends in it.
    """

    text: str
    model: str
    begun: str | None
    prefill: bool
    tools: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream as bytes; `visible` if a reader sees something of it."""

    data: bytes
    visible: bool = False


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said: pieces of text, perhaps a call of the tool with more text behind it, and the counts at its end."""

    pieces: Sequence[str]
    calls: bool
    behind: Sequence[str]
    model: str
    input_tokens: int

    @property
    def text(self) -> str:
        """The pieces joined."""
        return "".join((*self.pieces, *self.behind))

    @property
    def output_tokens(self) -> int:
        """One for each piece."""
        return len(self.pieces) + len(self.behind)

    @property
    def chat_usage(self) -> dict[str, int]:
        """The counts as chat completions have them."""
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
        }


def read_question(body: bytes) -> Question:
    """The question in a body of either dialect: they agree in all that matters here."""
    asked: dict[str, Any] = msgspec.json.decode(body)
    turns: list[dict[str, Any]] = asked["messages"]
    begun: str | None = None
    prefill = turns[-1]["role"] == "assistant"
    if prefill:
        begun = turns[-1]["content"]
    elif turns[-1]["content"] == GO_ON:
        begun = turns[-2]["content"]
    return Question(turns[0]["content"], asked["model"], begun, prefill, bool(asked.get("tools")))


class ChatCompletionsWire:
    """As OpenAI's chat completions say it."""

    malformed: Final = b'data: {"choices": [{"delta"\n\n'
    failure: Final = b'data: {"error": {"message": "the engine failed", "type": "server_error"}}\n\n'
    keep_alive: Final = b": waiting\n\n"
    done: Final = b"data: [DONE]\n\n"

    def events(self, saying: Saying) -> list[Event]:
        """The whole stream."""
        deltas: list[dict[str, Any]] = [{"content": piece} for piece in saying.pieces]
        if saying.calls:
            call_id, name, arguments = CALL
            begins = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
            goes_on = {"index": 0, "function": {"arguments": arguments}}
            deltas += [{"tool_calls": [begins]}, {"tool_calls": [goes_on]}]
            deltas += [{"content": piece} for piece in saying.behind]
        return [
            _chunk(saying, {"role": "assistant", "content": ""}),
            *(_chunk(saying, delta, visible=True) for delta in deltas),
            _chunk(saying, {}, finish="tool_calls" if saying.calls else "stop"),
            Event(_data({"model": saying.model, "choices": [], "usage": saying.chat_usage})),
            Event(self.done),
        ]

    def withheld(self, saying: Saying) -> list[Event]:
        """A stream that a content filter ends before it has said anything."""
        return [_chunk(saying, {}, finish="content_filter"), Event(self.done)]

    def whole(self, saying: Saying) -> bytes:
        """The same in one document."""
        message: dict[str, Any] = {"role": "assistant", "content": saying.text}
        if saying.calls:
            call_id, name, arguments = CALL
            function = {"name": name, "arguments": arguments}
            message["tool_calls"] = [{"id": call_id, "type": "function", "function": function}]
        finish = "tool_calls" if saying.calls else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return msgspec.json.encode({"model": saying.model, "choices": [choice], "usage": saying.chat_usage})


class MessagesWire:
    """As Anthropic's messages say it."""

    malformed: Final = b'event: content_block_delta\ndata: {"type": "content_bl\n\n'
    failure: Final = (
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
    )
    keep_alive: Final = b'event: ping\ndata: {"type": "ping"}\n\n'

    def events(self, saying: Saying) -> list[Event]:
        """The whole stream."""
        started = {"model": saying.model, "usage": {"input_tokens": saying.input_tokens, "output_tokens": 1}}
        events = [_named("message_start", message=started), *_text_block(0, saying.pieces)]
        if saying.calls:
            call_id, name, arguments = CALL
            block: dict[str, Any] = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": arguments}
            events += [
                _named("content_block_start", visible=True, index=1, content_block=block),
                _named("content_block_delta", visible=True, index=1, delta=delta),
                _named("content_block_stop", index=1),
                *_text_block(2, saying.behind),
            ]
        reason = "tool_use" if saying.calls else "end_turn"
        counted = {"output_tokens": saying.output_tokens}
        return [
            *events,
            _named("message_delta", delta={"stop_reason": reason}, usage=counted),
            _named("message_stop"),
        ]

    def withheld(self, saying: Saying) -> list[Event]:
        """An error: nobody's filter ends an answer so here."""
        return [Event(self.failure)]

    def whole(self, saying: Saying) -> bytes:
        """The same in one document."""
        blocks: list[dict[str, Any]] = [{"type": "text", "text": "".join(saying.pieces)}] if saying.pieces else []
        if saying.calls:
            call_id, name, arguments = CALL
            blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": msgspec.json.decode(arguments)})
            blocks.append({"type": "text", "text": "".join(saying.behind)})
        usage = {"input_tokens": saying.input_tokens, "output_tokens": saying.output_tokens}
        reason = "tool_use" if saying.calls else "end_turn"
        return msgspec.json.encode(
            {"type": "message", "model": saying.model, "content": blocks, "stop_reason": reason, "usage": usage}
        )


Wire = ChatCompletionsWire | MessagesWire


def _chunk(saying: Saying, delta: dict[str, Any], finish: str | None = None, *, visible: bool = False) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Event(_data({"model": saying.model, "choices": [choice]}), visible)


def _text_block(index: int, pieces: Sequence[str]) -> list[Event]:
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return [
        _named("content_block_start", index=index, content_block={"type": "text", "text": ""}),
        *(_named("content_block_delta", visible=True, index=index, delta=delta) for delta in deltas),
        _named("content_block_stop", index=index),
    ]


def _data(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _named(name: str, *, visible: bool = False, **members: object) -> Event:
    return Event(b"event: " + name.encode() + b"\n" + _data({"type": name, **members}), visible)
