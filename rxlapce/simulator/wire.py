"""What the wire formats share: events with their part in a stream, and the interface that `play` uses."""

import random
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import ClassVar, Final, Protocol

from rxlapce.simulator.reply import Reply
from rxlapce.simulator.tokenizer import alphanumeric, hexadecimal, seeded


class Part(Enum):
    """An event's part in a stream: faults and pacing go by it and know no format."""

    FRAME = auto()  # start-up and the seams between blocks: no token
    TOKEN = auto()
    FINISH = auto()  # tells why the answer ended
    USAGE = auto()
    DONE = auto()  # the last event


WireEvent = tuple[Part, bytes]

#: The media type of server-sent events as OpenAI, Anthropic and most others send it.
SSE_TYPE: Final = "text/event-stream; charset=utf-8"


class Wire(Protocol):
    """One response in a vendor's bytes. Pure, and the same bytes for the same request and seed."""

    stream_type: ClassVar[str]
    """The media type of a streamed response, with its charset if it has one."""

    text_lines: ClassVar[bool]
    """Whether a stream is lines of text; the option `crlf` does not apply to binary framings."""

    keepalive: ClassVar[bytes]
    """What keeps a silent connection open; b"" where the framing has nothing for it."""

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The whole stream, event by event with its framing, made as it is taken."""
        ...

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The same answer as one JSON body."""
        ...

    def malformed(self) -> bytes:
        """An event whose JSON is broken off."""
        ...

    def error(self) -> bytes:
        """The vendor's error in mid-stream."""
        ...

    def huge(self, size_bytes: int) -> bytes:
        """One event with so many bytes of text."""
        ...

    def headers(self) -> dict[str, str]:
        """The vendor's response headers, content type aside."""
        ...


#: OpenAI and Anthropic pad events with up to 15 characters, so that lengths do not give the text away.
PADDINGS: Final = 16
_VARIANTS: Final = 64
_characters: Final = alphanumeric(seeded("obfuscation"), _VARIANTS + PADDINGS)


def paddings(length: int) -> list[bytes]:
    """So many letters, in `_VARIANTS` variants that do not depend on the request."""
    return [_characters[k : k + length].encode() for k in range(_VARIANTS)]


#: `OBFUSCATIONS[n][k]`: n letters and the end of the event, in `_VARIANTS` variants that do not depend on the request.
OBFUSCATIONS: Final = [[padding + b'"}\n\n' for padding in paddings(length)] for length in range(PADDINGS)]
#: Blanks before the closing brace, and the end of the event, in an order that looks like chance.
BLANKS: Final = [b" " * length + b"}\n\n" for length in seeded("blanks").choices(range(PADDINGS), k=_VARIANTS)]
VARIANT_MASK: Final = _VARIANTS - 1
#: More different pieces than a vocabulary would show in one answer; a bound for the memo of rendered events.
MEMO_SIZE: Final = 8192


def created_at(chance: random.Random) -> int:
    """Unix seconds of a moment in a year that the seed chooses."""
    return 1_760_000_000 + chance.randrange(31_536_000)


def openai_headers(chance: random.Random, prompt_tokens: int) -> dict[str, str]:
    """OpenAI's response headers, which are the same for all its APIs; the limits are those of a generous account."""
    return {
        "openai-organization": "org-simulator",
        "openai-processing-ms": str(chance.randrange(180, 900)),
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "30000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": str(max(30_000_000 - prompt_tokens, 0)),
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "0s",
        "x-request-id": f"req_{hexadecimal(chance, 32)}",
    }
