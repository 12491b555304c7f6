"""Anthropic's Messages, byte for byte: `event:` and `data:` pairs as recorded from the API in 2025 and 2026.

Events are padded with up to 15 blanks before their last brace, as every recording shows.
"""

import base64
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import msgspec

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.reply import End, Reply, prompt_tokens
from rxlapce.simulator.tokenizer import base58, tokenize
from rxlapce.simulator.wire import BLANKS, MEMO_SIZE, SSE_TYPE, VARIANT_MASK, Part, WireEvent

PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'

STOP_REASONS: Final = {
    End.STOP: "end_turn",
    End.STOP_SEQUENCE: "stop_sequence",
    End.LENGTH: "max_tokens",
    End.TOOL_CALLS: "tool_use",
    End.CONTENT_FILTER: "refusal",
    End.REFUSAL: "refusal",
}
_REFUSAL_DETAILS: Final = {
    "type": "refusal",
    "category": "cyber",
    "explanation": "This request triggered restrictions on violative cyber content and was blocked.",
}

_encode: Final = msgspec.json.Encoder().encode


class MessagesAnswer:
    """One response to a Messages request."""

    stream_type: ClassVar[str] = SSE_TYPE
    text_lines: ClassVar[bool] = True
    keepalive: ClassVar[bytes] = PING

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._asked = asked
        self._id = f"msg_01{base58(chance, 22)}"
        self._request_id = f"req_011C{base58(chance, 20)}"
        self._signature = base64.b64encode(chance.randbytes(192)).decode()
        self._call_chance = chance
        self._variant = chance.randrange(VARIANT_MASK)
        self._prompt_tokens = prompt_tokens(asked)

    def headers(self) -> dict[str, str]:
        """The API's own headers; the limits are those of a generous account, the resets a moment in the past."""
        reset = "2026-01-01T00:00:00Z"
        limits = {"requests": "4000", "input-tokens": "2000000", "output-tokens": "400000", "tokens": "2400000"}
        rate = {
            f"anthropic-ratelimit-{name}-{suffix}": value
            for name, limit in limits.items()
            for suffix, value in (("limit", limit), ("remaining", limit), ("reset", reset))
        }
        return rate | {
            "request-id": self._request_id,
            "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
        }

    # -- streamed ---------------------------------------------------------------------------------------------------

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """`message_start`, the blocks, `message_delta` with the final counts, `message_stop`."""
        reply = replies[0]
        message = self._message([], None, None, None, self._usage_at_start(1))
        yield Part.FRAME, self._event("message_start", {"message": message})
        index = -1
        for index, (start, before, pieces, closing) in enumerate(self._blocks(reply)):
            yield Part.FRAME, self._event("content_block_start", {"index": index, "content_block": start})
            if index == 0:
                yield Part.FRAME, PING
            yield from self._deltas(index, before, pieces)
            for delta in closing:
                yield Part.FRAME, self._event("content_block_delta", {"index": index, "delta": delta})
            yield Part.FRAME, self._event("content_block_stop", {"index": index})
        if index < 0:
            yield Part.FRAME, PING
        delta = {
            "stop_reason": STOP_REASONS[reply.end],
            "stop_sequence": reply.stop_sequence,
            "stop_details": _REFUSAL_DETAILS if reply.end is End.REFUSAL else None,
        }
        yield Part.FINISH, self._event("message_delta", {"delta": delta, "usage": self._final_usage(reply)})
        yield Part.DONE, self._event("message_stop", {})

    def _blocks(self, reply: Reply) -> Iterator[tuple[Any, bytes, Iterator[str], Sequence[Any]]]:
        """Each block's start, what stands before a piece of it, its pieces, and the deltas that close it."""
        if reply.reasoning_tokens:
            thinking = {"type": "thinking", "thinking": "", "signature": ""}
            signature = {"type": "signature_delta", "signature": self._signature}
            yield thinking, b'"type":"thinking_delta","thinking":', reply.reasoning_pieces(), (signature,)
        if reply.text_tokens and reply.end is not End.REFUSAL:
            yield {"type": "text", "text": ""}, b'"type":"text_delta","text":', reply.text_pieces(), ()
        for call in reply.calls:
            tool: dict[str, Any] = {"type": "tool_use", "id": self._call_id(), "name": call.name, "input": {}}
            pieces = iter(("", *tokenize(call.arguments)))
            yield tool, b'"type":"input_json_delta","partial_json":', pieces, ()

    def _call_id(self) -> str:
        return f"toolu_01{base58(self._call_chance, 22)}"

    def _deltas(self, index: int, before: bytes, pieces: Iterator[str]) -> Iterator[WireEvent]:
        """The hot loop: an event is a remembered line and one of the prepared paddings. 0.3 us an event."""
        memo: dict[str, bytes] = {}
        prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{' % index + before
        )
        token, variant, mask, blanks = Part.TOKEN, self._variant, VARIANT_MASK, BLANKS
        for piece in pieces:
            line = memo.get(piece)
            if line is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[piece] = line = prefix + _encode(piece) + b"}"
            variant += 1
            yield token if piece else Part.FRAME, line + blanks[variant & mask]

    def _event(self, name: str, members: dict[str, Any]) -> bytes:
        self._variant += 1
        data = _encode({"type": name, **members})[:-1] + BLANKS[self._variant & VARIANT_MASK]
        return f"event: {name}\ndata: ".encode() + data

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def malformed(self) -> bytes:
        """A delta that breaks off inside a string."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"\n\n'

    def error(self) -> bytes:
        """The event that the API sends when it is overloaded after it has begun."""
        return (
            b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
        )

    def huge(self, size_bytes: int) -> bytes:
        """A text delta of so many letters."""
        delta = {"type": "text_delta", "text": "x" * size_bytes}
        return self._event("content_block_delta", {"index": 0, "delta": delta})

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer in compact JSON."""
        reply = replies[0]
        content: list[dict[str, Any]] = []
        if reply.reasoning_tokens:
            thinking = "".join(reply.reasoning_pieces())
            content.append({"type": "thinking", "thinking": thinking, "signature": self._signature})
        if reply.text_tokens and reply.end is not End.REFUSAL:
            content.append({"type": "text", "text": "".join(reply.text_pieces())})
        content += [
            {
                "type": "tool_use",
                "id": self._call_id(),
                "name": call.name,
                "input": msgspec.Raw(call.arguments.encode()),
            }
            for call in reply.calls
        ]
        details = _REFUSAL_DETAILS if reply.end is End.REFUSAL else None
        usage = self._usage_at_start(reply.output_tokens)
        return _encode(self._message(content, STOP_REASONS[reply.end], reply.stop_sequence, details, usage))

    def _message(
        self,
        content: list[dict[str, Any]],
        stop_reason: str | None,
        stop_sequence: str | None,
        stop_details: dict[str, str] | None,
        usage: dict[str, Any],
    ) -> dict[str, Any]:
        return {
            "model": self._asked.model,
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "stop_details": stop_details,
            "usage": usage,
        }

    def _input_usage(self) -> dict[str, Any]:
        return {
            "input_tokens": self._prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        }

    def _usage_at_start(self, output_tokens: int) -> dict[str, Any]:
        return self._input_usage() | {
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output_tokens,
            "service_tier": "standard",
            "inference_geo": "not_available",
        }

    def _final_usage(self, reply: Reply) -> dict[str, Any]:
        """The counts of the whole answer: they replace those of `message_start`."""
        refused = reply.end is End.REFUSAL
        usage = self._input_usage() | {"output_tokens": 5 if refused else reply.output_tokens}
        if reply.reasoning_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": reply.reasoning_tokens}
        return usage
