"""OpenAI's chat completions, byte for byte: `data:` lines as recorded from the API in 2025 and 2026.

Chunks pad themselves (`obfuscation`) so that the line is 7 modulo 16 characters (not bytes) long, which is what every
padded recording shows. `reasoning` is said as `reasoning_content`, as DeepSeek and most compatible servers do; OpenAI
hides it.
"""

import random
from collections.abc import Iterator, Sequence
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

_encode: Final = msgspec.json.Encoder().encode


class ChatCompletion:
    """One response to a chat completions request."""

    stream_type: ClassVar[str] = SSE_TYPE
    text_lines: ClassVar[bool] = True
    keepalive: ClassVar[bytes] = b": OPENROUTER PROCESSING\n\n"

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._asked = asked
        self._id = f"chatcmpl-{alphanumeric(chance, 29)}"
        self._created = created_at(chance)
        self._fingerprint = f"fp_{hexadecimal(chance, 10)}"
        self._request_id = f"req_{hexadecimal(chance, 32)}"
        self._processing_ms = chance.randrange(180, 900)
        self._call_chance = chance
        self._variant = chance.randrange(VARIANT_MASK)
        self._prompt_tokens = prompt_tokens(asked)
        self._head = b"data: " + self._members("chat.completion.chunk") + b',"choices":['
        self._tail = b',"usage":null' if asked.include_usage else b""

    def _members(self, kind: str) -> bytes:
        members = {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._asked.model,
            "service_tier": "default",
            "system_fingerprint": self._fingerprint,
        }
        return _encode(members)[:-1]

    def headers(self) -> dict[str, str]:
        """The API's own headers; the limits are those of a generous account."""
        return {
            "openai-organization": "org-simulator",
            "openai-processing-ms": str(self._processing_ms),
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-limit-tokens": "30000000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-remaining-tokens": str(max(30_000_000 - self._prompt_tokens, 0)),
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-reset-tokens": "0s",
            "x-request-id": self._request_id,
        }

    # -- streamed ---------------------------------------------------------------------------------------------------

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The choices interleaved token by token, then each one's finish, the usage if asked for, and `[DONE]`."""
        choices = [self._choice(index, reply) for index, reply in enumerate(replies)]
        if len(choices) == 1:
            yield from choices[0]
        else:
            yield from _interleaved(choices)
        for index, reply in enumerate(replies):
            finish = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%s"}'
            yield Part.FINISH, self._chunk(finish % (index, FINISH_REASONS[reply.end].encode()))
        if self._asked.include_usage:
            yield Part.USAGE, self._line(self._head + b'],"usage":' + _encode(self._usage(replies)))
        yield Part.DONE, DONE

    def _choice(self, index: int, reply: Reply) -> Iterator[WireEvent]:
        """The first chunk with the role, then the tokens."""
        refused = reply.end is End.REFUSAL
        ids = [f"call_{alphanumeric(self._call_chance, 24)}" for _ in reply.calls]
        if len(reply.calls) == 1 and not reply.text_tokens:
            first = b'"content":null,"tool_calls":[%s],"refusal":null' % _call_start(0, ids[0], reply.calls[0])
        elif reply.calls and not reply.text_tokens:
            first = b'"content":null'
        else:
            first = b'"content":null,"refusal":""' if refused else b'"content":"","refusal":null'
        yield Part.FRAME, self._delta(index, b'"role":"assistant",' + first)
        yield from self._tokens(index, b'"content":null,"reasoning_content":', b"", reply.reasoning_pieces())
        member = b'"refusal":' if refused else b'"content":'
        yield from self._tokens(index, member, b"", reply.text_pieces())
        for number, (call_id, call) in enumerate(zip(ids, reply.calls, strict=True)):
            if len(ids) > 1 or reply.text_tokens:
                yield Part.FRAME, self._delta(index, b'"tool_calls":[%s]' % _call_start(number, call_id, call))
            before = b'"tool_calls":[{"index":%d,"function":{"arguments":' % number
            yield from self._tokens(index, before, b"}}]", iter(tokenize(call.arguments)))

    def _tokens(self, index: int, before: bytes, after: bytes, pieces: Iterator[str]) -> Iterator[WireEvent]:
        """The hot loop: an event is a remembered line and one of the prepared paddings. 0.3 us an event."""
        memo: dict[str, tuple[bytes, Sequence[bytes]]] = {}
        token, variant, mask = Part.TOKEN, self._variant, VARIANT_MASK
        for piece in pieces:
            rendered = memo.get(piece)
            if rendered is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                inner = before + _encode(piece) + after
                memo[piece] = rendered = self._open_line(self._delta_members(index, inner) + b"]" + self._tail)
            variant += 1
            yield token, rendered[0] + rendered[1][variant & mask]

    def _delta_members(self, index: int, delta: bytes) -> bytes:
        return b'%s{"index":%d,"delta":{%s},"logprobs":null,"finish_reason":null}' % (self._head, index, delta)

    def _delta(self, index: int, delta: bytes) -> bytes:
        return self._line(self._delta_members(index, delta) + b"]" + self._tail)

    def _chunk(self, choice: bytes) -> bytes:
        return self._line(self._head + choice + b"]" + self._tail)

    def _line(self, members: bytes) -> bytes:
        line, endings = self._open_line(members)
        self._variant += 1
        return line + endings[self._variant & VARIANT_MASK]

    def _open_line(self, members: bytes) -> tuple[bytes, Sequence[bytes]]:
        """A line up to its padding, and the endings that it may have."""
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
        return b"data: " + _encode(body) + b"\n\n"

    def huge(self, size_bytes: int) -> bytes:
        """A chunk whose content is so many letters."""
        return self._delta(0, b'"content":"%s"' % (b"x" * size_bytes))

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer, indented by two as the API sends it."""
        body = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._asked.model,
            "choices": [self._whole_choice(index, reply) for index, reply in enumerate(replies)],
            "usage": self._usage(replies),
            "service_tier": "default",
            "system_fingerprint": self._fingerprint,
        }
        return msgspec.json.format(_encode(body), indent=2) + b"\n"

    def _whole_choice(self, index: int, reply: Reply) -> dict[str, Any]:
        text = "".join(reply.text_pieces())
        refused = reply.end is End.REFUSAL
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or (reply.calls and not text) else text,
        }
        if reply.reasoning_tokens:
            message["reasoning_content"] = "".join(reply.reasoning_pieces())
        if reply.calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{alphanumeric(self._call_chance, 24)}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in reply.calls
            ]
        message |= {"refusal": text if refused else None, "annotations": []}
        finish = FINISH_REASONS[reply.end]
        return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}

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
    return _encode({"index": number, "id": call_id, "type": "function", "function": function})


def _interleaved(choices: Sequence[Iterator[WireEvent]]) -> Iterator[WireEvent]:
    """The choices in turn; each one's first turn has its role and its first token, as recorded."""
    for choice in choices:
        yield from (event for _, event in zip(range(2), choice, strict=False))
    for turn in zip_longest(*choices):
        yield from (event for event in turn if event is not None)
