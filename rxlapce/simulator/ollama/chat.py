"""Ollama's own API: one JSON object a line, streamed unless `"stream": false` says otherwise.

`/api/chat` and `/api/generate` differ in where the text stands. A tool call comes whole, its arguments an object. The
last line has the counts and the durations in nanoseconds. Source: Ollama's API reference, `docs/api.md`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.reply import Call, End, Reply, prompt_tokens
from rxlapce.simulator.wire import MEMO_SIZE, Part, WireEvent, created_at

DONE_REASONS: Final = {
    End.STOP: "stop",
    End.STOP_SEQUENCE: "stop",
    End.LENGTH: "length",
    End.TOOL_CALLS: "stop",
    End.CONTENT_FILTER: "stop",
    End.REFUSAL: "stop",
}
_NANOSECONDS: Final = 1_000_000_000

_encode: Final = msgspec.json.Encoder().encode


class OllamaChat:
    """One response to a chat request."""

    stream_type: ClassVar[str] = "application/x-ndjson"
    text_lines: ClassVar[bool] = True
    keepalive: ClassVar[bytes] = b""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._asked = asked
        self._prompt_tokens = prompt_tokens(asked)
        moment = datetime.fromtimestamp(created_at(chance), UTC)
        self._created_at = f"{moment:%Y-%m-%dT%H:%M:%S}.{chance.randrange(_NANOSECONDS):09}Z"
        self._load_ns = chance.randrange(10**7, 10**8)
        self._head = _encode({"model": asked.model, "created_at": self._created_at})[:-1] + b","

    def headers(self) -> dict[str, str]:
        """None: a server of one's own tells of no limits and no ids."""
        return {}

    # -- streamed ---------------------------------------------------------------------------------------------------

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The thoughts, the text, the calls, and the line that is done."""
        reply = replies[0]
        if not self._asked.hide_reasoning:
            yield from self._tokens(self._thought, reply.reasoning_pieces())
        yield from self._tokens(self._said, reply.text_pieces())
        for call in reply.calls:
            yield Part.TOKEN, self._line(self._called(call))
        yield Part.FINISH, self._line(self._said("")[:-1] + b"," + _encode(self._ending(reply))[1:])

    def _tokens(self, said: Callable[[str], bytes], pieces: Iterator[str]) -> Iterator[WireEvent]:
        memo: dict[str, bytes] = {}
        for piece in pieces:
            line = memo.get(piece)
            if line is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[piece] = line = self._line(said(piece))
            yield Part.TOKEN, line

    def _line(self, members: bytes) -> bytes:
        """A line; what is not said to be done is not."""
        ending = b"" if b'"done":true' in members else b',"done":false'
        return self._head + members[1:-1] + ending + b"}\n"

    # What a line holds beside model and moment:

    def _said(self, text: str) -> bytes:
        return _encode({"message": {"role": "assistant", "content": text}})

    def _thought(self, text: str) -> bytes:
        return _encode({"message": {"role": "assistant", "content": "", "thinking": text}})

    def _called(self, call: Call) -> bytes:
        return _encode({"message": {"role": "assistant", "content": "", "tool_calls": [_function(call)]}})

    def _ending(self, reply: Reply) -> dict[str, Any]:
        """Why and after how much it ended. A prompt is read ten times as fast as an answer is said."""
        prompt_ns, answer_ns = self._prompt_tokens * 10**6, reply.output_tokens * 10**7
        return {
            "done": True,
            "done_reason": DONE_REASONS[reply.end],
            "total_duration": self._load_ns + prompt_ns + answer_ns,
            "load_duration": self._load_ns,
            "prompt_eval_count": self._prompt_tokens,
            "prompt_eval_duration": prompt_ns,
            "eval_count": reply.output_tokens,
            "eval_duration": answer_ns,
        }

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def malformed(self) -> bytes:
        """A line that breaks off inside a string."""
        return self._head + b'"message":{"role":"assistant","content":"\n'

    def error(self) -> bytes:
        """A line with nothing but an error."""
        return _encode({"error": "an error was encountered while running the model: unexpected EOF"}) + b"\n"

    def huge(self, size_bytes: int) -> bytes:
        """A line whose text is so many letters."""
        return self._line(self._said("x" * size_bytes))

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer: the last line with all of the text in it."""
        reply = replies[0]
        whole = {"model": self._asked.model, "created_at": self._created_at} | self._whole(reply)
        return _encode(whole | self._ending(reply))

    def _whole(self, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.text_pieces())}
        if reply.reasoning_tokens and not self._asked.hide_reasoning:
            message["thinking"] = "".join(reply.reasoning_pieces())
        if reply.calls:
            message["tool_calls"] = [_function(call) for call in reply.calls]
        return {"message": message}


class OllamaGenerate(OllamaChat):
    """One response to a generate request: the text stands in `response`."""

    def _said(self, text: str) -> bytes:
        return _encode({"response": text})

    def _thought(self, text: str) -> bytes:
        return _encode({"response": "", "thinking": text})

    def malformed(self) -> bytes:
        """A line that breaks off inside a string."""
        return self._head + b'"response":"\n'

    def _whole(self, reply: Reply) -> dict[str, Any]:
        whole = {"response": "".join(reply.text_pieces())}
        if reply.reasoning_tokens and not self._asked.hide_reasoning:
            whole["thinking"] = "".join(reply.reasoning_pieces())
        return whole


def _function(call: Call) -> dict[str, Any]:
    return {"function": {"name": call.name, "arguments": msgspec.Raw(call.arguments.encode())}}
