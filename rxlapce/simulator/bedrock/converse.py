"""AWS Bedrock's Converse, byte for byte: messages of an event stream as recorded from the API in 2025 and 2026.

Members stand in the order of their names. Text and reasoning blocks have no start; an empty piece of text can stand at
a block's end.
"""

import base64
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import msgspec

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.bedrock import eventstream_encoder as eventstream_encoder
from rxlapce.simulator.bedrock.eventstream_encoder import EVENTSTREAM_TYPE
from rxlapce.simulator.bedrock.padding import PADDINGS, TAILS, VARIANT_MASK, latencies_ms, request_id
from rxlapce.simulator.reply import End, Reply, prompt_tokens
from rxlapce.simulator.tokenizer import alphanumeric, tokenize
from rxlapce.simulator.wire import MEMO_SIZE, Part, WireEvent

STOP_REASONS: Final = {
    End.STOP: "end_turn",
    End.STOP_SEQUENCE: "stop_sequence",
    End.LENGTH: "max_tokens",
    End.TOOL_CALLS: "tool_use",
    End.CONTENT_FILTER: "content_filtered",
    # The text is then what the guardrail says in the model's place.
    End.REFUSAL: "guardrail_intervened",
}

_encode: Final = msgspec.json.Encoder(order="deterministic").encode

_EVENTS: Final = {
    name: eventstream_encoder.event(name)
    for name in (
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    )
}
_THROTTLED: Final = eventstream_encoder.exception("throttlingException").encode(
    b'{"message":"Too many tokens, please wait before trying again."}'
)


class Block(NamedTuple):
    """A block: its start if it has one, what stands around a piece of it, its pieces, and the deltas that end it."""

    start: Mapping[str, Any] | None
    before: bytes
    after: bytes
    pieces: Iterator[str]
    closing: Sequence[Mapping[str, Any]] = ()


class Speech:
    """One answer in Converse's words, before any framing: Nova says the same inside InvokeModel's chunks."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._call_chance = chance
        self._prompt_tokens = prompt_tokens(asked)
        self._signature = base64.b64encode(chance.randbytes(192)).decode()
        self._ends_empty = chance.random() < 0.5
        self.first_byte_ms, self.latency_ms = latencies_ms(chance)

    def blocks(self, reply: Reply) -> Iterator[Block]:
        """The answer's blocks: reasoning, text, one for each tool call."""
        if reply.reasoning_tokens:
            signature = {"reasoningContent": {"signature": self._signature}}
            yield Block(None, b'"reasoningContent":{"text":', b"}", reply.reasoning_pieces(), (signature,))
        if reply.text_tokens:
            closing = ({"text": ""},) if self._ends_empty else ()
            yield Block(None, b'"text":', b"", reply.text_pieces(), closing)
        for call in reply.calls:
            start = {"toolUse": {"name": call.name, "toolUseId": self._call_id()}}
            yield Block(start, b'"toolUse":{"input":', b"}", iter(("", *tokenize(call.arguments))))

    def whole(self, reply: Reply) -> dict[str, Any]:
        """The answer to a unary request, its measures aside."""
        content: list[dict[str, Any]] = []
        if reply.reasoning_tokens:
            reasoning = {"signature": self._signature, "text": "".join(reply.reasoning_pieces())}
            content.append({"reasoningContent": {"reasoningText": reasoning}})
        if reply.text_tokens:
            content.append({"text": "".join(reply.text_pieces())})
        content += [
            {
                "toolUse": {
                    "input": msgspec.Raw(call.arguments.encode()),
                    "name": call.name,
                    "toolUseId": self._call_id(),
                }
            }
            for call in reply.calls
        ]
        message = {"content": content, "role": "assistant"}
        return {"output": {"message": message}, "stopReason": STOP_REASONS[reply.end], "usage": self.usage(reply)}

    def usage(self, reply: Reply) -> dict[str, Any]:
        """The counts of the whole answer."""
        return {
            "inputTokens": self._prompt_tokens,
            "outputTokens": reply.output_tokens,
            "serverToolUsage": {},
            "totalTokens": self._prompt_tokens + reply.output_tokens,
        }

    def _call_id(self) -> str:
        return f"tooluse_{alphanumeric(self._call_chance, 22)}"


class ConverseAnswer:
    """One response to a Converse request."""

    stream_type: ClassVar[str] = EVENTSTREAM_TYPE
    text_lines: ClassVar[bool] = False
    keepalive: ClassVar[bytes] = b""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._headers = request_id(chance)
        self._speech = Speech(asked, chance)
        self._variant = chance.randrange(VARIANT_MASK)

    def headers(self) -> dict[str, str]:
        """The request's id; Bedrock tells no limits."""
        return self._headers

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """`messageStart`, the blocks, `messageStop` with the reason, `metadata` with the counts."""
        reply = replies[0]
        yield Part.FRAME, self._event("messageStart", {"role": "assistant"})
        for index, block in enumerate(self._speech.blocks(reply)):
            here = {"contentBlockIndex": index}
            if block.start is not None:
                yield Part.FRAME, self._event("contentBlockStart", here | {"start": block.start})
            yield from self._deltas(index, block)
            for delta in block.closing:
                yield Part.FRAME, self._event("contentBlockDelta", here | {"delta": delta})
            yield Part.FRAME, self._event("contentBlockStop", here)
        yield Part.FINISH, self._event("messageStop", {"stopReason": STOP_REASONS[reply.end]})
        metadata = {"metrics": {"latencyMs": self._speech.latency_ms}, "usage": self._speech.usage(reply)}
        yield Part.DONE, self._event("metadata", metadata)

    def _deltas(self, index: int, block: Block) -> Iterator[WireEvent]:
        """The hot loop: an event is a remembered payload, one of the prepared paddings, and its frame. 2 us each."""
        memo: dict[str, bytes] = {}
        before = b'{"contentBlockIndex":%d,"delta":{' % index + block.before
        after = block.after + b"}"
        frame, tails, variant, mask = _EVENTS["contentBlockDelta"].encode, TAILS, self._variant, VARIANT_MASK
        for piece in block.pieces:
            payload = memo.get(piece)
            if payload is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[piece] = payload = before + _encode(piece) + after
            variant += 1
            yield Part.TOKEN if piece else Part.FRAME, frame(payload + tails[variant & mask])

    def _event(self, name: str, members: Mapping[str, Any]) -> bytes:
        self._variant += 1
        return _EVENTS[name].encode(_encode({**members, "p": PADDINGS[self._variant & VARIANT_MASK]}))

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def malformed(self) -> bytes:
        """A delta whose checksum does not match its bytes."""
        delta = {"contentBlockIndex": 0, "delta": {"text": "broken"}}
        return eventstream_encoder.corrupted(self._event("contentBlockDelta", delta))

    def error(self) -> bytes:
        """The exception of an account that has used up its tokens for this minute."""
        return _THROTTLED

    def huge(self, size_bytes: int) -> bytes:
        """A text delta of so many letters."""
        return self._event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x" * size_bytes}})

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer in compact JSON."""
        return _encode({"metrics": {"latencyMs": self._speech.latency_ms}, **self._speech.whole(replies[0])})
