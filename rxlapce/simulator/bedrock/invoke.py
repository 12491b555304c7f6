"""AWS Bedrock's InvokeModel: the words of the model's own vendor, in base64 inside an event stream's chunks.

Whose words they are is told by the model's id; an unknown one speaks as Claude does. The last payload has Bedrock's own
count beside the vendor's members.
"""

import random
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

import msgspec

from rxlapce.simulator.anthropic.messages import PING, MessagesAnswer
from rxlapce.simulator.asked import Asked
from rxlapce.simulator.bedrock import eventstream_encoder as eventstream_encoder
from rxlapce.simulator.bedrock import texts as bedrock_texts
from rxlapce.simulator.bedrock.converse import STOP_REASONS, Speech
from rxlapce.simulator.bedrock.eventstream_encoder import EVENTSTREAM_TYPE
from rxlapce.simulator.bedrock.padding import TAILS, VARIANT_MASK, latencies_ms, request_id
from rxlapce.simulator.bedrock.texts import TextWords, Vocabulary
from rxlapce.simulator.openai.chat_completions import DONE, ChatCompletion
from rxlapce.simulator.reply import Reply, prompt_tokens
from rxlapce.simulator.wire import Part, WireEvent

_encode: Final = msgspec.json.Encoder().encode
_CHUNK: Final = eventstream_encoder.event("chunk").encode
_MODEL_FAILED: Final = eventstream_encoder.exception("modelStreamErrorException").encode(
    _encode(
        {
            "message": "The system encountered an unexpected error during processing. Try your request again.",
            "originalMessage": "Internal server error",
            "originalStatusCode": 500,
        }
    )
)


class Words(Protocol):
    """One vendor's payloads, before Bedrock wraps them."""

    def payloads(self, replies: Sequence[Reply]) -> Iterator[tuple[Part, bytes]]:
        """The stream's JSON objects, with their part in it."""
        ...

    def whole(self, replies: Sequence[Reply]) -> bytes:
        """The answer to a unary request."""
        ...

    def huge(self, size_bytes: int) -> bytes:
        """A JSON object with so many bytes of text."""
        ...


class InvokeAnswer:
    """One response to InvokeModel."""

    stream_type: ClassVar[str] = EVENTSTREAM_TYPE
    text_lines: ClassVar[bool] = False
    keepalive: ClassVar[bytes] = b""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._headers = request_id(chance) | {"x-amzn-bedrock-content-type": "application/json"}
        self._first_byte_ms, self._latency_ms = latencies_ms(chance)
        self._variant = chance.randrange(VARIANT_MASK)
        self._prompt_tokens = prompt_tokens(asked)
        self._words = words_of(asked, chance)

    def headers(self) -> dict[str, str]:
        """The request's id, and the type of what the chunks hold."""
        return self._headers

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """A chunk a payload. One payload is held back, since the last one has Bedrock's count."""
        payloads = self._words.payloads(replies)
        part, payload = next(payloads)
        for next_part, next_payload in payloads:
            yield part, self._chunk(payload)
            part, payload = next_part, next_payload
        yield part, self._chunk(payload[:-1] + self._metrics(replies[0]))

    def _chunk(self, payload: bytes) -> bytes:
        self._variant += 1
        return _CHUNK(b'{"bytes":"%s"' % b64encode(payload) + TAILS[self._variant & VARIANT_MASK])

    def _metrics(self, reply: Reply) -> bytes:
        metrics = {
            "inputTokenCount": self._prompt_tokens,
            "outputTokenCount": reply.output_tokens,
            "invocationLatency": self._latency_ms,
            "firstByteLatency": self._first_byte_ms,
        }
        return b',"amazon-bedrock-invocationMetrics":%s}' % _encode(metrics)

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def malformed(self) -> bytes:
        """A chunk whose checksum does not match its bytes."""
        return eventstream_encoder.corrupted(self._chunk(b"{}"))

    def error(self) -> bytes:
        """The exception of a model that failed while it spoke."""
        return _MODEL_FAILED

    def huge(self, size_bytes: int) -> bytes:
        """A chunk with so many letters."""
        return self._chunk(self._words.huge(size_bytes))

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The vendor's answer as it is."""
        return self._words.whole(replies)


# -- the vendors that hold a conversation ---------------------------------------------------------------------------


class _BedrockMessages(MessagesAnswer):
    def __init__(self, asked: Asked, chance: random.Random) -> None:
        super().__init__(asked, chance)
        self._id = self._id.replace("msg_", "msg_bdrk_")


class ClaudeWords:
    """Anthropic's events without their frame, their blanks and their pings."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._answer = _BedrockMessages(asked, chance)

    def payloads(self, replies: Sequence[Reply]) -> Iterator[tuple[Part, bytes]]:
        """See `Words.payloads`."""
        for part, event in self._answer.events(replies):
            if event is not PING:
                yield part, _without_frame(event)

    def whole(self, replies: Sequence[Reply]) -> bytes:
        """See `Words.whole`."""
        return self._answer.unary(replies)

    def huge(self, size_bytes: int) -> bytes:
        """See `Words.huge`."""
        return _without_frame(self._answer.huge(size_bytes))


class ChatWords:
    """Chat completions' chunks, as Jamba and OpenAI's open models say them; the last one has the usage."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._answer = ChatCompletion(msgspec.structs.replace(asked, include_usage=True, obfuscate=False), chance)

    def payloads(self, replies: Sequence[Reply]) -> Iterator[tuple[Part, bytes]]:
        """See `Words.payloads`."""
        for part, event in self._answer.events(replies):
            if event is not DONE:
                yield part, _without_frame(event)

    def whole(self, replies: Sequence[Reply]) -> bytes:
        """See `Words.whole`."""
        return self._answer.unary(replies)

    def huge(self, size_bytes: int) -> bytes:
        """See `Words.huge`."""
        return _without_frame(self._answer.huge(size_bytes))


class NovaWords:
    """Converse's events, each an object of one member with the event's name; each piece of text is its own block."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._speech = Speech(asked, chance)

    def payloads(self, replies: Sequence[Reply]) -> Iterator[tuple[Part, bytes]]:
        """See `Words.payloads`."""
        reply = replies[0]
        yield Part.FRAME, b'{"messageStart":{"role":"assistant"}}'
        index = 0
        for block in self._speech.blocks(reply):
            if block.start is not None:
                yield Part.FRAME, _nova("contentBlockStart", {"start": block.start, "contentBlockIndex": index})
            for piece in block.pieces:
                delta = block.before + _encode(piece) + block.after
                said = b'{"contentBlockDelta":{"delta":{%s},"contentBlockIndex":%d}}' % (delta, index)
                yield Part.TOKEN if piece else Part.FRAME, said
                if block.start is None:
                    yield Part.FRAME, _nova("contentBlockStop", {"contentBlockIndex": index})
                    index += 1
            for closing in block.closing:
                yield Part.FRAME, _nova("contentBlockDelta", {"delta": closing, "contentBlockIndex": index})
            yield Part.FRAME, _nova("contentBlockStop", {"contentBlockIndex": index})
            index += 1
        yield Part.FINISH, _nova("messageStop", {"stopReason": STOP_REASONS[reply.end]})
        yield Part.DONE, _nova("metadata", {"usage": self._usage(reply), "metrics": {}, "trace": {}})

    def whole(self, replies: Sequence[Reply]) -> bytes:
        """See `Words.whole`."""
        return _encode({**self._speech.whole(replies[0]), "usage": self._usage(replies[0])})

    def huge(self, size_bytes: int) -> bytes:
        """See `Words.huge`."""
        return _nova("contentBlockDelta", {"delta": {"text": "x" * size_bytes}, "contentBlockIndex": 0})

    def _usage(self, reply: Reply) -> dict[str, int]:
        usage = self._speech.usage(reply)
        counts = {name: usage[name] for name in ("inputTokens", "outputTokens")}
        return counts | {"cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 0}


def _nova(name: str, members: Mapping[str, Any]) -> bytes:
    return _encode({name: members})


def _without_frame(event: bytes) -> bytes:
    """The JSON of a server-sent event, without the blanks before its last brace."""
    return event[event.index(b"data: ") + 6 :].rstrip()[:-1].rstrip() + b"}"


# -- whose words ----------------------------------------------------------------------------------------------------


def _text(vocabulary: Callable[[Asked, random.Random], Vocabulary]) -> Callable[[Asked, random.Random], Words]:
    return lambda asked, chance: TextWords(vocabulary(asked, chance))


#: A part of the model's id -> whose words it speaks; the first that is found decides.
WORDS: Final[Mapping[str, Callable[[Asked, random.Random], Words]]] = {
    "anthropic.claude": ClaudeWords,
    "amazon.nova": NovaWords,
    "amazon.titan": _text(bedrock_texts.Titan),
    "meta.llama": _text(bedrock_texts.Llama),
    "mistral.": _text(bedrock_texts.Mistral),
    "cohere.command-r": _text(bedrock_texts.CommandR),
    "cohere.": _text(bedrock_texts.Command),
    "ai21.jamba": ChatWords,
    "openai.": ChatWords,
    "qwen.": ChatWords,
}


def words_of(asked: Asked, chance: random.Random) -> Words:
    """The answer in the words of the model's vendor."""
    for part, make in WORDS.items():
        if part in asked.model:
            return make(asked, chance)
    return ClaudeWords(asked, chance)
