"""Which dialect is said in which framing: the APIs by the names that providers' documentation gives them.

`APIS` is the table; a new API is one line here. It is what `rxlapce decode` and the providers look up.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reactivex import Observable

from rxlapce.codec.event import Event
from rxlapce.dialects import (
    AnthropicComplete,
    AnthropicMessages,
    BedrockInvoke,
    ChatCompletions,
    Completions,
    Converse,
    GenerateContent,
    Ollama,
    Responses,
)
from rxlapce.operators.decode import (
    eventstream_decode,
    google_sse_decode,
    json_array_decode,
    ndjson_decode,
    sse_decode,
)
from rxlapce.typing import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a body is cut into events: its media type, and what makes the operator that cuts it.

    `bare_objects` says that a JSON object which stands alone, such as an error's, is an event of it too.
    """

    name: str
    media_type: str
    decode: Callable[[], Callable[[Observable[bytes]], Observable[Event]]]
    bare_objects: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """What makes the dialect with its defaults, and the framing of its streams."""

    dialect: Callable[[], Dialect[Event]]
    framing: Framing


SSE: Final = Framing(name="sse", media_type="text/event-stream", decode=sse_decode)
GOOGLE_SSE: Final = Framing(
    name="google-sse", media_type="text/event-stream", decode=google_sse_decode, bare_objects=True
)
JSON_ARRAY: Final = Framing(
    name="json-array", media_type="application/json", decode=json_array_decode, bare_objects=True
)
NDJSON: Final = Framing(name="ndjson", media_type="application/x-ndjson", decode=ndjson_decode, bare_objects=True)
EVENTSTREAM: Final = Framing(
    name="eventstream", media_type="application/vnd.amazon.eventstream", decode=eventstream_decode
)

FRAMINGS: Final[dict[str, Framing]] = {
    framing.name: framing for framing in (SSE, GOOGLE_SSE, JSON_ARRAY, NDJSON, EVENTSTREAM)
}

APIS: Final[dict[str, Format]] = {
    "openai.chat.completions": Format(ChatCompletions, SSE),
    "openai.responses": Format(Responses, SSE),
    "openai.completions": Format(Completions, SSE),
    "anthropic.messages": Format(AnthropicMessages, SSE),
    "anthropic.complete": Format(AnthropicComplete, SSE),
    "gemini.streamGenerateContent?alt=sse": Format(GenerateContent, GOOGLE_SSE),
    "gemini.streamGenerateContent (JSON array)": Format(GenerateContent, JSON_ARRAY),
    "bedrock.converse-stream": Format(Converse, EVENTSTREAM),
    "bedrock.invoke-with-response-stream": Format(BedrockInvoke, EVENTSTREAM),
    "ollama.chat": Format(Ollama, NDJSON),
}


@functools.cache
def api_name(dialect: str, framing: str) -> str:
    """The name in `APIS` of what speaks the dialect of that name in that framing; "" where none does."""
    spoken = ((name, one) for name, one in APIS.items() if one.framing.name == framing)
    return next((name for name, one in spoken if one.dialect().name == dialect), "")
