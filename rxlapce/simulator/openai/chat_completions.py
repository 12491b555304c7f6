"""OpenAI's chat completions, byte for byte: `data:` lines as recorded from the API in 2025 and 2026.

Chunks pad themselves (`obfuscation`) so that the line is 7 modulo 16 characters (not bytes) long, which is what every
padded recording shows. `reasoning` is said as `reasoning_content`, as DeepSeek and most compatible servers do; OpenAI
hides it. Who speaks it in another way (Azure, xAI, OpenRouter) overrides a method here.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Final

import msgspec

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.reply import Call, End, Reply, prompt_tokens
from rxlapce.simulator.tokenizer import alphanumeric, hexadecimal, tokenize
from rxlapce.simulator.wire import (
    MEMO_SIZE,
    OBFUSCATIONS,
    PADDINGS,
    SSE_TYPE,
    VARIANT_MASK,
    Part,
    WireEvent,
    created_at,
    openai_headers,
)

DONE: Final = b"data: [DONE]\n\n"
#: Characters of a padded line without its line end, modulo 16.
_LINE_RESIDUE: Final = 7

FINISH_REASONS: Final = {
    End.STOP: "stop",
    End.STOP_SEQUENCE: "stop",
    End.LENGTH: "length",
    End.TOOL_CALLS: "tool_calls",
    End.CONTENT_FILTER: "content_filter",
    End.REFUSAL: "stop",
}

encode: Final = msgspec.json.Encoder().encode

#: A line of a stream up to its padding, and the endings that it may have.
Line = tuple[bytes, Sequence[bytes]]


class ChatCompletion:
    """One response to a chat completions request."""

    stream_type: ClassVar[str] = SSE_TYPE
    text_lines: ClassVar[bool] = True
    keepalive: ClassVar[bytes] = b": keep-alive\n\n"

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._asked = asked
        self._chance = chance
        self._created = created_at(chance)
        self._id = self._make_id()
        self._fingerprint = f"fp_{hexadecimal(chance, 10)}"
        self._prompt_tokens = prompt_tokens(asked)
        self._headers = openai_headers(chance, self._prompt_tokens)
        self._variant = chance.randrange(VARIANT_MASK)
        self._head = b"data: " + encode(self._members("chat.completion.chunk"))[:-1] + b',"choices":['
        self._tail = b',"usage":null' if asked.include_usage else b""

    def _make_id(self) -> str:
        return f"chatcmpl-{alphanumeric(self._chance, 29)}"

    def _call_id(self) -> str:
        return f"call_{alphanumeric(self._chance, 24)}"

    def _members(self, kind: str) -> dict[str, Any]:
        """What stands before the choices."""
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._asked.model,
            "service_tier": "default",
            "system_fingerprint": self._fingerprint,
        }

    def headers(self) -> dict[str, str]:
        """The API's own headers; the limits are those of a generous account."""
        return self._headers

    # -- streamed ---------------------------------------------------------------------------------------------------

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The choices interleaved token by token, then each one's finish, the usage if asked for, and `[DONE]`."""
        yield from self._prelude()
        choices = [self._said(index, reply) for index, reply in enumerate(replies)]
        if len(choices) == 1:
            yield from choices[0]
        else:
            yield from _interleaved(choices)
        for index, reply in enumerate(replies):
            yield Part.FINISH, self._line(self._choice(index, b"", reply.end))
        yield from self._counted(replies)
        yield Part.DONE, DONE

    def _prelude(self) -> Iterator[WireEvent]:
        """What comes before the first choice."""
        yield from ()

    def _counted(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The usage: a chunk without choices."""
        if self._asked.include_usage:
            yield Part.USAGE, self._line(b"", encode(self._usage(replies)))

    def _said(self, index: int, reply: Reply) -> Iterator[WireEvent]:
        """The first chunk with the role, then the tokens."""
        refused = reply.end is End.REFUSAL
        ids = [self._call_id() for _ in reply.calls]
        if len(reply.calls) == 1 and not reply.text_tokens:
            first = b'"content":null,"tool_calls":[%s],"refusal":null' % _call_start(0, ids[0], reply.calls[0])
        elif reply.calls and not reply.text_tokens:
            first = b'"content":null'
        else:
            first = b'"content":null,"refusal":""' if refused else b'"content":"","refusal":null'
        yield Part.FRAME, self._delta(index, b'"role":"assistant",' + first)
        if not self._asked.hide_reasoning:
            yield from self._tokens(index, self._reasoning, reply.reasoning_pieces())
        yield from self._tokens(index, self._refusal if refused else self._text, reply.text_pieces())
        for number, (call_id, call) in enumerate(zip(ids, reply.calls, strict=True)):
            if len(ids) > 1 or reply.text_tokens:
                yield Part.FRAME, self._delta(index, b'"tool_calls":[%s]' % _call_start(number, call_id, call))
            yield from self._tokens(index, _arguments_of(number), iter(tokenize(call.arguments)))

    # What a piece is in a delta:

    def _text(self, piece: str) -> bytes:
        return b'"content":' + encode(piece)

    def _refusal(self, piece: str) -> bytes:
        return b'"refusal":' + encode(piece)

    def _reasoning(self, piece: str) -> bytes:
        return b'"content":null,"reasoning_content":' + encode(piece)

    def _tokens(self, index: int, said: Callable[[str], bytes], pieces: Iterator[str]) -> Iterator[WireEvent]:
        """The hot loop: an event is a remembered line and one of the prepared paddings. 0.3 us an event."""
        memo: dict[str, Line] = {}
        token, variant, mask = Part.TOKEN, self._variant, VARIANT_MASK
        for piece in pieces:
            rendered = memo.get(piece)
            if rendered is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[piece] = rendered = self._open_line(self._choice(index, said(piece)))
            variant += 1
            yield token, rendered[0] + rendered[1][variant & mask]

    def _choice(self, index: int, delta: bytes, end: End | None = None) -> bytes:
        """A choice with its delta, or with why it ended."""
        word = b"null" if end is None else b'"%s"' % FINISH_REASONS[end].encode()
        return b'{"index":%d,"delta":{%s},"logprobs":null,"finish_reason":%s}' % (index, delta, word)

    def _delta(self, index: int, delta: bytes) -> bytes:
        return self._line(self._choice(index, delta))

    def _line(self, choice: bytes, usage: bytes | None = None) -> bytes:
        line, endings = self._open_line(choice, usage)
        self._variant += 1
        return line + endings[self._variant & VARIANT_MASK]

    def _open_line(self, choice: bytes, usage: bytes | None = None) -> Line:
        """A chunk up to its padding, and the endings that it may have."""
        members = self._head + choice + b"]" + (self._tail if usage is None else b',"usage":' + usage)
        if not self._asked.obfuscate:
            return members, (b"}\n\n",) * (VARIANT_MASK + 1)
        members += b',"obfuscation":"'
        return members, OBFUSCATIONS[(_LINE_RESIDUE - len(members.decode()) - len('"}')) % PADDINGS]

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def malformed(self) -> bytes:
        """A chunk that breaks off inside a string."""
        return self._head + b'{"index":0,"delta":{"content":"\n\n'

    def error(self) -> bytes:
        """The error object as a `data:` line: no event name, and no `[DONE]` after it."""
        message = "The server had an error while processing your request. Sorry about that!"
        body = {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
        return b"data: " + encode(body) + b"\n\n"

    def huge(self, size_bytes: int) -> bytes:
        """A chunk whose content is so many letters."""
        return self._delta(0, b'"content":"%s"' % (b"x" * size_bytes))

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer, indented by two as the API sends it."""
        return msgspec.json.format(encode(self._whole(replies)), indent=2) + b"\n"

    def _whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        members = self._members("chat.completion")
        ending = {name: members.pop(name) for name in ("service_tier", "system_fingerprint") if name in members}
        choices = [self._whole_choice(index, reply) for index, reply in enumerate(replies)]
        return members | {"choices": choices, "usage": self._usage(replies)} | ending

    def _whole_choice(self, index: int, reply: Reply) -> dict[str, Any]:
        message = self._whole_message(reply)
        return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[reply.end]}

    def _whole_message(self, reply: Reply) -> dict[str, Any]:
        text = "".join(reply.text_pieces())
        refused = reply.end is End.REFUSAL
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or (reply.calls and not text) else text,
        }
        if reply.reasoning_tokens and not self._asked.hide_reasoning:
            message |= self._whole_reasoning("".join(reply.reasoning_pieces()))
        if reply.calls:
            message["tool_calls"] = [
                {
                    "id": self._call_id(),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in reply.calls
            ]
        return message | {"refusal": text if refused else None, "annotations": []}

    def _whole_reasoning(self, text: str) -> dict[str, Any]:
        return {"reasoning_content": text}

    def _usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        completion = sum(reply.output_tokens for reply in replies)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self._prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": sum(reply.reasoning_tokens for reply in replies),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _call_start(number: int, call_id: str, call: Call) -> bytes:
    function = {"name": call.name, "arguments": ""}
    return encode({"index": number, "id": call_id, "type": "function", "function": function})


def _arguments_of(number: int) -> Callable[[str], bytes]:
    """A piece of a call's arguments in a delta."""
    before = b'"tool_calls":[{"index":%d,"function":{"arguments":' % number
    return lambda piece: before + encode(piece) + b"}}]"


def _interleaved(choices: Sequence[Iterator[WireEvent]]) -> Iterator[WireEvent]:
    """The choices in turn; each one's first turn has its role and its first token, as recorded."""
    for choice in choices:
        yield from (event for _, event in zip(range(2), choice, strict=False))
    for turn in zip_longest(*choices):
        yield from (event for event in turn if event is not None)
